"""Turns each marker in the graph into ONNX recurrent operators, exact for any mask.

ONNX knows lengths (`sequence_lens`), which is right padding; a Keras mask is arbitrary: a masked step keeps the state
and, in the output sequence, repeats the output of the step before. A masked step does nothing to the state, so the
valid steps alone determine everything: they are moved to the front by a stable permutation, the operator runs over
their number, and each step of the sequence then shows what the last valid step before it gave.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from onnx import TensorProto

from seqship.export.cases import Padding
from seqship.export.compaction import Compaction, compact, is_right_padded
from seqship.export.marker import MARKER_OP, Capture, Marker
from seqship.export.onnx_graph import OnnxGraph
from seqship.export.operators import ONNX_OPERATORS, operator_attributes, operator_weights
from seqship.models.spec import STATES, RecurrentSpec

Sides = list[list[str]]
"""The final states of each direction."""


@dataclass(eq=False)
class Lowering:
    """The handler that one conversion gives to tf2onnx.

    Attributes:
        captured: What the trace marked.
        padding: What is known of the masks.
        compactions: What was built of each mask, so that stacked layers share it.
        compacted: The operators' own output (batch, time, units) behind each output sequence that was restored to its
            mask, with that mask: a layer stacked on it needs no permutation of its own.
        steps_first: The same sequence as (time, batch, units) behind each that was turned to (batch, time, units): no
            transposes stand between stacked operators.
    """

    captured: Capture
    padding: Padding = "any"
    compactions: dict[tuple[int, str], Compaction] = field(default_factory=dict[tuple[int, str], Compaction])
    compacted: dict[tuple[int, str], tuple[str, str]] = field(default_factory=dict[tuple[int, str], tuple[str, str]])
    steps_first: dict[tuple[int, str], str] = field(default_factory=dict[tuple[int, str], str])

    def handlers(self) -> dict[str, Any]:
        """Returns the `custom_op_handlers` of tf2onnx."""
        return {MARKER_OP: (self._handle, [])}

    def _handle(self, ctx: Any, node: Any, name: str, args: Any) -> None:  # noqa: ARG002  (tf2onnx' signature)
        marker = self.captured.markers.get(node.get_attr_str("token"))
        if marker is not None:  # Else a py_function of the user's own, which the exporter reports.
            self.replace(ctx, node, marker)

    def replace(self, ctx: Any, node: Any, marker: Marker) -> None:
        """Puts operators in the place of one marker.

        Args:
            ctx: tf2onnx' graph.
            node: The marker's node in it.
            marker: What it stands for.
        """
        graph = OnnxGraph(ctx, marker.spec.name)
        outputs, shapes, dtypes = list(node.output), node.output_shapes, node.output_dtypes
        results = self._lower(graph, marker, list(node.input))
        ctx.remove_node(node.name)
        for output, result, shape, dtype in zip(outputs, results, shapes, dtypes, strict=True):
            ctx.make_node("Identity", [result], outputs=[output], shapes=[shape], dtypes=[dtype])

    def _lower(self, graph: OnnxGraph, marker: Marker, inputs: list[str]) -> list[str]:
        spec = marker.spec
        sequence, rest = graph.root(inputs[0]), inputs[1:]
        if spec.time_major:
            sequence = self._batch_first(graph, sequence)
        mask = rest.pop(0) if marker.has_mask else None
        if mask is not None and spec.time_major:
            mask = graph.one("Transpose", [mask], perm=[1, 0])
        compaction = None if mask is None else self._compaction(graph, graph.root(mask))
        if compaction is not None:
            known, by = self.compacted.get(_key(graph, sequence), ("", ""))
            sequence = known if by == compaction.mask else compaction.apply(graph, sequence)
        output, finals = self._run_all(graph, marker, sequence, rest, compaction)
        zero = graph.constant(np.zeros((), spec.dtype))
        if spec.return_sequences:
            results = self._sequences(graph, marker, output, zero, compaction)
            if spec.time_major:
                results = [self._steps_first(graph, result) for result in results]
        else:
            shown = [self._last(graph, spec, side[0], zero, compaction) for side in finals]
            # Only the top of a stack is shown.
            results = _merge(graph, shown if marker.backward is not None else shown[-1:], marker.merge_mode, axis=1)
        states = [state for side in finals for state in side]
        if compaction is not None:
            # A row without a valid step keeps its state; the operator ran one step of it.
            starts = rest or [zero] * len(states)
            states = [compaction.where_any(graph, *pair) for pair in zip(states, starts, strict=True)]
        return [*results, *states]

    def _run_all(
        self, graph: OnnxGraph, marker: Marker, sequence: str, states: list[str], compaction: Compaction | None
    ) -> tuple[str, Sides]:
        """Emits the operators of a marker; returns the last one's output and the final states of every cell."""
        lengths = "" if compaction is None else graph.cast(compaction.lengths, TensorProto.INT32)
        if marker.backward is not None:
            return self._run(graph, (marker.spec, marker.backward), sequence, lengths, states)
        finals: Sides = []
        output = ""
        for cell in marker.cells:
            own, states = states[: STATES[cell.kind]], states[STATES[cell.kind] :]
            output, final = self._run(graph, (cell,), sequence, lengths, own)
            finals += final
            if cell is not marker.cells[-1]:
                sequence = self._batch_first(graph, graph.squeeze(output, 1))
        return output, finals

    def _run(
        self, graph: OnnxGraph, directions: tuple[RecurrentSpec, ...], sequence: str, lengths: str, states: list[str]
    ) -> tuple[str, Sides]:
        """Emits one operator over (batch, time, features).

        Returns:
            Its output (time, directions, batch, units), in the order of time, and the final states (batch, units).
        """
        spec = directions[0]
        count = STATES[spec.kind]
        weights = [graph.constant(weight, name) for weight, name in zip(operator_weights(*directions), "WRBP")]  # noqa: B905
        # Keras gives h and c of one direction, then of the other; ONNX takes every h, then every c.
        initial = [graph.stack(states[part::count], axis=0) for part in range(count if states else 0)]
        initial += [""] * (2 - len(initial))
        operands = [self._steps_first(graph, sequence), *weights[:3], lengths, *initial, *weights[3:]]
        while not operands[-1]:
            operands.pop()
        made = graph.node(ONNX_OPERATORS[spec.kind], operands, 1 + count, **operator_attributes(*directions))
        if len(directions) == 1:
            return made[0], [[graph.squeeze(state, 0) for state in made[1:]]]
        return made[0], [[graph.take(state, side, axis=0) for state in made[1:]] for side in (0, 1)]

    def _sequences(
        self, graph: OnnxGraph, marker: Marker, output: str, zero: str, compaction: Compaction | None
    ) -> list[str]:
        """Returns the output sequences as Keras shows them, (batch, time, units)."""
        spec, back = marker.spec, marker.backward
        if back is None:
            shown = self._batch_first(graph, graph.squeeze(output, 1))
            if compaction is not None:
                shown = self._restored(graph, shown, zero, compaction, spec)
            return [graph.reverse(shown, axis=1) if spec.go_backwards else shown]
        if compaction is None or (spec.zero_output_for_mask and not _masks_backwards(back)):
            merged = [self._batch_first(graph, side) for side in _merge_sides(graph, output, marker.merge_mode)]
            if compaction is None:
                return merged
            return [self._restored(graph, side, zero, compaction, spec) for side in merged]
        sides = [self._batch_first(graph, graph.take(output, side, axis=1)) for side in (0, 1)]
        pair = zip(sides, (spec, back), strict=True)
        return _merge(
            graph,
            [self._restored(graph, side, zero, compaction, cell) for side, cell in pair],
            marker.merge_mode,
            axis=2,
        )

    def _restored(self, graph: OnnxGraph, output: str, zero: str, compaction: Compaction, spec: RecurrentSpec) -> str:
        """Returns the output of one direction, or of both merged, with its masked steps, in the order of time."""
        if _masks_backwards(spec):
            shown = compaction.restore(graph, output, zero, zero_masked=False, backwards=True)
            valid = graph.reverse(graph.unsqueeze(compaction.mask, 2), axis=1)
            return graph.one("Where", [valid, shown, zero])
        zero_masked = spec.zero_output_for_mask
        restored = compaction.restore(graph, output, zero, zero_masked=zero_masked, backwards=spec.go_backwards)
        # Of a layer that runs backwards this is not what a layer above it sees: Keras shows it reversed.
        self.compacted[_key(graph, restored)] = (output, compaction.mask)
        return restored

    def _last(
        self,
        graph: OnnxGraph,
        spec: RecurrentSpec,
        final: str,
        zero: str,
        compaction: Compaction | None,
    ) -> str:
        """Returns the last output: that of the last valid step, zero where there is none."""
        if compaction is None:
            return final
        shown = compaction.where_any(graph, final, zero)
        if spec.zero_output_for_mask:
            step = graph.take(compaction.mask, 0 if spec.go_backwards else -1, axis=1)
            shown = graph.one("Where", [graph.unsqueeze(step, 1), shown, zero])
        return shown

    def _compaction(self, graph: OnnxGraph, mask: str) -> Compaction:
        key = _key(graph, mask)
        if key not in self.compactions:
            right = self.padding == "right" or is_right_padded(graph, mask)
            self.compactions[key] = compact(graph, mask, right_padded=right)
        return self.compactions[key]

    def _steps_first(self, graph: OnnxGraph, sequence: str) -> str:
        """Returns a sequence (batch, time, n) as (time, batch, n)."""
        key = _key(graph, sequence)
        if key not in self.steps_first:
            self.steps_first[key] = graph.swap_batch_time(sequence)
        return self.steps_first[key]

    def _batch_first(self, graph: OnnxGraph, sequence: str) -> str:
        """Returns a sequence (time, batch, n) as (batch, time, n)."""
        turned = graph.swap_batch_time(sequence)
        self.steps_first[_key(graph, turned)] = sequence
        return turned


def _key(graph: OnnxGraph, tensor: str) -> tuple[int, str]:
    """A branch or a body of a loop is a graph of its own, and sees no node of another."""
    return id(graph.ctx), tensor


def _masks_backwards(spec: RecurrentSpec) -> bool:
    """Whether Keras lays the mask over the output the wrong way round.

    Its unrolled loop zeroes the masked steps of the finished output, which runs backwards, by the mask in the order of
    time (`rnn` with `unroll`, in the backends of both flavours).
    """
    return spec.unroll and spec.zero_output_for_mask and spec.go_backwards


def _merge(graph: OnnxGraph, sides: list[str], mode: str | None, *, axis: int) -> list[str]:
    """Merges the two directions as Bidirectional does; one direction stays what it is."""
    if len(sides) == 1 or mode is None:
        return sides
    if mode == "concat":
        return [graph.one("Concat", sides, axis=axis)]
    if mode == "mul":
        return [graph.one("Mul", sides)]
    return [_halved(graph, graph.one("Add", sides), mode)]


def _merge_sides(graph: OnnxGraph, output: str, mode: str | None) -> list[str]:
    """Merges the directions of an operator's output (time, 2, batch, units) into sequences (time, batch, n)."""
    if mode == "concat":
        return [graph.reshape(graph.one("Transpose", [output], perm=[0, 2, 1, 3]), 0, 0, -1)]
    if mode in ("sum", "ave"):
        total = graph.one("ReduceSum", [output, graph.constant(np.array([1], np.int64))], keepdims=0)
        return [_halved(graph, total, mode)]
    return _merge(graph, [graph.take(output, side, axis=1) for side in (0, 1)], mode, axis=2)


def _halved(graph: OnnxGraph, total: str, mode: str) -> str:
    return graph.one("Mul", [total, graph.constant(np.float32(0.5))]) if mode == "ave" else total
