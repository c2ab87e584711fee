"""The audit of a model that comes without Keras objects: read from the converted graph itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from seqship.export.audit import LOOPS, RECURRENT_OPERATORS, LayerAudit, all_nodes, audit_row
from seqship.export.graph_names import layer_names, layer_path
from seqship.models.spec import RecurrentSpec

_UNKNOWN = "it is a loop of TensorFlow operations, and nothing in the graph says of which layer; give the .keras file"


def audit_graph(
    proto: Any,
    native: Sequence[tuple[str, RecurrentSpec]],
    calls: Mapping[str, Sequence[str]],
    left: Mapping[str, str],
) -> tuple[LayerAudit, ...]:
    """Returns a row for each layer that was converted natively, then one for each loop that is left.

    Args:
        proto: The converted `onnx.ModelProto`.
        native: Name of the node and content of each layer that became an operator.
        calls: Names of the nodes that call a function that was left alone, by the function's name.
        left: Why it was left alone, by the function's name.
    """
    ours = tuple(spec.name for _, spec in native)
    loops = [node for node in all_nodes(proto.graph) if node.op_type in LOOPS]
    # tf2onnx makes operators by itself of some loops that tf-keras writes.
    loops += [
        node
        for node in all_nodes(proto.graph)
        if node.op_type in RECURRENT_OPERATORS and not node.name.startswith(ours)
    ]
    paths = [layer_path(name) for name, _ in native] + [_loop_path(node.name) for node in loops]
    names = layer_names(paths)
    rows = [audit_row(replace(spec, name=name), ()) for name, (_, spec) in zip(names, native, strict=False)]
    for name, node in zip(names[len(native) :], loops, strict=True):
        rows.append(_row(name, node, calls, left))
    return tuple(rows)


def _loop_path(node: str) -> tuple[str, ...]:
    """Returns the scopes of a loop; its own name says nothing."""
    return layer_path(node) or (node,)


def _row(name: str, node: Any, calls: Mapping[str, Sequence[str]], left: Mapping[str, str]) -> LayerAudit:
    function = next((function for function, nodes in calls.items() if any(call in node.name for call in nodes)), "")
    reason = left.get(function, _UNKNOWN)
    kind = next((kind for kind in ("LSTM", "GRU") if kind.lower() in function), node.op_type)
    if node.op_type in LOOPS:
        return LayerAudit(name, kind, 0, 0, False, (reason,), "Loop", (reason,))
    units = next((int(attribute.i) for attribute in node.attribute if attribute.name == "hidden_size"), 0)
    return LayerAudit(name, node.op_type, units, 0, False, (reason,), node.op_type, ())
