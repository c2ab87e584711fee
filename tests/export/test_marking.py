"""What is marked as one operator, what is folded, and what Keras still does after an export."""

from __future__ import annotations

import inspect
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

from seqship.export import OnnxExport, to_onnx
from seqship.export.interception import intercept_calls
from seqship.export.runners import keras_runner
from seqship.export.streaming import export_signature
from seqship.models.flavour import Flavour, load_flavour

Array = NDArray[Any]
FEATURES = 3


def model_of(flavour: Flavour, build: Callable[[Any, Any], Any], shape: tuple[int | None, ...] = (None, 3)) -> Any:
    """A model whose weights, the biases too, are no zeros."""
    keras = flavour.keras
    source = keras.layers.Input(shape, name="signal")
    model = keras.Model(source, build(keras.layers, source))
    random = np.random.default_rng(0)
    model.set_weights([random.normal(0, 0.4, weight.shape) for weight in model.get_weights()])
    return model


def padded(batch: int = 4, time: int = 6, features: int = FEATURES, *, seed: int = 1) -> Array:
    """Sequences with holes, and one row that is all padding."""
    random = np.random.default_rng(seed)
    signal = random.normal(0, 1, (batch, time, features)).astype(np.float32)
    signal[random.random((batch, time)) < 0.4] = -1
    signal[0] = -1
    return signal


def exported(model: Any, path: Path, *feeds: Array, **options: Any) -> OnnxExport:
    """Exports a model and compares it with Keras on the feeds."""
    import tensorflow as tf

    found = to_onnx(model, path, **options)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for feed in feeds:
        wanted = tf.nest.flatten(model(feed, training=False))
        answers: list[Any] = list(session.run(None, {"signal": feed}))
        for ours, keras in zip(answers, wanted, strict=True):
            assert np.allclose(ours, keras, atol=1e-5, rtol=1e-5)
    return found


def nodes(path: Path) -> Counter[str]:
    return Counter(node.op_type for node in onnx.load(path).graph.node)


def attribute(path: Path, operator: str, name: str) -> Any:
    (node,) = (node for node in onnx.load(path).graph.node if node.op_type == operator)
    return next(onnx.helper.get_attribute_value(found) for found in node.attribute if found.name == name)


# --- Two directions.


def test_two_directions_are_one_operator_with_weights_and_activations_of_both(flavour: Flavour, tmp_path: Path) -> None:
    def build(layers: Any, source: Any) -> Any:
        backward = layers.LSTM(2, activation="relu", recurrent_activation="hard_sigmoid", go_backwards=True)
        return layers.Bidirectional(layers.LSTM(2), backward_layer=backward)(layers.Masking(-1.0)(source))

    found = exported(model_of(flavour, build), tmp_path / "model.onnx", padded())
    assert found.operators == {"LSTM": 1}
    assert [row.onnx for row in found.audit] == ["LSTM", "LSTM"]
    assert attribute(tmp_path / "model.onnx", "LSTM", "direction") == b"bidirectional"
    assert attribute(tmp_path / "model.onnx", "LSTM", "activations") == [
        *(b"Sigmoid", b"Tanh", b"Tanh"),
        *(b"HardSigmoid", b"Relu", b"Relu"),
    ]


@pytest.mark.parametrize(
    ("kind", "forward", "backward"),
    [
        ("LSTM", {"units": 2}, {"units": 3}),
        ("GRU", {"units": 2}, {"units": 2, "reset_after": False}),
        ("GRU", {"units": 2, "activation": "relu"}, {"units": 2, "activation": "exponential"}),
    ],
)
def test_directions_that_one_operator_cannot_hold_are_two(
    flavour: Flavour, kind: str, forward: dict[str, Any], backward: dict[str, Any], tmp_path: Path
) -> None:
    def build(layers: Any, source: Any) -> Any:
        layer = getattr(layers, kind)
        pair = layer(**forward), layer(**backward, go_backwards=True)
        return layers.Bidirectional(pair[0], backward_layer=pair[1])(layers.Masking(-1.0)(source))

    found = exported(model_of(flavour, build), tmp_path / "model.onnx", padded())
    odd = backward.get("activation") == "exponential"
    assert found.operators == {kind: 1 if odd else 2}
    assert bool(found.loops) == odd


def test_a_wrapped_layer_that_runs_backwards_itself(tmp_path: Path) -> None:
    def build(layers: Any, source: Any) -> Any:
        return layers.Bidirectional(layers.GRU(2, go_backwards=True, return_sequences=True))(source)

    # Keras 3 refuses it.
    assert exported(model_of(load_flavour(2), build), tmp_path / "model.onnx", padded()).operators == {"GRU": 2}


def test_masked_steps_that_repeat_within_a_bidirectional(flavour: Flavour, tmp_path: Path) -> None:
    def build(layers: Any, source: Any) -> Any:
        both = layers.Bidirectional(layers.GRU(2, return_sequences=True), merge_mode="ave")
        for layer in (both.forward_layer, both.backward_layer):
            layer.zero_output_for_mask = False  # Bidirectional sets it; each direction then repeats its own.
        return both(layers.Masking(-1.0)(source))

    assert exported(model_of(flavour, build), tmp_path / "model.onnx", padded()).operators == {"GRU": 1}


# --- Cells.


def peephole(layers: Any, **options: Any) -> Any:
    from tf_keras.src.layers.rnn.legacy_cells import LSTMCell

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return layers.RNN(LSTMCell(4, use_peepholes=True), **options)


def test_peepholes_and_states_in_the_cells_own_order(tmp_path: Path) -> None:
    def build(layers: Any, source: Any) -> Any:
        masked = layers.Masking(-1.0)(source)
        sequence, c, h = peephole(layers, return_sequences=True, return_state=True)(masked)
        return [sequence, c, h, peephole(layers, go_backwards=True)(source, initial_state=[c, h])]

    found = exported(model_of(load_flavour(2), build), tmp_path / "model.onnx", padded())
    assert (found.operators, found.loops) == ({"LSTM": 2}, 0)


def test_a_mask_of_another_rank_keeps_the_loop(tmp_path: Path) -> None:
    keras = load_flavour(3).keras
    signal = keras.layers.Input((None, FEATURES), name="signal")
    mask = keras.layers.Input((None, 1), dtype="bool", name="mask")
    model = keras.Model([signal, mask], keras.layers.GRU(2, return_sequences=True)(signal, mask=mask))
    found = to_onnx(model, tmp_path / "model.onnx")
    assert (found.operators, found.audit[0].onnx_reasons) == ({}, ("its mask has 3 axes, not two",))
    feed = {"signal": padded(), "mask": np.random.default_rng(0).random((4, 6, 1)) > 0.4}
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    ours: Any = session.run(None, feed)[0]
    assert np.allclose(ours, model(list(feed.values())), atol=1e-5)


# --- TimeDistributed.


def test_steps_are_folded_into_the_batch(flavour: Flavour, tmp_path: Path) -> None:
    def build(layers: Any, source: Any) -> Any:
        words = layers.Masking(-1.0)(layers.Reshape((5, 4, 3))(source))
        return layers.TimeDistributed(layers.LSTM(2))(words)

    found = exported(model_of(flavour, build, (20, 3)), tmp_path / "model.onnx", padded(time=20))
    assert (found.operators, found.loops) == ({"LSTM": 1}, 0)


def test_a_free_number_of_steps_is_what_keras_3_makes_of_it(tmp_path: Path) -> None:
    # Keras 3.15 runs as many steps as there are rows in the batch.
    keras = load_flavour(3).keras
    source = keras.layers.Input((None, 4, FEATURES), name="signal")
    model = keras.Model(source, keras.layers.TimeDistributed(keras.layers.SimpleRNN(2))(source))
    feed = np.random.default_rng(0).normal(0, 1, (2, 3, 4, FEATURES)).astype(np.float32)
    to_onnx(model, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    ours: Any = session.run(None, {"signal": feed})[0]
    (wanted,) = keras_runner(export_signature(model))({"signal": feed}).values()
    assert ours.shape == wanted.shape == (2, 2, 2)
    assert np.allclose(ours, wanted, atol=1e-5)


def test_a_model_over_a_fixed_batch_is_folded(flavour: Flavour, tmp_path: Path) -> None:
    keras = flavour.keras
    words = keras.layers.Input((4, FEATURES))
    sentence = keras.Model(words, keras.layers.Dense(2)(keras.layers.GRU(3)(words)))
    source = keras.layers.Input(batch_shape=(2, 5, 4, FEATURES), name="signal")
    model = keras.Model(source, keras.layers.TimeDistributed(sentence)(source))
    feed = np.random.default_rng(0).normal(0, 1, (2, 5, 4, FEATURES)).astype(np.float32)
    assert exported(model, tmp_path / "model.onnx", feed).operators == {"GRU": 1}


def test_a_layer_of_the_users_own_is_not_folded(flavour: Flavour, tmp_path: Path) -> None:
    keras = flavour.keras

    class Centred(keras.layers.Layer):
        """Mixes the rows of a batch: folding would mix the steps."""

        def call(self, inputs: Any) -> Any:
            import tensorflow as tf

            return inputs - tf.reduce_mean(inputs, axis=0, keepdims=True)

        def compute_output_shape(self, input_shape: Any) -> Any:
            return input_shape

    source = keras.layers.Input(batch_shape=(4, 6, FEATURES), name="signal")
    model = keras.Model(source, keras.layers.TimeDistributed(Centred())(source))
    exported(model, tmp_path / "model.onnx", padded())


# --- Masks that are known to be on the right, and transposes.


def test_right_padding_that_is_declared_needs_no_permutation(flavour: Flavour, tmp_path: Path) -> None:
    def build(layers: Any, source: Any) -> Any:
        both = layers.Bidirectional(layers.GRU(2, return_sequences=True))(layers.Masking(-1.0)(source))
        return layers.LSTM(2, return_sequences=True)(layers.LSTM(2, return_sequences=True, go_backwards=True)(both))

    feed = padded()
    feed[:] = np.random.default_rng(2).normal(0, 1, feed.shape)
    for row, length in enumerate((6, 0, 1, 4)):
        feed[row, length:] = -1
    model = model_of(flavour, build)
    found = exported(model, tmp_path / "right.onnx", feed, padding="right")
    assert found.operators == {"GRU": 1, "LSTM": 2}
    assert nodes(tmp_path / "right.onnx")["ScatterElements"] == 0
    exported(model, tmp_path / "any.onnx", feed, padded())
    assert nodes(tmp_path / "any.onnx")["ScatterElements"] == 1


def test_a_mask_made_of_lengths_is_seen_to_be_right_padded(tmp_path: Path) -> None:
    import tensorflow as tf

    keras = load_flavour(2).keras
    source, lengths = (
        keras.layers.Input((None, FEATURES), name="signal"),
        keras.layers.Input((), dtype="int32", name="n"),
    )

    def mask_of(tensors: Any) -> Any:
        return tf.sequence_mask(tensors[1], tf.shape(tensors[0])[1])

    def opposite_of(tensors: Any) -> Any:
        return tf.logical_not(mask_of(tensors))

    def model_with(invert: bool) -> Any:
        mask = keras.layers.Lambda(opposite_of if invert else mask_of)([source, lengths])
        return keras.Model([source, lengths], keras.layers.GRU(3, return_sequences=True)(source, mask=mask))

    signal, given = padded(), np.array([0, 1, 6, 9], np.int32)
    for invert, permutations in ((False, 0), (True, 1)):
        model = model_with(invert)
        to_onnx(model, tmp_path / "model.onnx", allow_loop=False)
        assert nodes(tmp_path / "model.onnx")["ScatterElements"] == permutations
        session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
        ours: Any = session.run(None, {"signal": signal, "n": given})[0]
        assert np.allclose(ours, model([signal, given]), atol=1e-5)


def test_a_mask_made_of_another_comparison_is_not_taken_for_lengths(tmp_path: Path) -> None:
    import tensorflow as tf

    keras = load_flavour(2).keras
    source, limit = keras.layers.Input((None, FEATURES), name="signal"), keras.layers.Input((1,), name="limit")

    def below(tensors: Any) -> Any:
        return tf.less(tensors[0][:, :, 0], tensors[1])

    mask = keras.layers.Lambda(below)([source, limit])
    model = keras.Model([source, limit], keras.layers.GRU(3)(source, mask=mask))
    to_onnx(model, tmp_path / "model.onnx", allow_loop=False)
    assert nodes(tmp_path / "model.onnx")["ScatterElements"] == 1
    feed = {"signal": padded(), "limit": np.full((4, 1), 0.1, np.float32)}
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    ours: Any = session.run(None, feed)[0]
    assert np.allclose(ours, model(list(feed.values())), atol=1e-5)


@pytest.mark.parametrize("masked", [False, True])
def test_no_transposes_stand_between_stacked_operators(flavour: Flavour, masked: bool, tmp_path: Path) -> None:
    def build(layers: Any, source: Any) -> Any:
        tensor = layers.Masking(-1.0)(source) if masked else source
        tensor = layers.SimpleRNN(4, return_sequences=True)(tensor)
        tensor = layers.Dropout(0.5)(tensor)
        tensor = layers.GRU(4, return_sequences=True)(tensor)
        return layers.RNN([layers.LSTMCell(2), layers.LSTMCell(3)])(tensor)

    exported(model_of(flavour, build), tmp_path / "model.onnx", padded())
    assert nodes(tmp_path / "model.onnx")["Transpose"] == 1  # Of the input: the operators take the steps first.
    assert nodes(tmp_path / "model.onnx")["GatherND"] == int(masked)


# --- Keras itself, after an export.


def test_the_signatures_of_calls_stay_what_they_were(flavour: Flavour) -> None:
    layers = flavour.keras.layers
    intercept_calls(flavour)
    for name in ("LSTM", "GRU", "SimpleRNN", "RNN", "Bidirectional", "TimeDistributed"):
        call = getattr(layers, name).call
        original = call.__seqship_original__
        # The two ways in which the Kerases ask.
        assert inspect.getfullargspec(call) == inspect.getfullargspec(original)
        assert inspect.signature(call) == inspect.signature(original)


SCRIPT = """
import sys
import numpy as np
from seqship.export import to_onnx
from seqship.models.flavour import load_flavour

keras = load_flavour(int(sys.argv[1])).keras
keras.utils.set_random_seed(0)
layers = keras.layers
signal = np.random.default_rng(0).normal(0, 1, (3, 5, 2)).astype("float32")
signal[1, 2:] = -1

def made():
    keras.utils.set_random_seed(0)
    both = layers.Bidirectional(layers.LSTM(3, return_sequences=True))
    return keras.Sequential([layers.Input((None, 2)), layers.Masking(-1.0), both, layers.GRU(2)])

before = np.asarray(made()(signal))
to_onnx(made(), sys.argv[2])
after = np.asarray(made()(signal))
padding = np.concatenate([signal, np.full((3, 4, 2), -1, "float32")], axis=1)
print(np.abs(before - after).max(), np.abs(before - np.asarray(made()(padding))).max())
"""


def test_an_export_changes_no_model_that_is_built_afterwards(flavour: Flavour, tmp_path: Path) -> None:
    # A process of its own: here, exports have been made before.
    command = [sys.executable, "-c", SCRIPT, str(flavour.version), str(tmp_path / "model.onnx")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    differences = [float(text) for text in done.stdout.split()]
    assert differences[0] == 0
    assert differences[1] < 1e-6
