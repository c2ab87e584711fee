"""Epochs of in-memory sequences as `tf.data`, in an order that depends on the seed and the epoch's number alone."""

from __future__ import annotations

from typing import Any, Literal, TypedDict

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from seqship.errors import DataError
from seqship.pipelines.flat_steps import FlatSteps, flat_steps
from seqship.pipelines.plan import Boundaries, epoch_order
from seqship.pipelines.planning import plan_epoch
from seqship.pipelines.sequences import Sequences


class Layout(TypedDict):
    """Options of `flat_steps` that values and labels of steps share."""

    max_length: int | None
    truncate: Literal["pre", "post"]
    side: Literal["right", "left"]


_WHOLE = Layout(max_length=None, truncate="post", side="right")


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
        Dataset of (values (length, features) or (length,), label int64 ()) and, with `class_weight`, weight float32
        (); labels of steps and their weights are shaped (length, ...). Its cardinality is known.

    Raises:
        DataError: There are no sequences, their arrays are not of one kind, or `class_weight` has not one weight a
            class.
        ValueError: `epoch` or `seed` is negative.
    """
    order = epoch_order(len(sequences), epoch=epoch, seed=seed, shuffle=shuffle)
    # On the CPU, where tf.data runs: captured from a GPU the whole data set would be copied back for every element.
    with tf.device("CPU:0"):
        _check_some(sequences)
        stepwise = [
            flat_steps(sequences.values, order, pad_value=0),
            *_step_targets(sequences, order, class_weight, 0, _WHOLE),
        ]
        targets = () if sequences.step_labels is not None else _targets(sequences, order, class_weight)

        def element(place: tf.Tensor) -> tuple[tf.Tensor, ...]:
            return (*(one.sequence(place) for one in stepwise), *(target[place] for target in targets))

        places = tf.data.Dataset.from_tensor_slices(np.arange(len(order)))
        return places.map(element, num_parallel_calls=tf.data.AUTOTUNE)


def training_batches(
    sequences: Sequences,
    *,
    epoch: int,
    seed: int,
    batch_size: int | None = None,
    max_tokens: int | None = None,
    boundaries: Boundaries = None,
    pad_value: float,
    class_weight: NDArray[np.float32] | None = None,
    shuffle: bool = True,
    pad_to_boundary: bool = False,
    pool: int | None = None,
    max_length: int | None = None,
    truncate: Literal["pre", "post"] = "post",
    side: Literal["right", "left"] = "right",
    label_pad_value: float = 0,
    shard: tuple[int, int] = (0, 1),
    start_batch: int = 0,
) -> tf.data.Dataset[Any]:
    """Returns the padded batches of one epoch; each sequence is in exactly one batch.

    The batches are planned in numpy (see `planning.plan_epoch`) and each is one slice of a flat tensor: an order of
    magnitude faster than batching element by element, countable, and the same for the same `seed` and `epoch`, so
    that interrupted training resumes with the batches it would have seen.

    Args:
        sequences: The data.
        epoch: Number of the epoch, from 0.
        seed: Seed of all epochs.
        batch_size: Sequences a batch; the last batch of a bucket may hold fewer. Exactly one of `batch_size` and
            `max_tokens` is given.
        max_tokens: Most steps a batch, padding counted. Without `boundaries` sequences are sorted by length, which
            pads least; with them a bucket takes as many sequences a batch as fit at its longest length.
        boundaries: Longest length of each bucket (a length of exactly a boundary is in that bucket), ascending; a
            last bucket takes what is longer. "auto" chooses those of eight buckets that pad least. None puts all
            lengths in one bucket.
        pad_value: What fills the steps that are no data.
        class_weight: Weight of each class, shaped (classes,), as `class_weights` gives; None gives batches without.
        shuffle: Whether sequences and batches come in random order; otherwise sequences keep theirs within a bucket
            and batches are ordered by their first sequence.
        pad_to_boundary: Whether a batch is padded to its bucket's boundary (the last bucket's: the longest of all
            sequences) instead of its own longest sequence: fewer distinct shapes to compile, more padding.
        pool: With `max_tokens` and no boundaries, how many sequences are sorted together; None is the whole epoch.
        max_length: Most steps of a sequence; longer ones are cut. None cuts nothing.
        truncate: Which end of a longer sequence is left out: "pre" its head, "post" its tail.
        side: Side of the padding. cuDNN's recurrent kernels and ONNX's `sequence_lens` take padding on the right alone.
        label_pad_value: What fills labels of steps where there is no data.
        shard: (index, count): batches index, index + count, ... of the epoch, for one of several workers.
        start_batch: Number of batches, of this shard, that have been seen: they are left out.

    Returns:
        Dataset of (values (batch, time, features) or (batch, time), labels int64 (batch,)) and, with `class_weight`,
        weights float32 (batch,); values have the dtype of `sequences`. Labels of steps are shaped (batch, time, ...),
        and so are their weights, which are 0 on padding. Its cardinality is known.

    Raises:
        DataError: There are no sequences, their arrays are not of one kind, a sequence exceeds `max_tokens`, or
            `class_weight` has not one weight a class.
        ValueError: The options contradict one another, `boundaries` are not ascending, or a number is out of its
            range.
    """
    if side not in ("right", "left"):
        raise ValueError(f"side must be 'right' or 'left', met {side!r}; 'right' suits every runtime")
    if truncate not in ("pre", "post"):
        raise ValueError(f"truncate must be 'pre' (drop the head) or 'post' (drop the tail), met {truncate!r}")
    plan = plan_epoch(
        sequences.lengths,
        epoch=epoch,
        seed=seed,
        batch_size=batch_size,
        max_tokens=max_tokens,
        boundaries=boundaries,
        shuffle=shuffle,
        pad_to_boundary=pad_to_boundary,
        pool=pool,
        max_length=max_length,
        shard=shard,
        start_batch=start_batch,
    )
    _check_some(sequences)
    # On the CPU, where tf.data runs: captured from a GPU the whole data set would be copied back for every batch.
    with tf.device("CPU:0"):
        layout = Layout(max_length=max_length, truncate=truncate, side=side)
        values = flat_steps(sequences.values, plan.rows, pad_value=pad_value, **layout)
        stepwise = [values, *_step_targets(sequences, plan.rows, class_weight, label_pad_value, layout)]
        targets = () if sequences.step_labels is not None else _targets(sequences, plan.rows, class_weight)

        def batch(start: tf.Tensor, stop: tf.Tensor, steps: tf.Tensor) -> tuple[tf.Tensor, ...]:
            return (*(one.batch(start, stop, steps) for one in stepwise), *(target[start:stop] for target in targets))

        batches = tf.data.Dataset.from_tensor_slices((plan.offsets[:-1], plan.offsets[1:], plan.steps))
        return batches.map(batch, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def _check_some(sequences: Sequences) -> None:
    if not len(sequences):
        raise DataError("there are no sequences to train on; give at least one")


def _targets(
    sequences: Sequences, rows: NDArray[np.int64], class_weight: NDArray[np.float32] | None
) -> tuple[tf.Tensor, ...]:
    """Returns the labels and, with `class_weight`, the weight of each sequence, in the order of `rows`."""
    labels = sequences.labels.astype(np.int64)[rows]
    if class_weight is None:
        return (tf.constant(labels),)
    return tf.constant(labels), tf.constant(_weights(sequences, class_weight)[labels])


def _step_targets(
    sequences: Sequences,
    rows: NDArray[np.int64],
    class_weight: NDArray[np.float32] | None,
    label_pad_value: float,
    layout: Layout,
) -> list[FlatSteps]:
    """Returns the labels and, with `class_weight`, the weight of each step; nothing where sequences have one label."""
    labels = sequences.step_labels
    if labels is None:
        return []
    for index, (label, value) in enumerate(zip(labels, sequences.values, strict=True)):
        if len(label) != len(value):
            raise DataError(f"sequence {index} has {len(value)} steps and labels for {len(label)}; give one a step")
    flat = [flat_steps(labels, rows, pad_value=label_pad_value, what="step labels", **layout)]
    if class_weight is None:
        return flat
    if labels[0].ndim != 1 or labels[0].dtype.kind not in "iu":
        raise DataError(
            f"class_weight needs a class for each step, whole numbers shaped (length,), met {labels[0].dtype} shaped "
            f"{labels[0].shape}; leave it out"
        )
    weights = _weights(sequences, class_weight)
    everything = np.concatenate(labels)
    for label in (int(everything.min()), int(everything.max())):
        if not 0 <= label < len(weights):
            raise DataError(
                f"class_weight needs labels from 0 to {len(weights) - 1}, the classes, met {label}; leave it out or "
                "correct the labels"
            )
    return [*flat, flat_steps([weights[label] for label in labels], rows, pad_value=0, **layout)]


def _weights(sequences: Sequences, class_weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns the weight of each class."""
    weights = np.asarray(class_weight, dtype=np.float32)
    if weights.shape != (len(sequences.classes),):
        raise DataError(
            f"class_weight has the shape {weights.shape}; give one weight for each of the "
            f"{len(sequences.classes)} classes"
        )
    return weights
