"""Examples of every kind: whole epochs, an order that depends on seed and epoch alone, and resuming at any batch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from seqship.errors import DataError
from seqship.pipelines import ArrayExamples, SequenceExamples, Sequences, as_series
from seqship.pipelines.examples import Examples
from seqship.pipelines.sequences import merge
from seqship.pipelines.window_examples import WindowExamples, split_windows


def sequences() -> SequenceExamples:
    random = np.random.default_rng(0)
    values = tuple(random.random((length, 2)).astype(np.float32) for length in random.integers(1, 9, 23))
    found = Sequences(values, random.integers(0, 2, 23), ("a", "b"), source="made up")
    return SequenceExamples(found, "signal", -1.0, (3, 8), 0.5)


def arrays() -> ArrayExamples:
    random = np.random.default_rng(1)
    return ArrayExamples({"signal": random.random((23, 4, 2)).astype(np.float32)}, np.arange(23.0), "made up")


def several() -> ArrayExamples:
    return ArrayExamples({"one": np.arange(23), "two": np.arange(23) * 10.0}, np.arange(23.0))


def windowed() -> WindowExamples:
    series = as_series(np.arange(60, dtype=np.float32)[:, None] ** 1.5, columns=["x"])
    return split_windows(series, name="signal", scaling="standard", length=4, horizon=2).train


KINDS = pytest.mark.parametrize("make", [sequences, arrays, several, windowed])


def listed(batches: Any) -> list[Any]:
    import tensorflow as tf

    def array(part: Any) -> Any:
        return part.numpy()

    return [tf.nest.map_structure(array, batch) for batch in batches]


def same(one: list[Any], other: list[Any]) -> bool:
    import tensorflow as tf

    flat = [tf.nest.flatten(batches) for batches in (one, other)]
    return len(flat[0]) == len(flat[1]) and all(np.array_equal(a, b) for a, b in zip(*flat, strict=True))


@KINDS
def test_an_epoch_is_the_same_again_and_resumes_anywhere(make: Any) -> None:
    examples: Examples = make()
    whole = listed(examples.batches(epoch=2, seed=1, batch_size=5))
    assert len(whole) == len(examples.batches(epoch=2, seed=1, batch_size=5))
    assert same(whole, listed(examples.batches(epoch=2, seed=1, batch_size=5)))
    assert not same(whole, listed(examples.batches(epoch=3, seed=1, batch_size=5)))
    assert not same(whole, listed(examples.batches(epoch=2, seed=2, batch_size=5)))
    rest = listed(examples.batches(epoch=2, seed=1, batch_size=5, start_batch=2))
    assert same(rest, whole[2:])
    assert sum(len(targets) for _, targets, *_ in whole) == len(examples)


@KINDS
def test_feeds_hold_every_row_once(make: Any) -> None:
    examples: Examples = make()
    rows = np.concatenate([rows for rows, _ in examples.feeds(5)])
    assert sorted(rows.tolist()) == list(range(len(examples)))
    for rows, feed in examples.feeds(5):
        assert {len(array) for array in feed.values()} == {len(rows)}


@KINDS
def test_other_data_has_another_digest(make: Any) -> None:
    assert make().digest() == make().digest()
    assert len({sequences().digest(), arrays().digest(), several().digest(), windowed().digest()}) == 4


def test_sequences_are_padded_and_weighted() -> None:
    examples = sequences()
    for rows, feed in examples.feeds(7):
        for row, padded in zip(rows, feed["signal"], strict=True):
            values = examples.sequences.values[row]
            assert np.array_equal(padded[: len(values)], values)
            assert (padded[len(values) :] == -1).all()
    shuffled = listed(examples.batches(epoch=0, seed=0, batch_size=5))
    ordered = listed(examples.batches(epoch=0, seed=0, batch_size=5, shuffle=False))
    assert {len(batch) for batch in shuffled} == {3}
    assert {len(batch) for batch in ordered} == {2}  # A validation loss is not weighted.
    assert {batch[0].shape[1] for batch in shuffled} == {3, 8}
    budget = SequenceExamples(examples.sequences, "signal", -1.0, max_tokens=16)
    assert (
        max(batch[0].shape[0] * batch[0].shape[1] for batch in listed(budget.batches(epoch=0, seed=0, batch_size=1)))
        <= 16
    )


def test_rows_are_what_runtimes_are_compared_on() -> None:
    found = arrays().rows(5)
    assert found is not None
    assert len(found) == 5
    assert np.array_equal(found.values[3], arrays().inputs["signal"][3])
    assert several().rows(5) is None
    flat = ArrayExamples({"x": np.arange(3.0)}, np.arange(3.0))
    assert flat.rows(2) is None
    raw = windowed().rows(3)
    assert raw is not None
    assert raw.values[1][:, 0].tolist() == pytest.approx([1, 2**1.5, 3**1.5, 8])


def test_rows_keep_what_is_to_be_predicted() -> None:
    found = arrays().rows(5)
    assert found is not None
    assert found.targets is not None
    assert found.targets.tolist() == [0, 1, 2, 3, 4]
    chosen = found.take([3, 1])
    assert chosen.targets is not None
    assert chosen.targets.tolist() == [3, 1]
    both = merge(found, chosen)
    assert both.targets is not None
    assert both.targets.tolist() == [0, 1, 2, 3, 4, 3, 1]
    assert merge(found, replace(chosen, targets=None)).targets is None
    raw = windowed().rows(3)
    assert raw is not None
    assert raw.targets is not None
    assert raw.targets[0].ravel().tolist() == pytest.approx([4**1.5, 5**1.5])  # In the units of the series.
    digits = ArrayExamples({"x": np.zeros((4, 3, 1), np.float32)}, np.array([2, 0, 1, 2])).rows(3)
    assert digits is not None
    assert (digits.labels.tolist(), digits.classes, digits.targets) == ([2, 0, 1], ("0", "1", "2"), None)


def test_rows_must_be_as_many_as_targets() -> None:
    with pytest.raises(
        ValueError, match=r"inputs and targets need the same number of rows, met \{'x': 2, 'the targets': 3\}"
    ):
        ArrayExamples({"x": np.arange(2)}, np.arange(3))
    with pytest.raises(DataError, match=r"^a file gives no examples; give a longer series or shorter windows$"):
        ArrayExamples({"x": np.arange(0)}, np.arange(0), "a file")


def test_windows_are_scaled_by_the_training_span_and_tested_raw() -> None:
    values = np.concatenate([np.zeros(30), np.full(30, 100.0)]).astype(np.float32)[:, None]
    values[:30:2] = 2
    split = split_windows(
        as_series(values, columns=["x"]), name="x", scaling="standard", train=0.5, validation=0.2, length=3
    )
    assert split.scaling is not None
    assert split.scaling.offset[0] == pytest.approx(1.0)
    assert split.scaling.scale[0] == pytest.approx(1.0)
    for inputs, targets in listed(split.train.batches(epoch=0, seed=0, batch_size=8)):
        assert set(np.unique(inputs)) <= {-1.0, 1.0}
        assert set(np.unique(targets)) <= {-1.0, 1.0}
    inputs, targets = split.test.arrays()
    assert set(np.unique(inputs)) == {100.0}
    assert inputs.shape == (len(split.test), 3, 1)
    assert targets.shape == (len(split.test), 1)
