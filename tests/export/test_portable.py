"""A SavedModel that holds a CPU's and a GPU's implementation of every layer that cuDNN can run."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqship.export import check_equivalence, saved_model_to_onnx, to_saved_model
from seqship.export.runners import saved_model_runner
from seqship.models import cudnn_eligibility
from seqship.models.flavour import Flavour, load_flavour

FEATURES = 3


def classifier(flavour: Flavour, **options: Any) -> Any:
    """Bidirectional LSTM and GRU over a mask."""
    keras = flavour.keras
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Input((None, FEATURES), name="signal"),
            layers.Masking(-1.0),
            layers.Bidirectional(layers.LSTM(4, return_sequences=True, name="both", **options)),
            layers.GRU(5, go_backwards=True, return_sequences=True, name="back", **options),
            layers.GRU(3, name="top", **options),
            layers.Dense(2, name="scores"),
        ]
    )
    random = np.random.default_rng(0)
    model.set_weights([random.normal(0, 0.4, weight.shape) for weight in model.get_weights()])
    return model


def library(path: Path) -> list[Any]:
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((path / "saved_model.pb").read_bytes())
    return list(saved.meta_graphs[0].graph_def.library.function)


def cudnn_calls(function: Any, by_name: dict[str, Any]) -> int:
    """Number of CudnnRNNV3 in a function and in those that it calls."""
    called = [a.func.name for node in function.node_def for a in node.attr.values() if a.HasField("func")]
    own = sum(node.op == "CudnnRNNV3" for node in function.node_def)
    return own + sum(cudnn_calls(by_name[name], by_name) for name in called)


def pairs(path: Path) -> dict[str, dict[str, Any]]:
    """The functions of the file that implement something, by its name and by the device they prefer."""
    found: dict[str, dict[str, Any]] = {}
    for function in library(path):
        if "api_implements" in function.attr:
            sides = found.setdefault(function.attr["api_implements"].s.decode(), {})
            device = function.attr["api_preferred_device"].s.decode()
            assert device not in sides
            sides[device] = function
    return found


def test_every_eligible_layer_is_a_pair_with_one_cudnn_operation(flavour: Flavour, tmp_path: Path) -> None:
    model = classifier(flavour)
    to_saved_model(model, tmp_path / "saved")
    by_name = {function.signature.name: function for function in library(tmp_path / "saved")}
    found = pairs(tmp_path / "saved")
    assert Counter(name.partition("_")[0] for name in found) == {"lstm": 2, "gru": 2}
    assert len(found) == sum(row.eligible for row in cudnn_eligibility(model))
    for sides in found.values():
        assert set(sides) == {"CPU", "GPU"}
        arguments, results = (
            [[(a.name, a.type) for a in getattr(side.signature, part)] for side in sides.values()]
            for part in ("input_arg", "output_arg")
        )
        assert arguments[0] == arguments[1]
        assert [dtype for _, dtype in results[0]] == [dtype for _, dtype in results[1]]
        assert cudnn_calls(sides["GPU"], by_name) == 1
        assert cudnn_calls(sides["CPU"], by_name) == 0
    # None outside of a pair, and none reached by what runs here.
    assert sum(node.op.startswith("CudnnRNN") for f in by_name.values() for node in f.node_def) == len(found)
    serving = [function for name, function in by_name.items() if "signature_wrapper" in name]
    assert [cudnn_calls(function, by_name) for function in serving] == [0, 0]


def test_it_computes_what_keras_computes(flavour: Flavour, tmp_path: Path) -> None:
    model = classifier(flavour)
    to_saved_model(model, tmp_path / "saved")
    report = check_equivalence(model, saved_model=tmp_path / "saved")
    assert report
    assert len(report.recorded) == 46


def test_nothing_of_training_is_in_the_file(flavour: Flavour, tmp_path: Path) -> None:
    model = classifier(flavour)
    model.compile("adam", "mse")
    signal = np.zeros((2, 4, FEATURES), np.float32)
    model.fit(signal, np.zeros((2, 2), np.float32), verbose=0)
    to_saved_model(model, tmp_path / "saved")
    names = " ".join(function.signature.name for function in library(tmp_path / "saved"))
    assert "forward" not in names
    assert "backward" not in names
    assert "gradient" not in names
    import tensorflow as tf

    stored = tf.train.list_variables(str(tmp_path / "saved" / "variables" / "variables"))
    assert sum(int(np.prod(shape)) for name, shape in stored if name.endswith("VARIABLE_VALUE")) == model.count_params()


def test_the_graph_is_small_beside_the_one_of_tf_keras(tmp_path: Path) -> None:
    model = classifier(load_flavour(2))
    to_saved_model(model, tmp_path / "ours")
    model.export(str(tmp_path / "stock"))
    ours, stock = ((tmp_path / name / "saved_model.pb").stat().st_size for name in ("ours", "stock"))
    assert ours <= 0.4 * stock


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"recurrent_dropout": 0.1}, "recurrent_dropout"),
        ({"use_bias": False}, "use_bias"),
        ({"activation": "relu"}, ""),
    ],
)
def test_layers_that_cudnn_cannot_run_stay_keras(
    flavour: Flavour, options: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    model = classifier(flavour, **options)
    assert not any(row.eligible for row in cudnn_eligibility(model))
    assert all(reason in row.reasons[0] for row in cudnn_eligibility(model))
    to_saved_model(model, tmp_path / "saved")
    assert pairs(tmp_path / "saved") == {}
    feed = {"signal": np.random.default_rng(0).normal(0, 1, (3, 5, FEATURES)).astype(np.float32)}
    outputs = saved_model_runner(tmp_path / "saved")(feed)
    assert np.allclose(outputs["scores"], model(feed["signal"]), atol=1e-6)


def test_states_are_handed_through_a_pair(flavour: Flavour, tmp_path: Path) -> None:
    keras = flavour.keras
    source = keras.layers.Input(batch_shape=(2, None, FEATURES), name="signal")
    layer = keras.layers.LSTM(4, stateful=True, return_sequences=True, name="memory")
    model = keras.Model(source, layer(source))
    to_saved_model(model, tmp_path / "saved")
    assert len(pairs(tmp_path / "saved")) == 2  # One of each signature.
    assert check_equivalence(model, saved_model=tmp_path / "saved")


def test_time_major_layers(tmp_path: Path) -> None:
    keras = load_flavour(2).keras
    source = keras.layers.Input(batch_shape=(None, None, FEATURES), name="signal")
    model = keras.Model(source, keras.layers.GRU(4, time_major=True, return_sequences=True, name="memory")(source))
    to_saved_model(model, tmp_path / "saved")
    assert len(pairs(tmp_path / "saved")) == 1
    feed = {"signal": np.random.default_rng(0).normal(0, 1, (5, 3, FEATURES)).astype(np.float32)}
    outputs = saved_model_runner(tmp_path / "saved")(feed)
    assert np.allclose(outputs["memory"], model(feed["signal"]), atol=1e-6)


def test_a_portable_file_comes_back_as_native_onnx(flavour: Flavour, tmp_path: Path) -> None:
    model = classifier(flavour)
    to_saved_model(model, tmp_path / "saved")
    found = saved_model_to_onnx(tmp_path / "saved", tmp_path / "model.onnx", allow_loop=False)
    assert found.operators == {"GRU": 2, "LSTM": 2}
    assert check_equivalence(model, onnx=tmp_path / "model.onnx")
