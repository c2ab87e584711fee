"""The inputs on which runtimes are compared are what their names say."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqship.export.cases import (
    BATCHES,
    TIMES,
    Case,
    MaskKind,
    ValueKind,
    case_mask,
    covering,
    finite_rows,
    grid,
    make_feed,
    relation_cases,
)
from seqship.pipelines.spec import TOKEN_ID, Field

SIGNAL = Field("signal", "float32", ("batch", "time", 2), pad_value=-1.0, minimum=0.0, maximum=1.0)
TOKENS = Field("tokens", "int32", ("batch", "time"), TOKEN_ID, 0.0, 1.0, 999.0)
KINDS: tuple[MaskKind, ...] = get_args(MaskKind)


def test_every_pair_of_conditions_is_in_a_case() -> None:
    cases = grid([SIGNAL])
    assert len(cases) == len(set(cases)) == 45
    kinds: tuple[ValueKind, ...] = ("data", "zeros", "saturating", "tiny", "nan", "infinite")
    axes = {"batch": BATCHES, "time": TIMES, "mask": KINDS, "values": kinds}
    for one, other in itertools.combinations(axes, 2):
        found = {(getattr(case, one), getattr(case, other)) for case in cases}
        assert found == set(itertools.product(axes[one], axes[other]))
    assert cases[0].name == "batch=1 time=1 mask=full"
    assert any(case.name.endswith(" values=zeros") for case in cases)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(sizes=st.lists(st.integers(1, 5), min_size=1, max_size=5))
def test_a_covering_holds_every_pair_and_few_rows(sizes: list[int]) -> None:
    axes = [[(axis, value) for value in range(size)] for axis, size in enumerate(sizes)]
    rows = covering(*axes)
    for one, other in itertools.combinations(range(len(axes)), 2):
        assert {(row[one], row[other]) for row in rows} == set(itertools.product(axes[one], axes[other]))
    assert {value for row in rows for value in row} == {value for axis in axes for value in axis}
    largest = sorted(sizes)[-2:]
    assert len(rows) <= 2 * largest[0] * largest[-1]


def test_without_padding_there_are_no_masks() -> None:
    cases = grid([Field("signal", "float32", ("batch", "time", 2))])
    assert {case.mask for case in cases} == {"full"}


def test_a_fixed_length_and_a_fixed_batch() -> None:
    fixed = Field("signal", "float32", ("batch", 9, 2), pad_value=0.0)
    assert {(case.batch, case.time) for case in grid([fixed])} == {(batch, 9) for batch in BATCHES}
    both = grid([Field("signal", "float32", (4, 9, 2))])
    assert {(case.batch, case.time, case.mask) for case in both} == {(4, 9, "full")}
    assert {case.values for case in both} == {"data", "zeros", "saturating", "tiny", "nan", "infinite"}


def test_token_ids_have_no_zeros_but_extremes() -> None:
    tokens = Field("tokens", "int32", ("batch", "time"), TOKEN_ID, 0.0, 1.0, 4.0)
    assert {case.values for case in grid([tokens])} == {"data", "extreme", "vocabulary", "out-of-vocabulary"}


def test_every_token_id_is_in_a_case_and_one_too_many() -> None:
    tokens = Field("tokens", "int32", ("batch", "time"), TOKEN_ID, 0.0, 1.0, 19_999.0)
    score = Field("score", "float32", ("batch", 1))
    every, beyond = grid([tokens], outputs=[score])[-2:]
    assert (every.name, beyond.name) == (
        "batch=2500 time=8 mask=full values=vocabulary",
        "batch=2 time=8 mask=full values=out-of-vocabulary",
    )
    assert set(np.unique(make_feed(every, [tokens], seed=0)["tokens"])) == set(range(1, 20_000))
    ids = make_feed(beyond, [tokens], seed=0)["tokens"]
    assert ids.max() == 20_000
    assert (ids == 20_000).sum() == 1
    # A model that makes much of every id is given fewer, from the whole of the vocabulary.
    wide = Field("next", "float32", ("batch", "time", 20_000))
    fewer = grid([tokens], outputs=[wide])[-2]
    assert fewer.batch == 26
    ids = make_feed(fewer, [tokens], seed=0)["tokens"]
    assert (ids.min(), ids.max(), len(np.unique(ids))) == (1, 19_999, 26 * 8)
    fixed = Field("tokens", "int32", (4, 5), TOKEN_ID, 0.0, 1.0, 19_999.0)
    assert (grid([fixed])[-1].batch, grid([fixed])[-2].batch, grid([fixed])[-2].time) == (4, 4, 5)
    assert "vocabulary" not in {case.values for case in grid([Field("tokens", "int32", ("batch", "time"), TOKEN_ID)])}


def test_lengths_of_the_data_are_in_cases() -> None:
    lengths = np.random.default_rng(0).integers(20, 401, 3000)
    cases = grid([SIGNAL], lengths=lengths)
    typical = int(np.median(lengths))
    assert {(case.mask, case.time) for case in cases} >= {(mask, typical * n) for mask in KINDS for n in (1, 2)}
    times = {case.time for case in cases}
    assert {19, 20, 21} & times == set()  # The shortest is no boundary.
    assert {399, 400, 401} < times
    assert len(times) >= len(TIMES) + 2 + 3 * 7
    # Few steps for a length that one case is enough for.
    assert max(case.batch for case in cases if case.time not in (*TIMES, typical, 2 * typical)) == 7
    fixed = grid([Field("signal", "float32", ("batch", 9, 2))], lengths=lengths)
    assert {case.time for case in fixed} == {9}
    assert grid([SIGNAL], lengths=np.zeros(0, np.int64)) == grid([SIGNAL])


@pytest.mark.parametrize(("kind", "is_kind"), [("nan", np.isnan), ("infinite", np.isinf)])
def test_one_number_that_is_none(kind: ValueKind, is_kind: Callable[[Any], Any]) -> None:
    for mask in KINDS:
        feed = make_feed(Case(7, 24, mask, values=kind), [SIGNAL], seed=0)
        assert is_kind(feed["signal"]).sum() == (0 if mask == "all_empty" else 1)
        good = finite_rows(feed)
        assert good is None if mask == "all_empty" else good is not None and (~good).sum() == 1
    tokens = Field("tokens", "int32", ("batch", "time"), TOKEN_ID, 0.0, 1.0, 4.0)
    static = Field("age", "float32", ("batch",))
    feed = make_feed(Case(7, 24, "full", values=kind), [tokens, static], seed=0)
    assert is_kind(feed["age"]).sum() == 1
    assert finite_rows(make_feed(Case(7, 24, "full"), [SIGNAL], seed=0)) is None


def test_some_features_of_valid_steps_have_the_pad_value() -> None:
    free = replace(SIGNAL, minimum=None, maximum=None)
    case = Case(32, 50, "right")
    padded = make_feed(case, [free], seed=0)["signal"] == -1
    steps = padded.all(axis=2)
    assert 0.02 < (padded.any(axis=2) & ~steps).mean() < 0.1
    assert not (steps[:, :-1] & ~steps[:, 1:]).any()
    # Never where the bounds say that data has no such value, nor where the step would be padding.
    bound = make_feed(case, [SIGNAL], seed=0)["signal"] == -1
    assert (bound.any(axis=2) == bound.all(axis=2)).all()
    one = make_feed(Case(7, 24, "full"), [Field("x", "float32", ("batch", "time", 1), pad_value=0.5)], seed=0)["x"]
    assert not (one == 0.5).any()


def test_other_sizes_may_be_asked_for() -> None:
    assert {(case.batch, case.time) for case in grid([SIGNAL], batches=(2,), times=(3, 4))} == {(2, 3), (2, 4)}


def test_right_padding_alone() -> None:
    assert {case.mask for case in grid([SIGNAL], padding="right")} == {"full", "right", "empty_row", "all_empty"}


@pytest.mark.parametrize(
    ("kind", "low", "high", "expected"),
    [
        ("zeros", None, None, {0.0}),
        ("zeros", 0.5, 2.0, {0.5}),
        ("saturating", None, None, {-30.0, 30.0}),
        ("saturating", 0.0, 1.0, {0.0, 1.0}),
        ("saturating", 0.0, None, {0.0, 30.0}),
    ],
)
def test_kinds_of_values(kind: ValueKind, low: float | None, high: float | None, expected: set[float]) -> None:
    field = Field("x", "float32", ("batch", "time", 2), minimum=low, maximum=high)
    assert set(np.unique(make_feed(Case(7, 24, "full", values=kind), [field], seed=0)["x"])) == expected


def test_tiny_values_are_subnormal_too() -> None:
    feed = make_feed(Case(7, 24, "right", values="tiny"), [Field("x", "float32", ("batch", "time", 1))], seed=0)["x"]
    assert 0 < np.abs(feed).min() < np.finfo(np.float32).smallest_normal < np.abs(feed).max() < 1e-19
    tokens = Field("tokens", "int32", ("batch", "time"), TOKEN_ID, 0.0, 1.0, 4.0)
    assert set(np.unique(make_feed(Case(7, 24, "full", values="extreme"), [tokens], seed=0)["tokens"])) == {1, 4}


@settings(max_examples=150, deadline=None, derandomize=True)
@given(batch=st.integers(1, 20), time=st.integers(1, 40), kind=st.sampled_from(KINDS), seed=st.integers(0, 10**6))
def test_a_mask_is_what_it_is_called(batch: int, time: int, kind: MaskKind, seed: int) -> None:
    mask = case_mask(Case(batch, time, kind), np.random.default_rng(seed))
    assert mask.shape == (batch, time)
    assert mask.dtype == bool
    empty = int((~mask.any(axis=1)).sum())
    assert empty == {"empty_row": 1, "all_empty": batch}.get(kind, 0)
    if kind == "single":
        assert (mask.sum(axis=1) == 1).all()
        return
    if kind == "all_empty":
        return
    if kind == "full":
        assert mask.all()
    elif kind in ("right", "empty_row"):  # Never off and then on again.
        assert not (mask[:, 1:] & ~mask[:, :-1]).any()
    elif kind == "left":
        assert not (mask[:, :-1] & ~mask[:, 1:]).any()
    else:
        assert mask[:, 0].all()
        assert mask[:, -1].all()
        assert (not mask.all(axis=1).any()) or time <= 2


def test_masks_differ_from_row_to_row() -> None:
    for kind in ("right", "left", "holes", "empty_row"):
        mask = case_mask(Case(32, 187, kind), np.random.default_rng(0))
        assert len(np.unique(mask, axis=0)) > 10


def test_a_feed_is_the_same_for_the_same_seed() -> None:
    case = Case(3, 7, "holes")
    one, same, other = (make_feed(case, [SIGNAL], seed=seed)["signal"] for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    assert not np.array_equal(one, make_feed(Case(3, 7, "full"), [SIGNAL], seed=1)["signal"])


def test_values_are_within_bounds_and_padding_is_without() -> None:
    feed = make_feed(Case(32, 50, "right"), [SIGNAL], seed=0)["signal"]
    assert feed.dtype == np.float32
    padded = (feed == -1).all(axis=2)
    assert 0.2 < padded.mean() < 0.8
    assert feed[~padded].min() >= 0
    assert feed[~padded].max() <= 1
    assert not (padded[:, :-1] & ~padded[:, 1:]).any()


def test_values_without_bounds_are_normal() -> None:
    feed = make_feed(Case(32, 250, "full"), [Field("x", "float64", ("batch", "time", 1))], seed=0)["x"]
    assert feed.dtype == np.float64
    assert abs(feed.mean()) < 0.05
    assert feed.std() == pytest.approx(1, abs=0.05)


def test_one_bound_is_kept() -> None:
    feed = make_feed(Case(32, 50, "full"), [Field("x", "float32", ("batch", "time"), minimum=0.0)], seed=0)["x"]
    assert feed.min() == 0
    assert feed.max() > 1


@pytest.mark.parametrize("dtype", ["int32", "float32"])
def test_tokens_are_words_of_the_vocabulary(dtype: str) -> None:
    field = Field("tokens", dtype, ("batch", "time"), TOKEN_ID, 0.0, 1.0, 4.0)
    feed = make_feed(Case(32, 50, "left"), [field], seed=0)["tokens"]
    assert feed.dtype == dtype
    assert set(np.unique(feed)) == {0, 1, 2, 3, 4}
    unbounded = make_feed(Case(32, 50, "full"), [Field("n", dtype, ("batch", "time"), TOKEN_ID)], seed=0)["n"]
    assert set(np.unique(unbounded)) == {0, 1}


def test_flags_and_other_axes() -> None:
    fields = [Field("flags", "bool", ("batch", "time")), Field("image", "float32", ("batch", "time", "axis_2", 4))]
    feed = make_feed(Case(3, 7, "full"), fields, seed=0)
    assert feed["flags"].dtype == bool
    assert feed["image"].shape == (3, 7, 3, 4)


def test_all_inputs_share_the_mask_but_those_of_their_own_length() -> None:
    other = Field("other", "float32", ("batch", "time", 1), pad_value=9.0)
    fixed = Field("fixed", "float32", ("batch", 5), pad_value=9.0)
    feed = make_feed(Case(3, 7, "right"), [SIGNAL, other, fixed], seed=0)
    assert np.array_equal((feed["signal"] == -1).all(axis=2), (feed["other"] == 9).all(axis=2))
    assert feed["fixed"].shape == (3, 5)


# --- What a model takes


def test_the_least_length_stands_in_for_those_that_a_model_does_not_take() -> None:
    plain = Field("signal", "float32", ("batch", "time", 2), pad_value=-1.0)
    cases = grid([plain], takes=lambda time: time >= 8, lengths=np.array([7, 20, 20, 21]))
    assert {case.time for case in cases} == {8, 19, 20, 21, 22, 24, 40, 120}
    assert {(case.time, case.mask) for case in cases} >= set(itertools.product((8, 20, 24, 40, 120), KINDS))
    assert {case.time for case in relation_cases([plain], takes=lambda time: time >= 10)} == {10}
    folds = {case.time for case in grid([plain], takes=lambda time: time % 5 == 0)}
    assert folds == {5, 120}


def test_lengths_stay_where_a_model_takes_none_or_has_a_fixed_one() -> None:
    plain, fixed = (Field("signal", "float32", ("batch", size, 2)) for size in ("time", 9))
    assert grid([plain], takes=lambda _: False) == grid([plain])
    assert grid([fixed], takes=lambda _: False) == grid([fixed])


def test_token_ids_come_in_lengths_that_the_model_takes() -> None:
    ids = [case for case in grid([TOKENS], takes=lambda time: time >= 12) if case.values.endswith("vocabulary")]
    assert [(case.time, case.values) for case in ids] == [(12, "vocabulary"), (12, "out-of-vocabulary")]


@pytest.mark.parametrize(
    ("dtype", "largest", "beyond"), [("uint8", 255, False), ("int8", 127, False), ("uint8", 9, True)]
)
def test_an_id_that_is_too_large_for_the_dtype_is_no_case(dtype: str, largest: int, beyond: bool) -> None:
    field = replace(TOKENS, dtype=dtype, maximum=float(largest))
    cases = [case for case in grid([field]) if case.values.endswith("vocabulary")]
    assert [case.values for case in cases] == ["vocabulary", "out-of-vocabulary"][: 1 + beyond]
    for case in cases:
        ids = make_feed(case, [field], seed=0)["tokens"]
        assert ids.dtype == dtype
        assert ids.max() == largest + (case.values == "out-of-vocabulary")


def test_what_makes_very_much_of_a_step_is_given_fewer_rows() -> None:
    plain = Field("signal", "float32", ("batch", "time", 2))
    words = Field("words", "float32", ("batch", "time", 20_000))
    cases = grid([plain], outputs=[words])
    assert max(case.batch * case.time * 20_000 for case in cases if case.batch > 1) <= 1 << 22
    assert {case.time for case in cases} == set(TIMES)
    assert {case.batch for case in cases if case.time == 1} == set(BATCHES)
    assert len(cases) == len(set(cases))
    assert grid([plain], outputs=[Field("next", "float32", ("batch", "time", 50))]) == grid([plain])


@pytest.mark.parametrize("kind", ["data", "saturating", "tiny"])
def test_valid_steps_are_none_of_padding_where_a_bound_is_the_pad_value(kind: ValueKind) -> None:
    field = Field("signal", "float32", ("batch", "time", 1), pad_value=0.0, minimum=0.0, maximum=1.0)
    case = Case(7, 24, "right", values=kind)
    values = make_feed(case, [field], seed=0)["signal"]
    data = (values != 0).any(axis=2)
    assert data[:, 0].all()
    assert not (~data[:, :-1] & data[:, 1:]).any()
    whole = Field("tokens", "int32", ("batch", "time"), pad_value=0.0)
    assert (make_feed(Case(7, 24, "full"), [whole], seed=0)["tokens"] == 1).all()


@pytest.mark.parametrize("made", [1, 20_000])
def test_a_large_vocabulary_comes_in_parts(made: int) -> None:
    field = replace(TOKENS, maximum=300_000.0)
    outputs = [Field("scores", "float32", ("batch", made))]
    cases = [case for case in grid([field], outputs=outputs) if case.values.startswith("vocabulary")]
    assert {case.time for case in cases} == {8}
    assert max(case.batch for case in cases) <= 4096
    ids = np.concatenate([make_feed(case, [field], seed=0)["tokens"].reshape(-1) for case in cases])
    if made == 1:
        assert [case.values for case in cases] == [f"vocabulary-{part}/10" for part in range(1, 11)]
        assert np.array_equal(np.unique(ids), np.arange(1, 300_001))
    else:  # As many as there is room for, from the first to the last.
        assert [(case.batch, case.values) for case in cases] == [(209, "vocabulary")]
        assert (ids.min(), ids.max(), len(np.unique(ids))) == (1, 300_000, 209 * 8)
    assert not any("vocabulary" in case.values for case in relation_cases([field]))


def test_numbers_without_end_are_no_vocabulary_without_end() -> None:
    cases = grid([replace(TOKENS, dtype="int64", maximum=1e12)])
    assert sum(case.batch for case in cases if case.values.startswith("vocabulary")) <= 1 << 17
