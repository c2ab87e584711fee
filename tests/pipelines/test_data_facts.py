"""What a recipe's examples are, in numbers."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from seqship.pipelines.data_facts import epoch_plan, facts_of, length_bars
from seqship.pipelines.examples import ArrayExamples, SequenceExamples
from seqship.pipelines.sequences import Sequences
from seqship.pipelines.series import as_series
from seqship.pipelines.window_examples import split_windows

LENGTHS = (3, 4, 9, 10, 3, 4, 9, 10)


def examples(**options: object) -> SequenceExamples:
    values = tuple(np.ones((length, 1), np.float32) for length in LENGTHS)
    sequences = Sequences(values, np.arange(8) % 2, ("even", "odd"), source="a test")
    return SequenceExamples(sequences, "x", -1.0, **options)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("options", [{}, {"boundaries": (4, 10)}, {"max_tokens": 20}])
def test_the_plan_is_that_of_the_batches(options: dict[str, object]) -> None:
    made = examples(**options)
    plan = epoch_plan(made, batch_size=4, seed=7)
    shapes = [tuple(batch[0].shape[:2]) for batch in made.batches(epoch=0, seed=7, batch_size=4)]
    assert shapes == list(zip(np.diff(plan.offsets).tolist(), plan.steps.tolist(), strict=True))


def test_sequences() -> None:
    facts = facts_of(examples(boundaries=(4, 10)), batch_size=4)
    assert (facts["kind"], facts["examples"], facts["batches"], facts["source"]) == ("sequences", 8, 2, "a test")
    assert facts["lengths"] == {"min": 3, "median": 6.5, "max": 10}
    assert facts["classes"] == {"even": 4, "odd": 4}
    assert facts["padding"]["waste"] == pytest.approx(1 - 52 / 56)
    assert facts["padding"]["batch_tokens_max"] == 40
    assert facts["waste_unsorted"] > facts["padding"]["waste"]
    assert sum(bar["sequences"] for bar in facts["histogram"]) == 8


def test_windows_count_what_is_missing() -> None:
    values = np.arange(100, dtype=np.float32)
    values[[3, 5, 90]] = np.nan
    split = split_windows(as_series(values, columns=["load"]), name="x", length=4, missing="drop")
    facts = facts_of(split.train, batch_size=10)
    assert (facts["kind"], facts["steps"], facts["missing"]) == ("windows", 70, {"load": 2})
    assert facts["examples"] == len(split.train)
    assert facts["batches"] == -(-len(split.train) // 10)
    assert facts["window"]["length"] == 4
    assert facts_of(split.test, batch_size=10)["missing"] == {"load": 1}


def test_arrays() -> None:
    facts = facts_of(ArrayExamples({"a": np.zeros((5, 2, 3))}, np.zeros(5)), batch_size=2)
    assert (facts["kind"], facts["batches"], facts["inputs"], facts["targets"]) == ("arrays", 3, {"a": [2, 3]}, [])


def test_bars_hold_every_sequence_once() -> None:
    assert length_bars(np.array([5, 5, 5])) == [(5, 5, 3)]
    bars = length_bars(np.arange(1, 101), most=12)
    assert bars[0] == (1, 9, 9)
    assert bars[-1] == (100, 100, 1)
    assert sum(count for *_, count in bars) == 100
    assert all(last + 1 == first for (_, last, _), (first, _, _) in itertools.pairwise(bars))
