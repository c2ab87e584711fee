"""Closing prices: no look ahead, a start at the last value, and faults in one line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from seqship.errors import DataError
from seqship.models.flavour import Flavour
from seqship.models.recipe import LoadOptions
from seqship.models.zoo import stock
from seqship.pipelines.window_examples import SplitSeries

RECIPE = stock.STOCK_LSTM


def csv(path: Path, prices: list[str], column: str = "Close") -> Path:
    days = np.busday_offset("2020-01-01", np.arange(len(prices)), roll="forward")
    path.write_text("\n".join([f"Date,{column}", *(f"{d},{p}" for d, p in zip(days, prices, strict=True))]) + "\n")
    return path


def test_the_walk_is_geometric() -> None:
    values = stock.random_walk(1).values[:, 0].astype(float)
    moves = np.diff(np.log(values))
    assert moves.std() == pytest.approx(stock.VOLATILITY, rel=0.1)
    assert abs(np.corrcoef(moves[1:], moves[:-1])[0, 1]) < 0.1


def test_the_scaling_knows_the_training_span_alone(tmp_path: Path) -> None:
    prices = [str(10 + day % 7) for day in range(140)] + ["5000"] * 60
    split: SplitSeries = RECIPE.load(LoadOptions(csv(tmp_path / "a.csv", prices))).context
    assert split.scaling is not None
    assert split.scaling.offset[0] == pytest.approx(np.mean([10 + day % 7 for day in range(140)]), rel=1e-6)


def test_the_forecast_begins_at_the_last_price(flavour: Flavour) -> None:
    data = RECIPE.load(LoadOptions())
    model = RECIPE.finish(RECIPE.model(flavour), flavour, data)
    _, feed = next(iter(data.test.feeds(8)))
    np.testing.assert_allclose(np.asarray(model(feed["close"]))[:, 0], feed["close"][:, -1, 0], rtol=1e-5)


def test_a_shifted_window_gives_a_shifted_forecast(flavour: Flavour) -> None:
    flavour.keras.utils.set_random_seed(0)
    model = RECIPE.model(flavour)
    model.get_layer("change").set_weights([np.ones((32, 1)), np.zeros(1)])
    window = np.random.default_rng(0).random((2, 20, 1), np.float32)
    np.testing.assert_allclose(np.asarray(model(window + 7)), np.asarray(model(window)) + 7, atol=1e-5)
    assert not np.allclose(np.asarray(model(window)), window[:, -1])


def test_directions_are_counted() -> None:
    data = RECIPE.load(LoadOptions())
    _, feed = next(iter(data.test.feeds(1_024)))
    last = feed["close"][:, -1]
    always_up = RECIPE.evaluate(RECIPE, data, {"forecast": last + 1}, 0)
    assert always_up.metrics["direction_accuracy"] == always_up.metrics["share_of_rises"]
    naive = RECIPE.evaluate(RECIPE, data, {"forecast": last}, 0)
    assert naive.metrics["test_mse"] == naive.metrics["naive_mse"]
    assert not naive.metrics["beats_naive"]
    assert "does NOT beat" in dict(naive.lines)["naive"]


def test_another_column_may_be_asked_for(tmp_path: Path) -> None:
    path = csv(tmp_path / "a.csv", [str(day) for day in range(100)], "Open")
    split: SplitSeries = RECIPE.load(LoadOptions(path, columns=("Open",))).context
    assert split.test.series.columns == ("Open",)
    with pytest.raises(DataError, match=r"has no column 'Close'; its columns are Date, Open$"):
        RECIPE.load(LoadOptions(path))


def test_a_price_that_is_no_number_is_named(tmp_path: Path) -> None:
    path = csv(tmp_path / "a.csv", ["1", "2", "x", *["3"] * 100])
    with pytest.raises(DataError, match=r"line 4: column 'Close' is 'x', which is no finite number"):
        RECIPE.load(LoadOptions(path))


def test_it_is_quick_by_default() -> None:
    assert RECIPE.quick == replace(RECIPE.training, epochs=RECIPE.quick.epochs)
