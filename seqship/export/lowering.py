"""Turns each marker in the graph into one ONNX recurrent operator, exact for any mask.

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

from seqship.export.capture import MARKER_OP, Capture, Marker
from seqship.export.operators import ONNX_OPERATORS, operator_attributes, operator_weights
from seqship.models.spec import RecurrentSpec


@dataclass(frozen=True)
class _Compaction:
    """Names of what a mask M (batch, time) gives, all int64; `valid` and `any_valid` are bool.

    With count = cumsum(M) and length = sum(M), `order` lists the valid steps in their order, then the others.
    """

    valid: str
    count: str
    order: str
    lengths: str
    any_valid: str


@dataclass(eq=False)
class _Graph:
    """The graph under conversion, with node building in few words."""

    ctx: Any
    scope: str

    def node(self, op: str, inputs: list[str], outputs: int = 1, **attributes: Any) -> list[str]:
        node = self.ctx.make_node(op, inputs, attr=attributes, output_count=outputs, op_name_scope=self.scope)
        return list(node.output)

    def one(self, op: str, inputs: list[str], **attributes: Any) -> str:
        return self.node(op, inputs, **attributes)[0]

    def constant(self, value: Any, name: str = "constant") -> str:
        from tf2onnx import utils

        return str(self.ctx.make_const(utils.make_name(f"{self.scope}/{name}"), np.asarray(value)).output[0])

    def cast(self, tensor: str, to: int) -> str:
        return self.one("Cast", [tensor], to=to)

    def unsqueeze(self, tensor: str, axis: int) -> str:
        return self.one("Unsqueeze", [tensor, self.constant(np.array([axis], np.int64))])

    def squeeze(self, tensor: str, axis: int) -> str:
        return self.one("Squeeze", [tensor, self.constant(np.array([axis], np.int64))])

    def swap_batch_time(self, tensor: str) -> str:
        return self.one("Transpose", [tensor], perm=[1, 0, 2])

    def reverse(self, tensor: str, axis: int) -> str:
        bounds = [-1], [np.iinfo(np.int64).min], [axis], [-1]
        return self.one("Slice", [tensor, *(self.constant(np.array(bound, np.int64)) for bound in bounds)])

    def gather_steps(self, tensor: str, steps: str) -> str:
        """Takes of each row of (batch, time, n) the steps (batch, time)."""
        return self.one("GatherND", [tensor, self.unsqueeze(steps, 2)], batch_dims=1)

    def root(self, tensor: str) -> str:
        """Follows a tensor back through what does not change it."""
        while True:
            producer = self.ctx.get_node_by_output(tensor)
            if producer is None or producer.type not in ("Identity", "EnsureShape", "Cast"):
                return tensor
            same = self.ctx.get_dtype(producer.input[0]) == self.ctx.get_dtype(tensor)
            if producer.type == "Cast" and not same:
                return tensor
            tensor = producer.input[0]


@dataclass(eq=False)
class Lowering:
    """The handler that one conversion gives to tf2onnx.

    Attributes:
        captured: What the trace marked.
        compactions: Permutations already built, by mask, so that stacked layers share them.
        compacted: The operator's own output (batch, time, units) behind each output sequence that was restored to its
            mask, with that mask: a layer stacked on it needs no permutation of its own.
    """

    captured: Capture
    compactions: dict[tuple[int, str], _Compaction] = field(default_factory=dict[tuple[int, str], _Compaction])
    compacted: dict[str, tuple[str, str]] = field(default_factory=dict[str, tuple[str, str]])

    def handlers(self) -> dict[str, Any]:
        """Returns the `custom_op_handlers` of tf2onnx."""
        return {MARKER_OP: (self._handle, [])}

    def _handle(self, ctx: Any, node: Any, name: str, args: Any) -> None:  # noqa: ARG002  (tf2onnx' signature)
        marker = self.captured.markers.get(node.get_attr_str("token"))
        if marker is None:
            return  # A py_function of the user's own: no runtime but Python can run it; the exporter reports it.
        graph = _Graph(ctx, marker.spec.name)
        outputs, shapes, dtypes = list(node.output), node.output_shapes, node.output_dtypes
        results = self._lower(graph, marker, list(node.input))
        restored = self.compacted.get(results[0])
        ctx.remove_node(node.name)
        for output, result, shape, dtype in zip(outputs, results, shapes, dtypes, strict=True):
            ctx.make_node("Identity", [result], outputs=[output], shapes=[shape], dtypes=[dtype])
        if restored is not None:
            self.compacted[outputs[0]] = restored

    def _lower(self, graph: _Graph, marker: Marker, inputs: list[str]) -> list[str]:
        spec = marker.spec
        sequence, rest = inputs[0], inputs[1:]
        if spec.time_major:
            sequence = graph.swap_batch_time(sequence)
        mask = rest.pop(0) if marker.has_mask else None
        if mask is not None and spec.time_major:
            mask = graph.one("Transpose", [mask], perm=[1, 0])
        states = [graph.unsqueeze(state, 0) for state in rest] if marker.has_state else []
        if mask is None:
            output, final = self._run(graph, spec, sequence, "", states)
            if spec.go_backwards and spec.return_sequences:
                output = graph.reverse(output, axis=1)
            results = [output if spec.return_sequences else final[0], *final]
        else:
            results = self._masked(graph, spec, sequence, mask, states)
        if spec.time_major and spec.return_sequences:
            results[0] = graph.swap_batch_time(results[0])
        return results

    def _run(
        self, graph: _Graph, spec: RecurrentSpec, sequence: str, lengths: str, states: list[str]
    ) -> tuple[str, list[str]]:
        """Emits the operator over (batch, time, features).

        Returns:
            Its output (batch, time, units), in the order of time, and its final states (batch, units).
        """
        weights = [
            graph.constant(weight, name) for weight, name in zip(operator_weights(spec), ("W", "R", "B"), strict=True)
        ]
        operands = [graph.swap_batch_time(sequence), *weights, lengths, *states]
        while not operands[-1]:
            operands.pop()
        count = 3 if spec.kind == "LSTM" else 2
        outputs = graph.node(ONNX_OPERATORS[spec.kind], operands, count, **operator_attributes(spec))
        sequences = graph.swap_batch_time(graph.squeeze(outputs[0], 1))
        return sequences, [graph.squeeze(state, 0) for state in outputs[1:]]

    def _masked(self, graph: _Graph, spec: RecurrentSpec, sequence: str, mask: str, states: list[str]) -> list[str]:
        mask = graph.root(mask)
        compaction = self._compaction(graph, mask)
        known, by = self.compacted.get(graph.root(sequence), ("", ""))
        compact = known if by == mask else graph.gather_steps(sequence, compaction.order)
        output, final = self._run(graph, spec, compact, graph.cast(compaction.lengths, TensorProto.INT32), states)

        any_valid = graph.unsqueeze(compaction.any_valid, 1)
        zero = graph.constant(np.zeros((), spec.dtype))
        initial = [graph.squeeze(state, 0) for state in states] or [zero] * len(final)
        # A row without a valid step keeps its state and shows zeros; the operator ran one step of it.
        kept = [graph.one("Where", [any_valid, ran, start]) for ran, start in zip(final, initial, strict=True)]
        if spec.return_sequences:
            restored = self._restore(graph, spec, output, compaction)
            if not spec.go_backwards and not spec.zero_output_for_mask:
                self.compacted[restored] = (output, mask)
            return [restored, *kept]
        last = graph.one("Where", [any_valid, final[0], zero]) if states else kept[0]
        if spec.zero_output_for_mask:
            step = graph.constant(np.array(0 if spec.go_backwards else -1, np.int64))
            shown = graph.one("Gather", [compaction.valid, step], axis=1)
            last = graph.one("Where", [graph.unsqueeze(shown, 1), last, zero])
        return [last, *kept]

    def _compaction(self, graph: _Graph, mask: str) -> _Compaction:
        key = (id(graph.ctx), mask)
        if key not in self.compactions:
            self.compactions[key] = _compact(graph, mask)
        return self.compactions[key]

    def _restore(self, graph: _Graph, spec: RecurrentSpec, output: str, compaction: _Compaction) -> str:
        """Puts the operator's output back to where the mask had its steps, repeating it where the mask is off."""
        one = graph.constant(np.array(1, np.int64))
        none = graph.constant(np.array(0, np.int64))
        zero = graph.constant(np.zeros((), spec.dtype))
        if spec.go_backwards:
            step = graph.one("Sub", [compaction.count, graph.cast(compaction.valid, TensorProto.INT64)])
            length = graph.one("Mul", [compaction.lengths, graph.cast(compaction.any_valid, TensorProto.INT64)])
            shown = graph.one("Less", [step, graph.unsqueeze(length, 1)])
            step = graph.one("Where", [shown, step, none])
        else:
            step = graph.one("Sub", [compaction.count, one])
            shown = graph.one("GreaterOrEqual", [step, none])
            step = graph.one("Max", [step, none])
        if spec.zero_output_for_mask:
            shown = compaction.valid
        restored = graph.one("Where", [graph.unsqueeze(shown, 2), graph.gather_steps(output, step), zero])
        return graph.reverse(restored, axis=1) if spec.go_backwards else restored


def _compact(graph: _Graph, mask: str) -> _Compaction:
    """Builds the stable permutation that moves the valid steps of each row to its front."""
    axis = graph.constant(np.array(1, np.int64))
    axes = graph.constant(np.array([1], np.int64))
    one = graph.constant(np.array(1, np.int64))
    on = graph.cast(mask, TensorProto.INT64)
    off = graph.one("Sub", [one, on])
    count = graph.one("CumSum", [on, axis])
    others = graph.one("CumSum", [off, axis])
    length = graph.one("ReduceSum", [on, axes], keepdims=1)
    step = graph.one("Sub", [graph.one("Add", [count, others]), one])
    behind = graph.one("Sub", [graph.one("Add", [length, others]), one])
    target = graph.one("Where", [mask, graph.one("Sub", [count, one]), behind])
    order = graph.one("ScatterElements", [step, target, step], axis=1)
    # The operator needs at least one step a row (onnxruntime's CUDA provider fakes it; its CPU provider gives zeros).
    lengths = graph.squeeze(graph.one("Max", [length, one]), 1)
    any_valid = graph.one("Greater", [graph.squeeze(length, 1), graph.constant(np.array(0, np.int64))])
    return _Compaction(mask, count, order, lengths, any_valid)
