"""The warm-up file: every request is answered by the SavedModel as Keras answers it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from seqship.export import ship, to_saved_model
from seqship.export.saved_model import SavedModelExport
from seqship.export.signature import with_classes
from seqship.export.streaming import export_signature
from seqship.export.warmup import write_warmup_requests
from seqship.models.flavour import Flavour
from seqship.models.source import load_model
from seqship.pipelines.sequences import Sequences
from seqship.pipelines.text_vectorizer import TextVectorizer
from seqship.wire.prediction_log import WARMUP_FILE, read_warmup
from seqship.wire.tensors import from_tensor_proto

WORDS = ("", "[UNK]", "the", "film", "good")


def model_of(flavour: Flavour, *layers: Any) -> Any:
    model = flavour.keras.Sequential(list(layers))
    random = np.random.default_rng(0)
    model.set_weights([random.normal(0, 0.8, weight.shape) for weight in model.get_weights()])
    return model


def masked(flavour: Flavour) -> Any:
    layers = flavour.keras.layers
    return model_of(
        flavour,
        layers.Input((None, 2), name="signal"),
        layers.Masking(-1.0),
        layers.GRU(4),
        layers.Dense(3, activation="softmax", name="scores"),
    )


def replay(path: Path) -> list[tuple[str, dict[str, NDArray[Any]], dict[str, NDArray[Any]]]]:
    """Sends every request to the SavedModel, in the record's own kind; signature, inputs and outputs of each."""
    import tensorflow as tf

    loaded: Any = tf.saved_model.load(str(path))
    answered: list[Any] = []
    for log in read_warmup(path / WARMUP_FILE):
        kind = log.WhichOneof("log_type")
        request = getattr(log, kind).request
        signature = request.model_spec.signature_name
        if kind == "predict_log":
            inputs = {name: from_tensor_proto(tensor) for name, tensor in request.inputs.items()}
        else:
            examples = [example.SerializeToString() for example in request.input.example_list.examples]
            inputs = {"inputs": np.array(examples, object)}
        function = loaded.signatures[signature]
        names = {
            (spec.name if spec.name.startswith("state/") else key): (key, spec.dtype)
            for key, spec in function.structured_input_signature[1].items()
        }
        fed = {key: tf.constant(inputs[name], dtype) for name, (key, dtype) in names.items()}
        outputs = {name: value.numpy() for name, value in function(**fed).items()}
        answered.append((f"{kind} {signature}", inputs, outputs))
    return answered


def write(export: SavedModelExport, **options: Any) -> list[Any]:
    count = write_warmup_requests(export.path, export.signatures, name="mine", **options)
    answered = replay(export.path)
    assert len(answered) == count
    return answered


def test_real_sequences_of_every_length(flavour: Flavour, tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    lengths = random.integers(3, 60, 200)
    values = tuple(random.normal(0, 1, (length, 2)).astype(np.float32) for length in lengths)
    data = Sequences(values, np.zeros(200, np.int64), ("a",))
    model = masked(flavour)
    export = to_saved_model(model, tmp_path / "saved", signature=with_classes(export_signature(model), "abc"))
    answered = write(export, data=data)
    real = {row.tobytes() for row in values}
    sent = [inputs["signal"] for kind, inputs, _ in answered if kind == "predict_log serving_default"]
    assert {row.tobytes() for row in sent} <= real
    assert len({row.shape[1] for row in sent}) == 8
    assert max(row.shape[1] for row in sent) == lengths.max()
    classified = [outputs for kind, _, outputs in answered if kind == "classify_log tf_example"]
    assert len(classified) == len(sent)
    for row, outputs in zip(sent, classified, strict=True):
        assert outputs["scores"] == pytest.approx(np.asarray(model(row, training=False)), abs=1e-6)


def test_without_data_the_lengths_are_those_of_the_proof(flavour: Flavour, tmp_path: Path) -> None:
    answered = write(to_saved_model(masked(flavour), tmp_path / "saved"))
    sent = [inputs["signal"].shape for kind, inputs, _ in answered if kind == "predict_log serving_default"]
    assert sent == [(1, 1, 2), (1, 2, 2), (1, 3, 2), (1, 24, 2), (1, 120, 2)]
    assert sum(kind == "predict_log tf_example" for kind, *_ in answered) == 5


def test_texts_are_words_of_the_vocabulary(flavour: Flavour, tmp_path: Path) -> None:
    layers = flavour.keras.layers
    model = model_of(
        flavour,
        layers.Input((None,), dtype="int32", name="tokens"),
        layers.Embedding(len(WORDS), 3, mask_zero=True),
        layers.LSTM(4),
        layers.Dense(1, activation="sigmoid", name="score"),
    )
    vectorizer = TextVectorizer(WORDS)
    rows = (np.array([2, 3, 1, 4]), np.array([4, 3]))
    data = Sequences(rows, np.zeros(2, np.int64), ("a",))
    answered = write(to_saved_model(model, tmp_path / "saved", vectorizer=vectorizer), data=data, vectorizer=vectorizer)
    texts = {inputs["text"][0]: outputs["score"] for kind, inputs, outputs in answered if "serving_text" in kind}
    assert texts.keys() == {b"the film [UNK] good", b"good film"}
    assert texts[b"good film"] == pytest.approx(np.asarray(model(rows[1][None], training=False)), abs=1e-6)
    assert sum(kind == "regress_log tf_example" for kind, *_ in answered) == 2


def test_states_begin_as_zeros(flavour: Flavour, tmp_path: Path) -> None:
    layers = flavour.keras.layers
    model = model_of(
        flavour,
        layers.Input(batch_shape=(1, None, 2), name="signal"),
        layers.LSTM(3, stateful=True, name="memory"),
    )
    answered = write(to_saved_model(model, tmp_path / "saved"))
    streamed = [(inputs, outputs) for kind, inputs, outputs in answered if kind == "predict_log stream"]
    plain = [outputs for kind, _, outputs in answered if kind == "predict_log serving_default"]
    for (inputs, outputs), expected in zip(streamed, plain, strict=True):
        assert inputs["state/memory/h"].tolist() == [[0.0] * 3]
        assert outputs["memory"] == pytest.approx(expected["memory"], abs=1e-6)


def test_a_bundle_has_a_warm_up_file_that_its_manifest_names(shipped: Path) -> None:
    import json

    manifest = json.loads((shipped / "manifest.json").read_text())
    assert f"saved_model/{WARMUP_FILE}" in manifest["files"]
    assert {"serving_default", "tf_example"} == set(manifest["signatures"])
    assert manifest["signatures"]["tf_example"]["method"] == "tensorflow/serving/predict"
    assert len(replay(shipped / "saved_model")) == 10


def test_a_copied_saved_model_is_warmed_up_too(flavour: Flavour, tmp_path: Path) -> None:
    model = masked(flavour)
    model.export(str(tmp_path / "stock"))
    bundle = ship(load_model(str(tmp_path / "stock")).model, tmp_path / "bundle", name="copied")
    assert bundle.saved_model is not None
    assert {kind for kind, *_ in replay(bundle.saved_model)} == {"predict_log serving_default"}
