"""The recipes there are."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

from seqship.errors import ModelError
from seqship.models.ecg_gru import ECG_GRU
from seqship.models.flavour import load_flavour
from seqship.models.recipe import Recipe

_RECIPES = MappingProxyType({recipe.name: recipe for recipe in (ECG_GRU,)})


def recipes() -> Mapping[str, Recipe]:
    """Returns all recipes by name."""
    return _RECIPES


def recipe(name: str) -> Recipe:
    """Returns one recipe.

    Raises:
        ModelError: There is none of that name.
    """
    if name not in _RECIPES:
        raise ModelError(f"no recipe is named {name!r}; there are: {', '.join(_RECIPES)}")
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
