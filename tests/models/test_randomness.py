"""Dropout depends on the seed alone, whatever was drawn before."""

from __future__ import annotations

from typing import Any

import numpy as np

from seqship.models.flavour import Flavour
from seqship.models.randomness import reproducible_dropout, reseed


def dropped(model: Any) -> np.ndarray[Any, Any]:
    return np.asarray(model(np.ones((4, 50), np.float32), training=True))


def two_dropouts(flavour: Flavour) -> Any:
    keras = flavour.keras
    inputs = keras.layers.Input((50,))
    outputs = [reproducible_dropout(flavour, 0.5, name=name)(inputs) for name in ("one", "two")]
    return keras.Model(inputs, keras.layers.Concatenate()(outputs))


def test_the_same_seed_gives_the_same_masks(flavour: Flavour) -> None:
    model = two_dropouts(flavour)
    reseed(model, 7)
    first, second = dropped(model), dropped(model)
    assert not np.array_equal(first, second)
    reseed(model, 7)
    assert np.array_equal(dropped(model), first)
    assert np.array_equal(dropped(model), second)
    other = two_dropouts(flavour)
    reseed(other, 7)
    assert np.array_equal(dropped(other), first)


def test_another_seed_gives_other_masks(flavour: Flavour) -> None:
    model = two_dropouts(flavour)
    reseed(model, 7)
    first = dropped(model)
    reseed(model, 8)
    assert not np.array_equal(dropped(model), first)


def test_layers_do_not_share_their_masks(flavour: Flavour) -> None:
    model = two_dropouts(flavour)
    reseed(model, 7)
    values = dropped(model)
    assert not np.array_equal(values[:, :50], values[:, 50:])
    assert set(np.unique(values)) == {0.0, 2.0}


def test_a_model_without_dropout_is_left_as_it_is(flavour: Flavour) -> None:
    keras = flavour.keras
    model = keras.Sequential([keras.layers.Input((50,)), keras.layers.Dense(2)])
    before = dropped(model)
    reseed(model, 7)
    assert np.array_equal(dropped(model), before)
