"""The noisy sine: its windows, its split, and its evaluation against numpy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqship.errors import DataError
from seqship.models.flavour import Flavour
from seqship.models.recipe import LoadOptions
from seqship.models.zoo import sine

RECIPE = sine.SINE_RNN


def test_the_sine_has_the_noise_of_the_seed_document() -> None:
    noise = sine.noisy_sine(0) - np.sin(0.02 * np.arange(1_000))
    assert -1e-6 <= noise.min() < 0.01
    assert 1.99 < noise.max() <= 2 + 1e-6
    assert noise.var() == pytest.approx(sine.NOISE_MSE, rel=0.1)


def test_windows_hold_four_samples_and_the_next_one() -> None:
    data = RECIPE.load(LoadOptions(seed=4))
    series = sine.noisy_sine(4)
    train, validation, test = (part for part in (data.train, data.validation, data.test))
    parts: list[Any] = [train, validation, test]
    assert [len(part) for part in parts] == [696, 100, 996]
    for part, first in zip(parts, (4, 700, 4), strict=True):
        assert part.inputs["samples"].shape[1:] == (1, 4)
        assert np.array_equal(part.inputs["samples"][2, 0], series[first - 2 : first + 2])
        assert part.targets[2, 0] == series[first + 2]
    assert parts[2].targets[-1, 0] == series[-1]


def test_the_layers_are_those_of_the_seed_document(flavour: Flavour) -> None:
    model = RECIPE.model(flavour)
    assert [layer.count_params() for layer in model.layers] == [1_184, 264, 9]
    assert tuple(model.input_shape) == (None, 1, 4)


def test_errors_of_training_and_test_are_told_apart() -> None:
    data = RECIPE.load(LoadOptions())
    test: Any = data.test
    offset = np.where(np.arange(996) < 796, 1.0, 3.0)[:, None]
    found = RECIPE.evaluate(RECIPE, data, {"forecast": test.targets + offset}, 0)
    series = sine.noisy_sine(0).astype(float)
    assert found.metrics["train_mse"] == pytest.approx(1)
    assert found.metrics["test_mse"] == pytest.approx(9)
    assert found.metrics["test_rows"] == 200
    assert found.metrics["naive_mse"] == pytest.approx(np.mean(np.diff(series)[-200:] ** 2))
    assert not found.metrics["beats_naive"]
    assert "does NOT beat" in dict(found.lines)["naive"]
    figure = found.figures[0].to_json()
    assert figure["marks"] == {"test begins": 800.0}
    assert len(figure["x"]) == len(figure["lines"]["series"]) == len(figure["lines"]["forecast"]) == 1_000
    assert figure["lines"]["forecast"][4] == pytest.approx(series[4] + 1, abs=1e-3)


def test_files_are_refused_in_one_line() -> None:
    with pytest.raises(
        DataError, match=r"^the sine recipes generate their data, met the file a.csv; leave --data out$"
    ):
        RECIPE.load(LoadOptions(Path("a.csv")))
