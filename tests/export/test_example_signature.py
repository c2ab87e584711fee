"""The signature `tf_example`: what Classify and Regress send gives what the model gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from seqship.export import to_saved_model
from seqship.export.example_signature import classifying
from seqship.export.saved_model import SavedModelExport
from seqship.export.signature import ModelSignature, with_classes
from seqship.export.streaming import export_signature
from seqship.models.flavour import Flavour
from seqship.pipelines.spec import Field


def example(features: Mapping[str, NDArray[Any]]) -> bytes:
    """One serialized tf.Example, made with TensorFlow's own messages."""
    import tensorflow as tf

    message = tf.train.Example()
    for name, values in features.items():
        feature = message.features.feature[name]
        flat = np.ravel(values).tolist()
        if values.dtype.kind == "f":
            feature.float_list.value.extend(flat)
        elif values.dtype.kind in "biu":
            feature.int64_list.value.extend(map(int, flat))
        else:
            feature.bytes_list.value.extend([text.encode() for text in flat])
    return message.SerializeToString()


def classifier(flavour: Flavour, scores: int = 3, activation: str = "softmax") -> Any:
    layers = flavour.keras.layers
    model = flavour.keras.Sequential(
        [
            layers.Input((None, 2), name="signal"),
            layers.Masking(-1.0),
            layers.GRU(4, return_sequences=True),
            layers.LSTM(3),
            layers.Dense(scores, activation=activation, name="scores"),
        ]
    )
    random = np.random.default_rng(0)
    model.set_weights([random.normal(0, 0.8, weight.shape) for weight in model.get_weights()])
    return model


def loaded(export: SavedModelExport) -> Any:
    import tensorflow as tf

    return tf.saved_model.load(str(export.path))


def methods(path: Path) -> dict[str, str]:
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    document: Any = SavedModel.FromString((path / "saved_model.pb").read_bytes())
    found = document.meta_graphs[0].signature_def
    return {name: found[name].method_name.rpartition("/")[2] for name in found if not name.startswith("__")}


def beats(lengths: Sequence[int]) -> list[NDArray[np.float32]]:
    random = np.random.default_rng(1)
    return [random.normal(0, 1, (length, 2)).astype(np.float32) for length in lengths]


def padded(rows: Sequence[NDArray[np.float32]], pad: float) -> NDArray[np.float32]:
    whole = np.full((len(rows), max(map(len, rows)), 2), pad, np.float32)
    for row, values in zip(whole, rows, strict=True):
        row[: len(values)] = values
    return whole


def test_sequences_of_unequal_length_are_classified(flavour: Flavour, tmp_path: Path) -> None:
    model = classifier(flavour)
    signature = with_classes(export_signature(model), ["calm", "fast", "slow"])
    export = to_saved_model(model, tmp_path / "saved", signature=signature)
    rows = beats([5, 1, 9])
    got = loaded(export).signatures["tf_example"](inputs=[example({"signal": row}) for row in rows])
    expected = np.asarray(model(padded(rows, -1.0), training=False))
    assert got["classes"].numpy().tolist() == [[b"calm", b"fast", b"slow"]] * 3
    assert got["scores"].numpy() == pytest.approx(expected, abs=1e-6)
    assert methods(export.path) == {"serving_default": "predict", "tf_example": "classify"}
    made = export.signatures[1]
    assert [(f.name, f.dtype, f.shape) for f in (*made.inputs, *made.outputs)] == [
        ("inputs", "string", ("batch",)),
        ("classes", "string", ("batch", 3)),
        ("scores", "float32", ("batch", 3)),
    ]


def test_one_score_is_that_of_the_second_class(flavour: Flavour, tmp_path: Path) -> None:
    model = classifier(flavour, scores=1, activation="sigmoid")
    signature = with_classes(export_signature(model), ["negative", "positive"])
    export = to_saved_model(model, tmp_path / "saved", signature=signature)
    rows = beats([4, 2])
    got = loaded(export).signatures["tf_example"](inputs=[example({"signal": row}) for row in rows])
    second = np.asarray(model(padded(rows, -1.0), training=False))
    assert got["scores"].numpy() == pytest.approx(np.concatenate([1 - second, second], 1), abs=1e-6)
    assert got["classes"].numpy().tolist() == [[b"negative", b"positive"]] * 2


def test_one_number_is_a_regression(flavour: Flavour, tmp_path: Path) -> None:
    model = classifier(flavour, scores=1, activation="linear")
    export = to_saved_model(model, tmp_path / "saved")
    rows = beats([4, 6])
    got = loaded(export).signatures["tf_example"](inputs=[example({"signal": row}) for row in rows])
    assert list(got) == ["outputs"]
    assert got["outputs"].numpy() == pytest.approx(np.asarray(model(padded(rows, -1.0), training=False)), abs=1e-6)
    assert methods(export.path)["tf_example"] == "regress"


def test_a_model_without_classes_gives_its_own_outputs(flavour: Flavour, tmp_path: Path) -> None:
    export = to_saved_model(classifier(flavour), tmp_path / "saved")
    assert [field.name for field in export.signatures[1].outputs] == ["scores"]
    assert methods(export.path)["tf_example"] == "predict"


def many(flavour: Flavour) -> Any:
    """Token ids of any number, which of them count, and a fixed row."""
    keras = flavour.keras
    layers = keras.layers
    tokens = layers.Input((None,), dtype="int32", name="tokens")
    valid = layers.Input((None,), dtype="bool", name="valid")
    fixed = layers.Input((2, 3), name="fixed")
    memory = layers.LSTM(3, name="memory")(layers.Embedding(9, 2)(tokens), mask=valid)
    row = layers.Dense(3, name="row")(layers.Flatten()(fixed))
    return keras.Model([tokens, valid, fixed], layers.Add(name="sum")([memory, row]))


def test_several_inputs_of_several_types(flavour: Flavour, tmp_path: Path) -> None:
    export = to_saved_model(many(flavour), tmp_path / "saved")
    tokens = np.array([[1, 8, 3], [5, 2, 0]], np.int32)
    valid = np.array([[True, True, True], [True, False, False]])
    fixed = np.random.default_rng(2).normal(0, 1, (2, 2, 3)).astype(np.float32)
    rows = [example({"tokens": tokens[i], "valid": valid[i], "fixed": fixed[i]}) for i in range(2)]
    signatures = loaded(export).signatures
    expected = signatures["serving_default"](tokens=tokens, valid=valid, fixed=fixed)["sum"]
    assert signatures["tf_example"](inputs=rows)["sum"].numpy() == pytest.approx(expected.numpy(), abs=1e-6)


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ([{"signal": np.zeros(3, np.float32)}], "feature 'signal' needs 2 values a step"),
        ([{"signal": np.zeros(2, np.float32)}, {}], "feature 'signal' needs at least one step"),
        ([{"signal": np.zeros(2, np.int64)}], "Data types don't match"),
    ],
    ids=["half-a-step", "no-step", "another-type"],
)
def test_what_is_no_sequence_is_refused(rows: list[dict[str, Any]], text: str, masked: Any) -> None:
    import tensorflow as tf

    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        masked.signatures["tf_example"](inputs=[example(row) for row in rows])
    assert text in str(caught.value).replace("\\'", "'")


@pytest.fixture(scope="module")
def masked(flavour: Flavour, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return loaded(to_saved_model(classifier(flavour), tmp_path_factory.mktemp("masked") / "saved"))


def test_without_a_pad_value_all_examples_have_the_same_length(flavour: Flavour, tmp_path: Path) -> None:
    import tensorflow as tf

    layers = flavour.keras.layers
    model = flavour.keras.Sequential([layers.Input((None, 2), name="signal"), layers.GRU(3, name="scores")])
    signature = loaded(to_saved_model(model, tmp_path / "saved")).signatures["tf_example"]
    rows = beats([3, 3])
    got = signature(inputs=[example({"signal": row}) for row in rows])["scores"]
    assert got.numpy() == pytest.approx(np.asarray(model(np.stack(rows))), abs=1e-6)
    with pytest.raises(tf.errors.InvalidArgumentError, match="need the same number of steps"):
        signature(inputs=[example({"signal": row}) for row in beats([3, 4])])


def test_a_fixed_batch_has_no_such_signature(flavour: Flavour, tmp_path: Path) -> None:
    layers = flavour.keras.layers
    model = flavour.keras.Sequential(
        [layers.Input(batch_shape=(4, 5, 2), name="signal"), layers.GRU(3, unroll=True, name="scores")]
        if flavour.version == 3
        else [layers.Input((5, 2), batch_size=4, name="signal"), layers.GRU(3, unroll=True, name="scores")]
    )
    export = to_saved_model(model, tmp_path / "saved")
    assert [one.name for one in export.signatures] == ["serving_default"]


def test_a_stateful_models_examples_begin_with_zeros(flavour: Flavour, tmp_path: Path) -> None:
    layers = flavour.keras.layers
    options = {"batch_size": 1} if flavour.version == 2 else {}
    shape = {"batch_shape": (1, None, 2)} if flavour.version == 3 else {"shape": (None, 2)}
    model = flavour.keras.Sequential(
        [layers.Input(**shape, **options, name="signal"), layers.GRU(3, stateful=True, name="scores")]
    )
    export = to_saved_model(model, tmp_path / "saved")
    assert [one.name for one in export.signatures] == ["serving_default", "tf_example", "stream"]
    signature = loaded(export).signatures["tf_example"]
    first, again = (signature(inputs=[example({"signal": beats([4])[0]})])["scores"].numpy() for _ in range(2))
    assert np.array_equal(first, again)


def test_only_scores_of_classes_classify() -> None:
    scores = Field("p", "float32", ("batch", 2), classes=("a", "b"))
    steps = Field("q", "float32", ("batch", "time", 2), classes=("a", "b"))
    assert classifying([steps, scores]) is scores
    assert classifying([steps]) is None


def test_classes_fit_the_output() -> None:
    from seqship.errors import ModelError

    signature = ModelSignature((), (Field("p", "float32", ("batch", 3)),), dict)
    assert with_classes(signature, "abc").outputs[0].classes == ("a", "b", "c")
    with pytest.raises(
        ModelError, match=r"output 'p' has the shape \['batch', 3\], 2 classes were named: a, b; name one"
    ):
        with_classes(signature, "ab")
    with pytest.raises(ModelError, match="classes need names of their own, got 'a', 'a', 'b'"):
        with_classes(signature, "aab")
