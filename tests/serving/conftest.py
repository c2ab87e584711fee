"""What the tests of the runtime share."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from seqship.models.flavour import load_flavour
from tests.few_cases import few_cases


@pytest.fixture(scope="session")
def model() -> Any:
    """The recipe's model with weights under which the classes differ from beat to beat."""
    from seqship.models import build

    model = build("ecg-gru", keras=3)
    random = np.random.default_rng(11)
    model.set_weights([random.normal(0, 0.6, weight.shape).astype(np.float32) for weight in model.get_weights()])
    return model


@pytest.fixture(scope="session")
def bundle(model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of that model, not to be changed."""
    from seqship.export import ship
    from seqship.models import recipes

    recipe, path = recipes()["ecg-gru"], tmp_path_factory.mktemp("bundles") / "beats"
    source = {"kind": "recipe", "name": "ecg-gru", "seed": 0}
    with few_cases((1, 3), (1, 7)):
        assert ship(model, path, name="beats", inputs=recipe.inputs, outputs=recipe.outputs, source=source).equivalent
    return path


@pytest.fixture(scope="session")
def keras(model: Any) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """The Keras model as a function of padded arrays, traced once for all shapes."""
    import tensorflow as tf

    def call(beats: Any) -> Any:
        return model(beats, training=False)

    function: Any = tf.function(call, input_signature=[tf.TensorSpec([None, None, 1], tf.float32)])

    def keras(beats: NDArray[np.float32]) -> NDArray[np.float32]:
        return function(tf.constant(beats)).numpy()

    return keras


@pytest.fixture
def changeable(bundle: Path, tmp_path: Path) -> Path:
    """A copy of the bundle."""
    return Path(shutil.copytree(bundle, tmp_path / "beats"))


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Writes the ONNX file of a Keras 3 model made of layers, and returns its path and the model."""
    from seqship.export import to_onnx

    def export(name: str, *layers: Any) -> tuple[Path, Any]:
        keras = load_flavour(3).keras
        built = keras.Sequential(list(layers), name=name)
        random = np.random.default_rng(3)
        built.set_weights([random.normal(0, 0.5, weight.shape).astype(np.float32) for weight in built.get_weights()])
        path = tmp_path_factory.mktemp("onnx") / f"{name}.onnx"
        to_onnx(built, path)
        return path, built

    return export
