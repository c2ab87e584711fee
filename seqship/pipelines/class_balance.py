"""Weights that make rare classes count in training."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from seqship.errors import DataError


def class_weights(labels: NDArray[np.int64], *, classes: int, power: float = 1.0) -> NDArray[np.float32]:
    """Returns a weight for each class, the larger the rarer the class.

    The weight is proportional to (n / (classes * count)) ** power and scaled so that its mean over the labels is 1,
    which keeps the loss and hence the learning rate comparable to those without weights. Power 0 weighs all alike;
    power 1 gives every class the same share of the loss and is scikit-learn's
    `compute_class_weight("balanced")`, after King and Zeng, "Logistic regression in rare events data", Political
    Analysis 9(2):137-163, 2001; 0.5 is between the two.

    Args:
        labels: Class of each example, whole numbers within `range(classes)`, shaped (n,).
        classes: Number of classes.
        power: How far towards equal shares to go, at least 0.

    Returns:
        Weights, float32, shaped (classes,). A class without an example weighs 0: it takes no part in the loss.

    Raises:
        DataError: There are no labels, or one is outside `range(classes)`.
        ValueError: `classes` is below 1, or `power` is negative or not finite.
    """
    if classes < 1:
        raise ValueError(f"classes must be 1 or more, met {classes}; give the number of classes")
    if not (math.isfinite(power) and power >= 0):
        raise ValueError(f"power must be finite and 0 or more, met {power}; 1 balances the classes, 0 does nothing")
    labels = np.asarray(labels)
    if not labels.size:
        raise DataError("there are no labels to weigh; give at least one")
    outside = (labels < 0) | (labels >= classes)
    if outside.any():
        at = int(outside.argmax())
        raise DataError(f"label {at} is {labels[at]}, outside 0..{classes - 1}; correct it or raise classes")
    counts = np.bincount(labels, minlength=classes)
    present = counts > 0
    weights = np.zeros(classes)
    weights[present] = (len(labels) / (classes * counts[present])) ** power
    weights /= np.average(weights, weights=counts)
    return weights.astype(np.float32)
