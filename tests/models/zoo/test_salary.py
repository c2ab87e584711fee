"""Salaries: who is made up, and a normalisation that the training employees decide."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqship.errors import DataError
from seqship.models import cudnn_eligibility
from seqship.models.flavour import Flavour
from seqship.models.recipe import LoadOptions
from seqship.models.zoo import salary


def test_employees_earn_more_after_a_promotion() -> None:
    years, following = salary.employees(4_000, 0)
    assert years.shape == (4_000, 10, 3)
    assert following.shape == (4_000, 1)
    assert (years[..., 0] > 0).all()
    assert (np.diff(years[..., 1], axis=1) >= 0).all()
    promoted = np.diff(years[:, 8:, 1], axis=1)[:, 0] > 0
    raised = following[:, 0] / years[:, 9, 0] - 1
    assert raised[promoted].mean() - raised[~promoted].mean() > 0.08
    assert years.astype(float).mean(axis=(0, 1)) == pytest.approx(salary.MEANS, rel=0.15)
    assert years.astype(float).var(axis=(0, 1)) == pytest.approx(salary.VARIANCES, rel=0.3)


@pytest.mark.parametrize("found", salary.RECIPES, ids=lambda found: found.name)
def test_the_model_normalises_by_the_training_employees(found: Any, flavour: Flavour) -> None:
    data = found.load(LoadOptions(seed=2))
    train: Any = data.train
    model = found.model(flavour, **data.options)
    normal = np.asarray(model.get_layer("normalization")(train.inputs["years"]), float)
    assert np.abs(normal.mean(axis=(0, 1))).max() < 1e-3
    assert normal.std(axis=(0, 1)) == pytest.approx(1, abs=1e-3)
    assert model.count_params() == found.parameters


def test_the_twin_is_not_eligible(flavour: Flavour) -> None:
    model = salary.RECIPES[1].model(flavour, cudnn=False)
    assert not any(row.eligible for row in cudnn_eligibility(model))


def test_the_absolute_error_is_held_against_the_last_salary() -> None:
    found = salary.RECIPES[0]
    data = found.load(LoadOptions())
    test: Any = data.test
    better = found.evaluate(found, data, {"next_salary": test.targets + 0.125}, 0)
    last = test.inputs["years"][:, -1, :1]
    assert better.metrics["test_mae"] == pytest.approx(0.125, rel=1e-4)
    assert better.metrics["naive_mae"] == pytest.approx(np.mean(np.abs(last.astype(float) - test.targets)))
    assert better.metrics["beats_last_salary"]
    worse = found.evaluate(found, data, {"next_salary": test.targets + 5}, 0)
    assert not worse.metrics["beats_last_salary"]
    assert "does NOT beat" in dict(worse.lines)["salary"]


def test_files_are_refused_in_one_line() -> None:
    with pytest.raises(DataError, match=r"^the salary recipes generate their data, met the file a; leave --data out$"):
        salary.RECIPES[0].load(LoadOptions(Path("a")))
