"""Follows what Keras' layers give through the values of an ONNX graph, to the first that is not there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from seqship.export.graph_names import layer_path
from seqship.export.layer_taps import Tap, Taps
from seqship.export.onnx_values import OnnxValues
from seqship.export.operator_faults import Fault, missing_weights, turned_weights
from seqship.export.operator_trail import check_operator, find_operator
from seqship.export.oracle import Measured
from seqship.export.place import Place, first_place, limit_of


@dataclass(frozen=True)
class Found:
    """The first value that differs.

    Attributes:
        layer: Name of the layer.
        kind: Its class.
        operator: The node, as "GRU node second_GRU__248"; empty where none is known.
        output_index: Which of the layer's outputs it is.
        place: Where in it.
        faults: What is wrong with the node, most telling first.
        unseen: Names of the layers that feed it of which the graph shows nothing.
    """

    layer: str
    kind: str
    operator: str
    output_index: int
    place: Place
    faults: tuple[Fault, ...]
    unseen: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Verdict:
    """What became of one call: "same", "differs" with what was found, or "unseen"."""

    status: Literal["same", "differs", "unseen"]
    found: Found | None = None
    settled: bool = False
    """Whether nothing that comes after it can excuse it."""


def follow(taps: Taps, expected: Mapping[str, Measured], values: OnnxValues, outputs: Sequence[str]) -> Found | None:
    """Returns the first layer whose value is not that of Keras; None where all outputs of the model agree.

    Args:
        taps: The calls of the layers.
        expected: What they give, by the names that the taps have, and the outputs of the model by theirs.
        values: What the graph computes.
        outputs: Names of the model's outputs.
    """
    trail = _Trail(expected, values)
    verdicts = [trail.judge(tap) for tap in taps.calls]
    for position, verdict in enumerate(verdicts):
        if verdict.found is not None and (verdict.settled or not _excused(position, taps.calls, verdicts)):
            return replace(verdict.found, unseen=_unseen(position, taps.calls, verdicts))
    for number, name in enumerate(outputs):
        if name not in expected or name not in values.values:
            continue
        one = expected[name]
        place = first_place(values.values[name], one.expected, limit_of(one), steps=trail.has_steps(one.expected))
        if place is not None:
            last = next((tap for tap in reversed(taps.calls) if tap.outputs), None)
            unseen = tuple(
                dict.fromkeys(tap.name for tap, v in zip(taps.calls, verdicts, strict=True) if v.status == "unseen")
            )
            kind = "output" if last is None else f"output of {last.kind}"
            return Found(name, kind, "", number, place, (), unseen)
    return None


@dataclass(eq=False)
class _Trail:
    expected: Mapping[str, Measured]
    values: OnnxValues

    def __post_init__(self) -> None:
        self.floats = {name: value for name, value in self.values.values.items() if value.dtype.kind == "f"}
        self.order = {name: position for position, node in enumerate(self.values.nodes) for name in node.output}
        self.lengths = {
            value.shape[1]
            for name, value in self.values.values.items()
            if name not in self.order and name not in self.values.constants and value.ndim >= 2
        }
        self.agreed: set[int] = set()  # Layers whose operators agree, by identity.
        self.reached = -1  # The furthest node whose value a layer was known by.

    def has_steps(self, value: NDArray[Any]) -> bool:
        """Whether the second axis is time: as long as that of an input."""
        return value.ndim >= 3 and value.shape[1] in self.lengths

    def judge(self, tap: Tap) -> _Verdict:
        nodes = find_operator(tap, self.values.nodes)
        if nodes:
            wrong = check_operator(tap, nodes, self.expected, self.values)
            if wrong is not None:
                node, place, faults = wrong
                name = f"{node.op_type} node {node.name}"
                return _Verdict("differs", Found(tap.name, tap.kind, name, 0, place, faults), settled=True)
            self.agreed.add(id(tap.layer))
        sides = [getattr(tap.layer, f"{side}_layer", None) for side in ("forward", "backward")]
        lowered = bool(nodes) or all(id(side) in self.agreed for side in sides)
        if lowered and tap.within is not None:
            return _Verdict(
                "same"
            )  # Its output may be merged with the other direction's before it has its masked steps.
        statuses = [self._output(tap, number, lowered=lowered) for number in range(len(tap.outputs))]
        for verdict in statuses:
            if verdict.status == "differs":
                return verdict
        if lowered or any(verdict.status == "same" for verdict in statuses):
            return _Verdict("same")
        return _Verdict("same" if self._changes_nothing(tap) else "unseen")

    def _changes_nothing(self, tap: Tap) -> bool:
        """Whether a layer gives what it takes, as Dropout does."""
        if len(tap.inputs) != 1 or len(tap.outputs) != 1:
            return False
        taken, given = (self.expected[name].expected for name in (tap.inputs[0], tap.outputs[0]))
        return np.array_equal(taken, given)

    def _output(self, tap: Tap, number: int, *, lowered: bool) -> _Verdict:
        one = self.expected[tap.outputs[number]]
        if one.expected.dtype.kind != "f" or not one.expected.size:
            return _Verdict("same")
        mask = self.expected[tap.masks[number]].expected if tap.masks[number] else None
        if mask is not None and mask.shape != one.expected.shape[:2]:
            mask = None
        limit = limit_of(one)
        alike = {name: value for name, value in self.floats.items() if value.shape == one.expected.shape}
        for name, value in alike.items():
            if first_place(value, one.expected, limit, valid=mask) is None:
                self.reached = max(self.reached, self.order.get(name, -1))
                return _Verdict("same")
        named = [(node, name) for node in self._named(tap) for name in node.output if name in alike]
        if lowered and mask is not None:
            # Only what puts the steps back to where the mask has them is the layer's output; it may not be there, where
            # the next layer takes the operator's own.
            named = [(node, name) for node, name in named if node.op_type == "Where"]
        if not named:
            return _Verdict("unseen")
        node, name = named[-1]
        place = first_place(alike[name], one.expected, limit, valid=mask, steps=self.has_steps(one.expected))
        if place is None:
            return _Verdict("same")
        faults = self._restoring(mask) if lowered else self._faults(tap, one)
        shown = f"{node.op_type} node {node.name}"
        return _Verdict("differs", Found(tap.name, tap.kind, shown, number, place, faults))

    def _restoring(self, mask: NDArray[Any] | None) -> tuple[Fault, ...]:
        if mask is None:
            return (Fault("unknown", "its operator agrees, what is made of its output does not"),)
        return (Fault("mask", "its operator agrees, but its steps are not put back to where its mask has them"),)

    def _faults(self, tap: Tap, one: Measured) -> tuple[Fault, ...]:
        weights = _weights(tap.layer)
        faults = missing_weights(weights, self.values.constants.values())
        if faults:
            return faults
        before = self._before_activation(tap, weights)
        if before is None or before.shape != one.expected.shape:
            return turned_weights(weights, self.values.constants.values())
        limit = limit_of(one)
        if any(first_place(v, before, limit) is None for v in self.floats.values() if v.shape == before.shape):
            name = getattr(tap.layer.activation, "__name__", "activation")
            return (Fault("activation", f"its weights and what they give are right, its activation is not {name}"),)
        return turned_weights(weights, self.values.constants.values())

    def _before_activation(self, tap: Tap, weights: Mapping[str, NDArray[Any]]) -> NDArray[Any] | None:
        """Returns what a Dense layer makes before its activation."""
        matrices = [weight for weight in weights.values() if weight.ndim == 2]
        biases = [weight for weight in weights.values() if weight.ndim == 1]
        if type(tap.layer).__name__ != "Dense" or len(matrices) != 1 or not tap.inputs:
            return None
        product = self.expected[tap.inputs[0]].expected.astype(np.float64) @ matrices[0].astype(np.float64)
        return product + sum(bias.astype(np.float64) for bias in biases)

    def _named(self, tap: Tap) -> list[Any]:
        """Returns the nodes whose names tell that they are of a layer, in their order."""
        layer = tap.layer
        scope = str(getattr(layer, "forward_layer", layer).name)
        lowered = re.compile(rf"{re.escape(scope)}(/[^_/][^/]*)?_[A-Z][A-Za-z]*__\d+")
        own = [node for node in self.values.nodes if lowered.fullmatch(node.name)]
        if own:
            return own
        # TensorFlow numbers the scopes of a layer that is traced more than once: dense, dense_1; as Keras does layers.
        numbered = re.compile(rf"{re.escape(str(layer.name))}(_\d+)?")
        groups: dict[str, list[Any]] = {}
        for node in self.values.nodes:
            part = next((part for part in reversed(layer_path(node.name)) if numbered.fullmatch(part)), None)
            if part is not None:
                groups.setdefault(part, []).append(node)
        later = [nodes for nodes in groups.values() if self._last(nodes) > self.reached]
        return min(later, key=self._last, default=[])

    def _last(self, nodes: Sequence[Any]) -> int:
        return max(self.order[name] for node in nodes for name in node.output)


def _weights(layer: Any) -> dict[str, NDArray[Any]]:
    return {
        f"{number}/{str(getattr(weight, 'path', weight.name)).split('/')[-1]}": np.asarray(weight)
        for number, weight in enumerate(layer.weights)
    }


def _excused(position: int, calls: Sequence[Tap], verdicts: Sequence[_Verdict]) -> bool:
    """Whether whatever takes the layer's output agrees: then the graph computes it in another place, or merged."""
    takers = [verdict for tap, verdict in zip(calls, verdicts, strict=True) if tap.taken & calls[position].given]
    return bool(takers) and all(verdict.status == "same" for verdict in takers)


def _unseen(position: int, calls: Sequence[Tap], verdicts: Sequence[_Verdict]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(calls[place].name for place in sorted(set(_before(position, calls, verdicts)))))


def _before(position: int, calls: Sequence[Tap], verdicts: Sequence[_Verdict]) -> Iterator[int]:
    """Yields the calls that feed one without being seen themselves."""
    for place in range(position):
        if calls[place].given & calls[position].taken and verdicts[place].status == "unseen":
            yield place
            yield from _before(place, calls, verdicts)
