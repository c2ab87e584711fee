"""A traced function as tf2onnx takes it: with the inputs of its signature and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, eq=False)
class TracedFunction:
    """Stands for a `tf.function` in `tf2onnx.convert.from_function`.

    Tensors that a layer holds outside of variables (mean and variance of a Normalization, say) are captured by the
    trace as further inputs of the graph. Freezing makes constants of them; tf2onnx, which reads the inputs before it
    freezes, would make them inputs of the model.

    Attributes:
        concrete: The traced function.
    """

    concrete: Any

    def get_concrete_function(self, *_: Any) -> Any:
        """Returns the traced function without its captured tensors among the inputs."""
        return _WithoutCaptures(self.concrete)


class _WithoutCaptures:
    def __init__(self, concrete: Any) -> None:
        captured = {id(tensor) for tensor in concrete.graph.internal_captures if tensor.dtype.name != "resource"}
        self.inputs = [tensor for tensor in concrete.inputs if id(tensor) not in captured]
        self._concrete = concrete

    def __getattr__(self, name: str) -> Any:
        return getattr(self._concrete, name)
