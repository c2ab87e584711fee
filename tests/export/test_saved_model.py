"""The SavedModel: one signature with the contract's names, and nothing of training in the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqship.errors import ModelError
from seqship.export import to_saved_model
from seqship.export.runners import saved_model_runner
from seqship.export.signature import parse_field
from seqship.models.flavour import Flavour


@pytest.fixture(scope="module")
def trained(flavour: Flavour) -> Any:
    """A model with an optimizer that has moments, a metric, and weights that are not trained."""
    layers = flavour.keras.layers
    model = flavour.keras.Sequential(
        [
            layers.Input((4, 2), name="signal"),
            layers.BatchNormalization(name="normal"),
            layers.SimpleRNN(3, name="memory"),
            layers.Dense(2, name="scores"),
        ]
    )
    model.compile(optimizer="adam", loss="mse", metrics=["mae"])
    random = np.random.default_rng(0)
    model.fit(random.normal(3, 2, (8, 4, 2)), random.random((8, 2)), verbose=0, epochs=2)
    return model


@pytest.fixture(scope="module")
def written(trained: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return to_saved_model(trained, tmp_path_factory.mktemp("saved") / "saved_model").path


def test_the_signature_has_the_contracts_names(written: Path, trained: Any) -> None:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(written))
    assert list(loaded.signatures) == ["serving_default", "tf_example"]
    function = loaded.signatures["serving_default"]
    specs = function.structured_input_signature[1]
    assert {name: (spec.shape.as_list(), spec.dtype.name) for name, spec in specs.items()} == {
        "signal": ([None, 4, 2], "float32")
    }
    assert {name: value.shape.as_list() for name, value in function.structured_outputs.items()} == {"scores": [None, 2]}


def test_it_computes_what_keras_computes(written: Path, trained: Any) -> None:
    feed = np.random.default_rng(1).normal(0, 1, (5, 4, 2)).astype(np.float32)
    got = saved_model_runner(written)({"signal": feed})["scores"]
    assert np.allclose(got, np.asarray(trained(feed, training=False)), atol=1e-6)


def test_nothing_of_the_optimizer_is_in_the_file(written: Path, trained: Any) -> None:
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(written / "variables" / "variables"))
    shapes = reader.get_variable_to_shape_map()
    numbers = sorted(tuple(shape) for name, shape in shapes.items() if "OBJECT_GRAPH" not in name)
    assert numbers == sorted(weight.shape for weight in trained.get_weights())
    assert not [name for name in shapes if "optimizer" in name.lower() or "moment" in name.lower()]


def test_a_lookup_table_travels_along(flavour: Flavour, tmp_path: Path) -> None:
    layers = flavour.keras.layers
    shape: tuple[int, ...] = () if flavour.version == 2 else (1,)
    model = flavour.keras.Sequential(
        [
            layers.Input(shape, dtype="string", name="text"),
            layers.TextVectorization(vocabulary=["a", "good", "film"], name="words"),
            layers.Embedding(5, 4, mask_zero=True, name="vectors"),
            layers.GRU(3, name="scores"),
        ]
    )
    path = to_saved_model(model, tmp_path / "saved_model").path
    text = np.array(["a good film", "a a", "zyzzyva good"]).reshape((3, *shape))
    got = saved_model_runner(path)({"text": text})["scores"]
    import tensorflow as tf

    wanted = tf.function(model)(tf.constant(text)).numpy()
    assert np.allclose(got, wanted, atol=1e-6)
    assert len(np.unique(got[:, 0])) == 3
    del model
    assert np.allclose(saved_model_runner(path)({"text": text})["scores"], wanted, atol=1e-6)


def test_preprocessing_layers_are_written(flavour: Flavour, tmp_path: Path) -> None:
    """What stock exports accept: tables, statistics and hashes before the recurrent layer."""
    keras = flavour.keras
    layers = keras.layers
    words = layers.Input((4,), dtype="string", name="words")
    numbers = layers.Input((4,), name="numbers")
    codes = layers.Input((4,), dtype="int64", name="codes")
    scale = layers.Normalization(mean=[0.5] * 4, variance=[2.0] * 4)
    embedded = [
        layers.Embedding(9, 2, mask_zero=True)(layers.StringLookup(vocabulary=["a", "b"])(words)),
        layers.Embedding(9, 2)(layers.Hashing(num_bins=5)(words)),
        layers.Embedding(9, 2)(layers.IntegerLookup(vocabulary=[7, 5])(codes)),
        layers.Embedding(9, 2)(layers.Discretization(bin_boundaries=[0.0, 1.0])(numbers)),
        layers.Reshape((4, 1))(layers.Rescaling(0.5, offset=1.0)(scale(numbers))),
    ]
    model = keras.Model([words, numbers, codes], layers.GRU(3, name="scores")(layers.Concatenate()(embedded)))
    export = to_saved_model(model, tmp_path / "saved_model")
    assert [one.name for one in export.signatures] == ["serving_default", "tf_example"]
    feed = {
        "words": np.array([["a", "b", "c", "a"], ["b", "b", "", "a"]]),
        "numbers": np.array([[0.1, -2, 3, 1], [5, 0, 0, 0.5]], np.float32),
        "codes": np.array([[7, 5, 3, 7], [0, 5, 5, 5]], np.int64),
    }
    import tensorflow as tf

    tensors = [tf.constant(feed[field.name]) for field in export.inputs]
    wanted = tf.function(model)(tensors)
    assert np.allclose(saved_model_runner(export.path)(feed)["scores"], wanted, atol=1e-6)


def test_a_subclassed_model_is_written_with_a_signature(flavour: Flavour, tmp_path: Path) -> None:
    keras = flavour.keras

    class Own(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.memory = keras.layers.SimpleRNN(3)

        def call(self, inputs: Any) -> Any:
            return {"state": self.memory(inputs)}

    found = to_saved_model(Own(), tmp_path / "saved_model", input_signature=[parse_field("signal=?,?,2")])
    assert [field.name for field in found.outputs] == ["state"]
    assert saved_model_runner(found.path)({"signal": np.ones((1, 2, 2), np.float32)})["state"].shape == (1, 3)


def test_what_is_no_saved_model_is_named(written: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=rf"^{tmp_path} cannot be loaded as a SavedModel: ") as raised:
        saved_model_runner(tmp_path)
    assert "\n" not in str(raised.value)
    with pytest.raises(
        ModelError, match=rf"^{written} has no signature 'stream', it has: serving_default, tf_example$"
    ):
        saved_model_runner(written, "stream")
