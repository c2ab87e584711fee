"""Hourly weather: the order of columns, missing values, and the yardsticks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from seqship.errors import DataError
from seqship.models.flavour import Flavour
from seqship.models.recipe import LoadOptions
from seqship.models.zoo import weather
from seqship.pipelines.synthetic_weather import COLUMNS, synthetic_weather
from seqship.pipelines.window_examples import SplitSeries

HOUR, DAY = weather.RECIPES


def csv(path: Path, header: str, rows: list[str]) -> Path:
    times = np.datetime64("2020-01-01T00", "h") + np.arange(len(rows))
    path.write_text("\n".join([f"date,{header}", *(f"{t}:00,{r}" for t, r in zip(times, rows, strict=True))]) + "\n")
    return path


def rows(count: int) -> list[str]:
    return [f"{hour % 5},SE,{hour % 11},{hour % 24}" for hour in range(count)]


def test_generated_weather_drives_the_pollution() -> None:
    series = synthetic_weather(4_000, seed=0)
    assert series.columns == COLUMNS
    assert np.isfinite(series.values).all()
    pollution, _, pressure, wind = series.values.astype(float).T
    assert pollution.min() > 0
    change = np.diff(np.log(pollution))
    assert np.corrcoef(change[4:], wind[1:-4])[0, 1] < -0.2  # four hours before
    assert np.corrcoef(pressure, wind)[0, 1] < -0.3
    assert np.array_equal(series.values, synthetic_weather(4_000, seed=0).values)
    assert not np.array_equal(series.values, synthetic_weather(4_000, seed=1).values)


@pytest.mark.parametrize(
    ("header", "columns", "wanted"),
    [
        ("a,wind,pm2.5,c", (), ("pm2.5", "a", "c")),
        ("a,wind,b,OT", (), ("OT", "a", "b")),
        ("a,wind,b,c", (), ("a", "b", "c")),
        ("a,wind,b,c", ("c", "a"), ("c", "a")),
        ("a,wind,b,c", ("b",), ("b",)),
    ],
)
def test_the_target_comes_first(
    tmp_path: Path, header: str, columns: tuple[str, ...], wanted: tuple[str, ...], flavour: Flavour
) -> None:
    data = HOUR.load(LoadOptions(csv(tmp_path / "a.csv", header, rows(600)), columns=columns))
    split: SplitSeries = data.context
    assert split.test.series.columns == wanted
    assert data.inputs is not None
    assert data.inputs[0].shape == ("batch", 48, len(wanted))
    model = HOUR.finish(HOUR.model(flavour, **data.options), flavour, data)
    _, feed = next(iter(data.test.feeds(4)))
    assert feed["hours"].shape[2] == len(wanted)
    # Before training it is the last value of the target, in its own unit.
    np.testing.assert_allclose(np.asarray(model(feed["hours"]))[:, 0], feed["hours"][:, -1, 0], atol=1e-4)


def test_a_column_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = csv(tmp_path / "a.csv", "a,wind,b,c", rows(600))
    with pytest.raises(DataError, match=r"^time series CSV a.csv has no column of numbers 'wind'; it has a, b, c$"):
        HOUR.load(LoadOptions(path, columns=("wind",)))
    with pytest.raises(DataError, match=r"a list of different names, met \('a', 'a'\)"):
        HOUR.load(LoadOptions(path, columns=("a", "a")))


def test_missing_inputs_carry_forward_and_missing_targets_are_left_out(tmp_path: Path) -> None:
    whole = [f"{hour},0,{hour}" for hour in range(600)]
    full = HOUR.load(LoadOptions(csv(tmp_path / "full.csv", "OT,u,v", whole)))
    whole[560] = "NA,0,560"
    data = HOUR.load(LoadOptions(csv(tmp_path / "a.csv", "OT,u,v", whole)))
    assert len(full.test) - len(data.test) == 1
    _, feed = next(iter(data.test.feeds(1_024)))
    inputs = feed["hours"]
    assert np.isfinite(inputs).all()
    (_, targets) = data.context.test.arrays()
    assert 560 not in targets
    filled = inputs[inputs[:, -1, 2] == 560][0]
    assert filled[-1, 0] == 559
    found = HOUR.evaluate(HOUR, data, {"forecast": targets}, 0)
    assert dict(found.lines)["missing"].startswith("1 of the 120 test hours lack OT")
    assert found.metrics["missing_test_targets"] == 1


def test_yesterday_is_the_same_hours_a_day_before() -> None:
    data = DAY.load(LoadOptions())
    inputs, targets = data.context.test.arrays()
    assert targets.shape[1:] == (24,)
    yesterday = inputs[:, 24:, 0].astype(float)
    found = DAY.evaluate(DAY, data, {"forecast": yesterday}, 0)
    assert found.metrics["test_mse"] == pytest.approx(found.metrics["yesterday_mse"])
    assert found.metrics["yesterday_mse"] == pytest.approx(np.mean((yesterday - targets) ** 2))
    assert not found.metrics["beats_yesterday"]
    assert found.metrics["naive_mse"] == pytest.approx(np.mean((inputs[:, -1:, 0].astype(float) - targets) ** 2))


def test_an_hour_ahead_yesterday_is_23_hours_before_the_last_step() -> None:
    data = HOUR.load(LoadOptions())
    inputs, targets = data.context.test.arrays()
    found = HOUR.evaluate(HOUR, data, {"forecast": targets}, 0)
    assert found.metrics["yesterday_mse"] == pytest.approx(np.mean((inputs[:, -24, :1].astype(float) - targets) ** 2))
