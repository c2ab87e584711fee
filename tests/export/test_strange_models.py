"""Models that are named, built or called in unusual ways: exported right, or refused in one line."""

from __future__ import annotations

import collections
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import tensorflow as tf

from seqship.errors import DataError, ModelError
from seqship.export import check_equivalence, ship, to_onnx, to_saved_model, verify
from seqship.export.inspection import inspect_model
from seqship.export.signature import parse_field
from seqship.models.flavour import Flavour, load_flavour
from seqship.models.saved import SavedGraph
from seqship.serving import Predictor


def run(path: Path, feed: dict[str, Any]) -> Any:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, feed)[0]


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (("été",), ["t"]),
        (("語",), ["tensor"]),
        (("__",), ["tensor"]),
        (("X", "x"), ["X", "x_2"]),
        (("class",), ["class_"]),
        (("training", "self"), ["training", "self_"]),
        (("1st", "a b"), ["tensor_1st", "a_b"]),
    ],
)
def test_names_that_not_every_runtime_takes(
    flavour: Flavour, names: tuple[str, ...], wanted: list[str], tmp_path: Path
) -> None:
    keras = flavour.keras
    inputs = [keras.layers.Input((None, 2), name=name) for name in names]
    joined = inputs[0] if len(inputs) == 1 else keras.layers.Concatenate()(inputs)
    model = keras.Model(inputs, keras.layers.SimpleRNN(2, name="out")(joined))
    found = to_onnx(model, tmp_path / "model.onnx")
    assert [field.name for field in found.inputs] == wanted
    to_saved_model(model, tmp_path / "saved")
    assert check_equivalence(model, onnx=tmp_path / "model.onnx", saved_model=tmp_path / "saved")


def test_an_ordered_dict_keeps_its_order_in_keras_3(tmp_path: Path) -> None:
    keras = load_flavour(3).keras
    a, b = (keras.layers.Input((None, 3), name=name) for name in "ab")
    difference = keras.layers.Subtract()([keras.layers.GRU(2)(b), keras.layers.LSTM(2)(a)])
    model = keras.Model(collections.OrderedDict([("b", b), ("a", a)]), difference)
    to_onnx(model, tmp_path / "model.onnx")
    random = np.random.default_rng(0)
    feed = {name: random.normal(0, 1, (2, 4, 3)).astype(np.float32) for name in "ab"}
    wanted = np.asarray(model(collections.OrderedDict([("b", feed["b"]), ("a", feed["a"])])))
    assert np.allclose(run(tmp_path / "model.onnx", feed), wanted, atol=1e-6)


def test_one_row_of_states_serves_a_batch(flavour: Flavour, tmp_path: Path) -> None:
    keras = flavour.keras
    signal, state = keras.layers.Input((3, 2), name="signal"), keras.layers.Input(batch_shape=(1, 4), name="h")
    model = keras.Model([signal, state], keras.layers.GRU(4, unroll=True)(signal, initial_state=state))
    to_onnx(model, tmp_path / "model.onnx", allow_loop=False)
    feed = {"signal": np.ones((3, 3, 2), np.float32), "h": np.full((1, 4), 0.5, np.float32)}
    wanted = np.asarray(model([feed["signal"], np.repeat(feed["h"], 3, axis=0)]))
    assert np.allclose(run(tmp_path / "model.onnx", feed), wanted, atol=1e-6)


def test_a_layer_in_both_branches_of_a_condition(flavour: Flavour, tmp_path: Path) -> None:
    import tensorflow as tf

    keras = flavour.keras

    class Either(keras.layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.memory = keras.layers.LSTM(3, return_sequences=True)

        def build(self, shape: Any) -> None:
            self.memory.build(shape)

        def call(self, inputs: Any) -> Any:
            def ends(start: int) -> Any:
                return self.memory(self.memory.cell.bias[:2] * 0 + inputs)[:, start]

            return tf.cond(tf.reduce_sum(inputs) > 0, lambda: ends(0), lambda: ends(-1))

        def compute_output_shape(self, shape: Any) -> Any:
            return (shape[0], 3)

    source = keras.layers.Input((None, 2), name="signal")
    model = keras.Model(source, Either()(source))
    assert to_onnx(model, tmp_path / "model.onnx").operators == {"LSTM": 2}
    assert check_equivalence(model, onnx=tmp_path / "model.onnx")


def test_cells_of_one_name_keep_their_states_apart(flavour: Flavour, tmp_path: Path) -> None:
    keras = flavour.keras
    source = keras.layers.Input(batch_shape=(1, None, 2), name="signal")
    cells = [keras.layers.LSTMCell(2, name="cell"), keras.layers.LSTMCell(2, name="cell")]
    model = keras.Model(source, keras.layers.RNN(cells, stateful=True, name="tower")(source))
    found = to_onnx(model, tmp_path / "model.onnx")
    names = [field.name for field in found.inputs if field.is_state]
    assert names == [f"state/tower/{cell}/{part}" for cell in ("cell", "cell_2") for part in "hc"]
    assert check_equivalence(model, onnx=tmp_path / "model.onnx")


def colliding(flavour: Flavour) -> Any:
    layers = flavour.keras.layers
    source = layers.Input(batch_shape=(1, None, 2), name="state_g_h")
    return flavour.keras.Model(source, layers.GRU(2, stateful=True, name="g")(source))


def overruled(flavour: Flavour) -> Any:
    layers = flavour.keras.layers
    source, state = layers.Input(batch_shape=(2, None, 2)), layers.Input(batch_shape=(2, 2))
    return flavour.keras.Model([source, state], layers.GRU(2, stateful=True, name="g")(source, initial_state=state))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (colliding, r"^input 'state_g_h' is called as the state 'state/g/h' is; give it another name$"),
        (
            overruled,
            r"^layer 'g' is stateful and called with initial_state: it would have two states; "
            r"build it with stateful=False, or leave initial_state out$",
        ),
    ],
)
def test_states_that_cannot_be_told_apart_are_refused(
    flavour: Flavour, build: Callable[[Flavour], Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=message):
        to_onnx(build(flavour), tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_an_output_that_is_no_tensor_is_named(flavour: Flavour, tmp_path: Path) -> None:
    keras = flavour.keras

    class Loose(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.memory = keras.layers.GRU(2)

        def call(self, inputs: Any) -> Any:
            return {"answer": self.memory(inputs), "note": None}

    with pytest.raises(ModelError, match=r"^output 'note' is None, which is no tensor; leave it out, "):
        to_onnx(Loose(), tmp_path / "model.onnx", input_signature=[parse_field("signal=?,?,2")])


def test_dropout_that_is_always_on_is_named() -> None:
    # Keras 3 turns it off when the model is called with training=False.
    layers = load_flavour(2).keras.layers
    source = layers.Input((None, 2), name="signal")
    model = load_flavour(2).keras.Model(source, layers.LSTM(3, dropout=0.5)(source, training=True))
    assert inspect_model(model)[0].onnx_reasons == ("it is called with training=True: its dropout is random",)


def test_a_cell_whose_call_was_replaced_is_left_alone(flavour: Flavour, tmp_path: Path) -> None:
    layers = flavour.keras.layers
    source = layers.Input((None, 2), name="signal")
    layer = layers.SimpleRNN(3)
    model = flavour.keras.Model(source, layer(source))
    original = layer.cell.call

    def doubled(*args: Any, **kwargs: Any) -> Any:
        output, states = original(*args, **kwargs)
        return output * 2, states

    layer.cell.call = doubled
    assert to_onnx(model, tmp_path / "model.onnx").operators == {}
    assert check_equivalence(model, onnx=tmp_path / "model.onnx")


def test_an_axis_that_is_the_batch_is_not_folded(tmp_path: Path) -> None:
    keras = load_flavour(3).keras
    source = keras.layers.Input((4, 3), name="signal")
    model = keras.Model(source, keras.layers.TimeDistributed(keras.layers.Softmax(axis=0))(source))
    to_onnx(model, tmp_path / "model.onnx")
    assert check_equivalence(model, onnx=tmp_path / "model.onnx")


def test_an_export_within_a_graph_is_refused(flavour: Flavour, tmp_path: Path) -> None:
    import tensorflow as tf

    layers = flavour.keras.layers
    model = flavour.keras.Sequential([layers.Input((None, 2)), layers.SimpleRNN(2)])
    with (
        tf.Graph().as_default(),
        pytest.raises(ModelError, match=r"^a model is exported eagerly, and this is within"),
    ):
        to_onnx(model, tmp_path / "model.onnx")


def test_the_predictor_refuses_states_of_another_batch_and_what_is_no_array(tmp_path: Path) -> None:
    layers = load_flavour(3).keras.layers
    source = layers.Input(batch_shape=(1, None, 2), name="signal")
    to_onnx(
        load_flavour(3).keras.Model(source, layers.GRU(3, stateful=True, name="g")(source)), tmp_path / "model.onnx"
    )
    predictor = Predictor(tmp_path / "model.onnx")
    signal = np.zeros((4, 2, 2), np.float32)
    with pytest.raises(DataError, match=r"^state 'state/g/h' has 2 rows; the batch has 4$"):
        predictor.predict_batch({"signal": signal, "state/g/h": np.zeros((2, 3), np.float32)})
    with pytest.raises(DataError, match=r"^input 'signal' must be a NumPy array, got list$"):
        predictor.predict_batch({"signal": signal.tolist()})  # type: ignore[dict-item]


def test_words_come_out(flavour: Flavour, tmp_path: Path) -> None:
    """A model that gives words, of which ONNX has no table: the SavedModel is compared all the same."""
    layers = flavour.keras.layers
    source = layers.Input((None,), dtype="int64", name="ids")
    words = layers.StringLookup(vocabulary=["a", "good", "film"], invert=True, name="words")
    bundle = ship(flavour.keras.Model(source, words(source)), tmp_path / "b", name="words", formats=["saved_model"])
    assert bundle.equivalent
    assert bundle.manifest["equivalence"]["cases"] > 10
    verified, proof = verify(tmp_path / "b")
    assert verified.equivalent
    assert {one.expected["words"].dtype.kind for one in proof.recorded} == {"S"}


def test_words_go_in(flavour: Flavour, tmp_path: Path) -> None:
    """A vocabulary within the model is a table, which has no twin in float64: the fixed tolerance stands in."""
    layers = flavour.keras.layers
    vocabulary = layers.TextVectorization(vocabulary=["a", "the", "good", "film"], output_sequence_length=6)
    source = layers.Input((1,), dtype="string", name="review")
    ids = vocabulary(source)
    made = layers.Dense(1, name="score")(layers.GRU(3)(layers.Embedding(6, 4, mask_zero=True)(ids)))
    bundle = ship(flavour.keras.Model(source, made), tmp_path / "b", name="words", formats=["saved_model"])
    assert bundle.equivalent
    assert "atol" in bundle.manifest["equivalence"]["tolerance"]


def test_a_number_that_all_rows_share(tmp_path: Path) -> None:
    class Scaled(tf.Module):
        @tf.function(  # pyright: ignore[reportUntypedFunctionDecorator]
            input_signature=[tf.TensorSpec([None, None, 2], name="x"), tf.TensorSpec([], name="rate")]
        )
        def scaled(self, x: Any, rate: Any) -> Any:
            return {"y": tf.reduce_sum(x, [1, 2]) * rate}

    module = Scaled()
    tf.saved_model.save(module, str(tmp_path / "saved"), signatures={"serving_default": module.scaled})
    bundle = ship(SavedGraph(tmp_path / "saved"), tmp_path / "b", name="scaled")
    assert bundle.equivalent
    assert verify(tmp_path / "b")[0].equivalent
