"""Cities: their generator, parameter counts, scaling and the variant for every day."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqship.errors import DataError
from seqship.models.flavour import Flavour
from seqship.models.recipe import LoadOptions
from seqship.models.zoo import cities
from seqship.pipelines.scaling import Scaling
from seqship.pipelines.synthetic_cities import CITY_DEVIATIONS, CITY_MEANS, synthetic_cities

NEXT, DAILY = cities.RECIPES


def test_generated_cities_are_about_what_their_constants_say() -> None:
    table = synthetic_cities(4_000, 6, seed=0).astype(float)
    assert table.shape == (4_000, 6, 3)
    assert table.mean(axis=(0, 1)) == pytest.approx(CITY_MEANS, rel=0.1)
    assert table.std(axis=(0, 1)) == pytest.approx(CITY_DEVIATIONS, rel=0.2)
    assert table[..., 0].min() > 0
    assert table[..., 2].min() >= 0
    # Today's wind takes tomorrow's pollution away.
    assert np.corrcoef(table[:, 3, 2], table[:, 4, 0] - table[:, 3, 0])[0, 1] < -0.4


@pytest.mark.parametrize(("units", "memory", "total"), [(2, 12, 15), (10, 140, 151)])
def test_parameters_are_units_times_units_features_and_one(
    flavour: Flavour, units: int, memory: int, total: int
) -> None:
    for found in cities.RECIPES:
        model = found.model(flavour, units=units)
        assert model.get_layer("memory").count_params() == memory == units * (units + 3 + 1)
        assert model.count_params() == total


def test_training_is_scaled_and_the_test_raw() -> None:
    data = NEXT.load(LoadOptions())
    train: Any = data.train
    test: Any = data.test
    assert np.abs(train.inputs["days"].mean(axis=(0, 1))).max() < 1e-3
    assert test.inputs["days"][..., 0].mean() == pytest.approx(CITY_MEANS[0], rel=0.1)
    scaling: Scaling = data.context
    raw = synthetic_cities(3_000, 5, seed=0)
    assert scaling.offset == pytest.approx(raw[:2_100, :4].mean(axis=(0, 1)), rel=1e-4)
    np.testing.assert_allclose(train.targets[:, 0], scaling.apply(raw[:2_100, 4, :1], ["pollution"])[:, 0])
    assert np.array_equal(test.targets[:, 0], raw[2_400:, 4, 0])


def test_each_day_wants_the_next_one() -> None:
    test: Any = DAILY.load(LoadOptions()).test
    assert test.targets.shape == (600, 4, 1)
    assert np.array_equal(test.targets[:, :3, 0], test.inputs["days"][:, 1:, 0])
    once: Any = NEXT.load(LoadOptions()).test
    assert np.array_equal(test.targets[:, 3], once.targets)


def test_the_exported_model_takes_and_gives_units(flavour: Flavour) -> None:
    flavour.keras.utils.set_random_seed(0)
    for found in cities.RECIPES:
        data = found.load(LoadOptions())
        scaling: Scaling = data.context
        model = found.model(flavour)
        _, feed = next(iter(data.test.feeds(16)))
        scaled = np.asarray(model(scaling.apply(feed["days"])))
        wanted = scaling.invert(scaled, ["pollution"])
        np.testing.assert_allclose(np.asarray(found.finish(model, flavour, data)(feed["days"])), wanted, rtol=1e-4)


def test_the_days_are_evaluated_one_by_one() -> None:
    data = DAILY.load(LoadOptions())
    test: Any = data.test
    off = test.targets + np.arange(4, dtype=np.float32)[:, None]
    found = DAILY.evaluate(DAILY, data, {"next_pollution": off}, 0)
    assert found.metrics["mse_by_day"] == pytest.approx([0, 1, 4, 9], abs=1e-4)
    assert found.metrics["test_mse"] == pytest.approx(9, rel=1e-4)
    last = test.inputs["days"][:, -1, 0].astype(float)
    assert found.metrics["naive_mse"] == pytest.approx(np.mean((last - test.targets[:, -1, 0]) ** 2))


def test_files_are_refused_in_one_line() -> None:
    with pytest.raises(DataError, match=r"^the cities recipes generate their data, met the file a; leave --data out$"):
        NEXT.load(LoadOptions(Path("a")))
