"""The recipes there are."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

from seqship.errors import ModelError
from seqship.models.flavour import load_flavour
from seqship.models.recipe import Recipe
from seqship.models.zoo import (
    airline,
    bidirectional,
    cells,
    chargen,
    cities,
    ecg,
    encoder_decoder,
    imdb,
    mnist,
    ragged,
    salary,
    sine,
    stateful,
    stock,
    two_sines,
    weather,
)

_FAMILIES = (
    ecg,
    airline,
    sine,
    two_sines,
    stock,
    weather,
    bidirectional,
    cities,
    ragged,
    salary,
    cells,
    imdb,
    mnist,
    chargen,
    stateful,
    encoder_decoder,
)
_RECIPES = MappingProxyType({recipe.name: recipe for family in _FAMILIES for recipe in family.RECIPES})


def recipes() -> Mapping[str, Recipe]:
    """Returns all recipes by name."""
    return _RECIPES


def recipe(name: str) -> Recipe:
    """Returns one recipe.

    Raises:
        ModelError: There is none of that name.
    """
    if name not in _RECIPES:
        near = difflib.get_close_matches(name, _RECIPES, n=3, cutoff=0.5)
        meant = f"did you mean {' or '.join(near)}? " if near else ""
        raise ModelError(f"no recipe is named {name!r}; {meant}seqship list shows all {len(_RECIPES)}")
    return _RECIPES[name]


def build(name: str, *, keras: Literal[2, 3] = 2, **overrides: Any) -> Any:
    """Returns the untrained Keras model of a recipe.

    Args:
        name: The recipe's name.
        keras: 2 for tf-keras, 3 for Keras 3.
        overrides: What the recipe's builder lets be changed.

    Raises:
        ModelError: There is no such recipe.
        DependencyError: That Keras is not installed.
    """
    return recipe(name).model(load_flavour(keras), **overrides)
