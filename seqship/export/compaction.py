"""What a mask gives: the permutation that moves the valid steps to the front, and the way back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from onnx import TensorProto

from seqship.export.onnx_graph import OnnxGraph


@dataclass(frozen=True)
class Compaction:
    """Names of tensors made of a mask M (batch, time).

    With count = cumsum(M) and length = sum(M), `order` lists the valid steps in their order, then the others.

    Attributes:
        mask: M, bool.
        count: Number of valid steps up to each step, int64.
        order: The permutation (batch, time), int64; empty where M is right-padded and it would change nothing.
        lengths: Number of valid steps (batch), at least one, int64.
        any_valid: Whether there is one (batch, 1), bool.
    """

    mask: str
    count: str
    order: str
    lengths: str
    any_valid: str

    def apply(self, graph: OnnxGraph, sequence: str) -> str:
        """Moves the valid steps of a sequence (batch, time, n) to the front."""
        return graph.gather_steps(sequence, self.order) if self.order else sequence

    def where_any(self, graph: OnnxGraph, some: str, none: str) -> str:
        """Takes the rows (batch, n) of `some` where a step is valid, those of `none` where there is none."""
        return graph.one("Where", [self.any_valid, some, none])

    def restore(self, graph: OnnxGraph, output: str, zero: str, *, zero_masked: bool, backwards: bool = False) -> str:
        """Puts an operator's output back to where the mask had its steps, in the order of time.

        Args:
            graph: The graph.
            output: Output (batch, time, n) over the compacted sequence.
            zero: The constant zero.
            zero_masked: Whether masked steps show zeros; else they repeat the output of the step before them.
            backwards: Whether time runs backwards: the step before then is the next valid one.
        """
        one = graph.constant(np.array(1, np.int64))
        none = graph.constant(np.array(0, np.int64))
        if zero_masked and not self.order:
            return graph.one("Where", [graph.unsqueeze(self.mask, 2), output, zero])
        if zero_masked or not backwards:
            step = graph.one("Sub", [self.count, one])
            shown = self.mask if zero_masked else graph.one("GreaterOrEqual", [step, none])
            step = graph.one("Max", [step, none])
        else:
            step = graph.one("Sub", [self.count, graph.cast(self.mask, TensorProto.INT64)])
            length = graph.one("Mul", [self.lengths, graph.cast(graph.squeeze(self.any_valid, 1), TensorProto.INT64)])
            shown = graph.one("Less", [step, graph.unsqueeze(length, 1)])
            step = graph.one("Where", [shown, step, none])
        return graph.one("Where", [graph.unsqueeze(shown, 2), graph.gather_steps(output, step), zero])


def compact(graph: OnnxGraph, mask: str, *, right_padded: bool) -> Compaction:
    """Builds the stable permutation that moves the valid steps of each row to its front."""
    axis = graph.constant(np.array(1, np.int64))
    axes = graph.constant(np.array([1], np.int64))
    one = graph.constant(np.array(1, np.int64))
    on = graph.cast(mask, TensorProto.INT64)
    count = graph.one("CumSum", [on, axis])
    length = graph.one("ReduceSum", [on, axes], keepdims=1)
    order = ""
    if not right_padded:
        others = graph.one("CumSum", [graph.one("Sub", [one, on]), axis])
        step = graph.one("Sub", [graph.one("Add", [count, others]), one])
        behind = graph.one("Sub", [graph.one("Add", [length, others]), one])
        target = graph.one("Where", [mask, graph.one("Sub", [count, one]), behind])
        order = graph.one("ScatterElements", [step, target, step], axis=1)
    # The operator needs at least one step a row (onnxruntime's CUDA provider fakes it; its CPU provider gives zeros).
    lengths = graph.squeeze(graph.one("Max", [length, one]), 1)
    any_valid = graph.one("Greater", [length, graph.constant(np.array(0, np.int64))])
    return Compaction(mask, count, order, lengths, any_valid)


def is_right_padded(graph: OnnxGraph, mask: str) -> bool:
    """Whether a mask is made by `tf.sequence_mask`, that is by comparing a range of steps with lengths."""
    compared = graph.ctx.get_node_by_output(mask)
    if compared is None or compared.type != "Less":
        return False
    steps = graph.ctx.get_node_by_output(compared.input[0])
    while steps is not None and steps.type in ("Cast", "Identity"):  # Comparing turns whole numbers into floats.
        steps = graph.ctx.get_node_by_output(steps.input[0])
    lengths = graph.ctx.get_shape(compared.input[1])
    if steps is None or steps.type != "Range" or not lengths or lengths[-1] != 1:
        return False
    start, delta = (graph.ctx.get_node_by_output(graph.root(steps.input[i])) for i in (0, 2))
    return all(node is not None and node.is_const() for node in (start, delta)) and (
        float(start.get_tensor_value()) == 0 and float(delta.get_tensor_value()) == 1
    )
