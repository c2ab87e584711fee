"""Padded batches of any dataset."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from seqship.errors import DataError
from seqship.pipelines.bucket import padded_batches

PAD = -1


def generated(lengths: list[int]) -> Any:
    """Sequence i is i * 100, i * 100 + 1, ...; its label is i and its weight i / 2."""

    def rows() -> Any:
        for row, length in enumerate(lengths):
            yield row * 100 + np.arange(length), row, row / 2

    signature = (tf.TensorSpec((None,), tf.int64), tf.TensorSpec((), tf.int64), tf.TensorSpec((), tf.float32))
    return tf.data.Dataset.from_generator(rows, output_signature=signature)


def collect(batches: Any) -> list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]]:
    return [tuple(part.numpy() for part in batch) for batch in batches]


@settings(max_examples=25, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 20), min_size=1, max_size=25),
    boundaries=st.none() | st.sets(st.integers(1, 22), min_size=1, max_size=3).map(sorted),
    batch_size=st.none() | st.integers(1, 6),
    max_length=st.none() | st.integers(3, 20),
    truncate=st.sampled_from(["pre", "post"]),
    pad_to_boundary=st.booleans(),
)
def test_every_sequence_comes_once_in_its_bucket(
    lengths: list[int],
    boundaries: list[int] | None,
    batch_size: int | None,
    max_length: int | None,
    truncate: Any,
    pad_to_boundary: bool,
) -> None:
    if batch_size is None or pad_to_boundary:
        max_length = max_length or 20
    max_tokens = None if batch_size else 3 * (max_length or 20)
    batches = collect(
        padded_batches(
            generated(lengths),
            batch_size=batch_size,
            max_tokens=max_tokens,
            boundaries=boundaries,
            pad_value=PAD,
            max_length=max_length,
            truncate=truncate,
            pad_to_boundary=pad_to_boundary,
        )
    )
    seen: list[int] = []
    limit = max_length or 20
    bounds = [bound for bound in boundaries or [] if bound < limit or max_length is None]
    for values, labels, weights in batches:
        np.testing.assert_array_equal(weights, labels / 2)
        seen += labels.tolist()
        kept = [min(lengths[row], limit) for row in labels]
        if not pad_to_boundary:
            assert values.shape[1] == max(kept)
        elif boundaries and batch_size:
            assert values.shape[1] == min(bound for bound in [*bounds, limit] if bound >= max(kept))
        if boundaries:
            assert len({sum(bound < length for bound in bounds) for length in kept}) == 1
        if max_tokens is None:
            assert len(values) <= (batch_size or 0)
        else:
            assert values.size <= max_tokens
        for row, value, length in zip(labels, values, kept, strict=True):
            whole = row * 100 + np.arange(lengths[row])
            np.testing.assert_array_equal(value[:length], whole[:length] if truncate == "post" else whole[-length:])
            assert (value[length:] == PAD).all()
    assert sorted(seen) == list(range(len(lengths)))


def test_a_length_of_exactly_a_boundary_is_in_that_bucket() -> None:
    batches = collect(padded_batches(generated([4, 5, 4, 5]), batch_size=2, boundaries=[4], pad_value=PAD))
    assert [labels.tolist() for _, labels, _ in batches] == [[0, 2], [1, 3]]


def test_smaller_batches_can_be_dropped() -> None:
    batches = padded_batches(
        generated([4, 5, 4, 5, 4]), batch_size=2, boundaries=[4], pad_value=PAD, drop_remainder=True
    )
    assert [labels.tolist() for _, labels, _ in collect(batches)] == [[0, 2], [1, 3]]


def test_a_bucket_of_short_sequences_takes_more_of_them() -> None:
    lengths = [2] * 48 + [16] * 4
    batches = collect(padded_batches(generated(lengths), max_tokens=32, max_length=16, pad_value=PAD))
    assert {values.shape for values, _, _ in batches} == {(16, 2), (2, 16)}


def test_sequences_alone_are_batched_and_keep_their_features() -> None:
    alone = tf.data.Dataset.from_tensors(tf.ones((3, 2))).repeat(2)
    for options in ({"batch_size": 2}, {"batch_size": 2, "boundaries": [5]}, {"batch_size": 2, "max_length": 8}):
        (batch,) = padded_batches(alone, pad_value=PAD, **options)  # pyright: ignore[reportArgumentType] - options vary
        assert batch.shape == (2, 3, 2)


def test_labels_may_be_words() -> None:
    words = tf.data.Dataset.from_tensors((tf.ones((3,)), tf.constant("word"))).repeat(2)
    ((_, labels),) = collect(padded_batches(words, batch_size=2, boundaries=[5], pad_value=PAD))  # pyright: ignore[reportAssignmentType] - two parts
    assert labels.tolist() == [b"word", b"word"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"^give exactly one of batch_size and max_tokens, met None and None$"),
        ({"batch_size": 2, "max_tokens": 9}, r"^give exactly one of batch_size and max_tokens, met 2 and 9$"),
        ({"batch_size": 0}, r"^batch_size must be 1 or more, met 0;"),
        ({"max_tokens": 9}, r"^max_tokens needs max_length, met None: the last bucket has no other bound;"),
        ({"batch_size": 2, "pad_to_boundary": True}, r"^pad_to_boundary needs max_length, met None"),
        ({"max_tokens": 9, "max_length": 10}, r"^max_tokens 9 cannot hold one sequence of max_length 10; raise it"),
        ({"batch_size": 2, "max_length": 0}, r"^max_length must be 1 or more, met 0; None truncates nothing$"),
        ({"batch_size": 2, "boundaries": [4, 3]}, r"^boundaries must be whole, positive and ascending, met \[4, 3\]"),
        ({"batch_size": 2, "truncate": "left"}, r"^truncate must be 'pre' \(drop the head\) or 'post' .* met 'left'$"),
    ],
)
def test_options_that_contradict_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        padded_batches(generated([1]), pad_value=PAD, **options)


@pytest.mark.parametrize(
    ("element", "message"),
    [
        (tf.constant(1), r"^an element must begin with a sequence shaped \(time, \.\.\.\), met TensorSpec"),
        ({"x": tf.ones((3,))}, r"^an element must begin with a sequence shaped"),
        ((tf.ones((3,)), tf.ones((2,))), r"^what follows the sequence must be scalars, met TensorSpec\(shape=\(2,\)"),
    ],
)
def test_elements_of_another_kind_are_refused(element: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        padded_batches(tf.data.Dataset.from_tensors(element), batch_size=2, pad_value=PAD)
