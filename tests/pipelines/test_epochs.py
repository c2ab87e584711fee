"""Epochs of in-memory sequences as tf.data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from seqship.errors import DataError
from seqship.pipelines.epochs import epoch, training_batches
from seqship.pipelines.planning import plan_epoch
from seqship.pipelines.sequences import Sequences, merge

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


def stepwise(n: int = 23, shape: tuple[int, ...] = (), dtype: str = "int64") -> Sequences:
    """Sequences whose steps and labels all differ, so that a step out of place shows."""
    rng = np.random.default_rng(3)
    lengths = rng.integers(1, 12, n)
    ends = np.cumsum(lengths)
    values = [
        np.arange(end - length, end).reshape(-1, *[1] * len(shape)) * np.ones(shape, int)
        for end, length in zip(ends, lengths, strict=True)
    ]
    return Sequences(
        tuple((value + 1).astype(dtype) for value in values),
        rng.integers(0, 3, n),
        ("a", "b", "c"),
        step_labels=tuple(
            (np.arange(end - length, end) % 3).astype(np.int32) for end, length in zip(ends, lengths, strict=True)
        ),
    )


def padded(array: NDArray[Any], steps: int, value: float, side: str) -> NDArray[Any]:
    """Returns one padded sequence, written out."""
    filled = np.full((steps, *array.shape[1:]), value, array.dtype)
    filled[slice(len(array)) if side == "right" else slice(steps - len(array), None)] = array
    return filled


@settings(max_examples=40, deadline=None)
@given(
    shape=st.sampled_from([(), (1,), (3,)]),
    dtype=st.sampled_from(["int64", "int32", "uint8", "float32", "float64"]),
    size=st.sampled_from([{"batch_size": 4}, {"batch_size": 4, "boundaries": "auto"}, {"max_tokens": 40}]),
    max_length=st.none() | st.integers(1, 13),
    truncate=st.sampled_from(["pre", "post"]),
    side=st.sampled_from(["right", "left"]),
    shard=st.sampled_from([(0, 1), (0, 2), (1, 2)]),
    start_batch=st.integers(0, 2),
)
def test_batches_are_what_the_plan_says(
    shape: tuple[int, ...],
    dtype: str,
    size: dict[str, Any],
    max_length: int | None,
    truncate: Any,
    side: Any,
    shard: tuple[int, int],
    start_batch: int,
) -> None:
    data = stepwise(shape=shape, dtype=dtype)
    weight = np.array([0.5, 1.0, 3.0], np.float32)
    options: dict[str, Any] = {"epoch": 1, "seed": 2, "max_length": max_length, "shard": shard, **size}
    start_batch = min(start_batch, len(plan_epoch(data.lengths, **options)))  # An epoch may be a single batch.
    plan = plan_epoch(data.lengths, **options, start_batch=start_batch)
    layout: dict[str, Any] = {"truncate": truncate, "side": side, "start_batch": start_batch}
    dataset: Any = training_batches(data, **options, **layout, pad_value=200, label_pad_value=-1, class_weight=weight)
    spec: Any = dataset.element_spec
    assert [tuple(part.shape) for part in spec] == [(None, None, *shape), (None, None), (None, None)]
    made = collect(dataset)
    assert int(dataset.cardinality()) == len(made) == len(plan)
    most = max_length or 99
    kept = slice(most) if truncate == "post" else slice(-most, None)
    for (values, labels, weights), start, stop, steps in zip(
        made, plan.offsets[:-1], plan.offsets[1:], plan.steps, strict=True
    ):
        members = plan.rows[start:stop]
        assert (values.dtype, labels.dtype, weights.dtype) == (np.dtype(dtype), np.int32, np.float32)
        assert values.shape == (len(members), steps, *shape)
        assert data.step_labels is not None
        for place, member in enumerate(members):
            label = data.step_labels[member][kept]
            np.testing.assert_array_equal(values[place], padded(data.values[member][kept], steps, 200, side))
            np.testing.assert_array_equal(labels[place], padded(label, steps, -1, side))
            np.testing.assert_array_equal(weights[place], padded(weight[label], steps, 0, side))


def test_token_ids_keep_one_label_a_sequence() -> None:
    data = stepwise()
    tokens = Sequences(data.values, data.labels, data.classes)
    spec: Any = training_batches(tokens, epoch=0, seed=0, max_tokens=30, pad_value=0).element_spec
    assert [(tuple(part.shape), part.dtype.name) for part in spec] == [((None, None), "int64"), ((None,), "int64")]
    owner = {int(step): row for row, value in enumerate(data.values) for step in value}
    for values, labels in collect(training_batches(tokens, epoch=0, seed=0, max_tokens=30, pad_value=0)):
        np.testing.assert_array_equal(labels, [data.labels[owner[row[0]]] for row in values])


def test_elements_have_labels_of_steps() -> None:
    data = stepwise(shape=(2,), dtype="float32")
    weight = np.array([0.5, 1.0, 3.0], np.float32)
    elements = collect(epoch(data, epoch=0, seed=0, shuffle=False, class_weight=weight))
    assert data.step_labels is not None
    for (values, labels, weights), value, label in zip(elements, data.values, data.step_labels, strict=True):
        np.testing.assert_array_equal(values, value)
        np.testing.assert_array_equal(labels, label)
        np.testing.assert_array_equal(weights, weight[label])


def test_labels_of_steps_may_be_vectors() -> None:
    data = stepwise()
    outputs = tuple(value[:, np.newaxis] * np.array([1.0, -1.0]) for value in data.values)
    vectors = Sequences(data.values, data.labels, data.classes, step_labels=outputs)
    for values, labels in collect(training_batches(vectors, epoch=0, seed=0, batch_size=5, pad_value=0)):
        np.testing.assert_array_equal(labels, values[:, :, np.newaxis] * np.array([1.0, -1.0]))


def test_resumed_training_sees_the_rest_of_the_epoch() -> None:
    data = sequences()
    options: dict[str, Any] = {"epoch": 3, "seed": 1, "max_tokens": 90, "pad_value": PAD}
    whole = collect(training_batches(data, **options))
    rest = collect(training_batches(data, **options, start_batch=4))
    assert len(rest) == len(whole) - 4
    for one, other in zip(rest, whole[4:], strict=True):
        for part, same in zip(one, other, strict=True):
            np.testing.assert_array_equal(part, same)
    assert collect(training_batches(data, **options, start_batch=len(whole))) == []


def changed(**fields: Any) -> Sequences:
    made: dict[str, Any] = {"values": (np.ones(2, np.int64), np.ones(3, np.int64)), "labels": np.zeros(2, np.int64)}
    made |= {"classes": ("a",), **fields}
    return Sequences(**made)


MIXED: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    (
        {"values": (np.ones((2, 1)), np.ones((3, 2)))},
        {},
        r"values of sequence 1 are float64 shaped \(3, 2\), of sequence 0 float64 shaped \(2, 1\); make all "
        r"\(length,\) or all \(length, features\), of one dtype",
    ),
    (
        {"values": (np.ones(2), np.ones(3, np.float32))},
        {},
        r"values of sequence 1 are float32 shaped \(3,\), of sequence 0 float64 shaped \(2,\); make all .*",
    ),
    ({"values": (np.ones(2), np.ones(0))}, {}, r"sequence 1 is empty; a sequence has at least one step"),
    (
        {"values": (np.array(["a"]), np.array(["b"]))},
        {},
        r"values must be numbers, met <U1; texts become token ids with TextVectorizer",
    ),
    ({}, {"pad_value": 0.5}, r"int64 cannot hold the padding 0\.5; take another pad_value or a float dtype"),
    (
        {"values": (np.ones(2, np.uint8), np.ones(3, np.uint8))},
        {"pad_value": -1},
        r"uint8 cannot hold the padding -1; take another pad_value or a float dtype",
    ),
    (
        {"step_labels": (np.zeros(2, int), np.zeros(2, int))},
        {},
        r"sequence 1 has 3 steps and labels for 2; give one a step",
    ),
    (
        {"step_labels": (np.zeros(2), np.zeros(3))},
        {"class_weight": np.ones(1, np.float32)},
        r"class_weight needs a class for each step, whole numbers shaped \(length,\), met float64 shaped \(2,\); leave "
        r"it out",
    ),
    (
        {"step_labels": (np.array([0, 0]), np.array([0, -1, 0]))},
        {"class_weight": np.ones(1, np.float32)},
        r"class_weight needs labels from 0 to 0, the classes, met -1; leave it out or correct the labels",
    ),
]


@pytest.mark.parametrize(("fields", "options", "message"), MIXED)
def test_sequences_that_cannot_be_batched_are_refused(
    fields: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    given_options: dict[str, Any] = {"epoch": 0, "seed": 0, "batch_size": 2, "pad_value": 0, **options}
    with pytest.raises(DataError, match=f"^{message}$"):
        training_batches(changed(**fields), **given_options)


def test_sides_that_are_none_are_refused() -> None:
    wrong: Any = "both"
    options: dict[str, Any] = {"epoch": 0, "seed": 0, "batch_size": 2, "pad_value": 0}
    with pytest.raises(ValueError, match=r"^side must be 'right' or 'left', met 'both'; 'right' suits every runtime$"):
        training_batches(changed(), **options, side=wrong)
    with pytest.raises(ValueError, match=r"^truncate must be 'pre' \(drop the head\) or 'post' \(drop .*, met 'both'$"):
        training_batches(changed(), **options, truncate=wrong)


def test_taken_and_merged_sequences_keep_their_labels_of_steps() -> None:
    data = stepwise()
    assert data.step_labels is not None
    part = data.take([4, 2])
    assert part.step_labels == (data.step_labels[4], data.step_labels[2])
    both = merge(part, data)
    assert part.step_labels is not None
    assert both.step_labels == (*part.step_labels, *data.step_labels)
    assert both.values == (*part.values, *data.values)
    assert merge(part, Sequences(data.values, data.labels, data.classes)).step_labels is None
    assert sequences().take([0]).step_labels is None
