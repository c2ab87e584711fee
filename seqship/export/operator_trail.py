"""Compares a recurrent ONNX operator with the Keras layer it stands for, as it runs: on the valid steps, in order."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqship.export.layer_taps import Tap
from seqship.export.onnx_values import OnnxValues
from seqship.export.operator_faults import Fault, operand, operator_faults
from seqship.export.operators import ONNX_OPERATORS
from seqship.export.oracle import Measured
from seqship.export.place import Place, first_place, limit_of
from seqship.export.tolerance import FLOAT32
from seqship.models.flavour import flavour_of
from seqship.models.layers import read_layer
from seqship.models.spec import STATES, RecurrentSpec

_LENGTHS, _INITIAL = 4, (5, 6)
_SEQUENCE = 0


@dataclass(frozen=True, eq=False)
class Operators:
    """The nodes of one layer.

    Attributes:
        nodes: One for each of its cells, from the input upwards; of a layer called more than once, those of each call.
        side: Which direction of the nodes it is; None where they have one.
    """

    nodes: tuple[Any, ...]
    side: int | None


def find_operator(tap: Tap, nodes: Sequence[Any]) -> tuple[Operators, ...]:
    """Returns the nodes that stand for a recurrent layer, by their names; one group for each of its calls.

    Args:
        tap: A call of the layer.
        nodes: Nodes of the graph.
    """
    if tap.recurrent is None or not tap.recurrent.specs:
        return ()
    specs = tap.recurrent.specs
    if tap.within is not None:  # One operator for both directions is named for the forward one.
        both = _named(str(tap.within.forward_layer.name), nodes)
        both = [node for node in both if _attribute(node, "direction") == "bidirectional"]
        if both:
            return tuple(Operators((node,), int(tap.is_backward)) for node in both)
    # All cells of a stack are named for the first.
    named, kinds = _named(specs[0].name, nodes), [ONNX_OPERATORS[spec.kind] for spec in specs]
    groups = [tuple(named[start : start + len(specs)]) for start in range(0, len(named), len(specs))]
    return tuple(Operators(group, None) for group in groups if [node.op_type for node in group] == kinds)


def check_operator(
    tap: Tap, found: Sequence[Operators], expected: Mapping[str, Measured], values: OnnxValues
) -> tuple[Any, Place, tuple[Fault, ...]] | None:
    """Returns the node of a layer that differs, where, and what is wrong with it; None where it agrees.

    Of a layer that is called more than once nobody knows which node is which call: any that agrees is taken for it.

    Args:
        tap: A call of the layer.
        found: What `find_operator` gave.
        expected: What Keras gives.
        values: What the graph computes.
    """
    runs = [_Run.of(tap, operators, expected, values) for operators in found]
    places = [run.place() for run in runs]
    if any(place is None for place in places):
        return None
    chosen = min(tap.call, len(runs) - 1)
    place = places[chosen]
    if place is None:
        return None
    run = runs[chosen]
    return run.operators.nodes[-1], place, run.faults(tap)


@dataclass(frozen=True, eq=False)
class _Run:
    """One call in Keras beside the nodes; arrays (batch, time, n), in the order of time.

    Attributes:
        operators: The nodes.
        specs: The cells.
        sequence: What comes in.
        steps: What goes out at every step.
        states: The initial states of all cells, h first; none for zeros.
        mask: Which steps are valid.
        masked: Whether the layer has a mask.
        values: What the graph computes.
    """

    operators: Operators
    specs: tuple[RecurrentSpec, ...]
    sequence: Measured
    steps: Measured
    states: Sequence[NDArray[Any]]
    mask: NDArray[np.bool_]
    masked: bool
    values: OnnxValues

    @classmethod
    def of(cls, tap: Tap, operators: Operators, expected: Mapping[str, Measured], values: OnnxValues) -> _Run:
        recurrent = tap.recurrent
        if recurrent is None:
            raise ValueError("not a recurrent layer")
        spec = recurrent.specs[-1]
        names = (recurrent.sequence, recurrent.steps or tap.outputs[0])
        sequence, steps = (_batch_first(expected[name], spec) for name in names)
        mask = np.ones(sequence.expected.shape[:2], bool)
        if recurrent.mask:
            found = expected[recurrent.mask].expected.astype(bool)
            mask = found.T if spec.time_major else found
        if spec.go_backwards:
            steps = replace(steps, expected=steps.expected[:, ::-1])
        states = [expected[name].expected for name in recurrent.states]
        if spec.cell_state_first:
            states = states[::-1]
        return cls(
            operators,
            recurrent.specs,
            sequence,
            steps,
            states,
            mask,
            bool(recurrent.mask),
            values,
        )

    @property
    def node(self) -> Any:
        return self.operators.nodes[-1]

    @property
    def order(self) -> NDArray[np.int64]:
        """The valid steps of each row, then the others."""
        return np.argsort(~self.mask, axis=1, kind="stable")

    @property
    def counts(self) -> NDArray[np.int64]:
        return self.mask.sum(axis=1)

    @property
    def valid(self) -> NDArray[np.bool_]:
        """Which of the steps in that order are valid."""
        return np.arange(self.mask.shape[1]) < self.counts[:, None]

    def place(self) -> Place | None:
        """Returns where the operator differs first, as it runs."""
        expected = self._in_order(self.steps.expected)
        actual = self._side(operand_value(self.node.output, 0, self.values), axis=1)
        backward = self.specs[-1].go_backwards
        ranks = np.broadcast_to(np.arange(self.mask.shape[1]), self.mask.shape)
        if actual is not None:
            place = first_place(
                np.swapaxes(actual, 0, 1),
                expected,
                limit_of(self.steps),
                valid=self.valid,
                steps=True,
                rank=self.counts[:, None] - 1 - ranks if backward else ranks,
            )
            if place is not None:
                return place if place.step is None else replace(place, step=int(self.order[place.row, place.step]))
        return self._last_place(expected, backward)

    def _last_place(self, expected: NDArray[Any], backward: bool) -> Place | None:
        """Returns where the state that the operator ends with is not what it shows at the last step it runs."""
        actual = self._side(operand_value(self.node.output, 1, self.values), axis=0)
        rows = np.flatnonzero(self.counts)  # The operator runs one step of a row that has none; its result is not used.
        if actual is None or not rows.size:
            return None
        last = np.zeros_like(rows) if backward else self.counts[rows] - 1
        place = first_place(actual[rows], expected[rows, last], limit_of(self.steps))
        if place is None:
            return None
        row = int(rows[place.row])
        return replace(place, row=row, step=int(self.order[row, last[place.row]]))

    def faults(self, tap: Tap) -> tuple[Fault, ...]:
        """Returns what is wrong with the nodes, most telling first."""
        found: list[Fault] = []
        for node, spec in zip(self.operators.nodes, self.specs, strict=False):
            directions = (spec,) if self.operators.side is None else _both(tap)
            found += operator_faults(node, directions, self.values.constants)
        return (*found, *self._mask_faults(), *self._state_faults(), *self._input_faults())

    def _mask_faults(self) -> list[Fault]:
        name, time = operand(self.node, _LENGTHS), self.mask.shape[1]
        wanted = np.maximum(self.counts, 1)
        if not name:
            if np.any(wanted != time):
                return [Fault("mask", "it has no sequence_lens, though the layer has a mask")]
            return []
        found = self.values.values.get(name)
        if found is None or found.shape != wanted.shape:
            return [Fault("mask", "its sequence_lens are not one for each row")]
        if wrong := np.flatnonzero(found != wanted).tolist():
            row = wrong[0]
            text = f"its sequence_lens say {int(found[row])} steps in row {row}, the mask {int(self.counts[row])}"
            return [Fault("mask", text)]
        return []

    def _state_faults(self) -> list[Fault]:
        spec, *above = self.specs
        if above:
            return []
        for part, place in enumerate(_INITIAL[: STATES[spec.kind]]):
            name = operand(self.node, place)
            found = self._side(self.values.values.get(name), axis=0) if name else None
            wanted = np.asarray(self.states[part] if len(self.states) > part else np.zeros((1, 1)), np.float64)
            given = np.zeros((1, 1)) if found is None else found.astype(np.float64)
            if not np.allclose(*np.broadcast_arrays(given, wanted), atol=FLOAT32.atol, rtol=FLOAT32.rtol):
                which = f"initial_{'hc'[part]}"
                return [Fault("state", f"its {which} is not that of the Keras layer" if name else f"it has no {which}")]
        return []

    def _input_faults(self) -> list[Fault]:
        first = self.operators.nodes[0]
        found = self.values.values.get(operand(first, _SEQUENCE))
        expected = self._in_order(self.sequence.expected)
        limit = limit_of(self.sequence)
        if found is None or first_place(np.swapaxes(found, 0, 1), expected, limit, valid=self.valid) is None:
            return []
        if self.masked and found.shape == np.swapaxes(expected, 0, 1).shape:
            rows = np.swapaxes(found, 0, 1).astype(np.float64)
            near = np.abs(rows[:, :, None] - self.sequence.expected[:, None].astype(np.float64)).max(axis=3).min(axis=2)
            if np.all(near[self.valid] <= FLOAT32.atol + FLOAT32.rtol * np.abs(rows).max()):
                return [Fault("mask", "the steps that it runs over are not those that its mask has")]
        return [Fault("input", "what comes in is not what the layer before it gives")]

    def _in_order(self, value: NDArray[Any]) -> NDArray[Any]:
        return np.take_along_axis(value, self.order[:, :, None], axis=1)

    def _side(self, value: NDArray[Any] | None, *, axis: int) -> NDArray[Any] | None:
        """Takes one direction of an operand or output."""
        side = self.operators.side or 0
        return None if value is None or value.shape[axis] <= side else np.take(value, side, axis=axis)


def operand_value(names: Sequence[str], place: int, values: OnnxValues) -> NDArray[Any] | None:
    """Returns the value of an output of a node, None where it has none."""
    return values.values.get(names[place]) if place < len(names) else None


def _batch_first(one: Measured, spec: RecurrentSpec) -> Measured:
    return replace(one, expected=np.swapaxes(one.expected, 0, 1)) if spec.time_major else one


def _both(tap: Tap) -> tuple[RecurrentSpec, ...]:
    """Returns the specs of both directions."""
    flavour = flavour_of(tap.layer)
    pair = [read_layer(layer, flavour) for layer in (tap.within.forward_layer, tap.within.backward_layer)]
    return tuple(specs[0] for specs in pair)


def _named(scope: str, nodes: Sequence[Any]) -> list[Any]:
    """Returns the operators of a scope in the order in which they were made."""
    name = re.compile(rf"{re.escape(scope)}_({'|'.join(ONNX_OPERATORS.values())})__(\d+)")
    found = [(int(match[2]), node) for node in nodes if (match := name.fullmatch(node.name))]
    return [node for _, node in sorted(found, key=lambda pair: pair[0])]


def _attribute(node: Any, name: str) -> str:
    return next((attribute.s.decode() for attribute in node.attribute if attribute.name == name), "")
