"""Padded batches of any `tf.data` dataset, bucketed by length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from seqship.errors import DataError
from seqship.pipelines.plan import check_batch_size, check_boundaries


def padded_batches(
    dataset: tf.data.Dataset[Any],
    *,
    batch_size: int | None = None,
    max_tokens: int | None = None,
    boundaries: Sequence[int] | None = None,
    pad_value: float,
    max_length: int | None = None,
    truncate: Literal["pre", "post"] = "post",
    drop_remainder: bool = False,
    pad_to_boundary: bool = False,
) -> tf.data.Dataset[Any]:
    """Batches sequences of unequal length, right-padded, those of like length together.

    For sequences in memory, `training_batches` is faster and knows its number of batches.

    Args:
        dataset: Elements (sequence, *rest): sequence shaped (time, ...), the rest scalars such as a label and a
            weight, which are batched as they are. An element may also be the sequence alone.
        batch_size: Sequences a batch. Exactly one of `batch_size` and `max_tokens` is given.
        max_tokens: Most steps a batch, padding counted; needs `max_length`. Each bucket then takes as many sequences
            a batch as fit at the bucket's longest length.
        boundaries: Longest length of each bucket, ascending: a sequence is in the first bucket whose boundary is at
            least its length; a last bucket takes what is longer. None is one bucket, with `max_tokens` eight of
            equal width.
        pad_value: What fills the steps that are no data.
        max_length: Longest length; longer sequences are truncated. None truncates nothing.
        truncate: Which end of a longer sequence is dropped: "pre" its head, "post" its tail.
        drop_remainder: Whether the last, smaller batch of a bucket is dropped.
        pad_to_boundary: Whether a batch is padded to its bucket's boundary (the last bucket's is `max_length`, which
            is needed) instead of its own longest sequence: fewer distinct shapes to compile, more padding.

    Returns:
        Dataset of (sequences (batch, time, ...), *rest (batch,)) with the dtypes of `dataset`.

    Raises:
        DataError: An element of `dataset` is not as described above.
        ValueError: The options contradict one another.
    """
    bounds = _bounds(boundaries, max_length, by_tokens=max_tokens is not None)
    if (batch_size is None) == (max_tokens is None):
        raise ValueError(f"give exactly one of batch_size and max_tokens, met {batch_size} and {max_tokens}")
    if batch_size is not None:
        check_batch_size(batch_size)
    if truncate not in ("pre", "post"):
        raise ValueError(f"truncate must be 'pre' (drop the head) or 'post' (drop the tail), met {truncate!r}")
    if max_length is None and (pad_to_boundary or max_tokens is not None):
        option = "pad_to_boundary" if pad_to_boundary else "max_tokens"
        raise ValueError(f"{option} needs max_length, met None: the last bucket has no other bound; give max_length")
    if max_tokens is not None and max_length is not None and max_tokens < max_length:
        raise ValueError(
            f"max_tokens {max_tokens} cannot hold one sequence of max_length {max_length}; raise it or lower max_length"
        )
    sequence_spec, rest_specs = _specs(dataset)
    if max_length is not None:
        dataset = dataset.map(_truncate(max_length, truncate), num_parallel_calls=tf.data.AUTOTUNE)
    shape: list[int | None] = [None, *sequence_spec.shape[1:]]
    padding = (tf.constant(pad_value, sequence_spec.dtype), *(_nothing(spec) for spec in rest_specs))
    if batch_size is not None and not bounds.size:
        steps = max_length if pad_to_boundary else None
        return dataset.padded_batch(
            batch_size,
            padded_shapes=_element(([steps, *shape[1:]], *([] for _ in rest_specs))),
            padding_values=_element(padding),
            drop_remainder=drop_remainder,
        )
    sizes = [batch_size or int((max_tokens or 0) // bound) for bound in bounds]
    # tf.data's boundaries are exclusive; ours are the longest length that a bucket takes.
    return dataset.bucket_by_sequence_length(
        element_length_func=_length,
        bucket_boundaries=[int(bound) + 1 for bound in bounds],
        bucket_batch_sizes=[*sizes, sizes[-1]],
        padded_shapes=_element((shape, *([] for _ in rest_specs))),
        padding_values=_element(padding),
        pad_to_bucket_boundary=pad_to_boundary,
        drop_remainder=drop_remainder,
    )


def _bounds(boundaries: Sequence[int] | None, max_length: int | None, *, by_tokens: bool) -> NDArray[np.int64]:
    """Returns the longest length of each bucket, `max_length` last where there is one and more than one bucket."""
    bounds = check_boundaries(boundaries)
    if max_length is None:
        return bounds
    if max_length < 1:
        raise ValueError(f"max_length must be 1 or more, met {max_length}; None truncates nothing")
    if by_tokens and not bounds.size:
        bounds = np.unique(np.arange(1, 8) * max_length // 8)
    elif not bounds.size:
        return bounds
    return np.append(bounds[(bounds >= 1) & (bounds < max_length)], max_length)


def _specs(dataset: tf.data.Dataset[Any]) -> tuple[tf.TensorSpec, tuple[tf.TensorSpec, ...]]:
    """Returns the specifications of the sequence and of the rest of an element."""
    spec: Any = dataset.element_spec
    specs: list[Any] = [*spec] if isinstance(spec, tuple) else [spec]
    sequence, *rest = specs
    if not isinstance(sequence, tf.TensorSpec) or not sequence.shape.rank:
        raise DataError(f"an element must begin with a sequence shaped (time, ...), met {sequence}; map it to one")
    for other in rest:
        if not isinstance(other, tf.TensorSpec) or other.shape.rank != 0:
            raise DataError(f"what follows the sequence must be scalars, met {other}; map it to one or leave it out")
    return sequence, tuple(rest)


def _truncate(max_length: int, truncate: str) -> Any:
    """Returns the function that cuts the sequence of an element to at most `max_length` steps."""
    kept = slice(max_length) if truncate == "post" else slice(-max_length, None)

    def cut(sequence: Any, *rest: Any) -> Any:
        return _element((sequence[kept], *rest))

    return cut


def _length(sequence: Any, *_: Any) -> Any:
    """Returns the number of steps of an element's sequence."""
    return tf.shape(sequence)[0]


def _element(parts: tuple[Any, ...]) -> Any:
    """Returns the element that tf.data makes of the parts: one part alone is no tuple."""
    first = parts[0]
    return parts if len(parts) > 1 else first


def _nothing(spec: tf.TensorSpec) -> tf.Tensor:
    """Returns a padding of the dtype of a scalar, which is never padded but must have one."""
    return tf.constant("" if spec.dtype == tf.string else 0, spec.dtype)
