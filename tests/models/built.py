"""A small model around the layers under test."""

from __future__ import annotations

from typing import Any

import numpy as np

from seqship.models.flavour import Flavour

FEATURES, UNITS = 3, 4


def built(flavour: Flavour, *layers: Any) -> Any:
    """A Sequential over five steps, its weights drawn from a seed."""
    model = flavour.keras.Sequential([flavour.keras.layers.Input((5, FEATURES)), *layers])
    random = np.random.default_rng(0)
    model.set_weights([random.normal(0, 1, weight.shape) for weight in model.get_weights()])
    return model
