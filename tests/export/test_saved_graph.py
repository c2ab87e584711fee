"""A SavedModel without its Keras objects becomes ONNX with native operators, equal to the Keras model it came from."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import tensorflow as tf
import tf_keras
from numpy.typing import NDArray
from tf_keras.src.layers.rnn import gru_lstm_utils

from seqship.errors import ModelError, ProofError
from seqship.export import check_equivalence, to_onnx, to_saved_model
from seqship.export.cases import Case
from seqship.export.graph_signature import graph_signature
from seqship.export.inspection import inspect_model
from seqship.export.runners import onnx_runner
from seqship.export.saved_graph import saved_model_to_onnx
from seqship.models.saved import SavedGraph
from seqship.pipelines.spec import Field

TIME, FEATURES, UNITS = 6, 2, 3
CLOSE = 1e-5


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves out the GPU's twin of each function, which takes nine tenths of the tracing and which nothing here calls.

    The models of `saved` are traced before this, with everything that tf-keras writes.
    """
    monkeypatch.setattr(gru_lstm_utils, "function_register", lambda *_, **__: None)  # pyright: ignore[reportUnknownLambdaType]


def weighted(model: Any) -> Any:
    """Gives a model weights of which none is zero, so that no gate and no bias can be left out unseen."""
    random = np.random.default_rng(3)
    model.set_weights([random.normal(0, 0.5, weight.shape).astype(np.float32) for weight in model.get_weights()])
    return model


def masked_steps() -> NDArray[np.float32]:
    """A batch of every kind of row: full, padded after and before the data, with holes, without any valid step."""
    steps = np.random.default_rng(4).standard_normal((5, TIME, FEATURES)).astype(np.float32)
    steps[1, 4:] = 0
    steps[2, :2] = 0
    steps[3, [0, 2, 3]] = 0
    steps[4] = 0
    return steps


def agree(model: Any, exported: Path, feed: dict[str, NDArray[Any]]) -> None:
    """Compares all outputs of an ONNX file with those of the Keras model, in the order of their names."""
    names = [tensor.name for tensor in onnx.load(exported).graph.input]
    expected = model([feed[str(tensor.name)] for tensor in model.inputs], training=False)
    found = onnx_runner(exported)({name: feed[name] for name in names})
    wanted = expected if isinstance(expected, dict) else {next(iter(found)): expected}
    assert sorted(found) == sorted(wanted)
    for name, value in wanted.items():
        assert found[name].shape == tuple(value.shape), name
        assert np.abs(found[name] - np.asarray(value)).max() <= CLOSE, name


def nodes(path: Path, *operators: str) -> list[Any]:
    return [node for node in onnx.load(path).graph.node if node.op_type in operators]


# --- Every way to call a layer


def every_call() -> Any:
    """One model that calls layers in every way that changes what they compute."""
    layers = tf_keras.layers
    lstm, gru = layers.LSTM, layers.GRU
    steps, plain = layers.Input((None, FEATURES), name="steps"), layers.Input((None, FEATURES), name="plain")
    masked = layers.Masking()(steps)
    start = [layers.Dense(UNITS)(layers.GlobalMaxPooling1D()(plain)) for _ in range(2)]
    started, *states = lstm(UNITS, return_sequences=True, return_state=True, name="started")(
        masked, initial_state=start
    )
    outputs: dict[str, Any] = {
        "backwards": lstm(UNITS, go_backwards=True, return_sequences=True, name="backwards")(masked),
        "backwards_last": gru(UNITS, go_backwards=True, name="backwards_last")(plain),
        "stacked": gru(UNITS, name="upper")(gru(UNITS, return_sequences=True, name="lower")(masked)),
        "both": layers.Bidirectional(gru(UNITS, return_sequences=True, name="inner"), name="both")(masked),
        "zeros": gru(UNITS, zero_output_for_mask=True, name="zeros")(masked),
        "started": started,
        "h": states[0],
        "c": states[1],
        "carried": gru(UNITS, return_sequences=True, name="carried")(masked, initial_state=states[0]),
    }
    named = {name: layers.Activation("linear", name=f"out_{name}")(tensor) for name, tensor in outputs.items()}
    return weighted(tf_keras.Model([steps, plain], named, name="every"))


def test_every_call_of_a_layer_equals_keras(tmp_path: Path) -> None:
    model = every_call()
    to_saved_model(model, tmp_path / "saved")
    found = saved_model_to_onnx(tmp_path / "saved", tmp_path / "model.onnx", allow_loop=False)
    assert (found.operators, found.loops) == ({"GRU": 7, "LSTM": 2}, 0)
    steps = masked_steps()
    agree(model, found.path, {"steps": steps, "plain": steps[::-1].copy()})
    rows = {row.layer: row for row in found.audit}
    assert sorted(rows) == [
        "backwards", "backwards_last", "both/backward_inner", "both/forward_inner",
        "carried", "lower", "started", "upper", "zeros",
    ]  # fmt: skip
    for name, kind in (("started", "LSTM"), ("zeros", "GRU")):
        row = rows[name]
        assert (row.kind, row.units, row.params) == (kind, UNITS, model.get_layer(name).count_params())
        assert (row.onnx, row.onnx_reasons, row.cudnn_eligible, row.reasons) == (kind, (), True, ())


def test_an_initial_state_of_zeros_is_no_operand(tmp_path: Path) -> None:
    layers = tf_keras.layers
    model = weighted(tf_keras.Sequential([layers.Input((None, 2), name="steps"), layers.GRU(UNITS)]))
    to_saved_model(model, tmp_path / "saved")
    found = saved_model_to_onnx(tmp_path / "saved", tmp_path / "model.onnx")
    (node,) = nodes(found.path, "GRU")
    assert len([name for name in node.input if name]) == 4


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_time_first(kind: str, tmp_path: Path) -> None:
    layers = tf_keras.layers
    steps = layers.Input((TIME, FEATURES), name="steps", batch_size=5)
    recurrent: Any = getattr(layers, kind)
    turned = layers.Lambda(lambda x: tf.transpose(x, [1, 0, 2]))(steps)  # pyright: ignore[reportUnknownLambdaType]
    valid = layers.Lambda(lambda x: tf.transpose(tf.reduce_any(x != 0, axis=-1)))(steps)  # pyright: ignore[reportUnknownLambdaType]
    made = recurrent(UNITS, time_major=True, return_sequences=True, go_backwards=True)(turned, mask=valid)
    model = weighted(tf_keras.Model(steps, made))
    to_saved_model(model, tmp_path / "saved")
    found = saved_model_to_onnx(tmp_path / "saved", tmp_path / "model.onnx", allow_loop=False)
    assert found.operators == {kind: 1}
    agree(model, found.path, {"steps": masked_steps()})


# --- Every way to write a SavedModel


@pytest.fixture(scope="module")
def small() -> Any:
    layers = tf_keras.layers
    model = tf_keras.Sequential(
        [
            layers.Input((None, FEATURES), name="beat"),
            layers.Masking(-1.0),
            layers.LSTM(UNITS, return_sequences=True, name="first"),
            layers.GRU(UNITS, name="last"),
            layers.Dense(2, activation="softmax", name="scores"),
        ],
        name="small",
    )
    return weighted(model)


@pytest.fixture(scope="module")
def saved(small: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("saved")
    small.save(folder / "save", save_format="tf")
    small.export(str(folder / "export"))
    to_saved_model(small, folder / "seqship")
    return {path.name: path for path in folder.iterdir()}


@pytest.mark.parametrize("writer", ["save", "export", "seqship"])
def test_every_way_to_save_a_model(writer: str, saved: dict[str, Path], small: Any, tmp_path: Path) -> None:
    found = saved_model_to_onnx(saved[writer], tmp_path / "model.onnx", allow_loop=False)
    assert (found.operators, found.loops) == ({"LSTM": 1, "GRU": 1}, 0)
    assert found.inputs == (Field("beat", "float32", ("batch", "time", FEATURES), pad_value=-1.0),)
    (output,) = found.outputs
    assert (output.dtype, output.shape) == ("float32", ("batch", 2))
    assert [row.layer for row in found.audit] == ["first", "last"]
    steps = masked_steps()
    steps[steps == 0] = -1
    agree(small, found.path, {"beat": steps})
    model = onnx.load(found.path)
    assert [value.name for value in model.graph.output] == [output.name]
    dims = model.graph.input[0].type.tensor_type.shape.dim
    assert [dim.dim_param or dim.dim_value for dim in dims] == ["batch", "time", FEATURES]


def test_the_same_from_the_class(saved: dict[str, Path], tmp_path: Path) -> None:
    graph = SavedGraph(saved["export"])
    found = to_onnx(graph, tmp_path / "model.onnx")
    assert found.operators == {"LSTM": 1, "GRU": 1}
    assert inspect_model(graph) == found.audit


def test_the_saved_model_itself_is_the_reference(saved: dict[str, Path], small: Any, tmp_path: Path) -> None:
    graph = SavedGraph(saved["seqship"])
    to_onnx(graph, tmp_path / "model.onnx")
    proof = check_equivalence(graph, onnx=tmp_path / "model.onnx", cases=[Case(3, 7, "holes"), Case(3, 7, "empty_row")])
    assert proof
    for case in proof.recorded:
        assert (case.feed["beat"] == -1).any()
        assert np.abs(case.expected["scores"] - np.asarray(small(case.feed["beat"]))).max() <= CLOSE


def test_a_copy_for_a_bundle_needs_the_signature_of_bundles(saved: dict[str, Path], tmp_path: Path) -> None:
    made = to_saved_model(SavedGraph(saved["export"]), tmp_path / "copy")
    assert (made.path / "saved_model.pb").read_bytes() == (saved["export"] / "saved_model.pb").read_bytes()
    message = (
        r"^a bundle's SavedModel is called by its signature serving_default, not 'serve'; "
        r"save it under that name, or export with --formats onnx$"
    )
    with pytest.raises(ModelError, match=message):
        to_saved_model(SavedGraph(saved["export"], "serve"), tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_the_original_is_not_touched(saved: dict[str, Path], tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in saved["seqship"].rglob("*") if path.is_file()}
    saved_model_to_onnx(saved["seqship"], tmp_path / "model.onnx")
    assert {path: path.read_bytes() for path in saved["seqship"].rglob("*") if path.is_file()} == before


def test_token_ids_are_seen_in_the_graph(tmp_path: Path) -> None:
    layers = tf_keras.layers
    model = tf_keras.Sequential(
        [layers.Input((None,), dtype="int32", name="words"), layers.Embedding(7, 2, mask_zero=True), layers.LSTM(UNITS)]
    )
    model = weighted(model)
    to_saved_model(model, tmp_path / "saved")
    found = saved_model_to_onnx(tmp_path / "saved", tmp_path / "model.onnx")
    (words,) = found.inputs
    assert (words.unit, words.pad_value, words.minimum, words.maximum) == ("token id", 0.0, 1.0, 6.0)
    ids = np.random.default_rng(0).integers(0, 7, (4, TIME)).astype(np.int32)
    ids[0] = 0
    agree(model, found.path, {"words": ids})


# --- What is left to the stock conversion


def test_layers_that_cudnn_cannot_run_become_loops_and_say_so(tmp_path: Path) -> None:
    layers = tf_keras.layers
    model = tf_keras.Sequential(
        [
            layers.Input((None, FEATURES), name="steps"),
            layers.Masking(),
            layers.GRU(UNITS, reset_after=False, return_sequences=True, name="old"),
            layers.LSTM(UNITS, name="new"),
        ],
        name="small",
    )
    model = weighted(model)
    to_saved_model(model, tmp_path / "saved")
    found = saved_model_to_onnx(tmp_path / "saved", tmp_path / "model.onnx")
    agree(model, found.path, {"steps": masked_steps()})
    assert (found.operators, found.loops) == ({"LSTM": 1}, 1)
    why = "it is a loop of TensorFlow operations, and nothing in the graph says of which layer; give the .keras file"
    assert [(row.layer, row.onnx, row.onnx_reasons) for row in found.audit] == [
        ("new", "LSTM", ()), ("old", "Loop", (why,))
    ]  # fmt: skip
    with pytest.raises(ProofError, match=rf"^1 Loop left in the ONNX graph \(old: {why}\)$"):
        saved_model_to_onnx(tmp_path / "saved", tmp_path / "other.onnx", allow_loop=False)
    assert not (tmp_path / "other.onnx").exists()


def test_weights_that_the_graph_computes_are_no_operands(tmp_path: Path) -> None:
    """A function whose kernel depends on the input is called as it is, and its twin of constant weights is not."""
    layer = tf_keras.layers.LSTM(UNITS, name="moving")
    layer.build((None, None, FEATURES))
    plain = tf_keras.layers.LSTM(UNITS, name="fixed")
    kernel = layer.cell.kernel
    module: Any = tf.Module()
    module.layers = [layer, plain]

    def call(steps: tf.Tensor) -> dict[str, Any]:
        layer.cell.kernel = kernel * tf.reduce_mean(steps)
        return {"moving": layer(steps), "fixed": plain(steps)}

    spec = tf.TensorSpec((None, None, FEATURES), tf.float32, name="steps")
    concrete = tf.function(call, autograph=False).get_concrete_function(spec)
    layer.cell.kernel = kernel
    tf.saved_model.save(module, str(tmp_path / "saved"), signatures=concrete)
    found = saved_model_to_onnx(tmp_path / "saved", tmp_path / "model.onnx")
    rows = {row.layer: (row.kind, row.onnx, row.onnx_reasons) for row in found.audit}
    assert rows["fixed"] == ("LSTM", "LSTM", ())
    assert rows["moving"] == ("LSTM", "Loop", ("its weights are computed by the graph, not constant",))
    steps = masked_steps()
    expected = {name: value.numpy() for name, value in concrete(tf.constant(steps)).items()}
    for name, value in onnx_runner(found.path)({"steps": steps}).items():
        assert np.abs(value - expected[name]).max() <= CLOSE


# --- What is refused


def test_what_is_no_saved_model(tmp_path: Path) -> None:
    target = tmp_path / "model.onnx"
    message = rf"^{tmp_path} holds no saved_model\.pb; give the directory that a model was saved to$"
    with pytest.raises(ModelError, match=message):
        saved_model_to_onnx(tmp_path, target)
    (tmp_path / "saved_model.pb").write_bytes(b"no protocol buffer")
    with pytest.raises(ModelError, match=rf"^{tmp_path}/saved_model\.pb cannot be read as a SavedModel: "):
        saved_model_to_onnx(tmp_path, target)
    (tmp_path / "saved_model.pb").write_bytes(b"")
    message = rf"^{tmp_path} holds no graph with the tag serve, it has: no graph; save it for serving$"
    with pytest.raises(ModelError, match=message):
        saved_model_to_onnx(tmp_path, target)
    assert not target.exists()


def test_a_saved_model_that_has_lost_its_variables(saved: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(saved["seqship"], tmp_path / "saved")
    shutil.rmtree(tmp_path / "saved" / "variables")
    with pytest.raises(ModelError, match=rf"^{tmp_path}/saved cannot be loaded as a SavedModel: "):
        saved_model_to_onnx(tmp_path / "saved", tmp_path / "model.onnx")


def test_a_signature_that_is_not_there(saved: dict[str, Path], tmp_path: Path) -> None:
    message = rf"^{saved['export']} has no signature 'other', it has: serve, serving_default$"
    with pytest.raises(ModelError, match=message):
        saved_model_to_onnx(saved["export"], tmp_path / "model.onnx", signature="other")
    tf.saved_model.save(tf.Module(), str(tmp_path / "bare"))
    message = rf"^{tmp_path}/bare has no signature; save it with model\.export\(\) or signatures=\.\.\.$"
    with pytest.raises(ModelError, match=message):
        saved_model_to_onnx(tmp_path / "bare", tmp_path / "model.onnx")


def test_an_opset_out_of_range(saved: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"^opset must be 14 to \d+, got 3$"):
        saved_model_to_onnx(saved["export"], tmp_path / "model.onnx", opset=3)


def test_a_stateful_layer(tmp_path: Path) -> None:
    layers = tf_keras.layers
    model = tf_keras.Sequential(
        [layers.Input((None, FEATURES), batch_size=1, name="steps"), layers.GRU(UNITS, stateful=True, name="kept")]
    )
    model.export(str(tmp_path / "saved"))
    message = (
        r"^the SavedModel writes to a variable in 'kept' and ONNX would lose what it keeps between calls; "
        r"save the model with stateful=False, or give the \.keras file$"
    )
    with pytest.raises(ModelError, match=message):
        saved_model_to_onnx(tmp_path / "saved", tmp_path / "model.onnx")


def test_texts_in_the_graph(tmp_path: Path) -> None:
    layers = tf_keras.layers
    words = layers.TextVectorization(vocabulary=["good", "bad"], name="to_ids")
    model = tf_keras.Sequential(
        [layers.Input((1,), dtype=tf.string, name="text"), words, layers.Embedding(4, 2), layers.LSTM(UNITS)]
    )
    to_saved_model(model, tmp_path / "saved")
    message = (
        r"^TensorFlow operation \w+ \(layer 'to_ids.*'\) has no ONNX counterpart; "
        r"move it out of the model, or export with --formats saved_model$"
    )
    with pytest.raises(ModelError, match=message):
        saved_model_to_onnx(tmp_path / "saved", tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()


def test_an_input_and_an_output_of_one_name(tmp_path: Path) -> None:
    spec = tf.TensorSpec((None, 2), name="x")
    concrete = tf.function(lambda x: {"x": x + 1}).get_concrete_function(spec)  # pyright: ignore[reportUnknownLambdaType]
    tf.saved_model.save(tf.Module(), str(tmp_path / "saved"), signatures=concrete)
    message = (
        rf"^{tmp_path}/saved: signature 'serving_default' has an input and an output named 'x', and ONNX has one name "
        r"space for both; save it with names of their own$"
    )
    with pytest.raises(ModelError, match=message):
        saved_model_to_onnx(tmp_path / "saved", tmp_path / "model.onnx")


def test_an_input_that_nothing_reads(tmp_path: Path) -> None:
    specs = [tf.TensorSpec((None, 2), name=name) for name in ("x", "unused")]
    function = tf.function(lambda x, unused: {"y": x + 1})  # pyright: ignore[reportUnknownLambdaType]
    concrete = function.get_concrete_function(*specs)
    tf.saved_model.save(tf.Module(), str(tmp_path / "saved"), signatures=concrete)
    found = saved_model_to_onnx(tmp_path / "saved", tmp_path / "model.onnx")
    assert sorted(field.name for field in found.inputs) == ["unused", "x"]
    feed = {name: np.ones((1, 2), np.float32) for name in ("x", "unused")}
    assert onnx_runner(found.path)(feed)["y"].tolist() == [[2, 2]]


def test_a_contract_that_does_not_fit(saved: dict[str, Path]) -> None:
    graph = SavedGraph(saved["seqship"])
    named = Field("beat", "float32", ("batch", "time", FEATURES), unit="mV")
    assert graph_signature(graph, inputs=[named]).inputs == (named,)
    with pytest.raises(ModelError, match=r"^the SavedModel has the inputs beat, the contract names other$"):
        graph_signature(graph, inputs=[Field("other", "float32", ("batch", "time", FEATURES))])
    message = r"^input 'beat' of the SavedModel is float32 with 3 axes, the contract says int32 with 2$"
    with pytest.raises(ModelError, match=message):
        graph_signature(graph, inputs=[Field("beat", "int32", ("batch", "time"))])
