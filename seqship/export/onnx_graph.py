"""Node building in few words, on a graph that tf2onnx is converting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(eq=False)
class OnnxGraph:
    """The graph under conversion.

    Attributes:
        ctx: tf2onnx' `Graph`.
        scope: Prefix of the names of new nodes.
    """

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

    def stack(self, tensors: list[str], axis: int) -> str:
        """Puts tensors of one shape behind each other on a new axis."""
        rows = [self.unsqueeze(tensor, axis) for tensor in tensors]
        return rows[0] if len(rows) == 1 else self.one("Concat", rows, axis=axis)

    def take(self, tensor: str, index: int, axis: int) -> str:
        """Takes one slice, without its axis."""
        return self.one("Gather", [tensor, self.constant(np.array(index, np.int64))], axis=axis)

    def reshape(self, tensor: str, *sizes: int) -> str:
        """Reshapes; 0 keeps an axis as it is, -1 takes the rest."""
        return self.one("Reshape", [tensor, self.constant(np.array(sizes, np.int64))])

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


def constant_value(ctx: Any, tensor: str) -> Any:
    """Returns the value of a tensor of tf2onnx' `Graph`, None where it is not constant."""
    producer = ctx.get_node_by_output(tensor)
    while producer is not None and producer.type in ("Identity", "EnsureShape"):
        producer = ctx.get_node_by_output(producer.input[0])
    return producer.get_tensor_value(as_list=False) if producer is not None and producer.is_const() else None
