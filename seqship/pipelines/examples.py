"""What a model is trained and tested on, whatever it is: batches by epoch, and rows to compare runtimes on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from seqship.errors import DataError
from seqship.pipelines.class_balance import class_weights
from seqship.pipelines.pad import pad_right
from seqship.pipelines.plan import epoch_order, length_octiles, plan_batches
from seqship.pipelines.sequences import Sequences


class Examples(Protocol):
    """Inputs with their targets."""

    @property
    def source(self) -> str:
        """Where the data came from, in words."""
        ...

    def __len__(self) -> int: ...

    def batches(self, *, epoch: int, seed: int, batch_size: int, shuffle: bool = True, start_batch: int = 0) -> Any:
        """Returns the `tf.data` batches of one epoch, (inputs, targets) or (inputs, targets, weights).

        They depend on the arguments alone, and their number is known, so that training that was interrupted resumes
        with the very batch it would have seen.
        """
        ...

    def digest(self) -> str:
        """Returns a digest of the examples in their order."""
        ...

    def feeds(self, batch_size: int) -> Iterator[tuple[NDArray[np.int64], dict[str, NDArray[Any]]]]:
        """Yields the rows of each batch, and the inputs by name, for a runtime to answer."""
        ...

    def rows(self, most: int) -> Sequences | None:
        """Returns at most so many rows as sequences, to compare runtimes on; None where a row is no one sequence."""
        ...


@dataclass(frozen=True, eq=False)
class SequenceExamples:
    """Labelled sequences of unequal length, in padded batches of similar lengths.

    Attributes:
        sequences: The sequences.
        name: Name of the model's input.
        pad_value: What fills the steps behind the data.
        boundaries: Longest length of each bucket; None puts all into one, "auto" chooses the best eight.
        class_power: How far class weights go towards equal shares (`class_weights`); None has no weights.
        max_tokens: Most padded steps of a batch, in place of a batch size; None has batches of one size.
    """

    sequences: Sequences
    name: str
    pad_value: float
    boundaries: Sequence[int] | None = None
    class_power: float | None = None
    max_tokens: int | None = None

    @property
    def source(self) -> str:
        return self.sequences.source

    def __len__(self) -> int:
        return len(self.sequences)

    def batches(self, *, epoch: int, seed: int, batch_size: int, shuffle: bool = True, start_batch: int = 0) -> Any:
        """Returns the batches of one epoch, padded to their bucket's boundary."""
        from seqship.pipelines.epochs import training_batches

        weights = None
        if self.class_power is not None and shuffle:
            weights = class_weights(self.sequences.labels, classes=len(self.sequences.classes), power=self.class_power)
        return training_batches(
            self.sequences,
            epoch=epoch,
            seed=seed,
            pad_value=self.pad_value,
            class_weight=weights,
            shuffle=shuffle,
            start_batch=start_batch,
            **self.layout(batch_size),
        )

    def layout(self, batch_size: int) -> dict[str, Any]:
        """Returns the arguments of `plan_epoch` that say how sequences are put into batches."""
        if self.max_tokens is not None:
            return {"max_tokens": self.max_tokens}
        return {
            "batch_size": batch_size,
            "boundaries": self.boundaries,
            "pad_to_boundary": self.boundaries is not None,
        }

    def digest(self) -> str:
        """Returns a digest of lengths and labels."""
        return _digest(self.sequences.lengths, self.sequences.labels)

    def feeds(self, batch_size: int) -> Iterator[tuple[NDArray[np.int64], dict[str, NDArray[Any]]]]:
        """Yields padded batches of similar lengths."""
        step = self.sequences.values[0]
        options: dict[str, Any] = {"dtype": step.dtype, "step_shape": step.shape[1:]}
        found = padded_arrays(self.sequences, pad_value=self.pad_value, batch_size=batch_size, **options)
        return ((rows, {self.name: padded}) for rows, padded in found)

    def rows(self, most: int) -> Sequences | None:
        """Returns the first sequences."""
        return self.sequences.take(range(min(most, len(self))))


def padded_arrays(
    sequences: Sequences,
    *,
    pad_value: float,
    batch_size: int,
    dtype: DTypeLike,
    step_shape: Sequence[Any],
    length: int | None = None,
) -> Iterator[tuple[NDArray[np.int64], NDArray[Any]]]:
    """Yields right-padded batches of similar lengths with the rows that they hold, for a runtime to answer.

    Args:
        sequences: The sequences; each is in one batch.
        pad_value: What fills the steps behind the data.
        batch_size: Most rows of a batch.
        dtype: Element type of the batches.
        step_shape: Shape of one step; empty where a step is one number.
        length: Steps of every batch; those of its longest sequence where None.
    """
    lengths = sequences.lengths
    boundaries = length_octiles(lengths)
    plan = plan_batches(lengths, epoch=0, seed=0, batch_size=batch_size, boundaries=boundaries, shuffle=False)
    for start, stop in zip(plan.offsets[:-1], plan.offsets[1:], strict=True):
        rows = plan.rows[start:stop]
        padded = pad_right([sequences.values[row] for row in rows], pad_value=pad_value, length=length, dtype=dtype)
        yield rows, padded.reshape(*padded.shape[:2], *step_shape)  # `pad_right` gives a number an axis of its own.


@dataclass(frozen=True, eq=False)
class ArrayExamples:
    """Examples that are rows of arrays.

    Attributes:
        inputs: Arrays by the names of the model's inputs, each (n, ...).
        targets: What the model is to give, (n, ...).
        source: Where the data came from, in words.
    """

    inputs: Mapping[str, NDArray[Any]]
    targets: NDArray[Any]
    source: str = ""

    def __post_init__(self) -> None:
        sizes = {name: len(array) for name, array in self.inputs.items()} | {"the targets": len(self.targets)}
        if len(set(sizes.values())) != 1:
            raise ValueError(f"inputs and targets need the same number of rows, met {sizes}")
        if not len(self.targets):
            raise DataError(f"{self.source or 'the data'} gives no examples; give a longer series or shorter windows")

    def __len__(self) -> int:
        return len(self.targets)

    def batches(self, *, epoch: int, seed: int, batch_size: int, shuffle: bool = True, start_batch: int = 0) -> Any:
        """Returns the batches of one epoch, each one gather from the arrays."""
        import tensorflow as tf

        order = epoch_order(len(self), epoch=epoch, seed=seed, shuffle=shuffle)
        starts = np.arange(start_batch * batch_size, len(self), batch_size)
        with tf.device("CPU:0"):
            rows: Any = tf.constant(order)
            arrays = [tf.constant(array) for array in (*self.inputs.values(), self.targets)]

            def batch(start: Any) -> Any:
                members = rows[start : start + batch_size]
                *inputs, targets = (tf.gather(array, members) for array in arrays)
                return (inputs[0] if len(inputs) == 1 else dict(zip(self.inputs, inputs, strict=True))), targets

            made = tf.data.Dataset.from_tensor_slices(starts).map(batch, num_parallel_calls=tf.data.AUTOTUNE)
            return made.prefetch(tf.data.AUTOTUNE)

    def digest(self) -> str:
        """Returns a digest of all arrays."""
        return _digest(*self.inputs.values(), self.targets)

    def feeds(self, batch_size: int) -> Iterator[tuple[NDArray[np.int64], dict[str, NDArray[Any]]]]:
        """Yields the inputs in their order."""
        for start in range(0, len(self), batch_size):
            rows = np.arange(start, min(start + batch_size, len(self)))
            yield rows, {name: array[rows] for name, array in self.inputs.items()}

    def rows(self, most: int) -> Sequences | None:
        """Returns the first rows of the one input, each a sequence."""
        if len(self.inputs) != 1:
            return None
        (array,) = self.inputs.values()
        if array.ndim < 2 or array.dtype.kind not in "fiu":
            return None
        count = min(most, len(array))
        rows, targets = tuple(array[:count]), self.targets[:count]
        if targets.dtype.kind in "iu" and targets.ndim == 1 and targets.min() >= 0:
            classes = tuple(map(str, range(int(self.targets.max()) + 1)))
            return Sequences(rows, targets.astype(np.int64), classes, source=self.source)
        unknown = np.zeros(count, np.int64)
        return Sequences(
            rows, unknown, ("",), source=self.source, targets=targets if targets.dtype.kind == "f" else None
        )


def _digest(*arrays: NDArray[Any]) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]
