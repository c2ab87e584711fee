"""Epochs of in-memory sequences as `tf.data`, in an order that depends on the seed and the epoch's number alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from seqship.errors import DataError
from seqship.pipelines.plan import epoch_order, plan_batches
from seqship.pipelines.sequences import Sequences


def epoch(
    sequences: Sequences,
    *,
    epoch: int,
    seed: int,
    class_weight: NDArray[np.float32] | None = None,
    shuffle: bool = True,
) -> tf.data.Dataset[Any]:
    """Returns the elements of one epoch, one by one: what `padded_batches` takes.

    Args:
        sequences: The data.
        epoch: Number of the epoch, from 0.
        seed: Seed of all epochs.
        class_weight: Weight of each class, shaped (classes,); None gives elements without a weight.
        shuffle: Whether the order is random; otherwise it is that of `sequences`.

    Returns:
        Dataset of (values float32 (length, features), label int64 ()) and, with `class_weight`, weight float32 ();
        its cardinality is known.

    Raises:
        DataError: There are no sequences, or `class_weight` has not one weight a class.
        ValueError: `epoch` or `seed` is negative.
    """
    order = epoch_order(len(sequences), epoch=epoch, seed=seed, shuffle=shuffle)
    with tf.device("CPU:0"):
        flat, starts, lengths, features = _flatten(sequences)
        targets = _targets(sequences, class_weight)

        def element(row: tf.Tensor) -> tuple[tf.Tensor, ...]:
            values = flat[starts[row] : starts[row] + lengths[row]]
            return (tf.ensure_shape(values, (None, features)), *(target[row] for target in targets))

        return tf.data.Dataset.from_tensor_slices(order).map(element, num_parallel_calls=tf.data.AUTOTUNE)


def training_batches(
    sequences: Sequences,
    *,
    epoch: int,
    seed: int,
    batch_size: int,
    boundaries: Sequence[int] | None = None,
    pad_value: float,
    class_weight: NDArray[np.float32] | None = None,
    shuffle: bool = True,
    pad_to_boundary: bool = False,
) -> tf.data.Dataset[Any]:
    """Returns the right-padded batches of one epoch; each sequence is in exactly one batch.

    The batches are planned in numpy (see `plan.plan_batches`) and each is one gather from a flat tensor: an order of
    magnitude faster than batching element by element, countable, and the same for the same `seed` and `epoch`, so
    that interrupted training resumes with the batches it would have seen.

    Args:
        sequences: The data.
        epoch: Number of the epoch, from 0.
        seed: Seed of all epochs.
        batch_size: Sequences a batch; the last batch of a bucket may hold fewer.
        boundaries: Longest length of each bucket (a length of exactly a boundary is in that bucket), ascending; a
            last bucket takes what is longer. None puts all lengths in one bucket.
        pad_value: What fills the steps that are no data.
        class_weight: Weight of each class, shaped (classes,), as `class_weights` gives; None gives batches without.
        shuffle: Whether sequences and batches come in random order; otherwise sequences keep theirs within a bucket
            and batches are ordered by their first sequence.
        pad_to_boundary: Whether a batch is padded to its bucket's boundary (the last bucket's: the longest of all
            sequences) instead of its own longest sequence: fewer distinct shapes to compile, more padding.

    Returns:
        Dataset of (values float32 (batch, time, features), labels int64 (batch,)) and, with `class_weight`, weights
        float32 (batch,); its cardinality is known.

    Raises:
        DataError: There are no sequences, or `class_weight` has not one weight a class.
        ValueError: `batch_size` is below 1, `boundaries` are not ascending, or `epoch` or `seed` is negative.
    """
    plan = plan_batches(
        sequences.lengths,
        epoch=epoch,
        seed=seed,
        batch_size=batch_size,
        boundaries=boundaries,
        shuffle=shuffle,
        pad_to_boundary=pad_to_boundary,
    )
    # On the CPU, where tf.data runs: captured from a GPU the whole data set would be copied back for every batch.
    with tf.device("CPU:0"):
        flat, starts, lengths, features = _flatten(sequences)
        targets = _targets(sequences, class_weight)
        rows = tf.constant(plan.rows)

        def batch(start: tf.Tensor, stop: tf.Tensor, steps: tf.Tensor) -> tuple[tf.Tensor, ...]:
            members = rows[start:stop]
            length = tf.gather(lengths, members)[:, tf.newaxis]
            step = tf.range(steps)[tf.newaxis, :]
            # Steps past the end read the last step, so that the gather stays in range, and are then padded over.
            index = tf.gather(starts, members)[:, tf.newaxis] + tf.minimum(step, length - 1)
            padding = tf.constant(pad_value, flat.dtype)
            values = tf.where((step < length)[:, :, tf.newaxis], tf.gather(flat, index), padding)
            return (
                tf.ensure_shape(values, (None, None, features)),
                *(tf.gather(target, members) for target in targets),
            )

        batches = tf.data.Dataset.from_tensor_slices((plan.offsets[:-1], plan.offsets[1:], plan.steps))
        return batches.map(batch, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def _flatten(sequences: Sequences) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, int]:
    """Returns all steps in one tensor (steps, features), where each sequence starts, its length, and the features."""
    if not len(sequences):
        raise DataError("there are no sequences to train on; give at least one")
    flat = np.concatenate(sequences.values)
    lengths = sequences.lengths
    starts = np.cumsum(lengths) - lengths
    return tf.constant(flat), tf.constant(starts), tf.constant(lengths), int(flat.shape[1])


def _targets(sequences: Sequences, class_weight: NDArray[np.float32] | None) -> tuple[tf.Tensor, ...]:
    """Returns the labels and, with `class_weight`, the weight of each sequence."""
    labels = sequences.labels.astype(np.int64)
    if class_weight is None:
        return (tf.constant(labels),)
    weights = np.asarray(class_weight, dtype=np.float32)
    if weights.shape != (len(sequences.classes),):
        raise DataError(
            f"class_weight has the shape {weights.shape}; give one weight for each of the "
            f"{len(sequences.classes)} classes"
        )
    return tf.constant(labels), tf.constant(weights[labels])
