"""Which recurrent layers cuDNN can run, and why the others are not among them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from seqship.models.layers import recurrent_layers
from seqship.models.spec import RecurrentSpec


@dataclass(frozen=True)
class LayerEligibility:
    """Whether cuDNN can run one layer.

    Attributes:
        layer: The layer's name.
        eligible: Whether it can.
        reasons: What stands in the way; empty where it is eligible.
    """

    layer: str
    eligible: bool
    reasons: tuple[str, ...]


def ineligible_reasons(spec: RecurrentSpec) -> tuple[str, ...]:
    """Returns what keeps cuDNN from running a layer; nothing where it can.

    The rules are those of the Keras documentation of `LSTM` and `GRU` ("The requirements to use the cuDNN
    implementation are"); SimpleRNN has no cuDNN implementation in either flavour. That masks must be right-padded
    without empty rows is a matter of the data, not of the layer.
    """
    if spec.kind == "SimpleRNN":
        return ("Keras has no cuDNN implementation of SimpleRNN",)
    if spec.over_cell:
        return (f"it is an RNN over a cell, Keras has cuDNN for the {spec.kind} layer alone",)
    rules = (
        (spec.activation.name == "tanh", f"activation is {spec.activation.name}, cuDNN has tanh"),
        (
            spec.recurrent_activation is not None and spec.recurrent_activation.name == "sigmoid",
            f"recurrent_activation is {spec.recurrent_activation and spec.recurrent_activation.name}, "
            "cuDNN has sigmoid",
        ),
        (spec.recurrent_dropout == 0, f"recurrent_dropout is {spec.recurrent_dropout}, cuDNN has none"),
        (not spec.unroll, "unroll is True"),
        (spec.bias is not None, "use_bias is False, cuDNN needs a bias"),
        (spec.reset_after, "reset_after is False, cuDNN applies the reset gate after the matrix product"),
    )
    return tuple(reason for holds, reason in rules if not holds)


def cudnn_eligibility(model: Any) -> tuple[LayerEligibility, ...]:
    """Returns for each LSTM, GRU and SimpleRNN layer of a built model whether cuDNN can run it."""
    reasons = {spec.name: ineligible_reasons(spec) for spec in recurrent_layers(model)}
    return tuple(LayerEligibility(layer, not why, why) for layer, why in reasons.items())
