"""What became of each recurrent layer in the ONNX graph."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from seqship.export.marker import Capture
from seqship.export.operators import ONNX_OPERATORS
from seqship.models.cudnn import MASK_REQUIREMENTS, ineligible_reasons
from seqship.models.flavour import flavour_of
from seqship.models.layers import built_recurrent_layers, read_layer, unknown_layer
from seqship.models.spec import RecurrentSpec

RECURRENT_OPERATORS = ("GRU", "LSTM", "RNN")
LOOPS = ("Loop", "Scan")


@dataclass(frozen=True)
class LayerAudit:
    """One recurrent layer.

    Attributes:
        layer: Name of the layer.
        kind: "LSTM", "GRU" or "SimpleRNN".
        units: Size of its state.
        params: Number of its weights.
        cudnn_eligible: Whether cuDNN can run it.
        reasons: Why not; empty where it can.
        onnx: "LSTM", "GRU" or "RNN" where it is native, "Loop" where it is not.
        onnx_reasons: Why it is not native; empty where it is.
        cudnn_masks: What cuDNN asks of the masks that an eligible layer gets; empty where it gets none.
    """

    layer: str
    kind: str
    units: int
    params: int
    cudnn_eligible: bool
    reasons: tuple[str, ...]
    onnx: str
    onnx_reasons: tuple[str, ...]
    cudnn_masks: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Returns the JSON form."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}


def audit_layers(model: Any, captured: Capture) -> tuple[LayerAudit, ...]:
    """Puts together what was marked with what was left, one row a layer; layers of no known class come last."""
    flavour = flavour_of(model)
    known: list[LayerAudit] = []
    unknown: list[LayerAudit] = []
    for layer in built_recurrent_layers(model):
        uncalled = () if id(layer) in captured.lowered else ("it is not called by the exported function",)
        reasons = captured.left.get(id(layer), uncalled)
        masked = id(layer) in captured.masked
        rows = [audit_row(spec, reasons, masked=masked) for spec in read_layer(layer, flavour)]
        known += rows
        unknown += [] if rows else [_unknown_row(layer)]
    return (*known, *unknown)


def _unknown_row(layer: Any) -> LayerAudit:
    kind, why = type(layer).__name__, unknown_layer(layer)
    units = getattr(layer.cell, "units", None) or getattr(layer.cell, "filters", None) or 0
    return LayerAudit(layer.name, kind, int(units), int(layer.count_params()), False, (why,), "Loop", (why,))


def audit_row(spec: RecurrentSpec, onnx_reasons: tuple[str, ...], *, masked: bool = False) -> LayerAudit:
    """Returns the row of one layer; without `onnx_reasons` it is native."""
    why = ineligible_reasons(spec)
    operator = "Loop" if onnx_reasons else ONNX_OPERATORS[spec.kind]
    masks = tuple(rule.wanted for rule in MASK_REQUIREMENTS) if masked and not why else ()
    return LayerAudit(spec.name, spec.kind, spec.units, spec.parameters, not why, why, operator, onnx_reasons, masks)


def count_operators(proto: Any) -> tuple[dict[str, int], int, int]:
    """Counts the recurrent operators by name, the loops, and all nodes of a `ModelProto`, subgraphs included."""
    counts = Counter(str(node.op_type) for node in all_nodes(proto.graph))
    recurrent = {name: counts[name] for name in RECURRENT_OPERATORS if counts[name]}
    return recurrent, sum(counts[name] for name in LOOPS), counts.total()


def all_nodes(graph: Any) -> Iterator[Any]:
    """Yields the nodes of a `GraphProto`, and those of the subgraphs within."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from all_nodes(attribute.g)
            for subgraph in attribute.graphs:
                yield from all_nodes(subgraph)
