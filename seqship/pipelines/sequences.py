"""Labelled sequences of unequal length, in memory."""

from __future__ import annotations

from collections.abc import Sequence as AbstractSequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Sequences:
    """Sequences of unequal length with one label each, or one a step.

    Attributes:
        values: One array a sequence, all of one numeric dtype, shaped (length, features), or (length,) where a step is
            one number such as a token id; length at least 1.
        labels: Class of each sequence, int64, shaped (n,), within `range(len(classes))`.
        classes: Names of the classes.
        groups: What each sequence came from (a patient's record, say), shaped (n,), strings; None where unknown.
        source: Where the data came from, in words.
        step_labels: Label of each step, one array a sequence, all of one numeric dtype, shaped (length,) or
            (length, outputs); None where a sequence has one label. Where they are given, batches hold them in place of
            `labels`.
        targets: What a regression is to give for each sequence, shaped (n, ...), floating-point; None where there is no
            such thing.
    """

    values: tuple[NDArray[Any], ...]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    groups: NDArray[np.str_] | None = None
    source: str = ""
    step_labels: tuple[NDArray[Any], ...] | None = None
    targets: NDArray[Any] | None = None

    def __len__(self) -> int:
        return len(self.values)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Number of steps of each sequence, shaped (n,)."""
        return np.fromiter((len(value) for value in self.values), dtype=np.int64, count=len(self.values))

    @property
    def class_counts(self) -> NDArray[np.int64]:
        """Number of sequences of each class, shaped (classes,)."""
        return np.bincount(self.labels, minlength=len(self.classes))

    def take(self, indices: AbstractSequence[int] | NDArray[np.int64]) -> Sequences:
        """Returns the sequences at `indices`, in that order."""
        chosen = np.asarray(indices, dtype=np.int64)
        groups = None if self.groups is None else self.groups[chosen]
        values = tuple(self.values[i] for i in chosen)
        step_labels = None if self.step_labels is None else tuple(self.step_labels[i] for i in chosen)
        targets = None if self.targets is None else self.targets[chosen]
        return Sequences(values, self.labels[chosen], self.classes, groups, self.source, step_labels, targets)


def merge(one: Sequences, other: Sequences) -> Sequences:
    """Returns the sequences of both; groups, labels of steps and targets are known where both know them.

    Args:
        one: Sequences.
        other: Sequences of the same classes.
    """
    groups = None if one.groups is None or other.groups is None else np.concatenate([one.groups, other.groups])
    labels = np.concatenate([one.labels, other.labels])
    source = one.source if one.source == other.source else f"{one.source} and {other.source.split()[-1]}"
    both = None if one.step_labels is None or other.step_labels is None else one.step_labels + other.step_labels
    targets = None if one.targets is None or other.targets is None else np.concatenate([one.targets, other.targets])
    return Sequences(one.values + other.values, labels, one.classes, groups, source, both, targets)
