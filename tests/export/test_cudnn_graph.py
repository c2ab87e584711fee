"""Graphs that were traced on a GPU become ONNX with native operators, equal to the Keras model on the CPU."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from seqship.errors import ModelError
from seqship.export import ship, to_onnx
from seqship.export.graph_signature import gpu_operations
from seqship.export.runners import onnx_runner
from seqship.export.saved_graph import saved_model_to_onnx
from seqship.models.reference import run_bidirectional, run_layer
from seqship.models.saved import SavedGraph
from seqship.models.spec import Activation, RecurrentSpec

TIME, FEATURES, UNITS, BATCH = 5, 2, 3, 4
CLOSE = 1e-5


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Lets Keras 3 trace as it does where there is a GPU."""
    monkeypatch.setattr(sys.modules["keras.src.backend.tensorflow.rnn"], "_is_gpu_available", lambda: True)
    yield


def weighted(model: Any) -> Any:
    random = np.random.default_rng(3)
    model.set_weights([random.normal(0, 0.5, weight.shape).astype(np.float32) for weight in model.get_weights()])
    return model


def padded_steps() -> NDArray[np.float32]:
    """Sequences padded on the right, which is what cuDNN takes; one step at the least."""
    steps = np.random.default_rng(4).standard_normal((BATCH, TIME, FEATURES)).astype(np.float32)
    for row, length in enumerate((TIME, 1, 3, 4)):
        steps[row, length:] = 0
    return steps


def save(model: Any, directory: Path) -> SavedGraph:
    """Saves what a model is traced to; nothing of it is run."""
    module: Any = tf.Module()
    module.kept = [weight.value for weight in model.weights]
    spec = tf.TensorSpec((None, None, FEATURES), name="steps")

    function = tf.function(lambda steps: dict(model(steps)), autograph=False)  # pyright: ignore[reportUnknownLambdaType]
    concrete = function.get_concrete_function(spec)
    tf.saved_model.save(module, str(directory), signatures=concrete)
    return SavedGraph(directory)


def every_call() -> Any:
    layers = keras.layers
    steps = layers.Input((None, FEATURES), name="steps")
    masked = layers.Masking()(steps)
    first, h, c = layers.LSTM(UNITS, return_sequences=True, return_state=True, name="first")(masked)
    outputs = {
        "h": h,
        "c": c,
        "stacked": layers.GRU(UNITS, name="second")(first),
        "both": layers.Bidirectional(layers.LSTM(UNITS, name="lstm"), name="both")(masked),
        "backwards": layers.GRU(UNITS, go_backwards=True, name="backwards")(masked),
        "carried": layers.LSTM(UNITS, name="carried")(masked, initial_state=[h, c]),
        "sequence": layers.Bidirectional(layers.GRU(UNITS, return_sequences=True))(masked),
        "plain": layers.GRU(UNITS, return_sequences=True, go_backwards=True)(steps),
    }
    return weighted(keras.Model(steps, outputs))


def test_every_call_of_a_layer_equals_keras_on_the_cpu(gpu: None, tmp_path: Path) -> None:
    model = every_call()
    steps = padded_steps()
    graph = save(model, tmp_path / "saved")
    assert len(gpu_operations(graph)) == 9
    found = saved_model_to_onnx(graph.directory, tmp_path / "model.onnx", allow_loop=False)
    assert (found.operators, found.loops) == ({"LSTM": 4, "GRU": 5}, 0)
    made = onnx_runner(found.path)({"steps": steps})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules["keras.src.backend.tensorflow.rnn"], "_is_gpu_available", lambda: False)
        expected = {name: np.asarray(value) for name, value in model(steps).items()}
    assert sorted(made) == sorted(expected)
    for name, value in expected.items():
        assert made[name].shape == value.shape
        assert np.abs(made[name] - value).max() <= CLOSE, name
    row = next(row for row in found.audit if row.layer.startswith("first"))
    assert (row.kind, row.units, row.params) == ("LSTM", UNITS, model.get_layer("first").count_params())
    assert (row.onnx, row.onnx_reasons, row.cudnn_eligible) == ("LSTM", (), True)
    (field,) = found.inputs
    assert (field.name, field.pad_value) == ("steps", 0.0)


def test_padded_steps_of_a_sequence_are_zero_as_on_the_gpu(gpu: None, tmp_path: Path) -> None:
    layers = keras.layers
    steps = layers.Input((None, FEATURES), name="steps")
    model = weighted(keras.Model(steps, {"made": layers.GRU(UNITS, return_sequences=True)(layers.Masking()(steps))}))
    found = saved_model_to_onnx(save(model, tmp_path / "saved").directory, tmp_path / "model.onnx")
    given = padded_steps()
    valid = np.any(given != 0, axis=-1)
    made = onnx_runner(found.path)({"steps": given})["made"]
    assert not made[~valid].any()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules["keras.src.backend.tensorflow.rnn"], "_is_gpu_available", lambda: False)
        expected = np.asarray(model(given)["made"])
    assert np.abs(made - expected)[valid].max() <= CLOSE


# --- The operation itself

MODES = {"lstm": ("LSTM", 4), "gru": ("GRU", 3), "rnn_tanh": ("SimpleRNN", 1), "rnn_relu": ("SimpleRNN", 1)}


def drawn_spec(mode: str, seed: int, *, backwards: bool = False) -> RecurrentSpec:
    """A layer with weights in Keras' order, both biases of which count."""
    kind, gates = MODES[mode]
    random, width = np.random.default_rng(seed), gates * UNITS
    return RecurrentSpec(
        name=mode,
        kind=kind,  # pyright: ignore[reportArgumentType]
        units=UNITS,
        features=FEATURES,
        kernel=random.normal(0, 0.5, (FEATURES, width)).astype(np.float32),
        recurrent_kernel=random.normal(0, 0.5, (UNITS, width)).astype(np.float32),
        bias=random.normal(0, 0.5, (2, width)).astype(np.float32),
        activation=Activation("relu" if mode == "rnn_relu" else "tanh"),
        recurrent_activation=None if kind == "SimpleRNN" else Activation("sigmoid"),
        return_sequences=True,
        go_backwards=backwards,
    )


def params(mode: str, *directions: RecurrentSpec) -> NDArray[np.float32]:
    """The weights in cuDNN's order: GRU r z h, LSTM i f c o; W and R of every direction, then the biases."""
    gates = MODES[mode][1]
    order = [1, 0, 2] if mode == "gru" else list(range(gates))

    def blocks(weights: NDArray[Any]) -> list[NDArray[Any]]:
        parts = np.split(weights, gates, axis=-1)
        return [parts[gate].T.ravel() for gate in order]

    weights = [part for spec in directions for both in (spec.kernel, spec.recurrent_kernel) for part in blocks(both)]
    biases = [part for spec in directions if spec.bias is not None for half in spec.bias for part in blocks(half)]
    return np.concatenate(weights + biases).astype(np.float32)


def save_operation(directory: Path, mode: str, weights: NDArray[Any], *, constant: bool = True, **more: Any) -> Path:
    """Saves a graph of one operation, with its parameters as a constant or as an input."""
    time_major, directions = bool(more.get("time_major", True)), 2 if more.get("direction") == "bidirectional" else 1
    states = (directions, None, UNITS) if time_major else (None, directions, UNITS)
    operation = more.pop("operation", "CudnnRNNV3")

    def call(steps: Any, h: Any, c: Any, lengths: Any, flat: Any) -> dict[str, Any]:
        given: dict[str, Any] = {"input": steps, "input_h": h, "input_c": c if mode == "lstm" else tf.constant(0.0)}
        given |= {"params": tf.constant(weights) if constant else flat, "rnn_mode": mode}
        if operation == "CudnnRNNV3":
            given["sequence_lengths"] = lengths
        made: Any = getattr(tf.raw_ops, operation)(**given, **more)
        outputs = {"output": made.output, "final_h": made.output_h}
        return outputs | ({"final_c": made.output_c} if mode == "lstm" else {})

    specs = [
        tf.TensorSpec((None, None, FEATURES), name="steps"),
        tf.TensorSpec(states, name="h"),
        tf.TensorSpec(states, name="c"),
        tf.TensorSpec((None,), tf.int32, name="lengths"),
        tf.TensorSpec(weights.shape, name="flat"),
    ]
    concrete = tf.function(call, autograph=False).get_concrete_function(*specs)
    tf.saved_model.save(tf.Module(), str(directory), signatures=concrete)
    return directory


@pytest.mark.parametrize("constant", [True, False], ids=["constant", "computed"])
@pytest.mark.parametrize("mode", ["lstm", "gru", "rnn_relu"])
@pytest.mark.parametrize("time_major", [True, False])
def test_two_directions_in_one_operation(mode: str, constant: bool, time_major: bool, tmp_path: Path) -> None:
    ahead, back = drawn_spec(mode, 1), drawn_spec(mode, 2, backwards=True)
    flat = params(mode, ahead, back)
    directory = save_operation(
        tmp_path / "saved", mode, flat, constant=constant, direction="bidirectional", time_major=time_major
    )
    found = saved_model_to_onnx(directory, tmp_path / "model.onnx", allow_loop=False)
    random = np.random.default_rng(5)
    steps = padded_steps()
    lengths = np.any(steps != 0, axis=-1).sum(1).astype(np.int32)
    states = random.normal(0, 0.5, (2, 2, BATCH, UNITS)).astype(np.float32)  # h and c, direction, batch, units
    feed = {"steps": steps, "h": states[0].swapaxes(0, 1), "c": states[1].swapaxes(0, 1), "lengths": lengths}
    if time_major:
        feed |= {"steps": steps.swapaxes(0, 1), "h": states[0], "c": states[1]}
    wanted = {field.name for field in found.inputs}
    made = onnx_runner(found.path)({name: value for name, value in (feed | {"flat": flat}).items() if name in wanted})

    kinds = 2 if mode == "lstm" else 1
    initial = [states[kind, direction] for direction in (0, 1) for kind in range(kinds)]
    expected, final = summed(ahead, back, steps, initial)
    mask = np.any(steps != 0, axis=-1)
    output = made["output"].swapaxes(0, 1) if time_major else made["output"]
    assert np.abs(np.where(mask[..., None], output - expected, output)).max() <= CLOSE
    for kind, name in enumerate(("final_h", "final_c")[:kinds]):
        state = made[name] if time_major else made[name].swapaxes(0, 1)
        for direction in (0, 1):
            assert np.abs(state[direction] - final[direction * kinds + kind]).max() <= CLOSE


def summed(ahead: RecurrentSpec, back: RecurrentSpec, steps: NDArray[Any], initial: list[Any]) -> tuple[Any, Any]:
    """The reference, for which both biases of an LSTM and an RNN are one."""
    from dataclasses import replace

    one, other = (
        spec if spec.kind == "GRU" or spec.bias is None else replace(spec, bias=spec.bias.sum(0))
        for spec in (ahead, back)
    )
    return run_bidirectional(one, other, "concat", steps, mask=np.any(steps != 0, axis=-1), initial_state=initial)


@pytest.mark.parametrize("operation", ["CudnnRNN", "CudnnRNNV2"])
def test_the_older_operations(operation: str, tmp_path: Path) -> None:
    spec = drawn_spec("gru", 1)
    directory = save_operation(tmp_path / "saved", "gru", params("gru", spec), operation=operation)
    found = saved_model_to_onnx(directory, tmp_path / "model.onnx")
    random = np.random.default_rng(5)
    steps = random.normal(size=(TIME, BATCH, FEATURES)).astype(np.float32)
    state = random.normal(size=(1, BATCH, UNITS)).astype(np.float32)
    feed = {"steps": steps, "h": state}
    rest = {"c": state, "lengths": np.zeros(BATCH, np.int32), "flat": params("gru", spec)}
    wanted = {field.name for field in found.inputs}
    made = onnx_runner(found.path)({name: value for name, value in (rest | feed).items() if name in wanted})
    expected, final = run_layer(spec, steps.swapaxes(0, 1), initial_state=[state[0]])
    assert np.abs(made["output"].swapaxes(0, 1) - expected).max() <= CLOSE
    assert np.abs(made["final_h"][0] - final[0]).max() <= CLOSE


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "stacked": ({"copies": 2}, r"it has \d+ parameters, one layer of 3 units has \d+"),
    "projected": ({"num_proj": 2}, r"it projects its output \(num_proj\)"),
    "skips": ({"input_mode": "skip_input"}, r"it has no weights for its input \(input_mode skip_input\)"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_has_no_operator_is_refused_in_one_line(what: str, tmp_path: Path) -> None:
    more, why = REFUSED[what]
    more = dict(more)
    weights = np.tile(params("lstm", drawn_spec("lstm", 1)), int(more.pop("copies", 1)))
    directory = save_operation(tmp_path / "saved", "lstm", weights, **more)
    message = (
        rf"^TensorFlow operation CudnnRNNV3 \(layer '.*'\) has no ONNX counterpart: {why}; "
        r"build the model without cuDNN \(use_cudnn=False\) and save it again$"
    )
    with pytest.raises(ModelError, match=message):
        saved_model_to_onnx(directory, tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()


def test_nothing_is_claimed_of_what_cannot_run_here(tmp_path: Path) -> None:
    graph = SavedGraph(save_operation(tmp_path / "saved", "gru", params("gru", drawn_spec("gru", 1))))
    message = (
        rf"^{graph.directory} holds CudnnRNNV3 \(layer '.*'\), which runs on a GPU alone: nothing can be proven here; "
        r"give the \.keras file, or convert it without proof in Python \(seqship\.export\.saved_model_to_onnx\)$"
    )
    with pytest.raises(ModelError, match=message):
        ship(graph, tmp_path / "bundle", name="made")
    assert not (tmp_path / "bundle").exists()
    assert to_onnx(graph, tmp_path / "model.onnx").operators == {"GRU": 1}
