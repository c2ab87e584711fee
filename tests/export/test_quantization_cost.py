"""What int8 costs, of runtimes whose answers are known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from seqship.errors import ModelError
from seqship.export.quantization_cost import data_cost, drift_by_length
from seqship.pipelines.sequences import Sequences
from seqship.pipelines.spec import Field

SIGNAL = Field("x", "float32", ("batch", "time", 1), pad_value=0.0)
VALUES = (0.2, 0.4, 0.45, 0.55, 0.6, 0.9)


def data(classes: tuple[str, ...], labels: list[int]) -> Sequences:
    return Sequences(tuple(np.full((2, 1), value, np.float32) for value in VALUES), np.array(labels), classes)


def single(feed: Any) -> dict[str, Any]:
    return {"y": feed["x"][:, 0, :]}


def shifted(feed: Any) -> dict[str, Any]:
    return {"y": feed["x"][:, 0, :] + np.float32(0.07)}


def test_decisions_of_a_single_score_that_change_are_counted_with_their_margin() -> None:
    field = Field("y", "float32", ("batch", 1), classes=("no", "yes"))
    (cost,) = data_cost(single, shifted, data(("no", "yes"), [0, 0, 1, 1, 1, 0]), [SIGNAL], [field])
    assert [one.row for one in cost.task.changed] == [2]
    told = cost.summary()
    assert (told["rows"], told["changed"]) == (6, 1)
    assert told["max_abs"] == pytest.approx(0.07, abs=1e-6)
    assert told["widest_margin"] == pytest.approx(0.05, abs=1e-6)
    assert told["measures"]["accuracy"] == {"reference": pytest.approx(4 / 6), "other": pytest.approx(5 / 6)}


def test_labels_of_other_classes_do_not_count() -> None:
    field = Field("y", "float32", ("batch", 1), classes=("no", "yes"))
    (cost,) = data_cost(single, shifted, data(("a", "b", "c"), [0, 1, 2, 0, 1, 2]), [SIGNAL], [field])
    assert cost.summary()["changed"] == 1
    assert cost.summary()["measures"] == {}


def test_a_forecast_has_a_difference_and_no_decisions() -> None:
    field = Field("y", "float32", ("batch", 1))
    (cost,) = data_cost(single, shifted, data(("",), [0] * 6), [SIGNAL], [field])
    told = cost.summary()
    assert (told["changed"], told["measures"]) == (None, {})
    assert told["max_abs"] == pytest.approx(0.07, abs=1e-6)
    targets = np.array(VALUES)[:, None]
    (cost,) = data_cost(single, shifted, replace(data(("",), [0] * 6), targets=targets), [SIGNAL], [field])
    told = cost.summary()
    assert told["changed"] is None
    assert told["measures"]["mae"] == {"reference": pytest.approx(0, abs=1e-6), "other": pytest.approx(0.07, abs=1e-6)}


def test_several_values_are_no_scores_unless_something_says_so() -> None:
    def pair(feed: Any) -> dict[str, Any]:
        return {"y": feed["x"][:, :, 0]}

    plain = Field("y", "float32", ("batch", 2))
    named = Field("y", "float32", ("batch", 2), classes=("a", "b"))
    one, two = (data_cost(pair, pair, data(("",), [0] * 6), [SIGNAL], [field])[0].summary() for field in (plain, named))
    assert one["changed"] is None
    assert two["changed"] == 0


def test_a_model_of_two_inputs_has_no_sequences() -> None:
    other = Field("z", "float32", ("batch", 2))
    assert data_cost(single, shifted, data(("",), [0] * 6), [SIGNAL, other], []) == ()


def test_drift_is_told_by_length() -> None:
    def growing(feed: Any) -> dict[str, Any]:
        return {"y": feed["x"][:, 0, :] + np.float32(feed["x"].shape[1])}

    rows = drift_by_length(single, growing, [SIGNAL])
    assert [(row.time, row.output) for row in rows] == [(24, "y"), (120, "y"), (480, "y")]
    assert [row.max_abs for row in rows] == pytest.approx([24, 120, 480], rel=1e-5)
    assert all(0 < row.scale < 5 for row in rows)


def test_drift_is_left_out_where_the_length_is_fixed_or_refused() -> None:
    def refusing(feed: Any) -> dict[str, Any]:
        raise ModelError(f"no {feed}")

    assert drift_by_length(single, shifted, [Field("x", "float32", ("batch", 5, 1))]) == ()
    assert drift_by_length(single, refusing, [SIGNAL]) == ()
