"""Bidirectional stacks: their task, their parameter counts layer by layer, and the causal yardstick."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqship.errors import DataError
from seqship.models import cudnn_eligibility
from seqship.models.flavour import Flavour
from seqship.models.recipe import LoadOptions
from seqship.models.zoo import bidirectional

RECIPES = {recipe.name: recipe for recipe in bidirectional.RECIPES}


def test_the_step_itself_counts_on_neither_side() -> None:
    signals = np.arange(1.0, 6.0).reshape(1, 5, 1)
    before, behind = bidirectional.balance(signals, np.array([[2.0]]))
    assert before[0, :, 0].tolist() == [0, 2, 6, 12, 20]
    assert behind[0, :, 0].tolist() == [28, 24, 18, 10, 0]


def test_the_middle_step_is_one_of_every_step() -> None:
    every: Any = RECIPES["bidirectional-custom"].load(LoadOptions()).test
    middle: Any = RECIPES["bidirectional"].load(LoadOptions()).test
    assert every.targets.shape == (1_000, 5, 5)
    assert np.array_equal(every.targets[:, 2], middle.targets)
    assert np.array_equal(every.inputs["signals"], middle.inputs["signals"])


@pytest.mark.parametrize(
    ("name", "wanted"), [("bidirectional", [1_680, 2_480, 105]), ("bidirectional-custom", [1_680, 105])]
)
def test_the_layers_are_those_of_the_seed_document(flavour: Flavour, name: str, wanted: list[int]) -> None:
    assert [layer.count_params() for layer in RECIPES[name].model(flavour).layers] == wanted


def test_the_twin_is_not_eligible(flavour: Flavour) -> None:
    model = RECIPES["bidirectional"].model(flavour, cudnn=False)
    assert not any(row.eligible for row in cudnn_eligibility(model))
    assert model.count_params() == 4_265


def test_the_custom_net_reads_both_ways(flavour: Flavour) -> None:
    flavour.keras.utils.set_random_seed(0)
    model = RECIPES["bidirectional-custom"].model(flavour)
    signals = np.random.default_rng(0).normal(size=(1, 5, 10)).astype(np.float32)
    later = signals.copy()
    later[:, 4] += 1
    assert not np.allclose(np.asarray(model(signals))[:, 0], np.asarray(model(later))[:, 0])


def test_errors_are_held_against_mean_and_past() -> None:
    found = RECIPES["bidirectional-custom"]
    data = found.load(LoadOptions())
    test: Any = data.test
    train: Any = data.train
    perfect = found.evaluate(found, data, {"balance": test.targets}, 0)
    assert (perfect.metrics["test_mse"], perfect.metrics["beats_causal"]) == (0, True)
    mean = found.evaluate(found, data, {"balance": np.broadcast_to(train.targets.mean(0), test.targets.shape)}, 0)
    assert mean.metrics["test_mse"] == pytest.approx(mean.metrics["mean_mse"], rel=1e-5)
    assert not mean.metrics["beats_causal"]
    assert "does NOT beat" in dict(mean.lines)["one way"]
    # What lies behind, five mixtures: none at the last step, all but itself at the first; 10 of 20 on average.
    assert mean.metrics["causal_mse"] == pytest.approx(0.5 * mean.metrics["mean_mse"], rel=0.1)


def test_files_are_refused_in_one_line() -> None:
    for found in bidirectional.RECIPES:
        with pytest.raises(DataError, match=r"^the bidirectional recipes generate their data, met the file a; leave"):
            found.load(LoadOptions(Path("a")))
