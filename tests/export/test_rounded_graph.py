"""Other roundings of the same model, onnxruntime's own of tanh among them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from seqship.export import check_equivalence, to_onnx
from seqship.export.cases import Case, make_feed
from seqship.export.oracle import make_oracle
from seqship.export.rounded_graph import rounded
from seqship.export.runners import keras_runner, onnx_runner
from seqship.export.signature import model_signature
from seqship.models.flavour import Flavour


def graph(function: Any, *specs: Any) -> Any:
    return tf.function(function, input_signature=specs, autograph=False).get_concrete_function().graph.as_graph_def()


def constants(definition: Any) -> list[Any]:
    return [tf.make_ndarray(node.attr["value"].tensor) for node in definition.node if node.op == "Const"]


def test_weights_move_by_a_unit_in_the_last_place_and_single_numbers_stay() -> None:
    weights = np.random.default_rng(0).normal(size=(50, 20)).astype(np.float32)

    def function(x: Any) -> Any:
        return tf.matmul(x, tf.constant(weights)) * tf.constant(0.2) + tf.cast(tf.constant([1, 2]), tf.float32)[0]

    definition = graph(function, tf.TensorSpec([None, 50]))
    before = constants(definition)
    after = constants(rounded(definition, seed=1))
    pairs = list(zip(before, after, strict=True))
    (moved,) = [(one, two) for one, two in pairs if not np.array_equal(one, two)]
    assert moved[0].shape == (50, 20)
    share = np.abs(moved[1] / moved[0].astype(np.float64) - 1)
    assert 0.3 < (share > 0).mean() < 1
    assert share.max() < 2.0**-22
    assert np.array_equal(constants(rounded(graph(function, tf.TensorSpec([None, 50])), seed=1))[-1], after[-1])


def test_tanh_of_a_layer_without_gates_has_an_absolute_error() -> None:
    def run(function: Any, x: Any) -> Any:
        definition = rounded(graph(function, tf.TensorSpec([None])), seed=0)

        def imported(x: Any) -> Any:
            return tf.graph_util.import_graph_def(definition, input_map={"x": x}, return_elements=["Identity:0"])[0]

        inner: Any = tf.compat.v1.wrap_function(imported, [tf.TensorSpec([None])])
        return inner(tf.constant(x)).numpy().astype(np.float64)

    def gate(x: Any) -> Any:
        return tf.tanh(x) * tf.sigmoid(x)

    def tanh(x: Any) -> Any:
        return tf.tanh(x)

    x = np.array([0, 1e-20, 1e-6, -1e-3, 0.5, 30, np.inf], np.float32)
    plain = run(tanh, x)
    error = np.abs(plain - np.tanh(x.astype(np.float64)))
    assert plain[0] == error[0] == 0
    assert error[1] <= 1e-20
    assert (error < 2e-7).all()
    assert error[2] > 1e-9  # In proportion, more than a thousand times what TensorFlow's own has.
    gated = run(gate, x[:5])
    expected = np.tanh(x[:5].astype(np.float64)) / (1 + np.exp(-x[:5].astype(np.float64)))
    np.testing.assert_allclose(gated, expected, rtol=1e-6, atol=0)


def test_small_states_of_a_simple_rnn_are_no_false_alarm(flavour: Flavour, tmp_path: Path) -> None:
    """onnxruntime is off there by a thousand times of what Keras is, in all that is small."""
    layers = flavour.keras.layers
    model = flavour.keras.Sequential(
        [layers.Input((None, 1), name="series"), layers.SimpleRNN(8, return_sequences=True), layers.SimpleRNN(8)]
    )
    random = np.random.default_rng(0)
    model.set_weights([random.normal(0, 0.4, one.shape).astype(np.float32) for one in model.get_weights()])
    for layer in model.layers:
        layer.set_weights([*layer.get_weights()[:2], np.zeros(8, np.float32)])
    signature = model_signature(model)
    path = to_onnx(model, tmp_path / "model.onnx", signature=signature).path
    feed = make_feed(Case(8, 24, "full"), signature.inputs, seed=0)
    feed = {"series": feed["series"] * np.float32(1e-6)}
    oracle, keras, export = make_oracle(signature), keras_runner(signature), onnx_runner(path)
    (name,) = oracle.run(feed)
    true = oracle.run(feed)[name]
    ours, theirs = (np.abs(run(feed)[name] - true).max() for run in (keras, export))
    assert theirs > 100 * ours
    assert theirs < 8 * max(np.abs(run(feed)[name] - true).max() for run in oracle.rounded)
    proof = check_equivalence(model, onnx=path, signature=signature)
    assert proof
    assert proof.worst is not None
    assert proof.worst.severity < 0.5


@pytest.mark.parametrize(("dtype", "place"), [("float16", 2.0**-10), ("bfloat16", 2.0**-7)])
def test_weights_move_by_the_places_that_are_computed_with(dtype: str, place: float) -> None:
    weights = np.random.default_rng(0).normal(size=(50, 20)).astype(np.float32)

    def mixed(x: Any) -> Any:
        return tf.matmul(tf.cast(x, dtype), tf.cast(tf.constant(weights), dtype))

    moved = max(constants(rounded(graph(mixed, tf.TensorSpec([None, 50])), seed=1)), key=np.size)
    share = np.abs(moved / weights.astype(np.float64) - 1)
    assert place / 2 < share.max() <= 1.01 * place


def test_a_model_of_half_precision_keeps_its_tanh_and_its_dtype() -> None:
    def layer(x: Any) -> Any:
        return tf.tanh(tf.matmul(x, tf.ones([3, 4], tf.float16)))

    half = graph(layer, tf.TensorSpec([None, 3], tf.float16))
    operations = [node.op for node in half.node]
    made = rounded(half, seed=0)
    assert [node.op for node in made.node] == operations
    (moved,) = [value for value in constants(made) if value.size == 12]
    assert moved.dtype == np.float16
    assert len(np.unique(moved)) > 1


def test_mixed_precision_is_no_false_alarm(flavour: Flavour, tmp_path: Path) -> None:
    """One output of one row may be exact in Keras by chance, and off by a float16 in the export."""
    layers = flavour.keras.layers
    half = {"dtype": flavour.keras.mixed_precision.Policy("mixed_float16")}
    for seed in range(3):
        flavour.keras.utils.set_random_seed(seed)
        model = flavour.keras.Sequential(
            [layers.Input((None, 3), name="series"), layers.LSTM(8, **half), layers.Dense(1, name="next", **half)]
        )
        path = to_onnx(model, tmp_path / f"{seed}.onnx").path
        proof = check_equivalence(model, onnx=path, cases=[Case(1, time, "full") for time in range(1, 13)])
        assert proof.failures == ()
        assert proof.recorded[0].expected["next"].dtype == np.float16
