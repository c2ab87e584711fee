"""Which layers cuDNN can run; every reason is given, and given alone."""

from __future__ import annotations

from typing import Any

import pytest

from seqship.models import cudnn_eligibility
from seqship.models.catalogue import build
from seqship.models.cudnn import LayerEligibility, ineligible_reasons, mask_reasons
from seqship.models.flavour import Flavour
from seqship.models.layers import recurrent_layers

RESET = "reset_after is False, cuDNN applies the reset gate after the matrix product"
NOT_RIGHT = "the mask is not right-padded: a step that is off comes before one that is on"
EMPTY = "a row is empty"
GATES = "recurrent_activation is hard_sigmoid, cuDNN has sigmoid"


@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({}, None),
        ({"dropout": 0.5, "go_backwards": True, "return_sequences": True}, None),
        ({"activation": "relu"}, "activation is relu, cuDNN has tanh"),
        ({"recurrent_activation": "hard_sigmoid"}, GATES),
        ({"recurrent_dropout": 0.1}, "recurrent_dropout is 0.1, cuDNN has none"),
        ({"unroll": True}, "unroll is True"),
        ({"use_bias": False}, "use_bias is False, cuDNN needs a bias"),
        ({"reset_after": False}, RESET),
    ],
)
def test_each_reason(flavour: Flavour, kind: str, options: dict[str, Any], reason: str | None) -> None:
    if kind == "LSTM" and "reset_after" in options:
        pytest.skip("an LSTM has no reset gate")
    keras = flavour.keras
    layer = getattr(keras.layers, kind)(3, name="memory", **options)
    model = keras.Sequential([keras.layers.Input((4, 2)), layer])
    (spec,) = recurrent_layers(model)
    assert ineligible_reasons(spec) == (() if reason is None else (reason,))


def test_a_simple_rnn_is_never_eligible(flavour: Flavour) -> None:
    keras = flavour.keras
    model = keras.Sequential([keras.layers.Input((4, 2)), keras.layers.SimpleRNN(3, name="memory")])
    reason = "Keras has no cuDNN implementation of SimpleRNN"
    assert cudnn_eligibility(model) == (LayerEligibility("memory", False, (reason,)),)


def test_all_reasons_of_a_layer_are_given(flavour: Flavour) -> None:
    keras = flavour.keras
    layer = keras.layers.GRU(3, recurrent_activation="hard_sigmoid", reset_after=False, name="memory")
    model = keras.Sequential([keras.layers.Input((4, 2)), layer])
    assert cudnn_eligibility(model) == (LayerEligibility("memory", False, (GATES, RESET)),)


def test_the_recipe_is_eligible_and_its_twins_are_not(flavour: Flavour) -> None:
    def rows(**overrides: Any) -> list[tuple[str, bool, tuple[str, ...]]]:
        model = build("ecg-gru", keras=flavour.version, **overrides)
        return [(row.layer, row.eligible, row.reasons) for row in cudnn_eligibility(model)]

    assert rows() == [("gru_1", True, ()), ("gru_2", True, ())]
    assert rows(cudnn=False) == [("gru_1", False, (GATES,)), ("gru_2", False, (GATES,))]


@pytest.mark.parametrize(
    ("mask", "reasons"),
    [
        ([[1, 1, 1], [1, 0, 0]], ()),
        ([[1]], ()),
        ([[1, 1, 1], [0, 1, 1]], (NOT_RIGHT,)),
        ([[1, 0, 1], [1, 1, 1]], (NOT_RIGHT,)),
        ([[1, 1, 1], [0, 0, 0]], (EMPTY,)),
        ([[0, 1, 0], [0, 0, 0]], (NOT_RIGHT, EMPTY)),
    ],
)
def test_what_cudnn_asks_of_a_mask(mask: list[list[int]], reasons: tuple[str, ...]) -> None:
    assert mask_reasons(mask) == reasons
