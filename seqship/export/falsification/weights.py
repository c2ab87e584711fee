"""Draws the weights of a model, from a seed and of a usual size."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_BIAS_SPREAD = 0.2


def draw_weights(model: Any, random: np.random.Generator, *, gain: float = 1.0) -> None:
    """Gives a model other weights: kernels as Glorot and orthogonal initialization make them, no bias at zero.

    Args:
        model: A built tf-keras or Keras 3 model.
        random: Draws them.
        gain: How many times as large the kernels are.
    """
    model.set_weights([_drawn(weight, random, gain) for weight in model.get_weights()])


def _drawn(weight: NDArray[Any], random: np.random.Generator, gain: float) -> NDArray[Any]:
    if weight.dtype != np.float32:  # The state of a random generator.
        return weight
    if weight.ndim > 1 and weight.std() > 0:  # A bias of a GRU has two rows of zeros.
        spread = gain / np.sqrt(weight.shape[0])
        return random.normal(0, spread, weight.shape).astype(np.float32)
    moved = weight + random.normal(0, _BIAS_SPREAD, weight.shape)
    # A scale or a variance begins at one, and stays positive.
    return np.where(weight == 1, np.abs(moved), moved).astype(np.float32)
