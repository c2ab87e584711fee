"""Epochs of in-memory sequences as tf.data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from seqship.errors import DataError
from seqship.pipelines.epochs import epoch, training_batches
from seqship.pipelines.sequences import Sequences

PAD = -1.0


def sequences(n: int = 57, features: int = 2) -> Sequences:
    """Sequences whose first element is their index."""
    rng = np.random.default_rng(1)
    values = [rng.normal(size=(length, features)).astype(np.float32) for length in rng.integers(1, 30, n)]
    for index, value in enumerate(values):
        value[0, 0] = index
    return Sequences(tuple(values), rng.integers(0, 3, n), ("a", "b", "c"))


def collect(dataset: Any) -> list[tuple[Any, ...]]:
    return [tuple(part.numpy() for part in element) for element in dataset]


@pytest.mark.parametrize("boundaries", [None, [8, 16]])
@pytest.mark.parametrize("pad_to_boundary", [False, True])
def test_every_sequence_comes_once_right_padded(boundaries: list[int] | None, pad_to_boundary: bool) -> None:
    data = sequences()
    dataset = training_batches(
        data,
        epoch=0,
        seed=0,
        batch_size=8,
        boundaries=boundaries,
        pad_value=PAD,
        pad_to_boundary=pad_to_boundary,
    )
    batches = collect(dataset)
    assert int(dataset.cardinality()) == len(batches)
    seen: list[int] = []
    for values, labels in batches:
        members = values[:, 0, 0].astype(int)
        seen += members.tolist()
        np.testing.assert_array_equal(labels, data.labels[members])
        lengths = data.lengths[members]
        if not pad_to_boundary:
            assert values.shape[1] == lengths.max()
        elif boundaries:
            assert values.shape[1] in (8, 16, data.lengths.max())
        for row, member in zip(values, members, strict=True):
            length = data.lengths[member]
            np.testing.assert_array_equal(row[:length], data.values[member])
            assert (row[length:] == PAD).all()
    assert sorted(seen) == list(range(len(data)))


def test_element_spec_leaves_batch_and_time_free() -> None:
    spec: Any = training_batches(sequences(), epoch=0, seed=0, batch_size=8, pad_value=PAD).element_spec
    assert [tuple(part.shape) for part in spec] == [(None, None, 2), (None,)]
    assert [part.dtype.name for part in spec] == ["float32", "int64"]


def test_an_epoch_can_be_repeated_and_differs_from_the_next() -> None:
    def order(number: int) -> list[float]:
        dataset = training_batches(sequences(), epoch=number, seed=5, batch_size=8, boundaries=[8], pad_value=PAD)
        return [float(index) for values, _ in collect(dataset) for index in values[:, 0, 0]]

    assert order(2) == order(2)
    assert order(2) != order(3)


def test_weights_follow_the_labels() -> None:
    weight = np.array([0.5, 1.0, 3.0], np.float32)
    data = sequences()
    for dataset in (
        training_batches(data, epoch=0, seed=0, batch_size=8, pad_value=PAD, class_weight=weight),
        epoch(data, epoch=0, seed=0, class_weight=weight),
    ):
        for _, labels, weights in collect(dataset):
            np.testing.assert_array_equal(weights, weight[labels])


def test_elements_of_an_epoch_come_unpadded_in_its_order() -> None:
    data = sequences()
    dataset = epoch(data, epoch=0, seed=0, shuffle=False)
    assert int(dataset.cardinality()) == len(data)
    for (values, label), expected, expected_label in zip(collect(dataset), data.values, data.labels, strict=True):
        np.testing.assert_array_equal(values, expected)
        assert label == expected_label
    shuffled = [float(values[0, 0]) for values, _ in collect(epoch(data, epoch=0, seed=0))]
    assert shuffled != sorted(shuffled)
    assert sorted(shuffled) == list(range(len(data)))


def test_no_sequences_are_refused() -> None:
    empty = Sequences((), np.zeros(0, np.int64), ("a",))
    with pytest.raises(DataError, match=r"^there are no sequences to train on; give at least one$"):
        training_batches(empty, epoch=0, seed=0, batch_size=8, pad_value=PAD)


def test_weights_of_another_number_of_classes_are_refused() -> None:
    with pytest.raises(
        DataError, match=r"^class_weight has the shape \(2,\); give one weight for each of the 3 classes$"
    ):
        epoch(sequences(), epoch=0, seed=0, class_weight=np.ones(2, np.float32))
