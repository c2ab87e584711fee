"""The two flavours are told apart by what a model is, never by what it looks like."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from seqship.errors import DependencyError, ModelError
from seqship.models.flavour import Flavour, flavour_of, load_flavour


def test_a_model_and_a_layer_know_their_flavour(flavour: Flavour) -> None:
    keras = flavour.keras
    model = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(1)])
    assert flavour_of(model) == flavour
    assert flavour_of(model.layers[-1]).version == flavour.version

    class Own(keras.Model):
        pass

    assert flavour_of(Own()).version == flavour.version


def test_a_flavour_owns_its_own_layers_alone(flavour: Flavour) -> None:
    other = load_flavour(3 if flavour.version == 2 else 2)
    assert flavour.owns(flavour.keras.layers.Dense(1))
    assert not flavour.owns(other.keras.layers.Dense(1))


def test_a_flavour_has_a_package_and_its_version(flavour: Flavour) -> None:
    assert flavour.package == {2: "tf-keras", 3: "keras"}[flavour.version]
    assert flavour.package_version.startswith({2: "2.21", 3: "3.15"}[flavour.version])


@pytest.mark.parametrize(
    ("thing", "name"),
    [(3, "builtins.int"), (None, "builtins.NoneType"), ("a model", "builtins.str")],
)
def test_what_is_neither_is_refused(thing: object, name: str) -> None:
    with pytest.raises(ModelError, match=rf"^expected a tf-keras or Keras 3 model, got {name}$"):
        flavour_of(thing)


def test_a_keras_object_that_is_no_layer_is_refused(flavour: Flavour) -> None:
    optimizer = flavour.keras.optimizers.SGD()
    with pytest.raises(ModelError, match=r"^expected a tf-keras or Keras 3 model, got .*keras\..*SGD$"):
        flavour_of(optimizer)


def run(code: str, **environment: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=os.environ | environment
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_another_backend_is_refused_before_keras_is_imported() -> None:
    code = """
from seqship.errors import DependencyError
from seqship.models.flavour import load_flavour
import sys
try:
    load_flavour(3)
except DependencyError as error:
    print(error, "keras" in sys.modules)
"""
    message = "Keras 3 must run on TensorFlow to be exported, KERAS_BACKEND is 'jax'; unset it"
    assert run(code, KERAS_BACKEND="jax") == f"{message} False"


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tf_keras", None)  # As if it were not installed.
    message = r"^tf-keras is needed and 'tf_keras' is not installed; run: pip install 'seqship\[export\]'$"
    with pytest.raises(DependencyError, match=message):
        load_flavour(2)
