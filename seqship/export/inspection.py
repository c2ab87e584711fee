"""What would become of a model's recurrent layers, without exporting it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from seqship.export.audit import LayerAudit, audit_layers
from seqship.export.capture import capture
from seqship.export.operators import lowerable
from seqship.export.saved_graph import inspect_saved_graph
from seqship.export.signature import ModelSignature
from seqship.export.streaming import export_signature
from seqship.models.flavour import flavour_of
from seqship.models.saved import SavedGraph
from seqship.pipelines.spec import Field


def inspect_model(
    model: Any, *, input_signature: Sequence[Field] | None = None, signature: ModelSignature | None = None
) -> tuple[LayerAudit, ...]:
    """Traces a model as an export does, and returns the audit of each recurrent layer.

    Args:
        model: A tf-keras or Keras 3 model, or a `SavedGraph`.
        input_signature: Contracts of the inputs where the model does not say.
        signature: The signature where it has been made already.

    Raises:
        ModelError: The model cannot be traced.
    """
    if isinstance(model, SavedGraph):
        return inspect_saved_graph(model)
    signature = signature or export_signature(model, inputs=input_signature)
    with capture(flavour_of(model), lowerable) as captured:
        signature.traced()
    return audit_layers(model, captured)
