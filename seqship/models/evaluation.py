"""How well a classifier does on held-out sequences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Classification:
    """Result of a classifier on a test split.

    Attributes:
        classes: Names of the classes.
        confusion: Number of sequences by true class (rows) and predicted class (columns), int64.
        majority: Accuracy of always saying the class that is most frequent in training.
    """

    classes: tuple[str, ...]
    confusion: NDArray[np.int64]
    majority: float

    @property
    def accuracy(self) -> float:
        """Share of the sequences that are classified right."""
        return float(np.trace(self.confusion) / self.confusion.sum())

    @property
    def support(self) -> tuple[int, ...]:
        """Number of test sequences of each class."""
        return tuple(int(count) for count in self.confusion.sum(axis=1))

    @property
    def recall(self) -> tuple[float | None, ...]:
        """Share of each class that is found; None for a class without an example."""
        found = np.diag(self.confusion)
        return tuple(int(right) / count if count else None for right, count in zip(found, self.support, strict=True))

    def to_json(self) -> dict[str, Any]:
        """Returns the JSON form."""
        return {
            "classes": list(self.classes),
            "confusion": self.confusion.tolist(),
            "recall": list(self.recall),
            "support": list(self.support),
        }


def classification(
    labels: NDArray[np.int64],
    scores: NDArray[np.floating],
    classes: tuple[str, ...],
    training_counts: NDArray[np.int64],
) -> Classification:
    """Scores a classifier.

    Args:
        labels: True classes, shaped (n,), n at least 1.
        scores: Class scores, shaped (n, classes).
        classes: Names of the classes.
        training_counts: Number of training sequences of each class, shaped (classes,).
    """
    from sklearn.metrics import confusion_matrix

    matrix = confusion_matrix(labels, scores.argmax(axis=1), labels=range(len(classes)))
    majority = float(np.mean(labels == int(np.argmax(training_counts))))
    return Classification(classes, np.asarray(matrix, np.int64), majority)
