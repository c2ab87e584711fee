"""Padding behind the data changes nothing, and the evaluation measures that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqship.errors import DataError
from seqship.models.flavour import Flavour
from seqship.models.recipe import LoadOptions
from seqship.models.zoo import ragged

RECIPE = ragged.RAGGED


def outputs_of(model: Any, test: Any) -> np.ndarray[Any, Any]:
    made = np.zeros((len(test), 1), np.float32)
    for rows, feed in test.feeds(256):
        made[rows] = np.asarray(model(feed["days"]))
    return made


def test_sequences_are_padded_behind_the_data() -> None:
    data = RECIPE.load(LoadOptions())
    train: Any = data.train
    padded = train.inputs["days"]
    real = padded != ragged.PAD_VALUE
    assert np.array_equal(real.any(axis=2), real.all(axis=2))
    lengths = real[..., 0].sum(axis=1)
    assert set(lengths.tolist()) == set(range(2, 10))
    assert np.array_equal(real[..., 0], np.arange(9) < lengths[:, None])
    assert np.abs(padded[real]).max() < 10


def test_more_padding_changes_nothing(flavour: Flavour) -> None:
    flavour.keras.utils.set_random_seed(0)
    model = RECIPE.model(flavour)
    test: Any = RECIPE.load(LoadOptions()).test
    once, twice = np.split(outputs_of(model, test), 2)
    np.testing.assert_allclose(once, twice, atol=1e-6)
    assert once.std() > 1e-3
    zeros = np.where(test.inputs["days"] == ragged.PAD_VALUE, 0, test.inputs["days"])
    assert not np.allclose(np.asarray(model(zeros)), once, atol=1e-4)


def test_every_sequence_is_asked_for_twice() -> None:
    test: Any = RECIPE.load(LoadOptions()).test
    assert len(test) == 1_200
    answered = [(rows, feed["days"].shape[1]) for rows, feed in test.feeds(256)]
    assert np.concatenate([rows for rows, _ in answered]).tolist() == list(range(1_200))
    assert {steps for rows, steps in answered if rows[0] < 600} == {9}
    assert {steps for rows, steps in answered if rows[0] >= 600} == {16}
    assert len(test.rows(5_000)) == 600


def test_the_evaluation_measures_the_padding_and_the_last_value() -> None:
    data = RECIPE.load(LoadOptions())
    test: Any = data.test
    perfect = np.concatenate([test.targets, test.targets + 0.25])
    found = RECIPE.evaluate(RECIPE, data, {"next_pollution": perfect}, 0)
    assert found.metrics["test_mse"] == 0
    assert found.metrics["padding_change"] == pytest.approx(0.25, abs=1e-6)
    padded = test.inputs["days"]
    last = [row[row[:, 0] != ragged.PAD_VALUE][-1, 0] for row in padded]
    assert found.metrics["naive_mse"] == pytest.approx(np.mean((np.array(last, float) - test.targets[:, 0]) ** 2))


def test_files_are_refused_in_one_line() -> None:
    with pytest.raises(DataError, match=r"^the ragged recipes generate their data, met the file a; leave --data out$"):
        RECIPE.load(LoadOptions(Path("a")))
