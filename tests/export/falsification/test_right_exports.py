"""Models drawn at random: the same for the same seed, of every kind, and let pass by the proof."""

from __future__ import annotations

import numpy as np
import pytest

from seqship.export.falsification.right_exports import check_right_export, draw_model
from seqship.models.flavour import load_flavour


def drawn(seed: int) -> tuple[list[np.ndarray], str]:
    model, words = draw_model(load_flavour(3).keras, np.random.default_rng(seed))
    return model.get_weights(), words


def test_a_seed_draws_the_same_model_again() -> None:
    (weights, words), (again, same), (_, other) = drawn(4), drawn(4), drawn(5)
    assert words == same != other
    for one, two in zip(weights, again, strict=True):
        if one.dtype == np.float32:  # Not the state of a dropout's random generator.
            np.testing.assert_array_equal(one, two)


def test_all_kinds_are_drawn() -> None:
    words = " ".join(drawn(seed)[1] for seed in range(40))
    for kind in ("masked", "tokens", "stateful", "plain", "LSTM(", "GRU(", "SimpleRNN(", "concat of", "backwards"):
        assert kind in words, kind
    for option in ("hard_sigmoid", "reset_after=False", "use_bias=False", "relu", "LayerNormalization"):
        assert option in words, option


@pytest.mark.parametrize("number", [5, 8])
def test_a_right_export_is_let_pass(number: int) -> None:
    found = check_right_export(number, seed=0)
    assert found.passed, found
    assert found.number == number
    assert 0 < found.times < 1
