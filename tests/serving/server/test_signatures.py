"""The server's signatures are those of the bundle's SavedModel: names, types, methods and results."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from seqship.serving.server.servable import LoadSettings, call, load_servable
from seqship.serving.server.signatures import Signature, signature_def
from seqship.serving.server.status import StatusError
from seqship.wire.examples import to_example
from tests.serving.server.models import MODELS


def random_feed(name: str, rows: int, length: int, seed: int = 0) -> dict[str, NDArray[Any]]:
    """Inputs of `serving_default`."""
    random = np.random.default_rng(seed)
    if name == "two_inputs":
        valid = np.arange(length) < random.integers(1, length, (rows, 1), endpoint=True)
        return {"tokens": random.integers(0, 9, (rows, length)).astype(np.int32), "valid": valid}
    if name == "texts":
        return {"tokens": random.integers(1, 7, (rows, length)).astype(np.int32)}
    return {"signal": random.normal(0, 1, (rows, length, 2)).astype(np.float32)}


def feeds(signature: Signature, name: str) -> dict[str, NDArray[Any]]:
    """Inputs of any signature."""
    plain = random_feed(name, 3, 5)
    if signature.name == "tf_example":
        rows = [to_example({key: value[row] for key, value in plain.items()}) for row in range(3)]
        return {"inputs": np.array([row.SerializeToString() for row in rows], object)}
    if signature.name == "serving_text":
        lines = ["The FILM, good!", "", "ça bad unknown the the the film good bad"]
        return {"text": np.array([line.encode() for line in lines], object)}
    if signature.name == "stream":
        random = np.random.default_rng(1)
        states = [one for one in signature.inputs if one.is_state]
        plain |= {one.name: random.normal(0, 1, (3, int(one.shape[1]))).astype(np.float32) for one in states}
    return plain


def tensorflow_results(path: Path, signature: str, feed: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    import tensorflow as tf

    loaded: Any = tf.saved_model.load(str(path))
    function = loaded.signatures[signature]
    specs = function.structured_input_signature[1]
    named = {
        key: tf.constant(feed[spec.name if spec.name.startswith("state/") else key], spec.dtype)
        for key, spec in specs.items()
    }
    return {key: value.numpy() for key, value in function(**named).items()}


@pytest.mark.parametrize("name", MODELS)
def test_every_signature_gives_what_the_saved_model_gives(name: str, bundles: Mapping[str, Path]) -> None:
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    path = bundles[name] / "saved_model"
    document: Any = SavedModel.FromString((path / "saved_model.pb").read_bytes())
    expected = {key: one for key, one in document.meta_graphs[0].signature_def.items() if not key.startswith("__")}
    signatures = load_servable(bundles[name], LoadSettings()).signatures
    assert signatures.keys() == expected.keys()
    for key, signature in signatures.items():
        theirs, ours = expected[key], signature_def(signature)
        assert ours.method_name == theirs.method_name
        for side in ("inputs", "outputs"):
            wanted = {n: (i.dtype, [d.size for d in i.tensor_shape.dim]) for n, i in getattr(theirs, side).items()}
            got = {n: (i.dtype, [d.size for d in i.tensor_shape.dim]) for n, i in getattr(ours, side).items()}
            if key == "tf_example" and side == "outputs":
                # TensorFlow forgets the sizes of what it repeats and joins; ours says what the bundle says.
                assert {n: dtype for n, (dtype, _) in got.items()} == {n: dtype for n, (dtype, _) in wanted.items()}
            else:
                assert {n: (d, len(s)) for n, (d, s) in got.items()} == {n: (d, len(s)) for n, (d, s) in wanted.items()}
        feed = feeds(signature, name)
        made, results = call(signature, feed), tensorflow_results(path, key, feed)
        assert made.keys() == results.keys()
        for output, value in results.items():
            assert made[output].shape == value.shape
            if value.dtype == object:
                assert made[output].tolist() == value.tolist()
            else:
                assert made[output].dtype == value.dtype
                np.testing.assert_allclose(made[output], value, rtol=1e-5, atol=1e-6)


def test_the_signatures_are_the_expected_ones(bundles: Mapping[str, Path]) -> None:
    found = {name: load_servable(path, LoadSettings()).signatures for name, path in bundles.items()}
    methods = {
        name: {key: one.method.rpartition("/")[2] for key, one in signatures.items()}
        for name, signatures in found.items()
    }
    assert methods == {
        "classifier": {"serving_default": "predict", "tf_example": "classify"},
        "stepwise": {"serving_default": "predict", "tf_example": "predict"},
        "unmasked": {"serving_default": "predict", "tf_example": "regress"},
        "texts": {"serving_default": "predict", "tf_example": "classify", "serving_text": "predict"},
        "stateful": {"serving_default": "predict", "tf_example": "predict", "stream": "predict"},
        "two_inputs": {"serving_default": "predict", "tf_example": "predict"},
    }


def test_an_onnx_file_alone_has_what_can_be_derived(bundles: Mapping[str, Path], tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes((bundles["stateful"] / "model.onnx").read_bytes())
    servable = load_servable(tmp_path, LoadSettings())
    assert list(servable.signatures) == ["serving_default", "tf_example", "stream"]
    feed = random_feed("stateful", 2, 4)
    whole = call(load_servable(bundles["stateful"], LoadSettings()).signatures["serving_default"], feed)
    assert np.array_equal(call(servable.signatures["serving_default"], feed)["memory"], whole["memory"])


def test_chunks_of_a_stream_give_what_the_whole_gives(bundles: Mapping[str, Path]) -> None:
    signatures = load_servable(bundles["stateful"], LoadSettings()).signatures
    whole = random_feed("stateful", 2, 6)["signal"]
    state = {f"state/memory/{part}": np.zeros((2, 3), np.float32) for part in "hc"}
    made: dict[str, NDArray[Any]] = {}
    for start in (0, 2, 4):
        made = call(signatures["stream"], {"signal": whole[:, start : start + 2], **state})
        state = {name: made[f"{name}_out"] for name in state}
    expected = call(signatures["serving_default"], {"signal": whole})["memory"]
    np.testing.assert_allclose(made["memory"], expected, atol=1e-6)


@pytest.fixture(scope="module")
def loaded(bundles: Mapping[str, Path]) -> Mapping[str, Mapping[str, Signature]]:
    return {name: load_servable(path, LoadSettings()).signatures for name, path in bundles.items()}


def test_an_empty_batch_is_answered_with_an_empty_one(loaded: Mapping[str, Mapping[str, Signature]]) -> None:
    made = call(loaded["stepwise"]["serving_default"], {"signal": np.zeros((0, 5, 2), np.float32)})
    assert made["steps"].shape == (0, 5, 2)
    made = call(loaded["classifier"]["tf_example"], {"inputs": np.empty(0, object)})
    assert made["classes"].shape == made["scores"].shape == (0, 3)


def test_axes_of_size_one_may_be_left_out_at_the_end(loaded: Mapping[str, Mapping[str, Signature]]) -> None:
    from dataclasses import replace

    signature = loaded["classifier"]["serving_default"]
    one = replace(signature.inputs[0], shape=("batch", "time", 1))
    seen: list[tuple[int, ...]] = []

    def run(feed: Any, deadline: float | None) -> Any:
        seen.append(feed["signal"].shape)
        return {}

    narrow = Signature("s", "", (one,), (), run)
    call(narrow, {"signal": np.zeros((3, 4), np.float32)})
    assert seen == [(3, 4, 1)]
    with pytest.raises(StatusError, match=r"must have shape \[-1,-1,1\], it has \[3\]"):
        call(narrow, {"signal": np.zeros(3, np.float32)})


@pytest.mark.parametrize(
    ("feed", "text"),
    [
        ({"signal": np.zeros((2, 3, 2), bool)}, "Expects arg[0] to be float but bool is provided"),
        ({"signal": np.zeros((2, 3, 2), np.float64)}, "Expects arg[0] to be float but double is provided"),
        ({"signal": np.zeros((2, 3, 3), np.float32)}, "Input signal must have shape [-1,-1,2], it has [2,3,3]."),
        ({"signal": np.zeros((2,), np.float32)}, "Input signal must have shape [-1,-1,2], it has [2]."),
        ({"signal": np.zeros((), np.float32)}, "Input signal must have shape [-1,-1,2], it has []."),
        (
            {"signal": np.zeros((2, 0, 2), np.float32)},
            "Input signal has shape [2,0,2]: a sequence has at least one step.",
        ),
    ],
)
def test_what_breaks_the_contract_never_reaches_the_runtime(
    feed: dict[str, NDArray[Any]], text: str, loaded: Mapping[str, Mapping[str, Signature]]
) -> None:
    with pytest.raises(StatusError) as caught:
        call(loaded["classifier"]["serving_default"], feed)
    assert caught.value.message == text


def test_inputs_have_one_number_of_rows(loaded: Mapping[str, Mapping[str, Signature]]) -> None:
    feed = random_feed("two_inputs", 3, 4)
    with pytest.raises(StatusError, match="Input valid has 2 rows, the batch has 3"):
        call(loaded["two_inputs"]["serving_default"], feed | {"valid": feed["valid"][:2]})


def test_values_that_the_runtime_refuses_are_the_clients_mistake(loaded: Mapping[str, Mapping[str, Signature]]) -> None:
    with pytest.raises(StatusError) as caught:
        call(loaded["texts"]["serving_default"], {"tokens": np.array([[1, 99]], np.int32)})
    assert caught.value.code.name == "INVALID_ARGUMENT"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused(value: float, loaded: Mapping[str, Mapping[str, Signature]]) -> None:
    """onnxruntime's recurrent kernels would answer it with ordinary numbers."""
    feed = random_feed("classifier", 2, 4)
    feed["signal"][1, 1, 0] = value
    row = to_example({"signal": feed["signal"][1]}).SerializeToString()
    text = f"Input signal holds {value} in row"
    with pytest.raises(StatusError, match=f"{text} 1; values are finite numbers."):
        call(loaded["classifier"]["serving_default"], feed)
    with pytest.raises(StatusError, match=f"{text} 0; values are finite numbers."):
        call(loaded["classifier"]["tf_example"], {"inputs": np.array([row], object)})
