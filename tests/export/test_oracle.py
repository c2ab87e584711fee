"""The float64 twin computes what the model computes, without its rounding."""

# What Lambda layers compute has no types.
# pyright: reportUnknownLambdaType=false

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from seqship.errors import ModelError
from seqship.export import check_equivalence, to_onnx, to_saved_model
from seqship.export.cases import Case, grid, make_feed
from seqship.export.equivalence import compare_runners
from seqship.export.oracle import make_oracle, measure, measured, runs_alike, saved_model_oracle
from seqship.export.recording import load_recorded, record_cases, save_recorded
from seqship.export.runners import keras_runner, onnx_runner
from seqship.export.signature import ModelSignature, model_signature
from seqship.export.streaming import export_signature
from seqship.export.tolerance import LAST_PLACE, ROUNDING
from seqship.models import recurrent_layers, run_layer
from seqship.models.flavour import Flavour

CASES = (Case(3, 24, "holes"), Case(2, 7, "left"), Case(7, 3, "empty_row"), Case(2, 24, "full", values="saturating"))


@pytest.fixture(scope="module")
def signature(small: Any) -> ModelSignature:
    return model_signature(small)


def test_it_is_nearer_to_the_truth_than_float32_can_be(flavour: Flavour) -> None:
    """The reference of each layer is NumPy's, in float64, written from the papers."""
    layers = flavour.keras.layers
    model = flavour.keras.Sequential([layers.Input((None, 2), name="x"), layers.LSTM(5, name="y")])
    random = np.random.default_rng(0)
    model.set_weights([random.normal(0, 0.7, weight.shape).astype(np.float32) for weight in model.get_weights()])
    feed = {"x": random.normal(0, 1, (4, 30, 2)).astype(np.float32)}
    made = make_oracle(export_signature(model)).run(feed)["y"]
    assert made.dtype == np.float64
    (layer,) = recurrent_layers(model)
    truth, _ = run_layer(layer, feed["x"].astype(np.float64))
    assert np.abs(made - truth).max() < 1e-14
    assert np.abs(keras_runner(export_signature(model))(feed)["y"] - truth).max() > 1e-9


def test_it_differs_from_keras_by_rounding_alone(signature: ModelSignature) -> None:
    oracle, keras = make_oracle(signature), keras_runner(signature)
    for case in CASES:
        feed = make_feed(case, signature.inputs, seed=0)
        found = measure(feed, keras, oracle)["scores"]
        assert found.error is not None
        assert 0 < found.error < 20 * LAST_PLACE
        assert found.expected.dtype == np.float32
        assert 0.2 < found.scale <= 1


def test_other_roundings_are_other_draws_of_the_same_error(signature: ModelSignature) -> None:
    oracle = make_oracle(signature)
    feed = make_feed(Case(7, 24, "right"), signature.inputs, seed=0)
    made = [run(feed)["scores"] for run in oracle.rounded]
    assert {one.dtype.name for one in made} == {"float32"}
    moved = [np.abs(one - oracle.run(feed)["scores"]).max() for one in made]
    assert all(1e-10 < one < 1e-6 for one in moved)
    assert len(set(moved)) == len(moved) >= 3
    assert np.array_equal(oracle.rounded[0](feed)["scores"], made[0])


def test_the_largest_of_the_draws_counts() -> None:
    here, true = np.array([1.0, 2.0], np.float32), np.array([1.0, 2.0])
    others = [true + np.array([0, 1e-6]), true - np.array([3e-6, 0])]
    found = measured(here, true, [one.astype(np.float32) for one in others])
    assert found.error == pytest.approx(3e-6, rel=0.1)
    assert measured(here, true, []).error == 0
    # Where a draw leaves the range of float32, it says nothing of the error.
    assert measured(here, true, [np.array([np.inf, 2.0], np.float32)]).error == 0


def test_masks_and_token_ids_are_the_models(flavour: Flavour) -> None:
    layers = flavour.keras.layers
    model = flavour.keras.Sequential(
        [
            layers.Input((None,), dtype="int32", name="tokens"),
            layers.Embedding(9, 3, mask_zero=True),
            layers.Bidirectional(layers.GRU(4)),
            layers.Dense(2, name="scores"),
        ]
    )
    signature = export_signature(model)
    oracle = make_oracle(signature)
    padded, alone = np.array([[3, 4, 0, 0]], np.int32), np.array([[3, 4]], np.int32)
    made = [oracle.run({"tokens": tokens})["scores"] for tokens in (padded, alone)]
    np.testing.assert_allclose(*made, rtol=0, atol=1e-15)


def test_the_states_of_a_stateful_model(flavour: Flavour) -> None:
    layers = flavour.keras.layers
    model = flavour.keras.Sequential(
        [layers.Input(batch_shape=(1, None, 2), name="x"), layers.LSTM(3, stateful=True, name="memory")]
    )
    signature = export_signature(model)
    oracle = make_oracle(signature)
    whole = make_feed(Case(2, 8, "full", "zero"), signature.inputs, seed=0)
    first = oracle.run({"x": whole["x"][:, :5]})
    states = {name.removesuffix("_out"): value for name, value in first.items() if name.startswith("state/")}
    second = oracle.run({"x": whole["x"][:, 5:], **states})
    np.testing.assert_allclose(second["memory"], oracle.run(whole)["memory"], rtol=0, atol=1e-14)


def test_the_twin_of_a_saved_model_is_that_of_its_model(small: Any, signature: ModelSignature, tmp_path: Path) -> None:
    to_saved_model(small, tmp_path / "saved", signature=signature)
    one, other = make_oracle(signature), saved_model_oracle(tmp_path / "saved", signature.inputs)
    for case in CASES:
        feed = make_feed(case, signature.inputs, seed=1)
        np.testing.assert_allclose(one.run(feed)["scores"], other.run(feed)["scores"], rtol=0, atol=1e-14)


def test_a_directory_that_is_no_saved_model(signature: ModelSignature, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=f"^{tmp_path} cannot be loaded as a SavedModel: "):
        saved_model_oracle(tmp_path, signature.inputs)


def test_what_keras_cannot_hold_is_what_keras_gives() -> None:
    here = np.array([1.0, np.inf, np.nan], np.float32)
    found = measured(here, np.array([1.0 + 1e-9, 1e60, 5.0]), [here])
    assert np.array_equal(found.expected, here, equal_nan=True)
    assert found.error == pytest.approx(1e-9)
    assert found.scale == pytest.approx(1)

    assert found.undetermined is not None  # The third is a number without rounding.
    assert found.undetermined.tolist() == [False, False, True]


def test_whole_numbers_have_no_rounding() -> None:
    here = np.array([3, 20_000, 5], np.int32)
    found = measured(here, here, [here, here])
    assert (found.error, found.undetermined) == (0, None)
    turned = measured(here, np.array([3, 20_000, 6]), [here, np.array([2, 20_000, 5], np.int32)])
    assert turned.undetermined is not None
    assert turned.undetermined.tolist() == [True, False, True]


def test_words_are_compared_as_they_are() -> None:
    here = np.array([b"good", b"bad"], object)
    assert measured(here, here, [here]).undetermined is None
    turned = measured(here, here, [np.array([b"good", b"good"], object)])
    assert turned.undetermined is not None
    assert turned.undetermined.tolist() == [False, True]


def test_where_rounding_tells_the_number_of_results_nothing_is_demanded() -> None:
    here = np.array([1.0, 2.0], np.float32)
    found = measured(here, np.array([1.0, 2.0, 3.0]), [here])
    assert found.undetermined is not None
    assert found.undetermined.all()


def test_what_is_a_number_with_one_rounding_alone_is_open() -> None:
    here, true = np.array([np.nan, 1.0, np.inf, np.nan], np.float32), np.array([np.nan, 1.0, 1e60, 2.0])
    assert measured(here[:3], true[:3], [here[:3]]).undetermined is None
    found = measured(here, true, [np.array([np.nan, np.inf, np.inf, np.nan], np.float32)])
    assert found.undetermined is not None
    assert found.undetermined.tolist() == [False, True, False, True]


@pytest.mark.parametrize("kind", ["tiny", "zeros", "data"])
def test_a_logarithm_of_next_to_nothing_is_no_false_alarm(flavour: Flavour, kind: str, tmp_path: Path) -> None:
    """TensorFlow takes subnormal numbers for zero, and onnxruntime does not."""
    layers, tiny = flavour.keras.layers, kind == "tiny"
    source = layers.Input((None, 2), name="x")
    logarithm = layers.Lambda(lambda x: tf.math.log(tf.abs(x)), output_shape=lambda shape: shape, name="log")
    model = flavour.keras.Model(source, logarithm(source))
    path = to_onnx(model, tmp_path / "model.onnx").path
    case = Case(2, 24, "full", values=kind)
    proof = check_equivalence(model, onnx=path, cases=[case])
    assert proof
    (recorded,) = proof.recorded
    assert (recorded.undetermined != {}) == tiny
    assert np.isneginf(recorded.expected["log"]).any() == (kind != "data")
    save_recorded(proof.recorded, tmp_path / "cases.npz")
    (again,) = load_recorded(tmp_path / "cases.npz")
    assert {name: value.tolist() for name, value in again.undetermined.items()} == {
        name: value.tolist() for name, value in recorded.undetermined.items()
    }
    if tiny:
        return
    # What float32 does not leave open is demanded still.
    run = onnx_runner(path)
    wrong = {"onnx": lambda feed: {"log": np.nan_to_num(run(feed)["log"], neginf=-90.0) + np.float32(0.01)}}
    assert not compare_runners([again], wrong)


def test_a_twin_that_cannot_be_run_leaves_keras_as_the_measure(small: Any, signature: ModelSignature) -> None:
    oracle, feed = make_oracle(signature), make_feed(CASES[0], signature.inputs, seed=0)
    assert runs_alike(oracle, feed)

    def fails(feed: Any) -> Any:
        raise ModelError(f"no kernel for {sorted(feed)}")

    assert not runs_alike(replace(oracle, run=fails), feed)
    assert not runs_alike(replace(oracle, rounded=(*oracle.rounded, fails)), feed)


def test_limits_are_those_of_the_case_and_the_scale_of_the_output(signature: ModelSignature) -> None:
    oracle, keras = make_oracle(signature), keras_runner(signature)
    recorded = record_cases(grid(signature.inputs), signature.inputs, keras, oracle)
    limits = [case.limits["scores"] for case in recorded]
    least = ROUNDING.multiple * ROUNDING.places * LAST_PLACE * 0.3
    assert min(limits) > least
    assert max(limits) < 20 * least
    assert len(set(limits)) > len(limits) // 2
    without = record_cases(CASES, signature.inputs, keras, None)
    assert all(case.limits == {} for case in without)


def test_an_output_of_tiny_inputs_has_the_scale_of_data(flavour: Flavour) -> None:
    layers = flavour.keras.layers
    model = flavour.keras.Sequential([layers.Input((None, 2), name="x"), layers.SimpleRNN(3, name="y")])
    signature = export_signature(model)
    cases = (Case(2, 5, "full"), Case(2, 5, "full", values="tiny"))
    _, tiny = record_cases(cases, signature.inputs, keras_runner(signature), make_oracle(signature))
    assert np.abs(tiny.expected["y"]).max() < 1e-15
    assert tiny.limits["y"] > 1e-7


def test_nothing_may_grow_to_something(flavour: Flavour) -> None:
    """In a model that amplifies its state, inputs of 1e-20 decide what the output is; onnxruntime's tanh drops them."""
    layers = flavour.keras.layers
    model = flavour.keras.Sequential([layers.Input((None, 1), name="x"), layers.SimpleRNN(1, name="y")])
    model.set_weights([np.full((1, 1), 4, np.float32), np.full((1, 1), 4, np.float32), np.zeros(1, np.float32)])
    signature = export_signature(model)
    case = Case(2, 120, "full", values="tiny")
    (tiny,) = record_cases((case,), signature.inputs, keras_runner(signature), make_oracle(signature))
    assert np.abs(tiny.expected["y"]).max() > 0.9
    assert tiny.limits["y"] > 1


def test_dropout_in_a_recurrent_layer_is_no_hindrance(flavour: Flavour) -> None:
    layers = flavour.keras.layers
    model = flavour.keras.Sequential(
        [layers.Input((None, 2), name="x"), layers.GRU(3, dropout=0.3, recurrent_dropout=0.2, name="y")]
    )
    signature = export_signature(model)
    feed = make_feed(Case(3, 7, "full"), signature.inputs, seed=0)
    found = measure(feed, keras_runner(signature), make_oracle(signature))["y"]
    assert found.error is not None
    assert 0 < found.error < 20 * LAST_PLACE


def _normalized_cell(k: Any) -> Any:
    class Normalized(k.layers.Layer):
        """A step of SimpleRNN, normalized: an operation inside a loop."""

        def __init__(self) -> None:
            super().__init__()
            self.cell, self.normalization = k.layers.SimpleRNNCell(4), k.layers.LayerNormalization()
            self.state_size = self.output_size = 4

        def build(self, shape: Any) -> None:
            self.cell.build(shape)
            self.normalization.build((None, 4))

        def call(self, inputs: Any, states: Any) -> Any:
            output, _ = self.cell(inputs, states)
            output = self.normalization(output)
            return output, [output]

    return k.Sequential([k.layers.Input((None, 2), name="x"), k.layers.RNN(Normalized(), name="y")])


def _of_sequences(*layers: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def build(k: Any) -> Any:
        first = k.layers.GRU(4, return_sequences=True)
        made = [layer(k.layers) for layer in layers]
        return k.Sequential([k.layers.Input((None, 2), name="x"), first, *made, k.layers.Dense(2, name="y")])

    return build


def _of_images(layer: Callable[[Any], Any], *, size: int = 6) -> Callable[[Any], Any]:
    def build(k: Any) -> Any:
        n = k.layers
        flat = n.TimeDistributed(n.Flatten())
        return k.Sequential([n.Input((4, size, size, 2), name="x"), layer(n), flat, n.GRU(3, name="y")])

    return build


def _of_sound(k: Any) -> Any:
    import tensorflow as tf

    def spectrum(x: Any) -> Any:
        return tf.abs(tf.signal.stft(x, 32, 16))

    source = k.layers.Input((200,), name="x")
    return k.Model(source, k.layers.GRU(3, name="y")(k.layers.Lambda(spectrum)(source)))


FLOAT32_ALONE: dict[str, Callable[[Any], Any]] = {
    "layer-normalization": _of_sequences(lambda n: n.LayerNormalization()),
    "normalized-cell": _normalized_cell,
    "batch-normalization-of-images": _of_images(lambda n: n.TimeDistributed(n.BatchNormalization())),
    "maximum-over-time-and-space": _of_images(lambda n: n.MaxPooling3D(2)),
    "average-over-time-and-space": _of_images(lambda n: n.AveragePooling3D(2, padding="same")),
    "larger-images": _of_images(lambda n: n.TimeDistributed(n.UpSampling2D(interpolation="bilinear")), size=2),
    "spectrum": _of_sound,
}


@pytest.mark.parametrize("name", FLOAT32_ALONE)
def test_what_tensorflow_computes_in_float32_alone_has_a_twin(flavour: Flavour, name: str) -> None:
    flavour.keras.utils.set_random_seed(2)
    signature = export_signature(FLOAT32_ALONE[name](flavour.keras))
    oracle = make_oracle(signature)
    feed = _drawn(signature)
    found = measure(feed, keras_runner(signature), oracle)["y"]
    assert found.error is not None
    assert 0 < found.error < 40 * LAST_PLACE * max(found.scale, 1)
    assert oracle.run(feed)["y"].dtype == np.float64


def _drawn(signature: ModelSignature) -> dict[str, Any]:
    free = {"batch": 3, "time": 9}
    shape = [int(free.get(size, size)) if isinstance(size, str) else size for size in signature.inputs[0].shape]
    return {"x": np.random.default_rng(0).normal(0, 1, shape).astype(np.float32)}


@pytest.mark.parametrize("interpolation", ["bicubic", "area"])
def test_a_model_without_a_twin(flavour: Flavour, interpolation: str) -> None:
    build = _of_images(lambda n: n.TimeDistributed(n.UpSampling2D(interpolation=interpolation)), size=2)
    signature = export_signature(build(flavour.keras))
    with pytest.raises(ModelError, match=r"^the model has no float64 twin: [^\n]*was passed float from [^\n]*/Resize"):
        make_oracle(signature)


@pytest.mark.parametrize("layer", ["LayerNormalization", "BatchNormalization"])
def test_another_epsilon_is_convicted(flavour: Flavour, layer: str, tmp_path: Path) -> None:
    def model(epsilon: float) -> Any:
        flavour.keras.utils.set_random_seed(2)
        return _of_sequences(lambda n: getattr(n, layer)(epsilon=epsilon))(flavour.keras)

    right = model(1e-3)
    verdicts = [
        check_equivalence(right, onnx=to_onnx(one, tmp_path / f"{number}.onnx").path)
        for number, one in enumerate([right, model(1e-2)])
    ]
    assert [bool(proof) for proof in verdicts] == [True, False]
    worst = [proof.worst.severity for proof in verdicts if proof.worst]
    assert worst[0] < 1
    assert worst[1] > 100
    assert all(case.limits for proof in verdicts for case in proof.recorded)
