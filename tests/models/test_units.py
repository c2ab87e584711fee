"""A model with its scaling inside gives what scaling, the model and scaling back give."""

from __future__ import annotations

import numpy as np
import pytest

from seqship.models.flavour import Flavour
from seqship.models.units import in_units
from seqship.pipelines.scaling import fit_scaling


def test_raw_values_go_in_and_come_out(flavour: Flavour) -> None:
    layers = flavour.keras.layers
    model = flavour.keras.Sequential([layers.Input((None, 3), name="x"), layers.GRU(4), layers.Dense(2)])
    random = np.random.default_rng(0)
    values = random.normal([5, -300, 0.01], [2, 50, 0.001], (40, 3)).astype(np.float32)
    scaling = fit_scaling(values, "standard", ["a", "b", "c"])
    whole = in_units(
        model, flavour, scaling, name="raw", input_columns=["a", "b", "c"], target_column="b", output="forecast"
    )
    inputs = values.reshape(4, 10, 3)
    made = np.asarray(model(scaling.apply(inputs)))
    expected = scaling.invert(made[..., None], ["b"])[..., 0]
    got = np.asarray(whole(inputs))
    assert got == pytest.approx(expected, rel=1e-5)
    assert whole.layers[-1].name == "forecast"
    assert abs(got + 300).max() < 200
    assert in_units(model, flavour, None, name="", input_columns=[], target_column="", output="") is model
