"""What a difference between two runtimes does to the task: to the classes that are decided, and to the measures.

Pure functions over arrays of scores. A difference within the tolerance may still turn a decision whose two best scores
are nearer to each other than that; and a difference beyond it may turn none.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seqship.errors import DataError
from seqship.export.agreement import json_value

Scores = NDArray[np.float64]

PLACES = (1, 3, 5)
"""The k of top-k agreement; those that are fewer than the classes are told."""

THRESHOLD = 0.5
"""Above it a single score decides for the second of two classes."""


@dataclass(frozen=True)
class ChangedClass:
    """A row that the two runtimes put into different classes.

    Attributes:
        row: Which.
        reference: Index of the reference's class.
        other: Index of the runtime's class.
        margin: By how much the reference preferred its class: its best score less its second, or the distance of a
            single score from the threshold. NaN where its scores are no numbers.
    """

    row: int
    reference: int
    other: int
    margin: float


@dataclass(frozen=True)
class Measure:
    """A measure of both runtimes against the labels, None where it is not defined (one class alone has no AUC)."""

    reference: float | None
    other: float | None


@dataclass(frozen=True)
class TaskAgreement:
    """What two runtimes decide, over labelled data.

    Attributes:
        rows: Number of rows.
        changed: Rows of another class, in their order.
        top_k: Share of rows with the same k best classes in any order, by k; 1 is the share of rows that did not
            change.
        measures: "accuracy", "auc" and "f1" of class scores (the last two are means over the classes), "mae" and "rmse"
            of a regression, of both.
        smallest_margin: The least that the reference preferred a class by; None for a regression.
        smallest_margin_row: Where.
        largest_difference: Of any score, infinite where one runtime gives a number and the other does not.
        margin_times: How many times the largest difference fits into the smallest margin; infinite where there is no
            difference. From 2 on no decision can turn (from 1 on for a single score), as two scores may move towards
            each other.
    """

    rows: int
    changed: tuple[ChangedClass, ...]
    top_k: dict[int, float]
    measures: dict[str, Measure]
    smallest_margin: float | None
    smallest_margin_row: int | None
    largest_difference: float
    margin_times: float | None

    def to_json(self) -> dict[str, Any]:
        """Returns the JSON form; numbers that JSON lacks are the strings "NaN" and "Infinity"."""
        document = asdict(self)
        document["top_k"] = {str(k): share for k, share in self.top_k.items()}
        return json_value(document)


def compare_classes(
    reference: ArrayLike, other: ArrayLike, labels: ArrayLike | None = None, *, threshold: float = THRESHOLD
) -> TaskAgreement:
    """Compares class scores.

    Args:
        reference: Scores of the reference, (rows, classes) or, for two classes, (rows,) or (rows, 1).
        other: Scores of the runtime, of the same shape.
        labels: Class of each row, (rows,), whole numbers from 0; without them nothing is measured.
        threshold: What a single score must be above for the second class: 0.5 for a probability, 0 for a logit.

    Raises:
        DataError: The shapes do not fit, or a label is no class.
    """
    one, two = _pair(reference, other)
    if one.ndim == 2 and one.shape[1] == 1:
        one, two = one[:, 0], two[:, 0]
    if one.ndim > 2 or (one.ndim == 2 and not one.shape[1]):
        raise DataError(f"class scores are shaped (rows, classes), got {list(one.shape)}; give one row for each label")
    classes = 2 if one.ndim == 1 else one.shape[1]
    truth = None if labels is None else _labels(labels, len(one), classes)
    decided, turned = (_decide(scores, threshold) for scores in (one, two))
    margins = _margins(one, threshold)
    places = [k for k in PLACES if k == 1 or k < classes]
    best, largest = _smallest(margins), _largest_difference(one, two)
    return TaskAgreement(
        rows=len(one),
        changed=tuple(
            ChangedClass(int(row), int(decided[row]), int(turned[row]), float(margins[row]))
            for row in np.flatnonzero(decided != turned)
        ),
        top_k={k: _same_best(one, two, k, decided == turned) for k in places},
        measures={} if truth is None else _class_measures(truth, (one, two), (decided, turned), classes),
        smallest_margin=None if best is None else float(margins[best]),
        smallest_margin_row=best,
        largest_difference=largest,
        margin_times=None if best is None else _times(float(margins[best]), largest),
    )


def compare_values(reference: ArrayLike, other: ArrayLike, labels: ArrayLike | None = None) -> TaskAgreement:
    """Compares what a regression gives.

    Args:
        reference: Values of the reference, (rows, ...).
        other: Values of the runtime, of the same shape.
        labels: True values of the same shape, with or without axes of one element; without them nothing is measured.

    Raises:
        DataError: The shapes do not fit.
    """
    one, two = _pair(reference, other)
    measures: dict[str, Measure] = {}
    if labels is not None:
        truth = np.asarray(labels, np.float64)
        if truth.size != one.size or len(truth) != len(one):
            raise DataError(f"labels are shaped as the values {list(one.shape)}, got {list(truth.shape)}")
        truth = truth.reshape(one.shape)
        errors = [abs(value - truth) for value in (one, two)]
        measures["mae"] = _both(errors, np.mean)
        measures["rmse"] = _both(errors, lambda error: np.sqrt(np.mean(error**2)))
    return TaskAgreement(len(one), (), {}, measures, None, None, _largest_difference(one, two), None)


def _pair(reference: ArrayLike, other: ArrayLike) -> tuple[Scores, Scores]:
    one, two = np.asarray(reference, np.float64), np.asarray(other, np.float64)
    if one.shape != two.shape or not one.ndim:
        raise DataError(
            f"both runtimes must give one shape, (rows, ...), got {list(one.shape)} and {list(two.shape)}; "
            "run them on the same rows"
        )
    return one, two


def _labels(labels: ArrayLike, rows: int, classes: int) -> NDArray[np.int64]:
    truth = np.asarray(labels)
    if truth.shape == (rows, 1):
        truth = truth[:, 0]
    if truth.shape != (rows,):
        raise DataError(f"labels are one class for each of {rows} rows, got the shape {list(truth.shape)}")
    whole = truth.astype(np.int64)
    wrong = np.flatnonzero((whole != truth) | (whole < 0) | (whole >= classes))
    if wrong.size:
        raise DataError(f"labels are 0 to {classes - 1}, got {truth[wrong[0]]} in row {int(wrong[0])}")
    return whole


def _decide(scores: Scores, threshold: float) -> NDArray[np.int64]:
    """Returns the class of each row, -1 where a score is NaN."""
    if scores.ndim == 1:
        return np.where(np.isnan(scores), -1, scores > threshold).astype(np.int64)
    unknown = np.isnan(scores).any(axis=1)
    return np.where(unknown, -1, np.where(np.isnan(scores), -np.inf, scores).argmax(axis=1))


def _margins(scores: Scores, threshold: float) -> Scores:
    """Returns by how much the class of each row is preferred, NaN where a score is no number."""
    if scores.ndim == 1:
        found = abs(scores - threshold)
    elif scores.shape[1] == 1 or not len(scores):
        found = np.full(len(scores), np.inf)
    else:
        best = np.partition(scores, -2, axis=1)
        with np.errstate(invalid="ignore"):
            found = best[:, -1] - best[:, -2]
        found[~np.isfinite(scores).all(axis=1)] = np.nan
    return found


def _smallest(margins: Scores) -> int | None:
    known = np.where(np.isnan(margins), np.inf, margins)
    return int(known.argmin()) if np.isfinite(known).any() else None


def _largest_difference(one: Scores, two: Scores) -> float:
    same = (one == two) | (np.isnan(one) & np.isnan(two))
    with np.errstate(invalid="ignore"):
        difference = np.where(same, 0.0, abs(one - two))
    return float(np.where(np.isnan(difference), np.inf, difference).max(initial=0.0))


def _times(margin: float, difference: float) -> float:
    if not difference:
        return math.inf
    return margin / difference


def _same_best(one: Scores, two: Scores, k: int, same_class: NDArray[np.bool_]) -> float:
    if not len(one):
        return 1.0
    if one.ndim == 1 or k == 1:
        return float(np.mean(same_class))
    # Ties go to the lower class in both.
    first, second = (np.sort(np.argsort(-scores, axis=1, kind="stable")[:, :k], axis=1) for scores in (one, two))
    return float(np.mean((first == second).all(axis=1)))


def _class_measures(
    truth: NDArray[np.int64],
    scores: tuple[Scores, Scores],
    decided: tuple[NDArray[np.int64], NDArray[np.int64]],
    classes: int,
) -> dict[str, Measure]:
    from sklearn.metrics import f1_score

    present = np.unique(truth)

    def f1(classes_of: NDArray[np.int64]) -> float | None:
        # The second of two classes is what is looked for; of more, the mean over those that the labels have.
        labels, average = ([1], "micro") if classes == 2 else (present, "macro")
        options: dict[str, Any] = {"labels": labels, "average": average, "zero_division": 0.0}
        return _finite(f1_score(truth, classes_of, **options))

    if not len(truth):
        return {name: Measure(None, None) for name in ("accuracy", "auc", "f1")}
    return {
        "accuracy": _both([one == truth for one in decided], np.mean),
        "auc": Measure(*(_auc(truth, one) for one in scores)),
        "f1": Measure(*(f1(one) for one in decided)),
    }


def _auc(truth: NDArray[np.int64], scores: Scores) -> float | None:
    """Returns the area under the ROC curve: of the second of two classes, else the mean of each class against the rest.

    Not `multi_class="ovr"` of scikit-learn, which takes nothing but probabilities.
    """
    from sklearn.metrics import roc_auc_score

    if not np.isfinite(scores).all():
        return None
    if scores.ndim == 1:
        columns = {1: scores}
    elif scores.shape[1] == 2:
        columns = {1: scores[:, 1] - scores[:, 0]}
    else:
        columns = dict(enumerate(scores.T))
    areas = [
        float(roc_auc_score(truth == label, column))
        for label, column in columns.items()
        if 0 < np.sum(truth == label) < len(truth)
    ]
    return float(np.mean(areas)) if areas else None


def _both(values: Any, measure: Callable[[Any], Any]) -> Measure:
    one, two = values
    return Measure(_finite(measure(one)), _finite(measure(two))) if one.size else Measure(None, None)


def _finite(value: Any) -> float | None:
    return float(value) if math.isfinite(value) else None
