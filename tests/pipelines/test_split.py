"""Splits by class and by group."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqship.errors import DataError
from seqship.pipelines.sequences import Sequences
from seqship.pipelines.split import group_split, stratified_split


def sequences(labels: list[int], groups: list[str] | None = None) -> Sequences:
    """Sequences whose only element is their index."""
    values = tuple(np.full((1, 1), index, np.float32) for index in range(len(labels)))
    names = None if groups is None else np.array(groups, dtype=np.str_)
    return Sequences(values, np.array(labels, dtype=np.int64), ("a", "b", "c"), names, "a test")


def indices(part: Sequences) -> list[int]:
    return [int(value[0, 0]) for value in part.values]


@settings(max_examples=50)
@given(
    counts=st.tuples(st.integers(5, 30), st.integers(5, 30), st.integers(5, 30)),
    fraction=st.sampled_from([0.2, 0.25, 0.5, 0.7]),
    seed=st.integers(0, 99),
)
def test_a_split_by_class_keeps_every_sequence_once_and_the_proportions(
    counts: tuple[int, int, int], fraction: float, seed: int
) -> None:
    labels = np.random.default_rng(seed).permutation(np.repeat([0, 1, 2], counts)).tolist()
    rest, part = stratified_split(sequences(labels), fraction=fraction, seed=seed)
    assert sorted(indices(rest) + indices(part)) == list(range(len(labels)))
    assert indices(part) == sorted(indices(part))
    assert (np.abs(part.class_counts - np.array(counts) * fraction) <= 1).all()
    assert part.labels.tolist() == [labels[index] for index in indices(part)]


@settings(max_examples=50)
@given(
    members=st.lists(st.tuples(st.integers(0, 2), st.sampled_from("pqrstu")), min_size=2, max_size=60),
    fraction=st.sampled_from([0.2, 0.5]),
    seed=st.integers(0, 99),
)
def test_a_split_by_group_keeps_every_sequence_once_and_groups_whole(
    members: list[tuple[int, str]], fraction: float, seed: int
) -> None:
    labels, groups = [list(column) for column in zip(*members, strict=True)]
    data = sequences(labels, groups)  # pyright: ignore[reportArgumentType] - zip loses the columns' types
    if len(set(groups)) < 2:
        return
    rest, part = group_split(data, fraction=fraction, seed=seed)
    assert rest.groups is not None
    assert part.groups is not None
    assert sorted(indices(rest) + indices(part)) == list(range(len(members)))
    assert not set(rest.groups.tolist()) & set(part.groups.tolist())
    assert len(set(part.groups.tolist())) == int(np.ceil(len(set(groups)) * fraction))
    assert part.groups.tolist() == [groups[index] for index in indices(part)]


def test_a_split_by_group_keeps_a_rare_class_on_both_sides() -> None:
    groups = [f"g{index // 10}" for index in range(200)]
    labels = [1 if group in ("g3", "g7") else 0 for group in groups]
    for seed in range(10):
        rest, part = group_split(sequences(labels, groups), fraction=0.2, seed=seed)
        assert rest.class_counts[1] == part.class_counts[1] == 10


@pytest.mark.parametrize("split", [stratified_split, group_split])
def test_the_seed_decides(split: type[object]) -> None:
    data = sequences([0, 1] * 20, [str(index // 2) for index in range(40)])
    parts = [indices(split(data, fraction=0.25, seed=seed)[1]) for seed in (1, 1, 2)]  # type: ignore[operator, index]
    assert parts[0] == parts[1]
    assert parts[0] != parts[2]


def test_a_class_of_one_is_refused() -> None:
    with pytest.raises(DataError, match=r"^class b has 1 sequence, a stratified split needs 2; add more or leave it"):
        stratified_split(sequences([0, 0, 0, 1]), fraction=0.5, seed=0)


def test_a_class_of_one_can_stay_in_the_rest() -> None:
    for seed in range(5):
        rest, part = stratified_split(sequences([0, 0, 0, 0, 1]), fraction=0.5, seed=seed, keep_singletons=True)
        assert rest.class_counts.tolist() == [2, 1, 0]
        assert part.class_counts.tolist() == [2, 0, 0]


@pytest.mark.parametrize("labels", [[0, 0, 0, 0, 1, 1], [0]])
def test_too_few_for_both_sides_are_refused(labels: list[int]) -> None:
    with pytest.raises(
        DataError, match=r"^a split of \d sequences into \d and \d cannot hold \d classes on both sides;"
    ):
        stratified_split(sequences(labels), fraction=0.1, seed=0, keep_singletons=True)


@pytest.mark.parametrize(
    ("groups", "fraction", "message"),
    [
        (None, 0.2, r"^a split by group needs the group of each sequence, which a test does not tell; split by beat"),
        (["p"] * 3, 0.2, r"^a split by group needs 2 groups, met one, p; add another or split by beat instead$"),
        (["p", "q", "r"], 0.9, r"^fraction 0\.9 of 3 groups leaves no group in the rest; choose a smaller fraction$"),
    ],
)
def test_groups_that_cannot_be_split_are_refused(groups: list[str] | None, fraction: float, message: str) -> None:
    with pytest.raises(DataError, match=message):
        group_split(sequences([0, 0, 0], groups), fraction=fraction, seed=0)


@pytest.mark.parametrize("fraction", [0.0, 1.0, float("nan")])
def test_fractions_outside_are_refused(fraction: float) -> None:
    with pytest.raises(ValueError, match=rf"^fraction must be above 0 and below 1, met {fraction}; 0\.2 splits off"):
        stratified_split(sequences([0, 0]), fraction=fraction, seed=0)
