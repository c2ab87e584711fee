"""Dropout whose masks depend on the seed and the epoch alone, in both flavours."""

from __future__ import annotations

from typing import Any

from seqship.models.flavour import Flavour
from seqship.models.layers import all_layers


def reproducible_dropout(flavour: Flavour, rate: float, *, name: str) -> Any:
    """Returns a Dropout layer whose generator `reseed` can set.

    tf-keras draws from operations that count their own calls unless a generator is asked for (`BaseRandomLayer`).
    """
    options = {"force_generator": True} if flavour.version == 2 else {}
    return flavour.keras.layers.Dropout(rate, name=name, **options)


def reseed(model: Any, seed: int) -> None:
    """Sets every generator of a model's layers, so that what follows does not depend on what was drawn before.

    Args:
        model: A model of either flavour.
        seed: From 0 to 2**31 - 1 less the number of layers.
    """
    for position, layer in enumerate(all_layers(model)):
        generator = getattr(getattr(layer, "_random_generator", None), "_generator", None)
        if generator is not None:  # tf-keras: a tf.random.Generator
            generator.reset_from_seed(seed + position)
        state = getattr(getattr(layer, "seed_generator", None), "state", None)
        if state is not None:  # Keras 3: keras.random.SeedGenerator holds (seed, number of draws)
            state.assign([seed + position, 0])
