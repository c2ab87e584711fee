"""How well a classifier does on held-out sequences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqship.models.recipe import Evaluation, Outputs, Recipe, RecipeData
from seqship.pipelines.examples import SequenceExamples
from seqship.pipelines.sequences import Sequences
from seqship.pipelines.signature_contracts import score_of_each_class

EXAMPLES_PER_CLASS = 3


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


def classify(recipe: Recipe, data: RecipeData, outputs: Outputs, seed: int) -> Evaluation:
    """Says how well a classifier of sequences does: accuracy against the majority class, recall, examples.

    A single score is the probability of the second of two classes.
    """
    train, test = data.train, data.test
    if not (isinstance(train, SequenceExamples) and isinstance(test, SequenceExamples)):
        raise TypeError(f"recipe {recipe.name!r} classifies what are no labelled sequences")
    scores = score_of_each_class(outputs[recipe.outputs[0].name])
    labels = test.sequences.labels
    result = classification(labels, scores, recipe.classes, train.sequences.class_counts)
    recall = dict(zip(result.classes, result.recall, strict=True))
    metrics = {
        "test_accuracy": result.accuracy,
        "majority_accuracy": result.majority,
        "recall": recall,
        "test_rows": len(test),
    }
    against = f"{len(test):,} test rows; always the majority class: {result.majority:.3f}"
    lines = (
        ("accuracy", f"{result.accuracy:.3f} on {against}"),
        ("recall", "  ".join(f"{name} {'-' if share is None else f'{share:.2f}'}" for name, share in recall.items())),
    )
    examples = () if data.vectorizer is not None else _examples(test.sequences, scores, seed)
    return Evaluation(metrics, lines, result.to_json(), examples)


def _examples(test: Sequences, scores: NDArray[np.floating], seed: int) -> tuple[dict[str, Any], ...]:
    """Picks a few sequences of each class, one of them classified wrong where there is one."""
    generator = np.random.default_rng(seed)
    predicted = scores.argmax(axis=1)
    chosen: list[int] = []
    for label in range(len(test.classes)):
        rows = generator.permutation(np.flatnonzero(test.labels == label))
        wrong = [int(row) for row in rows if predicted[row] != label][:1]
        right = [int(row) for row in rows if predicted[row] == label]
        chosen += (right[: EXAMPLES_PER_CLASS - len(wrong)] + wrong)[:EXAMPLES_PER_CLASS]
    return tuple(
        {
            "true": test.classes[int(test.labels[row])],
            "predicted": test.classes[int(predicted[row])],
            "values": np.round(test.values[row].astype(float), 4).squeeze(-1).tolist()
            if test.values[row].shape[-1] == 1
            else np.round(test.values[row].astype(float), 4).tolist(),
            "probabilities": np.round(scores[row].astype(float), 4).tolist(),
        }
        for row in chosen
    )
