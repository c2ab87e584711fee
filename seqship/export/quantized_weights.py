"""Reads the weights of an int8 file, and holds each to the weight of the float32 file that it was rounded from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqship.export.agreement import json_value
from seqship.export.quantized_graph import Key, NamedGraph, quantized_lstm, quantized_product, quantized_table

HALF_STEP = 0.5 + 1e-3
"""How far rounding moves a weight, in steps of its grid; a scale is itself rounded to float32."""
LEAST_STEPS = 63.0
"""Steps from zero to the largest weight of a channel: 64 of them where all 7 bits are used."""


@dataclass(frozen=True)
class WeightCheck:
    """One tensor of the int8 file against the float32 file.

    Attributes:
        node: The operator.
        weight: Which of its inputs, by its name in the ONNX specification.
        steps: How far the furthest weight is from its float32 value, in steps of its grid; infinite where the tensor is
            missing or of another shape.
        index: Where.
        expected: The float32 weight there.
        actual: What the int8 file has.
        coarse: How many times as wide as 7 bits need be the widest grid is.
        passed: Whether every weight is the one next to it on a grid of 7 bits.
    """

    node: str
    weight: str
    steps: float
    index: tuple[int, ...]
    expected: float
    actual: float
    coarse: float
    passed: bool

    def sentence(self) -> str:
        """Says in one line what is wrong."""
        place = f"{self.weight}[{', '.join(map(str, self.index))}] of {self.node}"
        if not np.isfinite(self.steps):
            return f"int8 has no weight {self.weight} of {self.node} that could be compared with the float32 file's"
        if self.steps <= HALF_STEP:
            return f"int8 rounds {self.weight} of {self.node} {self.coarse:.3g} times as coarsely as 7 bits need be"
        return (
            f"int8 has {self.actual:.6g} for {place}, the float32 file {self.expected:.6g}: {self.steps:.3g} steps of "
            "its grid apart, where rounding makes half of one"
        )

    def to_json(self) -> dict[str, Any]:
        """Returns the JSON form; numbers that JSON lacks are the strings "NaN" and "Infinity"."""
        return json_value(asdict(self))


@dataclass(frozen=True, eq=False)
class QuantizedWeight:
    """A weight of the float32 file, and what the int8 file has in its place.

    Attributes:
        node: Name of the operator in the float32 file.
        position: Which of its inputs.
        name: Name of that input in the ONNX specification.
        expected: Values of the float32 file.
        step: Width of the grid, spread to their shape; None where the int8 file has none of that shape.
        actual: What the int8 file has, as numbers.
    """

    node: str
    position: int
    name: str
    expected: NDArray[np.float32]
    step: NDArray[np.float64] | None
    actual: NDArray[np.float64] | None

    def check(self, channels: NDArray[np.float64]) -> WeightCheck:
        """Compares both.

        Args:
            channels: The largest value of each channel, spread to the shape of the weights.
        """
        if self.step is None or self.actual is None:
            nan, inf = float("nan"), float("inf")
            return WeightCheck(self.node, self.name, inf, (), nan, nan, inf, False)
        with np.errstate(divide="ignore", invalid="ignore"):
            steps = np.abs(self.actual - self.expected) / np.abs(self.step)
            coarse = np.where(channels > 0, np.abs(self.step) * LEAST_STEPS / channels, 0.0)
        steps = np.where(np.isnan(steps), np.inf, steps)
        worst = np.unravel_index(int(steps.argmax()), steps.shape)
        furthest, widest = float(steps[worst]), float(coarse.max(initial=0.0))
        return WeightCheck(
            node=self.node,
            weight=self.name,
            steps=furthest,
            index=tuple(int(axis) for axis in worst),
            expected=float(self.expected[worst]),
            actual=float(self.actual[worst]),
            coarse=widest,
            passed=furthest <= HALF_STEP and widest <= 1,
        )


def check_weights(weights: Mapping[Key, QuantizedWeight]) -> tuple[WeightCheck, ...]:
    """Compares every quantized weight with the float32 file's."""
    return tuple(weight.check(_channels(weight)) for weight in weights.values())


def _channels(weight: QuantizedWeight) -> NDArray[np.float64]:
    """Returns the largest weight of each channel, spread to the shape of the weights.

    Channels are the gates' units of an LSTM, the columns of a matrix; a table is one.
    """
    axis = {"W": 2, "R": 2, "B": 0}.get(weight.name)
    largest = np.abs(weight.expected).max(axis=axis, keepdims=True, initial=0.0)
    return np.broadcast_to(largest, weight.expected.shape).astype(np.float64)


def read_weights(plain: Any, quantized: Any) -> dict[Key, QuantizedWeight]:
    """Returns the weights that are quantized in one file and plain in the other, by operator and input.

    Args:
        plain: `ModelProto` of the float32 file.
        quantized: `ModelProto` of the int8 file.
    """
    before, after = NamedGraph(plain), NamedGraph(quantized)
    found = [
        weight
        for node in plain.graph.node
        if node.domain in ("", "ai.onnx")
        for weight in _weights(node, before, after)
    ]
    return {(weight.node, weight.position): weight for weight in found}


def _weights(node: Any, before: NamedGraph, after: NamedGraph) -> Iterator[QuantizedWeight]:
    if node.op_type == "LSTM" and (lstm := quantized_lstm(node, after)) is not None:
        # Turned to (directions, inputs, 4 * units), with a scale for each direction and gate's unit.
        for position, name, scale in ((1, "W", 8), (2, "R", 10)):
            values = after.constant(lstm, position)
            turned = None if values is None or values.ndim != 3 else values.transpose(0, 2, 1)
            yield _weight(node, position, name, before, turned, *_grid(after, lstm, scale))
    elif node.op_type == "MatMul" and (found := quantized_product(node, after)) is not None:
        product, scales = found
        yield _weight(node, 1, "B", before, after.constant(product, 1), scales, after.constant(product, 3))
    elif node.op_type == "Gather" and (rows := quantized_table(node, before, after)) is not None:
        gather, reader = rows
        # Without a reader a product takes the rows as they are: the names are onnxruntime's.
        table = gather.input[0].removesuffix("_quantized")
        named = after.constants.get(f"{table}_scale"), after.constants.get(f"{table}_zero_point")
        grid = named if reader is None else _grid(after, reader, 1)
        yield _weight(node, 0, "data", before, after.constant(gather, 0), *grid)


def _grid(after: NamedGraph, node: Any, position: int) -> tuple[NDArray[Any] | None, NDArray[Any] | None]:
    """Returns scale and zero point, which stand behind each other."""
    return after.constant(node, position), after.constant(node, position + 1)


def _weight(
    node: Any,
    position: int,
    name: str,
    before: NamedGraph,
    values: NDArray[Any] | None,
    scale: NDArray[Any] | None,
    zero: NDArray[Any] | None,
) -> QuantizedWeight:
    """Puts a weight and what stands in its place together.

    Args:
        node: The operator of the float32 file.
        position: Which of its inputs.
        name: Name of that input in the ONNX specification.
        before: The float32 file.
        values: Integers of the int8 file.
        scale: Of all of them, or of each direction, gate's unit or column.
        zero: Zero points, shaped as the scales; none are zeros.
    """
    expected = before.constants[node.input[position]]
    step = None if scale is None else _spread(scale.astype(np.float64), expected)
    start = np.zeros(expected.shape) if zero is None else _spread(zero.astype(np.float64), expected)
    actual = None
    if values is not None and values.shape == expected.shape and step is not None and start is not None:
        actual = (values.astype(np.float64) - start) * step
    return QuantizedWeight(node.name, position, name, expected, step, actual)


def _spread(values: NDArray[np.float64], like: NDArray[Any]) -> NDArray[np.float64] | None:
    """Returns a value for each weight: of one for all, a direction, a gate's unit or a column; None where none fits."""
    if values.size == 1:
        return np.broadcast_to(values.reshape(()), like.shape)
    if like.ndim == 3 and values.shape in (like.shape[:1], like.shape[:2]):
        return np.broadcast_to(values.reshape(*values.shape, *[1] * (3 - values.ndim)), like.shape)
    if like.ndim == 2 and values.shape == like.shape[1:]:
        return np.broadcast_to(values, like.shape)
    return None
