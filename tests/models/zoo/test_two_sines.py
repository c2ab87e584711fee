"""The series of two sines: their formula, their windows, and the models that feed themselves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqship.errors import DataError
from seqship.models.flavour import Flavour
from seqship.models.recipe import LoadOptions, RecipeData
from seqship.models.zoo import two_sines
from seqship.pipelines.examples import ArrayExamples

RECIPES = {recipe.name: recipe for recipe in two_sines.RECIPES}


def small_data(targets: two_sines.Targets, count: int = 12) -> RecipeData:
    data = two_sines.loader(targets)(LoadOptions(seed=3))

    def first(examples: Any) -> ArrayExamples:
        return ArrayExamples({"series": examples.inputs["series"][:count]}, examples.targets[:count])

    return replace(data, train=data.train, validation=first(data.validation), test=first(data.test))


def test_series_are_two_sines_and_bounded_noise() -> None:
    series = two_sines.generate_series(2_000, 60, np.random.default_rng(0))
    assert series.shape == (2_000, 60)
    assert series.dtype == np.float32
    assert 0.6 < np.abs(series).max() <= 0.5 + 0.2 + 0.05
    # The formula once more, one number at a time.
    generator = np.random.default_rng(0)
    slow, fast, offset, other = generator.random((4, 2_000, 1))[:, 7, 0]
    noise = generator.random((2_000, 60))[7, 31]
    time = 31 / 59
    wanted = 0.5 * np.sin((time - offset) * (10 + 10 * slow)) + 0.2 * np.sin((time - other) * (20 + 20 * fast))
    assert series[7, 31] == pytest.approx(wanted + 0.1 * (noise - 0.5), abs=1e-6)


def test_the_last_value_has_the_error_of_the_seed_document() -> None:
    series = two_sines.generate_series(10_000, 51, np.random.default_rng([0, 50]))
    assert np.mean((series[:, -1] - series[:, -2]) ** 2) == pytest.approx(0.0206, abs=0.0006)


def test_every_step_has_its_own_targets() -> None:
    series = np.arange(2 * 60, dtype=np.float32).reshape(2, 60)
    inputs, targets = two_sines.framed(series, every=True)
    assert inputs.shape == (2, 50, 1)
    assert targets.shape == (2, 50, 10)
    assert targets[1, 0].tolist() == list(range(61, 71))
    assert targets[1, 49].tolist() == list(range(110, 120))
    direct = two_sines.framed(series, every=False)[1]
    assert np.array_equal(direct, targets[:, -1])


def test_what_is_fed_back_learns_one_step_and_is_tested_on_ten() -> None:
    data = two_sines.loader("fed back")(LoadOptions())
    parts: list[Any] = [data.train, data.validation, data.test]
    assert [len(part) for part in parts] == [7_000, 2_000, 1_000]
    assert [part.targets.shape[1:] for part in parts] == [(1,), (1,), (10,)]
    assert data.context.shape == (7_000, 10)
    assert np.array_equal(data.context[:, :1], parts[0].targets)


def test_the_same_seed_gives_the_same_series() -> None:
    load = two_sines.loader("next")
    assert load(LoadOptions(seed=1)).train.digest() == load(LoadOptions(seed=1)).train.digest()
    assert load(LoadOptions(seed=1)).train.digest() != load(LoadOptions(seed=2)).train.digest()


def test_naive_gives_the_last_value_back(flavour: Flavour) -> None:
    values = np.random.default_rng(0).random((3, 50, 1), np.float32)
    assert np.array_equal(np.asarray(RECIPES["series-naive"].model(flavour)(values)), values[:, -1])


def test_a_dense_head_has_one_parameter_less(flavour: Flavour) -> None:
    assert RECIPES["series-deep-rnn"].model(flavour, dense_head=True).count_params() == 1_281


def test_feeding_back_equals_appending_the_forecasts(flavour: Flavour) -> None:
    found = RECIPES["series-autoregressive"]
    flavour.keras.utils.set_random_seed(1)
    one_step = found.model(flavour)
    data = small_data("fed back")
    series = next(iter(data.test.feeds(12)))[1]["series"]
    window = series
    for _ in range(10):
        answer = np.asarray(one_step(window))
        window = np.concatenate([window, answer[:, None]], axis=1)
    made = np.asarray(found.finish(one_step, flavour, data)(series))
    assert made.shape == (12, 10)
    np.testing.assert_allclose(made, window[:, 50:, 0], atol=1e-6)
    assert np.abs(made).max() > 0.01


def test_the_linear_yardstick_is_the_best_linear_model() -> None:
    generator = np.random.default_rng(0)
    inputs = generator.random((300, 50, 1)).astype(np.float32)
    truth = generator.normal(0, 1, 50)
    targets = (inputs[..., 0] @ truth + 0.5)[:, None].astype(np.float32)
    examples = ArrayExamples({"series": inputs}, targets)
    assert two_sines.linear_mse(RecipeData(examples, examples, examples, context=targets)) < 1e-9
    shifted = ArrayExamples({"series": inputs}, targets + 2)
    assert two_sines.linear_mse(RecipeData(examples, examples, shifted, context=targets)) == pytest.approx(4, rel=1e-4)


def test_the_evaluation_takes_the_last_step_and_names_what_it_beats() -> None:
    data = small_data("every")
    test: Any = data.test
    perfect = RECIPES["series-seq2seq"].evaluate(RECIPES["series-seq2seq"], data, {"forecast": test.targets}, 0)
    assert perfect.metrics["test_mse"] == 0
    assert perfect.metrics["beats_linear"]
    wrong_before = test.targets.copy()
    wrong_before[:, :-1] += 9
    found = RECIPES["series-seq2seq"].evaluate(RECIPES["series-seq2seq"], data, {"forecast": wrong_before}, 0)
    assert found.metrics["test_mse"] == 0
    wrong = RECIPES["series-seq2seq"].evaluate(RECIPES["series-seq2seq"], data, {"forecast": test.targets + 1}, 0)
    assert wrong.metrics["test_mse"] == pytest.approx(1, rel=1e-5)
    assert not wrong.metrics["beats_linear"]
    assert "does NOT beat" in dict(wrong.lines)["linear"]


def test_the_fed_back_forecast_is_reported_by_step_and_against_the_direct_one() -> None:
    data = small_data("fed back")
    test: Any = data.test
    off = test.targets + np.linspace(0, 0.9, 10, dtype=np.float32)
    found = two_sines.evaluate_fed_back(RECIPES["series-autoregressive"], data, {"forecast": off}, 0)
    assert found.metrics["mse_by_step"] == pytest.approx(np.linspace(0, 0.9, 10) ** 2, abs=1e-6)
    assert not found.metrics["beats_direct"]
    assert "direct" in dict(found.lines)


@pytest.mark.parametrize("name", RECIPES)
def test_files_are_refused_in_one_line(name: str) -> None:
    with pytest.raises(
        DataError, match=r"^the series recipes generate their data, met the file a.csv; leave --data out$"
    ):
        RECIPES[name].load(LoadOptions(Path("a.csv")))
    with pytest.raises(DataError, match=r"leave --column out$"):
        RECIPES[name].load(LoadOptions(columns=("a",)))
