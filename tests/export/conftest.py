"""What the tests of the export share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqship.export import ship
from seqship.models.flavour import Flavour, load_flavour


@pytest.fixture(scope="session", params=[2, 3], ids=["tf_keras", "keras"])
def flavour(request: pytest.FixtureRequest) -> Flavour:
    """Either Keras."""
    return load_flavour(request.param)


@pytest.fixture(scope="session")
def small(flavour: Flavour) -> Any:
    """A masked model of two recurrent layers and a head, with no weight at zero."""
    layers = flavour.keras.layers
    model = flavour.keras.Sequential(
        [
            layers.Input((None, 2), name="signal"),
            layers.Masking(-1.0, name="masking"),
            layers.GRU(4, return_sequences=True, name="first"),
            layers.GRU(3, name="second"),
            layers.Dense(3, activation="softmax", name="scores"),
        ],
        name="small",
    )
    random = np.random.default_rng(5)
    model.set_weights([random.normal(0, 0.5, weight.shape).astype(np.float32) for weight in model.get_weights()])
    return model


@pytest.fixture(scope="session")
def shipped(flavour: Flavour, small: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of the small model, with everything in it; copy it before you change it."""
    directory = tmp_path_factory.mktemp("shipped") / "bundle"
    ship(small, directory, name="small", seed=3)
    return directory
