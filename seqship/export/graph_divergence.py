"""Where an ONNX file goes wrong, when there is a SavedModel and no Keras model, as in a bundle.

The SavedModel is converted anew, and the values of the two ONNX graphs are compared: recurrent operators with each
other, in their order, anything else by the value that its layer ends with. What the conversion itself does wrong is
wrong in both and not seen; a recurrent layer that the SavedModel holds as a loop is seen from outside alone.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqship.export.audit import RECURRENT_OPERATORS
from seqship.export.divergence import Divergence
from seqship.export.graph_names import layer_path
from seqship.export.onnx_values import OnnxValues, run_every_node
from seqship.export.operator_faults import PLACES, Fault, attributes_of, faults_against, operand
from seqship.export.place import Place, first_place
from seqship.export.runners import Feed
from seqship.export.saved_graph import saved_model_to_onnx
from seqship.export.tolerance import FLOAT32
from seqship.pipelines.spec import STATE_PREFIX

_LENGTHS = 4
_STATES = {5: "initial_h", 6: "initial_c"}


def find_graph_divergence(
    saved_model: str | os.PathLike[str], onnx: str | os.PathLike[str], feed: Feed
) -> Divergence | None:
    """Finds where an ONNX file begins to differ from a SavedModel; None where it cannot be told.

    Layers are named by their scopes in the SavedModel's graph. What differs from the SavedModel by less than
    `tolerance.FLOAT32` is taken for rounding.

    Args:
        saved_model: The SavedModel; its signature `stream` is taken where the feed has states.
        onnx: The ONNX file.
        feed: Inputs by name, of a case that failed.

    Raises:
        ModelError: The SavedModel cannot be converted, or onnxruntime refuses the file or the feed.
    """
    signature = "stream" if any(name.startswith(STATE_PREFIX) for name in feed) else "serving_default"
    with tempfile.TemporaryDirectory(prefix="seqship") as folder:
        again = Path(folder) / "model.onnx"
        saved_model_to_onnx(saved_model, again, signature=signature)
        wanted = run_every_node(again, feed)
    return _first(wanted, run_every_node(onnx, feed), feed)


@dataclass(frozen=True, eq=False)
class _Direction:
    """One direction of a recurrent operator, as if it were an operator of its own.

    Attributes:
        node: The node, with the attributes of this direction alone.
        side: Which direction of the graph's own node it is.
        values: What the graph computes.
        constants: The constants of the graph, the node's weights those of this direction.
    """

    node: Any
    side: int
    values: OnnxValues
    constants: Mapping[str, NDArray[Any]]

    @property
    def kind(self) -> tuple[Any, ...]:
        """What has to be alike in two graphs."""
        shape = self.constants[weights].shape if (weights := operand(self.node, 1)) in self.constants else ()
        return self.node.op_type, shape

    @property
    def backward(self) -> bool:
        return bool(attributes_of(self.node)["direction"] == "reverse")

    def output(self, number: int) -> NDArray[Any] | None:
        """Returns an output, (batch, time, units) of the first, (batch, units) of the states."""
        name = self.node.output[number] if number < len(self.node.output) else ""
        if name not in self.values.values:
            return None
        value = np.take(self.values.values[name], self.side, axis=0 if number else 1)
        return value if number else np.swapaxes(value, 0, 1)

    def operand(self, place: int) -> NDArray[Any] | None:
        return self.values.values.get(operand(self.node, place))


def _directions(node: Any, values: OnnxValues) -> list[_Direction]:
    from onnx import NodeProto, helper

    found = attributes_of(node)
    sides = ["forward", "reverse"] if found["direction"] == "bidirectional" else [found["direction"]]
    directions: list[_Direction] = []
    for side, direction in enumerate(sides):
        alone = NodeProto()
        alone.CopyFrom(node)
        # Parameters of activations are counted by the functions that take them: of two directions they are left alone.
        kept = [one for one in node.attribute if one.name not in ("direction", "activations")]
        functions = np.split(np.array(found["activations"]), len(sides))[side].tolist()
        del alone.attribute[:]
        alone.attribute.extend(kept)
        alone.attribute.append(helper.make_attribute("direction", direction))
        alone.attribute.append(helper.make_attribute("activations", functions))
        names = {operand(node, place) for place in PLACES.values()} & values.constants.keys()
        own = {name: values.constants[name][side : side + 1] for name in names}
        directions.append(_Direction(alone, side, values, {**values.constants, **own}))
    return directions


def _first(wanted: OnnxValues, found: OnnxValues, feed: Feed) -> Divergence | None:
    partners = _partners(wanted, found)
    lengths = {value.shape[1] for value in feed.values() if value.ndim >= 2}
    floats = [value for value in found.values.values() if value.dtype.kind == "f"]
    ends = _ends(wanted.nodes)
    for number, node in enumerate(wanted.nodes):
        for pair in partners.get(number, ()):
            divergence = _operator(*pair)
            if divergence is not None:
                return divergence
        if number in ends:
            divergence = _layer(node, ends[number], wanted, found, floats, lengths)
            if divergence is not None:
                return divergence
    return None


def _partners(wanted: OnnxValues, found: OnnxValues) -> dict[int, list[tuple[_Direction, _Direction]]]:
    """Pairs the directions of recurrent operators of two graphs, in their order; none where there are others."""
    one, other = (
        [
            (number, direction)
            for number, node in enumerate(values.nodes)
            if node.op_type in RECURRENT_OPERATORS
            for direction in _directions(node, values)
        ]
        for values in (wanted, found)
    )
    partners: dict[int, list[tuple[_Direction, _Direction]]] = {}
    for kind in dict.fromkeys(direction.kind for _, direction in one):
        theirs, ours = ([entry for entry in entries if entry[1].kind == kind] for entries in (one, other))
        if len(theirs) == len(ours):
            for (number, direction), (_, partner) in zip(theirs, ours, strict=True):
                partners.setdefault(number, []).append((direction, partner))
    return partners


def _operator(wanted: _Direction, found: _Direction) -> Divergence | None:
    expected, actual = wanted.output(0), found.output(0)
    if expected is None or actual is None:
        return None
    batch, time = expected.shape[:2]
    lengths = wanted.operand(_LENGTHS)
    counts = np.full(batch, time) if lengths is None else lengths
    rank = np.broadcast_to(np.arange(time), (batch, time))
    valid = rank < counts[:, None]
    if wanted.backward:
        rank = counts[:, None] - 1 - rank
    place = first_place(actual, expected, FLOAT32, valid=valid, steps=True, rank=rank)
    for number in range(1, len(wanted.node.output)):
        theirs, ours = wanted.output(number), found.output(number)
        if place is None and theirs is not None and ours is not None:
            place = first_place(ours, theirs, FLOAT32)
    if place is None:
        return None
    steps = _steps_of(wanted.node, wanted.values)
    if place.step is not None and steps is not None:
        place = replace(place, step=int(steps[place.row, place.step]))
    name = found.node.name
    layer = name.rpartition(f"_{found.node.op_type}__")[0] or _layer_of(wanted.node)
    return _divergence(layer, found.node.op_type, f"{found.node.op_type} node {name}", place, _faults(wanted, found))


def _steps_of(node: Any, values: OnnxValues) -> NDArray[np.int64] | None:
    """Returns which step of the data each step is that an operator runs over; None where they are its own."""
    makers = {name: one for one in values.nodes for name in one.output}
    maker = makers.get(operand(node, 0))
    while maker is not None and maker.op_type in (*RECURRENT_OPERATORS, "Transpose", "Squeeze", "Identity", "Reshape"):
        maker = makers.get(maker.input[0])
    if maker is None or maker.op_type != "GatherND":
        return None
    steps = values.values[maker.input[1]]
    return steps[:, :, 0] if steps.ndim == 3 else None


def _faults(wanted: _Direction, found: _Direction) -> tuple[Fault, ...]:
    names = [operand(wanted.node, place) for place in PLACES.values()]
    weights = [wanted.constants[name] for name in names if name in wanted.constants]
    attributes = attributes_of(wanted.node)
    if len(_shapes(wanted)) != len(_shapes(found)):  # One of both directions, and one alone.
        attributes = {name: attributes.get(name) for name in ("direction", "activations", "linear_before_reset")}
        attributes |= {name: value for name, value in attributes_of(found.node).items() if name not in attributes}
    # Without a bias the places of the weights are others; the lowering always writes one.
    faults = list(faults_against(found.node, attributes, weights, found.constants)) if len(weights) > 2 else []
    theirs, ours = wanted.operand(_LENGTHS), found.operand(_LENGTHS)
    if theirs is not None and ours is None:
        faults.append(Fault("mask", "it has no sequence_lens, though the layer has a mask"))
    elif theirs is not None and ours is not None and not np.array_equal(theirs, ours):
        faults.append(Fault("mask", "its sequence_lens are not the numbers of valid steps"))
    for place, name in _STATES.items():
        pair = (None if (value := one.operand(place)) is None else value[one.side] for one in (wanted, found))
        if not _alike(*pair):
            faults.append(Fault("state", f"its {name} is not that of the SavedModel"))
    return tuple(faults) or _input_faults(wanted.operand(0), found.operand(0))


def _shapes(direction: _Direction) -> range:
    """Stands for the number of directions of the graph's own node."""
    value = direction.values.values.get(direction.node.output[0])
    return range(1 if value is None else value.shape[1])


def _input_faults(wanted: NDArray[Any] | None, found: NDArray[Any] | None) -> tuple[Fault, ...]:
    if _alike(wanted, found):
        return ()
    if wanted is not None and found is not None and wanted.shape == found.shape:
        near = np.abs(found[:, None].astype(np.float64) - wanted[None].astype(np.float64)).max(axis=3).min(axis=1)
        if np.all(near <= FLOAT32.atol + FLOAT32.rtol * np.abs(wanted).max()):
            return (Fault("mask", "the steps that it runs over are not those that its mask has"),)
    return (Fault("input", "what comes in is not what the layer before it gives"),)


def _alike(one: NDArray[Any] | None, other: NDArray[Any] | None) -> bool:
    if one is None or other is None:
        return not any(np.any(value) for value in (one, other) if value is not None)
    return first_place(other, one, FLOAT32) is None


def _ends(nodes: Sequence[Any]) -> dict[int, list[Any]]:
    """Returns the nodes of each layer that is no recurrent one, by the number of its last."""
    layers: dict[tuple[str, ...], list[int]] = {}
    for number, node in enumerate(nodes):
        if len(path := layer_path(node.name)[:2]) == 2:
            layers.setdefault(path, []).append(number)
    return {numbers[-1]: [nodes[number] for number in numbers] for numbers in layers.values()}


def _layer(
    node: Any,
    nodes: Sequence[Any],
    wanted: OnnxValues,
    found: OnnxValues,
    floats: Sequence[NDArray[Any]],
    lengths: set[int],
) -> Divergence | None:
    """Returns the divergence of a layer whose last value the other graph computes nowhere, and computes otherwise."""
    value = wanted.values.get(node.output[0])
    if value is None or value.dtype.kind != "f" or not value.size:
        return None
    if any(one.shape == value.shape and first_place(one, value, FLOAT32) is None for one in floats):
        return None
    layer = _layer_of(node)
    # Keras numbers a scope that it opens a second time.
    named = [
        (one, found.values[name])
        for one in found.nodes
        if _stem(_layer_of(one)) == _stem(layer)
        for name in one.output
        if name in found.values and found.values[name].shape == value.shape
    ]
    if not named:
        return None
    partner, actual = named[-1]
    place = first_place(actual, value, FLOAT32, steps=value.ndim >= 3 and value.shape[1] in lengths)
    if place is None:
        return None
    faults = [
        Fault("weights", f"its constant of shape {list(wanted.constants[name].shape)} is nowhere in the ONNX graph")
        for one in nodes
        for name in one.input
        if name in wanted.constants and wanted.constants[name].dtype.kind == "f" and not _present(name, wanted, found)
    ]
    return _divergence(layer, node.op_type, f"{partner.op_type} node {partner.name}", place, faults)


def _present(name: str, wanted: OnnxValues, found: OnnxValues) -> bool:
    one = np.sort(wanted.constants[name], axis=None)
    return any(
        other.size == one.size and np.array_equal(np.sort(other, axis=None), one) for other in found.constants.values()
    )


def _layer_of(node: Any) -> str:
    """Returns the layer that a node is of, without the scope of the model."""
    path = layer_path(node.name)
    return path[1] if len(path) > 1 else node.name.rpartition(f"_{node.op_type}")[0] or node.name


def _stem(name: str) -> str:
    head, _, number = name.rpartition("_")
    return head if head and number.isdigit() else name


def _divergence(layer: str, kind: str, operator: str, place: Place, faults: Sequence[Fault]) -> Divergence:
    return Divergence(
        layer=layer,
        kind=kind,
        operator=operator,
        output_index=0,
        row=place.row,
        step=place.step,
        element=place.element,
        expected=place.expected,
        actual=place.actual,
        times=place.times,
        reason=faults[0].reason if faults else "unknown",
        detail="; ".join(fault.text for fault in faults),
    )
