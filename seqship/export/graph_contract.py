"""What a TensorFlow graph says of its inputs and outputs, beside their types: padding and vocabulary."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from seqship.errors import ModelError
from seqship.export.model_inputs import axes_of
from seqship.pipelines.spec import TOKEN_ID, Field

_PASSES = ("Identity", "Cast", "EnsureShape")
_LOOKUPS = ("GatherV2", "Gather", "ResourceGather")


def graph_fields(concrete: Any) -> tuple[tuple[Field, ...], tuple[Field, ...]]:
    """Returns the contracts of inputs and outputs of a signature's function.

    An input that the graph compares with one value, as a Masking layer and an Embedding with `mask_zero` do, is padded
    with that value; one that indexes a table of constants, as an Embedding does, is a token id.

    Args:
        concrete: The `ConcreteFunction` of a signature.

    Raises:
        ModelError: An input or output has an unknown number of axes.
    """
    specs = concrete.structured_input_signature[1]
    graph = _Frozen.of(concrete)
    inputs = [_read(graph, name, _field(spec, name, "input")) for name, spec in specs.items()]
    outputs = [_field(tensor, name, "output") for name, tensor in concrete.structured_outputs.items()]
    return tuple(inputs), tuple(outputs)


@dataclass(frozen=True, eq=False)
class _Frozen:
    """A graph whose variables are constants, with the users of each node."""

    nodes: dict[str, Any]
    users: dict[str, list[Any]]

    @classmethod
    def of(cls, concrete: Any) -> _Frozen:
        from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

        frozen = convert_variables_to_constants_v2(concrete, lower_control_flow=False, aggressive_inlining=True)
        definition = frozen.graph.as_graph_def()
        users: dict[str, list[Any]] = {}
        for node in definition.node:
            for tensor in node.input:
                users.setdefault(tensor.partition(":")[0], []).append(node)
        return cls({node.name: node for node in definition.node}, users)

    def readers(self, name: str) -> Iterator[Any]:
        """Yields the nodes that take a node's output, through those that pass it on as it is."""
        for node in self.users.get(name, []):
            if node.op in _PASSES:
                yield from self.readers(node.name)
            else:
                yield node

    def constant(self, tensor: str) -> Any:
        """Returns the value of a tensor, None where it is not constant."""
        import tensorflow as tf

        node = self.nodes.get(tensor.partition(":")[0])
        while node is not None and node.op in _PASSES:
            node = self.nodes.get(node.input[0].partition(":")[0])
        return tf.make_ndarray(node.attr["value"].tensor) if node is not None and node.op == "Const" else None


def _read(graph: _Frozen, placeholder: str, field: Field) -> Field:
    readers = list(graph.readers(placeholder))
    compared = [graph.constant(tensor) for node in readers if node.op == "NotEqual" for tensor in node.input]
    pads = {float(value) for value in compared if value is not None and value.ndim == 0 and value.dtype.kind in "iuf"}
    pad = pads.pop() if len(pads) == 1 and field.rank >= 2 else None
    tables = [graph.constant(node.input[0]) for node in readers if node.op in _LOOKUPS]
    sizes = [len(table) for table in tables if table is not None and table.ndim]
    if sizes:
        lowest = 1.0 if pad == 0 else 0.0
        return replace(field, unit=TOKEN_ID, pad_value=pad, minimum=lowest, maximum=float(min(sizes) - 1))
    return replace(field, pad_value=pad)


def _field(tensor: Any, name: str, role: str) -> Field:
    if tensor.shape.rank is None:
        raise ModelError(f"{role} {name!r} has an unknown number of axes; save it with a shape (tf.ensure_shape)")
    return Field(name, tensor.dtype.name, axes_of(tensor.shape.as_list()))
