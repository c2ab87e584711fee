"""The ONNX file: checked, named, contained in one file, or not there at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from seqship.errors import ModelError, OutputError, ProofError
from seqship.export import to_onnx
from seqship.export.bundle import CONTRACT_KEY
from seqship.export.onnx import LOWEST_OPSET, newest_opset
from seqship.export.runners import onnx_runner
from seqship.models.flavour import Flavour
from seqship.pipelines.spec import Field


@pytest.fixture(scope="module")
def found(small: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return to_onnx(small, tmp_path_factory.mktemp("onnx") / "model.onnx")


def test_the_export_tells_what_it_wrote(found: Any, small: Any) -> None:
    assert found.inputs == (Field("signal", "float32", ("batch", "time", 2), pad_value=-1.0),)
    assert found.outputs == (Field("scores", "float32", ("batch", 3)),)
    assert (found.operators, found.loops, found.opset) == ({"GRU": 2}, 0, newest_opset())
    model = onnx.load(found.path)
    assert found.nodes == len(model.graph.node)
    assert found.size == found.path.stat().st_size
    assert [(row.layer, row.onnx) for row in found.audit] == [("first", "GRU"), ("second", "GRU")]
    assert found.to_json() == {
        "operators": {"GRU": 2}, "loops": 0, "opset": newest_opset(), "nodes": found.nodes, "bytes": found.size
    }  # fmt: skip
    assert list(found.path.parent.iterdir()) == [found.path]


def test_the_file_names_its_tensors_axes_and_maker(found: Any) -> None:
    model = onnx.load(found.path)
    onnx.checker.check_model(model, full_check=True)

    def described(value: Any) -> tuple[str, list[Any]]:
        return value.name, [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]

    assert [described(value) for value in model.graph.input] == [("signal", ["batch", "time", 2])]
    assert [described(value) for value in model.graph.output] == [("scores", ["batch", 3])]
    assert (model.producer_name, model.producer_version) == ("seqship", "0.1.0")
    contract = json.loads({entry.key: entry.value for entry in model.metadata_props}[CONTRACT_KEY])
    assert contract == {
        "inputs": [field.to_json() for field in found.inputs],
        "outputs": [field.to_json() for field in found.outputs],
    }


def test_the_same_model_gives_the_same_answers_again(found: Any, small: Any, tmp_path: Path) -> None:
    again = to_onnx(small, tmp_path / "again.onnx")
    feed = {"signal": np.random.default_rng(0).random((2, 5, 2)).astype(np.float32)}
    assert np.array_equal(onnx_runner(found.path)(feed)["scores"], onnx_runner(again.path)(feed)["scores"])


def test_the_lowest_opset_works(small: Any, tmp_path: Path) -> None:
    old = to_onnx(small, tmp_path / "old.onnx", opset=LOWEST_OPSET)
    model = onnx.load(old.path)
    assert [(entry.domain, entry.version) for entry in model.opset_import if entry.domain == ""] == [("", 14)]
    assert (LOWEST_OPSET, old.opset, old.operators, old.loops) == (14, 14, {"GRU": 2}, 0)
    feed = np.random.default_rng(0).random((2, 5, 2)).astype(np.float32)
    feed[0, 1] = feed[1, 3:] = -1
    assert np.allclose(onnx_runner(old.path)({"signal": feed})["scores"], np.asarray(small(feed)), atol=1e-6)


@pytest.mark.parametrize("opset", [0, 13, 1000, -1])
def test_an_opset_out_of_range_is_refused(small: Any, tmp_path: Path, opset: int) -> None:
    with pytest.raises(ModelError, match=rf"^opset must be 14 to {newest_opset()}, got {opset}$"):
        to_onnx(small, tmp_path / "model.onnx", opset=opset)
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"^expected a tf-keras or Keras 3 model, got builtins\.str$"):
        to_onnx("model", tmp_path / "model.onnx")


def test_a_folder_that_does_not_exist(small: Any, tmp_path: Path) -> None:
    path = tmp_path / "none" / "model.onnx"
    with pytest.raises(OutputError, match=rf"^cannot write {path}: no such file or directory$"):
        to_onnx(small, path)


# --- Operations that only TensorFlow has


def operation(flavour: Flavour, name: str) -> Any:
    """A layer of one operation without counterpart in ONNX."""
    import tensorflow as tf

    calls = {
        "py_function": lambda x: tf.py_function(lambda y: y * 2, [x], tf.float32),  # pyright: ignore[reportUnknownLambdaType]
        "numpy_function": lambda x: tf.numpy_function(lambda y: y * 2, [x], tf.float32),  # pyright: ignore[reportUnknownLambdaType]
        "Digamma": tf.math.digamma,
    }

    class Odd(flavour.keras.layers.Layer):
        def call(self, inputs: Any) -> Any:
            return tf.ensure_shape(calls[name](inputs), inputs.shape)

        def compute_output_shape(self, input_shape: Any) -> Any:
            return input_shape

    return Odd(name="odd")


@pytest.mark.parametrize("name", ["py_function", "numpy_function", "Digamma"])
def test_an_operation_without_counterpart_is_named_with_its_layer(flavour: Flavour, name: str, tmp_path: Path) -> None:
    layers = flavour.keras.layers
    model = flavour.keras.Sequential([layers.Input((None, 2), name="x"), operation(flavour, name), layers.GRU(2)])
    message = (
        rf"^TensorFlow operation {name} \(layer 'odd(_\d)?'\) has no ONNX counterpart; "
        r"move it out of the model, or export with --formats saved_model$"
    )
    path = tmp_path / "model.onnx"
    path.write_bytes(b"the one before")
    with pytest.raises(ModelError, match=message):
        to_onnx(model, path)
    assert path.read_bytes() == b"the one before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_text_layer_is_named_with_its_operation(flavour: Flavour, tmp_path: Path) -> None:
    layers = flavour.keras.layers
    model = flavour.keras.Sequential(
        [
            layers.Input((1,), dtype="string", name="text"),
            layers.TextVectorization(vocabulary=["good", "bad"], name="to_ids"),
            layers.Embedding(4, 2),
            layers.LSTM(2),
        ]
    )
    message = (
        r"^TensorFlow operation StaticRegexReplace \(layer 'to_ids(_\d)?'\) has no ONNX counterpart; "
        r"move it out of the model, or export with --formats saved_model$"
    )
    with pytest.raises(ModelError, match=message):
        to_onnx(model, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_an_operation_within_a_loop_is_found_too(flavour: Flavour, tmp_path: Path) -> None:
    import tensorflow as tf

    keras = flavour.keras

    class Odd(keras.layers.Layer):
        def __init__(self) -> None:
            super().__init__(name="odd")
            self.units = self.state_size = self.output_size = 2

        def call(self, inputs: Any, states: Any, training: Any = None) -> Any:
            state = states[0] if isinstance(states, list | tuple) else states
            new = tf.math.digamma(state + inputs)
            return new, [new]

    model = keras.Sequential([keras.layers.Input((None, 2), name="x"), keras.layers.RNN(Odd(), name="around")])
    with pytest.raises(ModelError, match=r"^TensorFlow operation Digamma \(layer '.*'\) has no ONNX counterpart; "):
        to_onnx(model, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_where_a_loop_is_not_allowed(flavour: Flavour, tmp_path: Path) -> None:
    layers = flavour.keras.layers
    model = flavour.keras.Sequential(
        [layers.Input((None, 2), name="x"), layers.SimpleRNN(2, activation="exponential", name="odd")]
    )
    path = tmp_path / "model.onnx"
    path.write_bytes(b"the one before")
    with pytest.raises(ProofError, match=r"^1 Loop left in the ONNX graph \(odd: activation exponential has no "):
        to_onnx(model, path, allow_loop=False)
    assert path.read_bytes() == b"the one before"
