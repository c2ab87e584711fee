"""Which recurrent layers cuDNN can run, and why the others are not among them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seqship.models.layers import recurrent_layers
from seqship.models.spec import RecurrentSpec

SOURCE = (
    "Keras documentation of LSTM and GRU, 'The requirements to use the cuDNN implementation are'; "
    "NVIDIA cuDNN, cudnnRNNForward (sequence lengths of at least 1)"
)
"""Where the rules below are from."""


@dataclass(frozen=True)
class Requirement:
    """One rule that cuDNN's kernels set to a layer.

    Attributes:
        option: What of a layer it is about, as Keras names it.
        wanted: What it has to be.
        met: Whether a layer keeps it.
        reason: What stands in the way where a layer does not.
    """

    option: str
    wanted: str
    met: Callable[[RecurrentSpec], bool]
    reason: Callable[[RecurrentSpec], str]


@dataclass(frozen=True)
class MaskRequirement:
    """One rule that cuDNN's kernels set to the mask of a batch; what breaks it runs step by step.

    Attributes:
        wanted: What every mask has to be.
        met: Whether one, (batch, time) bool, is.
        reason: What stands in the way where it is not.
    """

    wanted: str
    met: Callable[[NDArray[np.bool_]], bool]
    reason: str


def _gates(spec: RecurrentSpec) -> str:
    return "" if spec.recurrent_activation is None else spec.recurrent_activation.name


REQUIREMENTS = (
    Requirement(
        "activation",
        "tanh",
        lambda s: s.activation.name == "tanh",
        lambda s: f"activation is {s.activation.name}, cuDNN has tanh",
    ),
    Requirement(
        "recurrent_activation",
        "sigmoid",
        lambda s: _gates(s) == "sigmoid",
        lambda s: f"recurrent_activation is {_gates(s)}, cuDNN has sigmoid",
    ),
    Requirement(
        "recurrent_dropout",
        "0",
        lambda s: s.recurrent_dropout == 0,
        lambda s: f"recurrent_dropout is {s.recurrent_dropout}, cuDNN has none",
    ),
    Requirement("unroll", "False", lambda s: not s.unroll, lambda _: "unroll is True"),
    Requirement("use_bias", "True", lambda s: s.bias is not None, lambda _: "use_bias is False, cuDNN needs a bias"),
    Requirement(
        "reset_after",
        "True (GRU)",
        lambda s: s.reset_after,
        lambda _: "reset_after is False, cuDNN applies the reset gate after the matrix product",
    ),
)
MASK_REQUIREMENTS = (
    MaskRequirement(
        "off behind the data alone (right padding)",
        lambda mask: not (~mask[:, :-1] & mask[:, 1:]).any(),
        "the mask is not right-padded: a step that is off comes before one that is on",
    ),
    MaskRequirement("on at one step of each row at least", lambda mask: bool(mask.any(1).all()), "a row is empty"),
)
"""The rules of a mask; a SavedModel of seqship asks them of each batch, and runs it the standard way where it must."""


@dataclass(frozen=True)
class LayerEligibility:
    """Whether cuDNN can run one layer.

    Attributes:
        layer: The layer's name.
        eligible: Whether it can, where the mask of a batch keeps `MASK_REQUIREMENTS` too.
        reasons: What stands in the way; empty where it is eligible.
    """

    layer: str
    eligible: bool
    reasons: tuple[str, ...]


def ineligible_reasons(spec: RecurrentSpec) -> tuple[str, ...]:
    """Returns what keeps cuDNN from running a layer; nothing where it can.

    SimpleRNN has no cuDNN implementation in either flavour of Keras, nor has an `RNN` over a cell.
    """
    if spec.kind == "SimpleRNN":
        return ("Keras has no cuDNN implementation of SimpleRNN",)
    if spec.over_cell:
        return (f"it is an RNN over a cell, Keras has cuDNN for the {spec.kind} layer alone",)
    return tuple(rule.reason(spec) for rule in REQUIREMENTS if not rule.met(spec))


def mask_reasons(mask: ArrayLike) -> tuple[str, ...]:
    """Returns what keeps cuDNN from running a batch with a mask; nothing where it can.

    Args:
        mask: (batch, time) bool, true where a step is valid.
    """
    steps = np.asarray(mask, dtype=bool)
    return tuple(rule.reason for rule in MASK_REQUIREMENTS if not rule.met(steps))


def gate_options(*, cudnn: bool) -> dict[str, Any]:
    """Returns options of an LSTM or GRU that cuDNN can run, or of its twin that it cannot: the gates are hard_sigmoid.

    The weights of both have the same shapes.
    """
    return {} if cudnn else {"recurrent_activation": "hard_sigmoid"}


def cudnn_eligibility(model: Any) -> tuple[LayerEligibility, ...]:
    """Returns for each LSTM, GRU and SimpleRNN layer of a built model whether cuDNN can run it."""
    reasons = {spec.name: ineligible_reasons(spec) for spec in recurrent_layers(model)}
    return tuple(LayerEligibility(layer, not why, why) for layer, why in reasons.items())
