"""The search finds what the cases do not show, within the contract, and the same at every call."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from seqship.errors import ModelError
from seqship.export.adversary import GENERATIONS, ROWS, TIME, search
from seqship.export.cases import Padding
from seqship.export.runners import Feed, Outputs, Runner
from seqship.pipelines.spec import TOKEN_ID, Field

SIGNAL = Field("signal", "float32", ("batch", "time", 2), pad_value=-1.0)
TOKENS = Field("tokens", "int32", ("batch", "time"), TOKEN_ID, 0.0, 1.0, 999.0)


def right(feed: Feed) -> Outputs:
    """The sum of the steps that are data."""
    steps = feed["signal"]
    valid = (steps != -1).any(axis=2, keepdims=True)
    return {"sum": np.where(valid, steps, 0).sum(axis=(1, 2), dtype=np.float32)}


def wrong_beyond(threshold: float) -> Runner:
    """A runtime that is wrong where the steps of a row sum up to more than a number."""

    def run(feed: Feed) -> Outputs:
        made = right(feed)["sum"]
        return {"sum": np.where(made > threshold, made * np.float32(1.01), made + made * np.float32(1e-6))}

    return run


def found(runner: Runner, *fields: Field, padding: Padding = "any", seed: int = 0, reference: Runner = right) -> Any:
    ((case, feed),) = search(fields, reference, [runner], padding=padding, seed=seed)
    assert case.name == f"batch={ROWS} time={TIME} mask=searched values=adversary"
    return feed


def test_it_climbs_to_where_an_export_is_wrong() -> None:
    # Nothing that is drawn sums up to so much: 48 numbers of 30 at the most, of both signs.
    threshold = 500.0
    run = wrong_beyond(threshold)
    ((_, first),) = search([SIGNAL], right, [run], generations=0)
    assert right(first)["sum"].max() < threshold
    worst = found(run, SIGNAL)
    assert (right(worst)["sum"] > threshold).sum() >= ROWS // 4


def test_it_is_the_same_for_the_same_seed() -> None:
    one, same, other = (found(wrong_beyond(100), SIGNAL, seed=seed)["signal"] for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_a_rare_token_is_found() -> None:
    weights = np.random.default_rng(0).standard_normal(1000).astype(np.float32)

    def reference(feed: Feed) -> Outputs:
        return {"sum": weights[feed["tokens"]].sum(axis=1)}

    def shifted(feed: Feed) -> Outputs:
        ids = feed["tokens"]
        return {"sum": weights[np.where(ids > 990, ids - 1, ids)].sum(axis=1)}

    feed = found(shifted, TOKENS, reference=reference)["tokens"]
    assert feed.dtype == np.int32
    assert (feed.min(), feed.max()) >= (0, 991)
    assert feed.max() <= 999
    assert not np.allclose(reference({"tokens": feed})["sum"], shifted({"tokens": feed})["sum"])


@pytest.mark.parametrize("padding", ["any", "right"])
def test_what_is_found_keeps_the_bounds_and_the_padding(padding: Padding) -> None:
    bound = Field("signal", "float32", ("batch", "time", 2), pad_value=-1.0, minimum=0.0, maximum=1.0)
    values = found(wrong_beyond(40), bound, padding=padding)["signal"]
    empty = (values == -1).all(axis=2)
    assert values[~empty].min() >= 0
    assert values[~empty].max() <= 1
    assert np.isfinite(values).all()
    if padding == "right":
        assert not (empty[:, :-1] & ~empty[:, 1:]).any()
    assert (right({"signal": values})["sum"] > 40).any()


def test_flags_and_other_inputs_come_along() -> None:
    fields = (SIGNAL, Field("valid", "bool", ("batch", "time")), Field("age", "float32", ("batch", 1)))

    def reference(feed: Feed) -> Outputs:
        return {"sum": (feed["signal"].sum(axis=2) * feed["valid"]).sum(axis=1) + feed["age"][:, 0]}

    feed = found(lambda feed: {"sum": reference(feed)["sum"] * np.float32(1.001)}, *fields, reference=reference)
    assert {name: value.dtype for name, value in feed.items()} == {
        "signal": "float32",
        "valid": "bool",
        "age": "float32",
    }
    assert feed["age"].shape == (ROWS, 1)


def test_a_number_that_only_one_has_is_the_worst() -> None:
    def overflows(feed: Feed) -> Outputs:
        made = right(feed)["sum"]
        return {"sum": np.where(made > 200, np.float32(np.nan), made + made * np.float32(1e-6))}

    feed = found(overflows, SIGNAL)
    assert np.isnan(overflows(feed)["sum"]).sum() > ROWS // 4


def test_what_an_export_fails_on_is_the_worst() -> None:
    def fails(feed: Feed) -> Outputs:
        made = right(feed)["sum"]
        if made.max() > 200:
            raise ModelError("an index is out of range")
        return {"sum": made + made * np.float32(1e-6)}

    with pytest.raises(ModelError, match=r"^an index is out of range$"):
        fails(found(fails, SIGNAL))


def test_what_keras_refuses_is_not_looked_for() -> None:
    def small(feed: Feed) -> Outputs:
        made = right(feed)
        if made["sum"].max() > 200:
            raise ModelError("too large")
        return made

    worst = found(wrong_beyond(100), SIGNAL, reference=small)
    assert 100 < right(worst)["sum"].max() <= 200


@pytest.mark.parametrize("seed", range(3))
def test_data_stays_data_where_a_bound_is_the_pad_value(seed: int) -> None:
    bound = Field("signal", "float32", ("batch", "time", 1), pad_value=0.0, minimum=0.0, maximum=1.0)

    def reference(feed: Feed) -> Outputs:
        return {"sum": feed["signal"].sum(axis=(1, 2))}

    values = found(
        lambda feed: {"sum": reference(feed)["sum"] + 1}, bound, padding="right", seed=seed, reference=reference
    )
    empty = (values["signal"] == 0).all(axis=2)
    assert not (empty[:, :-1] & ~empty[:, 1:]).any()


def test_what_cannot_be_searched() -> None:
    def fails(feed: Feed) -> Outputs:
        raise ModelError(f"fails on {sorted(feed)}")

    assert search([SIGNAL], right, []) == []
    assert search([SIGNAL], fails, [right]) == []
    scalar = Field("rate", "float32", ())
    assert search([SIGNAL, scalar], right, [right]) == []
    told: list[tuple[str, int, int]] = []

    def tell(what: str, done: int, total: int) -> None:
        told.append((what, done, total))

    search([SIGNAL], right, [wrong_beyond(1)], progress=tell)
    assert told[-1] == ("looking for worse cases", GENERATIONS, GENERATIONS)


def test_a_fixed_batch_and_a_fixed_length() -> None:
    fixed = Field("signal", "float32", (4, 5, 2))
    ((case, feed),) = search([fixed], right, [wrong_beyond(10)])
    assert (case.batch, case.time) == (4, 5)
    values: NDArray[Any] = feed["signal"]
    assert values.shape == (4, 5, 2)
