"""The two Keras flavours, and the few things that differ between them.

Code anywhere else takes a `Flavour` and does not ask which one it is.
"""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal

from seqship.errors import DependencyError, ModelError

Version = Literal[2, 3]


@dataclass(frozen=True)
class Flavour:
    """One Keras.

    Attributes:
        version: 2 for tf-keras, 3 for Keras 3.
        keras: The imported package, `tf_keras` or `keras`.
        package: Name of the distribution, for messages and manifests.
        hard_sigmoid_slope: Slope of `hard_sigmoid`: 0.2 in tf-keras (`tf_keras/src/backend.py`, hard_sigmoid), 1/6 in
            Keras 3 (`keras/src/backend/tensorflow/nn.py`, hard_sigmoid: relu6(x + 3) / 6).
    """

    version: Version
    keras: ModuleType
    package: str
    hard_sigmoid_slope: float

    @property
    def package_version(self) -> str:
        """Version of the installed distribution."""
        return str(self.keras.__version__)

    def owns(self, thing: Any) -> bool:
        """Whether `thing` is a layer (or model) of this flavour."""
        return isinstance(thing, self.keras.layers.Layer)


def load_flavour(version: Version) -> Flavour:
    """Imports one Keras.

    Args:
        version: 2 for tf-keras, 3 for Keras 3.

    Raises:
        DependencyError: The package is not installed, or Keras 3 runs on another backend than TensorFlow.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    name = "tf_keras" if version == 2 else "keras"
    if version == 3 and os.environ.setdefault("KERAS_BACKEND", "tensorflow") != "tensorflow":
        backend = os.environ["KERAS_BACKEND"]
        raise DependencyError(f"Keras 3 must run on TensorFlow to be exported, KERAS_BACKEND is {backend!r}; unset it")
    try:
        keras = importlib.import_module(name)
    except ModuleNotFoundError as error:
        package = "tf-keras" if version == 2 else "keras"
        message = f"{package} is needed and {error.name!r} is not installed; run: pip install 'seqship[export]'"
        raise DependencyError(message) from None
    if version == 3 and keras.backend.backend() != "tensorflow":
        raise DependencyError(
            f"Keras 3 must run on TensorFlow to be exported, its backend is {keras.backend.backend()!r}; "
            "set KERAS_BACKEND=tensorflow"
        )
    if version == 2:
        return Flavour(2, keras, "tf-keras", 0.2)
    return Flavour(3, keras, "keras", 1 / 6)


def flavour_of(thing: Any) -> Flavour:
    """Returns the Keras that a layer or model belongs to.

    Raises:
        ModelError: It belongs to neither.
    """
    modules = {base.__module__.partition(".")[0] for base in type(thing).__mro__}
    versions: dict[str, Version] = {"tf_keras": 2, "keras": 3}
    for module, version in versions.items():
        if module in modules:
            flavour = load_flavour(version)
            if flavour.owns(thing):
                return flavour
    raise ModelError(f"expected a tf-keras or Keras 3 model, got {type(thing).__module__}.{type(thing).__qualname__}")
