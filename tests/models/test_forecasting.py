"""Forecasts against what came and against the naive forecast, by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from seqship.models.catalogue import recipe
from seqship.models.forecasting import forecast
from seqship.models.recipe import RecipeData
from seqship.pipelines import ArrayExamples, as_series
from seqship.pipelines.window_examples import split_windows

RECIPE = recipe("airline-gru")
NAME = RECIPE.outputs[0].name


def data_of(examples: Any) -> RecipeData:
    return RecipeData(examples, examples, examples)


def test_one_step_against_the_last_value() -> None:
    inputs = np.array([[[1.0], [2.0]], [[3.0], [5.0]]], np.float32)
    examples = ArrayExamples({"x": inputs}, np.array([[3.0], [4.0]], np.float32))
    found = forecast(RECIPE, data_of(examples), {NAME: np.array([[3.5], [4.0]])}, 0)
    assert found.metrics["test_mse"] == pytest.approx(0.125)
    assert found.metrics["test_mae"] == pytest.approx(0.25)
    assert found.metrics["naive_mse"] == pytest.approx(1.0)
    assert found.metrics["beats_naive"] is True
    worse = forecast(RECIPE, data_of(examples), {NAME: np.array([[9.0], [9.0]])}, 0)
    assert worse.metrics["beats_naive"] is False
    assert "does NOT beat" in dict(worse.lines)["naive"]


def test_of_answers_to_every_step_the_last_counts() -> None:
    inputs = np.zeros((2, 3, 1), np.float32)
    targets = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
    predicted = np.full((2, 3, 2), 99.0)
    predicted[:, -1] = targets[:, -1] + 1
    found = forecast(RECIPE, data_of(ArrayExamples({"x": inputs}, targets)), {NAME: predicted}, 0)
    assert found.metrics["test_mse"] == pytest.approx(1.0)
    assert found.metrics["naive_mse"] == pytest.approx(np.mean(targets[:, -1] ** 2))


@pytest.mark.parametrize("reach_back", [False, True])
@pytest.mark.parametrize("shift", [1, 3])
def test_the_figure_puts_each_forecast_at_its_step(reach_back: bool, shift: int) -> None:
    values = np.random.default_rng(0).normal(0, 1, (50, 2)).astype(np.float32)
    split = split_windows(
        as_series(values, columns=["wind", "price"]),
        name="x",
        scaling="minmax",
        length=4,
        shift=shift,
        target_columns=["price"],
        inputs_reach_back=reach_back,
    )
    inputs, targets = split.test.arrays()
    found = forecast(RECIPE, data_of(split.test), {NAME: targets}, 0)
    assert found.metrics["test_mse"] == 0
    assert found.metrics["naive_mae"] == pytest.approx(np.mean(np.abs(inputs[:, -1, 1] - targets[:, 0])), rel=1e-5)
    content = found.figures[0].content
    series, forecasts = content["lines"]["series"], content["lines"]["forecast"]
    shown = [(a, b) for a, b in zip(series, forecasts, strict=True) if b is not None]
    assert len(shown) == len(targets)
    assert all(a == pytest.approx(b, rel=1e-4) for a, b in shown)
    assert content["marks"] == {"test begins": 40.0}


def test_without_one_series_a_window_is_shown() -> None:
    random = np.random.default_rng(0)
    inputs, targets = random.random((6, 5, 1)), random.random((6, 3))
    found = forecast(RECIPE, data_of(ArrayExamples({"x": inputs}, targets)), {NAME: targets}, 0)
    lines = found.figures[0].content["lines"]
    assert [len(lines[name]) for name in ("past", "what came", "forecast")] == [8, 8, 8]
    assert lines["what came"][5:] == pytest.approx(targets[0], rel=1e-4)
    assert lines["past"][5:] == [None] * 3


def test_several_inputs_are_no_windows() -> None:
    examples = ArrayExamples({"a": np.zeros((2, 3)), "b": np.zeros((2, 3))}, np.zeros(2))
    with pytest.raises(TypeError, match="the test examples are no windows of one input"):
        forecast(replace(RECIPE), data_of(examples), {NAME: np.zeros(2)}, 0)
