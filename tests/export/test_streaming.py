"""Stateful layers: their states come in and go out by name, and chunks give what the whole sequence gives."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from seqship.errors import DataError
from seqship.export import check_equivalence, read_bundle, ship, to_onnx
from seqship.export.runners import keras_runner, saved_model_runner
from seqship.export.streaming import export_signature
from seqship.models.flavour import Flavour, load_flavour
from seqship.pipelines.spec import STATE_PREFIX
from seqship.serving import Predictor

Array = NDArray[Any]
ROWS, FEATURES = 2, 3


def stateful_model(flavour: Flavour, *layers: Any, time: int | None = None) -> Any:
    """A model whose layers keep their state, with weights that are no zeros."""
    keras = flavour.keras
    source = keras.layers.Input(batch_shape=(ROWS, time, FEATURES), name="signal")
    tensor = source
    for layer in layers:
        tensor = layer(tensor)
    model = keras.Model(source, tensor)
    random = np.random.default_rng(0)
    model.set_weights([random.normal(0, 0.4, weight.shape) for weight in model.get_weights()])
    return model


BUILDS: dict[str, tuple[Callable[[Any], list[Any]], dict[str, int], list[str]]] = {
    "LSTM": (
        lambda layers: [layers.LSTM(4, stateful=True, return_sequences=True, name="memory")],
        {"LSTM": 1},
        ["memory/h", "memory/c"],
    ),
    "GRU and SimpleRNN": (
        lambda layers: [
            layers.GRU(4, stateful=True, return_sequences=True, name="below"),
            layers.Dropout(0.5),
            layers.SimpleRNN(2, stateful=True, name="above"),
        ],
        {"GRU": 1, "RNN": 1},
        ["below/h", "above/h"],
    ),
    "stacked cells": (
        lambda layers: [
            layers.RNN(
                [layers.LSTMCell(4, name="one"), layers.GRUCell(3, name="two")],
                stateful=True,
                return_sequences=True,
                name="memory",
            )
        ],
        {"GRU": 1, "LSTM": 1},
        ["memory/one/h", "memory/one/c", "memory/two/h"],
    ),
    "no operator": (
        lambda layers: [layers.GRU(3, stateful=True, activation="exponential", name="odd")],
        {},
        ["odd/h"],
    ),
}


def in_onnxruntime(path: Path) -> Callable[[dict[str, Array]], dict[str, Array]]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]

    def run(feed: dict[str, Array]) -> dict[str, Array]:
        values: list[Any] = list(session.run(names, feed))
        return dict(zip(names, values, strict=True))

    return run


def handed_on(outputs: dict[str, Array]) -> dict[str, Array]:
    return {name.removesuffix("_out"): value for name, value in outputs.items() if name.startswith(STATE_PREFIX)}


def answer(outputs: dict[str, Array]) -> Array:
    (found,) = (value for name, value in outputs.items() if not name.startswith(STATE_PREFIX))
    return found


def in_chunks(run: Callable[[dict[str, Array]], dict[str, Array]], signal: Array, cuts: Sequence[int]) -> list[Array]:
    """Runs a sequence piece by piece, handing the states on; the first call is given none."""
    states: dict[str, Array] = {}
    answers: list[Array] = []
    for chunk in np.split(signal, cuts, axis=1):
        outputs = run({"signal": chunk, **states})
        states = handed_on(outputs)
        answers.append(answer(outputs))
    return answers


def signal(batch: int = ROWS, time: int = 9, seed: int = 1) -> Array:
    return np.random.default_rng(seed).normal(0, 1, (batch, time, FEATURES)).astype(np.float32)


@pytest.mark.parametrize("build", BUILDS)
def test_chunks_are_what_keras_gives_for_them(flavour: Flavour, build: str, tmp_path: Path) -> None:
    make, operators, states = BUILDS[build]
    model = stateful_model(flavour, *make(flavour.keras.layers))
    found = to_onnx(model, tmp_path / "model.onnx")
    assert found.operators == operators
    assert [field.name for field in found.inputs] == ["signal", *(f"state/{name}" for name in states)]
    assert [field.name for field in found.outputs][1:] == [f"state/{name}_out" for name in states]
    assert [value.name for value in onnx.load(tmp_path / "model.onnx").graph.output] == [f.name for f in found.outputs]
    data = signal()
    from_onnx = in_chunks(in_onnxruntime(tmp_path / "model.onnx"), data, [2, 3])
    # The stateful model itself, which keeps its states in variables of its own.
    wanted = [np.asarray(model(chunk)) for chunk in np.split(data, [2, 3], axis=1)]
    for ours, keras in zip(from_onnx, wanted, strict=True):
        assert np.allclose(ours, keras, atol=1e-5, rtol=1e-5)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(time=st.integers(1, 9), cuts=st.sets(st.integers(1, 8), max_size=4), batch=st.integers(1, 4))
def test_chunks_of_any_size_give_what_the_whole_gives(time: int, cuts: set[int], batch: int) -> None:
    run = whole_model()
    data = signal(batch, time)
    inner = sorted(cut for cut in cuts if cut < time)
    assert np.allclose(np.concatenate(in_chunks(run, data, inner), axis=1), answer(run({"signal": data})), atol=1e-6)


_kept: dict[str, Any] = {}


def whole_model() -> Callable[[dict[str, Array]], dict[str, Array]]:
    """The model of the property, exported once."""
    if "run" not in _kept:
        import tempfile

        flavour = load_flavour(3)
        model = stateful_model(flavour, *BUILDS["stacked cells"][0](flavour.keras.layers))
        with tempfile.TemporaryDirectory() as folder:
            to_onnx(model, Path(folder) / "model.onnx", allow_loop=False)
            _kept["run"] = in_onnxruntime(Path(folder) / "model.onnx")
    return _kept["run"]


def test_a_state_left_out_is_zero_and_one_row_serves_all(flavour: Flavour, tmp_path: Path) -> None:
    model = stateful_model(flavour, flavour.keras.layers.LSTM(4, stateful=True, name="memory"))
    to_onnx(model, tmp_path / "model.onnx")
    run = in_onnxruntime(tmp_path / "model.onnx")
    data = signal(batch=5)  # Keras was told two rows; a state that is handed in needs no such number.
    zeros = {name: np.zeros((5, 4), np.float32) for name in ("state/memory/h", "state/memory/c")}
    assert np.array_equal(answer(run({"signal": data})), answer(run({"signal": data, **zeros})))
    row = {name: np.full((1, 4), 0.5, np.float32) for name in zeros}
    rows = {name: np.repeat(value, 5, 0) for name, value in row.items()}
    assert np.array_equal(answer(run({"signal": data, **row})), answer(run({"signal": data, **rows})))
    assert not np.allclose(answer(run({"signal": data, **rows})), answer(run({"signal": data})), atol=1e-3)


def test_both_directions_of_a_bidirectional_keep_a_state(flavour: Flavour, tmp_path: Path) -> None:
    layers = flavour.keras.layers
    model = stateful_model(
        flavour, layers.Bidirectional(layers.GRU(2, stateful=True, return_sequences=True, name="ring"))
    )
    found = to_onnx(model, tmp_path / "model.onnx", allow_loop=False)
    names = {field.name for field in found.inputs if field.is_state}
    assert names == {"state/forward_ring/h", "state/backward_ring/h"}
    data = signal()
    from_onnx = in_chunks(in_onnxruntime(tmp_path / "model.onnx"), data, [4])
    wanted = [np.asarray(model(chunk)) for chunk in np.split(data, [4], axis=1)]
    assert all(np.allclose(*pair, atol=1e-5) for pair in zip(from_onnx, wanted, strict=True))


def test_the_models_own_state_is_left_alone(flavour: Flavour, tmp_path: Path) -> None:
    layer = flavour.keras.layers.GRU(4, stateful=True)
    model = stateful_model(flavour, layer)
    model(signal())
    before = [np.asarray(state) for state in layer.states]
    signature = export_signature(model)
    to_onnx(model, tmp_path / "model.onnx", signature=signature)
    keras_runner(signature)({"signal": signal(seed=2)})
    assert layer.stateful
    assert not layer.return_state
    assert all(np.array_equal(*pair) for pair in zip(before, [np.asarray(s) for s in layer.states], strict=True))


def test_one_layer_called_twice_goes_on_from_its_own_state(flavour: Flavour, tmp_path: Path) -> None:
    keras = flavour.keras
    source = keras.layers.Input(batch_shape=(ROWS, 4, FEATURES), name="signal")
    shared = keras.layers.GRU(3, stateful=True, name="memory")
    shared(source)
    model = keras.Model(source, keras.layers.Add(name="sum")([shared(source), shared(source)]))
    found = to_onnx(model, tmp_path / "model.onnx")
    assert found.operators == {"GRU": 2}
    data = signal(time=4)
    outputs = in_onnxruntime(tmp_path / "model.onnx")({"signal": data})
    assert np.allclose(outputs["sum"], np.asarray(model(data)), atol=1e-5)


def test_the_saved_model_streams_too_and_callers_share_nothing(flavour: Flavour, tmp_path: Path) -> None:
    make, _, _ = BUILDS["LSTM"]
    model = stateful_model(flavour, *make(flavour.keras.layers))
    bundle = ship(model, tmp_path / "bundle", name="memory")
    assert bundle.equivalent
    kinds = {part for case in read_report(bundle.path)["cases"] for part in case["case"].split() if "state=" in part}
    assert kinds == {"state=zero", "state=random"}
    run = saved_model_runner(bundle.path / "saved_model")
    data = signal(batch=3)
    first, second = run({"signal": data}), run({"signal": data})
    assert list(first) == ["memory"]
    assert np.array_equal(first["memory"], second["memory"])
    zeros = {name: np.zeros((3, 4), np.float32) for name in ("state/memory/h", "state/memory/c")}
    begun = run({"signal": data[:, :4], **zeros})
    ended = run({"signal": data[:, 4:], **handed_on(begun)})
    assert np.allclose(np.concatenate([answer(begun), answer(ended)], axis=1), first["memory"], atol=1e-6)
    signatures = read_bundle(bundle.path).manifest["signatures"]
    assert [field["name"] for field in signatures["serving_default"]["inputs"]] == ["signal"]
    assert [field["name"] for field in signatures["stream"]["inputs"]] == ["signal", *zeros]


def read_report(path: Path) -> dict[str, Any]:
    import json

    return json.loads((path / "report.json").read_text())


def test_the_predictor_streams_and_needs_all_states_or_none(tmp_path: Path) -> None:
    make, _, _ = BUILDS["LSTM"]
    flavour = load_flavour(3)
    to_onnx(stateful_model(flavour, *make(flavour.keras.layers)), tmp_path / "model.onnx")
    predictor = Predictor(tmp_path / "model.onnx")
    data = signal(batch=3)
    whole = predictor.predict(data).outputs
    rows = predictor.predict([data[0], data[1, :4], data[2]][:1]).outputs
    assert np.allclose(rows["memory"], whole["memory"][:1], atol=1e-6)
    begun = predictor.predict_batch({"signal": data[:, :4]}).outputs
    ended = predictor.predict_batch({"signal": data[:, 4:], **handed_on(begun)}).outputs
    assert np.allclose(np.concatenate([begun["memory"], ended["memory"]], 1), whole["memory"], atol=1e-6)
    half = {"state/memory/h": begun["state/memory/h_out"]}
    with pytest.raises(DataError, match=r"^the model takes signal, state/memory/c, state/memory/h, got signal, state/"):
        predictor.predict_batch({"signal": data, **half})
    wide = {name: value[:, :2] for name, value in handed_on(begun).items()}
    with pytest.raises(DataError, match=r"^input 'state/memory/h' must be float32 shaped \(batch, 4\), got float32 "):
        predictor.predict_batch({"signal": data, **wide})


def test_a_wrong_state_is_convicted(flavour: Flavour, tmp_path: Path) -> None:
    make, _, _ = BUILDS["LSTM"]
    model = stateful_model(flavour, *make(flavour.keras.layers))
    to_onnx(model, tmp_path / "model.onnx")
    proto = onnx.load(tmp_path / "model.onnx")
    swapped = {"state/memory/h": "state/memory/c", "state/memory/c": "state/memory/h"}
    for node in proto.graph.node:
        for position, name in enumerate(node.input):
            node.input[position] = swapped.get(name, name)
    onnx.save(proto, tmp_path / "wrong.onnx")
    assert check_equivalence(model, onnx=tmp_path / "model.onnx")
    report = check_equivalence(model, onnx=tmp_path / "wrong.onnx")
    assert not report
    kinds = {part for failure in report.failures for part in failure.case.split() if "state=" in part}
    assert kinds == {"state=random"}


def test_two_threads_export_one_model(tmp_path: Path) -> None:
    flavour = load_flavour(3)
    model = stateful_model(flavour, flavour.keras.layers.GRU(3, stateful=True, name="memory"))
    failures: list[BaseException] = []

    def export(number: int) -> None:
        try:
            to_onnx(model, tmp_path / f"{number}.onnx", allow_loop=False)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=export, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    answers = [answer(in_onnxruntime(tmp_path / f"{number}.onnx")({"signal": signal()})) for number in range(3)]
    assert np.array_equal(answers[0], answers[1])
    assert np.array_equal(answers[0], answers[2])
