"""Bundle to answers."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from seqship.errors import BundleError, DataError, DependencyError, ProofError, TamperedError
from seqship.pipelines.spec import Field
from seqship.serving import Predictor

CLASSES = ("N", "S", "V", "F", "Q")
Keras = Callable[[NDArray[np.float32]], NDArray[np.float32]]
TOLERANCE: dict[str, Any] = {"rtol": 1e-4, "atol": 1e-5}


def beats(lengths: list[int], seed: int = 0) -> list[NDArray[np.float32]]:
    random = np.random.default_rng(seed)
    return [random.uniform(0, 1, length).astype(np.float32) for length in lengths]


def padded(rows: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    array = np.full((len(rows), max(map(len, rows)), 1), -1, np.float32)
    for target, row in zip(array, rows, strict=True):
        target[: len(row), 0] = row
    return array


def field(**changes: Any) -> Field:
    settings: dict[str, Any] = {"name": "x", "dtype": "float32", "shape": ("batch", "time", 1)} | changes
    return Field(**settings)


def echo(*outputs: Field, **inputs: Any) -> Predictor:
    """A predictor whose only output is the sum of each sequence, padding left out."""
    given = field(**inputs)

    def run(feed: Any) -> dict[str, Any]:
        values = feed["x"].reshape(len(feed["x"]), -1)
        masked = np.where(values == given.pad_value, 0, values) if given.pad_value is not None else values
        return {"y": masked.sum(axis=1, keepdims=True)}

    return Predictor.from_runner([given], outputs or [field(name="y", shape=("batch", 1))], run)


@pytest.fixture(scope="session")
def predictor(bundle: Path) -> Predictor:
    return Predictor(bundle)


@settings(max_examples=25, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 60), min_size=1, max_size=12),
    order=st.randoms(use_true_random=False),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_list_is_its_beats_one_by_one_is_one_array_is_keras(
    predictor: Predictor, keras: Keras, lengths: list[int], order: Any, seed: int
) -> None:
    rows = beats(lengths, seed)
    rows += [rows[0]]
    order.shuffle(rows)
    together = predictor.predict(rows)
    assert together.probabilities is not None
    assert together.classes is not None
    singly = [predictor.predict([row]) for row in rows]
    array = predictor.predict(padded(rows))
    assert array.probabilities is not None
    np.testing.assert_allclose(
        together.probabilities, np.concatenate([one.outputs["probabilities"] for one in singly]), **TOLERANCE
    )
    np.testing.assert_allclose(together.probabilities, array.probabilities, **TOLERANCE)
    np.testing.assert_allclose(together.probabilities, keras(padded(rows)), **TOLERANCE)
    assert together.outputs.keys() == {"probabilities"}
    assert together.classes == tuple(CLASSES[i] for i in together.probabilities.argmax(axis=1))
    assert together.probabilities.dtype == np.float32
    np.testing.assert_allclose(together.probabilities.sum(axis=1), 1, atol=1e-5)


def test_the_classes_are_not_all_the_same(predictor: Predictor) -> None:
    found = predictor.predict(beats([3, 9, 40, 80, 120, 187] * 3)).classes
    assert found is not None
    assert len(set(found)) > 1
    assert predictor.classes == CLASSES


def test_the_order_is_kept_over_many_batches(predictor: Predictor, keras: Keras) -> None:
    lengths = np.random.default_rng(1).permutation(np.arange(600) % 50 + 1).tolist()
    rows = beats(lengths)
    result = predictor.predict(rows).probabilities
    assert result is not None
    assert result.shape == (600, 5)
    np.testing.assert_allclose(result, keras(padded(rows)), **TOLERANCE)


def test_no_batch_is_larger_than_256_and_none_is_padded_beyond_its_longest() -> None:
    shapes: list[tuple[int, ...]] = []

    def run(feed: Any) -> dict[str, Any]:
        assert (feed["x"] != -1).any(axis=0).all()
        shapes.append(feed["x"].shape)
        return {"y": feed["x"].max(axis=1)}

    predictor = Predictor.from_runner([field(pad_value=-1.0)], [field(name="y", shape=("batch", 1))], run)
    rows = [np.full(1 + i % 97, i) for i in range(2000)]
    np.testing.assert_array_equal(predictor.predict(rows).outputs["y"][:, 0], np.arange(2000))
    assert max(shape[0] for shape in shapes) == 256
    assert sum(shape[0] for shape in shapes) == 2000
    assert len({shape[1] for shape in shapes}) > 4


@pytest.mark.parametrize("nothing", [[], np.zeros((0, 9, 1)), np.zeros((0, 9), np.float32)])
def test_nothing_in_is_nothing_out(predictor: Predictor, nothing: Any) -> None:
    result = predictor.predict(nothing)
    assert result.classes == ()
    assert result.outputs["probabilities"].shape == (0, 5)


@pytest.mark.parametrize(
    "same",
    [
        [0.0, 1.0, 0.25, 0.5],
        (0, 1, 0.25, 0.5),
        [[0.0], [1.0], [0.25], [0.5]],
        np.array([0.0, 1.0, 0.25, 0.5], np.float64),
        np.array([0.0, 1.0, 0.25, 0.5], np.float16)[:, None],
        np.array([0.5, 0.25, 1.0, 0.0], np.float32)[::-1],
        np.array([0.0, 1.0, 0.25, 0.5], object),
    ],
)
def test_one_beat_in_many_forms(predictor: Predictor, same: Any) -> None:
    expected = predictor.predict(np.array([[[0], [1], [0.25], [0.5]]], np.float32)).outputs["probabilities"]
    np.testing.assert_allclose(predictor.predict([same]).outputs["probabilities"], expected, **TOLERANCE)
    np.testing.assert_allclose(predictor.predict((same, [1, 0])).outputs["probabilities"][:1], expected, **TOLERANCE)


def test_whole_numbers_and_an_array_without_its_last_axis(predictor: Predictor) -> None:
    whole = predictor.predict([[0, 1, 1], np.array([1, 0], np.int8), [True, False]]).outputs["probabilities"]
    same = predictor.predict(np.array([[0, 1, 1], [1, 0, -1], [1, 0, -1]])).outputs["probabilities"]
    np.testing.assert_allclose(whole, same, **TOLERANCE)


SCALE = "outside 0..1; the model takes: ECG lead, each beat scaled to its own minimum and maximum"


@pytest.mark.parametrize(
    ("sequences", "message"),
    [
        ([[0.5], [0.5, np.nan]], "sequence 1 at step 1 is nan; values are finite numbers"),
        ([[0.5, -np.inf]], "sequence 0 at step 1 is -inf; values are finite numbers"),
        ([[1e300]], "sequence 0 at step 0 is inf; values are finite numbers"),
        ([[0.5, None]], "sequence 0 at step 1 is nan; values are finite numbers"),
        ([[0.5], [0.5, 0.5, 1.5]], f"sequence 1 at step 2 is 1.5, {SCALE}"),
        ([[-0.25]], f"sequence 0 at step 0 is -0.25, {SCALE}"),
        ([[0.5], []], "sequence 1 is empty; a sequence has at least one step"),
        ([np.zeros((0, 1))], "sequence 0 is empty; a sequence has at least one step"),
        (
            [[0.5], [0.5, -1, 0.5]],
            "sequence 1 holds the pad value -1 at step 1, which would be ignored; "
            "cut the padding off, or give one padded array",
        ),
        ([[0.5], [[0.5, 0.5]]], "sequence 1 has shape (1, 2); the model takes (time, 1)"),
        ([0.5, 0.25], "sequence 0 has shape (); the model takes (time, 1)"),
        ([np.zeros((2, 2, 1))], "sequence 0 has shape (2, 2, 1); the model takes (time, 1)"),
        ([{"heartbeat": [0.5]}], "sequence 0 has shape (); the model takes (time, 1)"),
        ([["a", "b"]], "sequence 0 is no array of numbers: it holds str_"),
        ([["0.5"]], "sequence 0 is no array of numbers: it holds str_"),
        ([[0.5j]], "sequence 0 is no array of numbers: it holds complex128"),
        ([[10**400]], "sequence 0 is no array of numbers: int too large to convert to float"),
        (np.array([[0.5, np.nan]]), "sequence 0 at step 1 is nan; values are finite numbers"),
        (np.array([[0.5, -1], [0.5, np.inf]]), "sequence 1 at step 1 is inf; values are finite numbers"),
        (np.array([[0.5, -1], [2, -1]]), f"sequence 1 at step 0 is 2, {SCALE}"),
        (np.array([[0.5, -1], [-1, -1]]), "sequence 1 is all padding; a sequence has at least one step"),
        (np.zeros((2, 0, 1)), "the array has shape (2, 0, 1): no steps; a sequence has at least one"),
        (np.zeros((2, 0)), "the array has shape (2, 0): no steps; a sequence has at least one"),
        (np.zeros(4), "the array has shape (4,); the model takes (batch, time, 1)"),
        (np.zeros((2, 4, 3)), "the array has shape (2, 4, 3); the model takes (batch, time, 1)"),
        (np.zeros((2, 4, 1, 1)), "the array has shape (2, 4, 1, 1); the model takes (batch, time, 1)"),
        (np.array([["a"]]), "the array is no array of numbers: it holds str_"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_what_breaks_the_contract_is_refused(predictor: Predictor, sequences: Any, message: str) -> None:
    with pytest.raises(DataError) as caught:
        predictor.predict(sequences)
    assert str(caught.value) == message


def test_steps_of_unequal_size_are_refused(predictor: Predictor) -> None:
    with pytest.raises(DataError, match=r"^sequence 1 is no array of numbers: .*inhomogeneous"):
        predictor.predict([[0.5], [[0.5], [0.5, 0.5]]])


@pytest.mark.parametrize(
    ("feed", "message"),
    [
        ({}, "the model takes heartbeat, got nothing"),
        ({"beat": np.zeros((1, 2, 1), np.float32)}, "the model takes heartbeat, got beat"),
        (
            {"heartbeat": np.zeros((1, 2, 1))},
            "input 'heartbeat' must be float32 shaped (batch, time, 1), got float64 shaped (1, 2, 1)",
        ),
        (
            {"heartbeat": np.zeros((1, 2), np.float32)},
            "input 'heartbeat' must be float32 shaped (batch, time, 1), got float32 shaped (1, 2)",
        ),
        (
            {"heartbeat": np.zeros((1, 2, 3), np.float32)},
            "input 'heartbeat' must be float32 shaped (batch, time, 1), got float32 shaped (1, 2, 3)",
        ),
        (
            {"heartbeat": np.zeros((1, 0, 1), np.float32)},
            "input 'heartbeat' is shaped (1, 0, 1): no steps; a sequence has at least one",
        ),
    ],
)
def test_a_batch_that_breaks_the_contract_is_refused(predictor: Predictor, feed: Any, message: str) -> None:
    with pytest.raises(DataError) as caught:
        predictor.predict_batch(feed)
    assert str(caught.value) == message


def test_a_batch_goes_in_as_it_is(predictor: Predictor, keras: Keras) -> None:
    batch = padded(beats([4, 9]))
    batch[0, 0] = -1  # a hole in front
    result = predictor.predict_batch({"heartbeat": batch})
    np.testing.assert_allclose(result.outputs["probabilities"], keras(batch), **TOLERANCE)
    assert predictor.predict_batch({"heartbeat": batch[:0]}).classes == ()


def test_threads_and_providers_do_not_change_the_answers(bundle: Path, predictor: Predictor) -> None:
    rows = beats([5, 50, 100])
    expected = predictor.predict(rows).outputs["probabilities"]
    for other in (Predictor(bundle, threads=1), Predictor(str(bundle), providers=["CPUExecutionProvider"])):
        np.testing.assert_allclose(other.predict(rows).outputs["probabilities"], expected, **TOLERANCE)


def test_an_unknown_provider_is_refused(bundle: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DependencyError, match=r"^onnxruntime has no NoProvider here; it has: .*CPUExecutionProvider"):
        Predictor(bundle, providers=["NoProvider", "CPUExecutionProvider"])
    assert capfd.readouterr() == ("", "")


def test_the_file_alone_carries_its_contract(bundle: Path, predictor: Predictor, tmp_path: Path) -> None:
    file = Path(shutil.copy(bundle / "model.onnx", tmp_path / "alone.onnx"))
    alone = Predictor(file)
    assert alone.inputs == predictor.inputs
    assert alone.outputs == predictor.outputs
    assert alone.classes == CLASSES
    rows = beats([3, 4])
    assert alone.predict(rows).classes == predictor.predict(rows).classes
    with pytest.raises(DataError, match=r"^sequence 0 at step 0 is 7, outside 0\.\.1"):
        alone.predict([[7]])


@pytest.mark.parametrize(
    ("contract", "message"),
    [
        (None, "carries no contract: seqship did not write it; open the bundle instead"),
        ("{", "carries a contract that cannot be read: Expecting property name enclosed in double quotes: "),
        ("{}", "carries a contract that cannot be read: 'inputs'"),
        ('{"inputs": [{"nam": 1}], "outputs": []}', "carries a contract that cannot be read: Field.__init__()"),
    ],
)
def test_a_file_without_its_contract_is_refused(
    bundle: Path, tmp_path: Path, contract: str | None, message: str
) -> None:
    import onnx

    proto = onnx.load(bundle / "model.onnx")
    del proto.metadata_props[:]
    if contract is not None:
        proto.metadata_props.add(key="seqship.contract", value=contract)
    file = tmp_path / "bare.onnx"
    onnx.save(proto, file)
    with pytest.raises(BundleError) as caught:
        Predictor(file)
    assert str(caught.value).startswith(f"{file} {message}")


def test_a_file_that_is_no_onnx_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "text.onnx"
    file.write_text("no model")
    with pytest.raises(BundleError) as caught:
        Predictor(file)
    assert str(caught.value).startswith(f"{file} cannot be opened by onnxruntime: ")
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_a_path_that_is_no_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError) as caught:
        Predictor(tmp_path / "none")
    assert str(caught.value) == f"no bundle at {tmp_path / 'none'}: the path does not exist"
    with pytest.raises(BundleError) as caught:
        Predictor(tmp_path)
    assert str(caught.value) == f"{tmp_path} is no bundle: it has no manifest.json; make one with seqship ship"


def test_a_bundle_that_is_not_equivalent_is_refused(changeable: Path) -> None:
    manifest = json.loads((changeable / "manifest.json").read_text())
    manifest["equivalence"]["equivalent"] = False
    (changeable / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ProofError) as caught:
        Predictor(changeable)
    assert str(caught.value) == f"{changeable} is not proven equivalent; see its report.html"
    assert caught.value.exit_code == 1


@pytest.mark.parametrize("truth", [None, 1, "true", [True]])
def test_only_true_is_equivalent(changeable: Path, truth: object) -> None:
    manifest = json.loads((changeable / "manifest.json").read_text())
    manifest["equivalence"]["equivalent"] = truth
    (changeable / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ProofError):
        Predictor(changeable)


def test_a_bundle_without_onnx_is_refused(changeable: Path) -> None:
    manifest = json.loads((changeable / "manifest.json").read_text())
    del manifest["files"]["model.onnx"]
    (changeable / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError) as caught:
        Predictor(changeable)
    assert str(caught.value) == f"{changeable} holds no model.onnx; export it with --formats saved_model,onnx"


def test_a_changed_file_is_named(changeable: Path) -> None:
    data = bytearray((changeable / "model.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (changeable / "model.onnx").write_bytes(data)
    with pytest.raises(TamperedError) as caught:
        Predictor(changeable)
    assert str(caught.value).startswith(f"{changeable}: model.onnx has changed (sha256 ")
    (changeable / "model.onnx").unlink()
    with pytest.raises(TamperedError) as caught:
        Predictor(changeable)
    assert str(caught.value) == f"{changeable}: model.onnx is missing; the bundle is not the one that was proven"


def test_another_runtime_is_held_to_the_same_contract() -> None:
    predictor = echo(pad_value=-1.0, maximum=9.0)
    assert predictor.predict([[1, 2, 3], [4]]).outputs["y"].tolist() == [[6], [4]]
    assert predictor.predict(np.array([[1, 2, 3], [4, -1, -1]])).outputs["y"].tolist() == [[6], [4]]
    assert predictor.predict([[1]]).classes is None
    assert predictor.predict([[1]]).probabilities is None
    assert predictor.classes is None
    with pytest.raises(DataError, match=r"^sequence 0 at step 0 is 10, outside -inf\.\.9; the model takes: no unit$"):
        predictor.predict([[10]])


def test_four_threads_get_the_same_answers(predictor: Predictor) -> None:
    work = [beats(list(range(1, 60, 1 + seed % 5)), seed) for seed in range(16)]

    def answer(rows: list[NDArray[np.float32]]) -> NDArray[Any]:
        return predictor.predict(rows).outputs["probabilities"]

    expected = [answer(rows) for rows in work]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(answer, work * 3))
    for one, other in zip(found, expected * 3, strict=True):
        np.testing.assert_array_equal(one, other)


def test_several_inputs_need_a_batch_each() -> None:
    fields = [field(name="beat"), field(name="age", shape=("batch", 1))]
    predictor = Predictor.from_runner(
        fields, [field(name="y", shape=("batch", 1))], lambda feed: {"y": feed["beat"].sum(axis=1) + feed["age"]}
    )
    with pytest.raises(DataError) as caught:
        predictor.predict([[1.0]])
    assert str(caught.value) == "the model takes several inputs (beat, age); use predict_batch with an array for each"
    with pytest.raises(DataError, match=r"^the model takes age, beat, got beat$"):
        predictor.predict_batch({"beat": np.ones((1, 2, 1), np.float32)})
    feed = {"beat": np.ones((1, 2, 1), np.float32), "age": np.full((1, 1), 5, np.float32)}
    assert predictor.predict_batch(feed).outputs["y"].tolist() == [[7]]


@pytest.mark.parametrize("inputs", [{"dtype": "string", "shape": ("batch", 1)}, {"shape": ("batch",)}])
def test_what_is_no_sequence_of_numbers_needs_a_batch(inputs: dict[str, Any]) -> None:
    predictor = echo(**inputs)
    with pytest.raises(DataError) as caught:
        predictor.predict([[1.0]])
    assert str(caught.value) == "the input 'x' is no sequence of numbers; use predict_batch"


def test_texts_go_in_as_a_batch() -> None:
    predictor = Predictor.from_runner(
        [field(dtype="string", shape=("batch", 1))],
        [field(name="y", shape=("batch", 1))],
        lambda feed: {"y": np.vectorize(len)(feed["x"])},
    )
    assert predictor.predict_batch({"x": np.array([["ab"], ["c"]], object)}).outputs["y"].tolist() == [[2], [1]]


def test_without_a_pad_value_no_sequence_is_padded(unmasked: tuple[Predictor, Any]) -> None:
    predictor, model = unmasked
    rows = beats(np.random.default_rng(2).permutation([*range(1, 31)] * 2).tolist())
    singly = [model(row[None, :, None], training=False).numpy() for row in rows]
    np.testing.assert_allclose(predictor.predict(rows).outputs["out"], np.concatenate(singly), **TOLERANCE)


@pytest.fixture(scope="session")
def unmasked(exported: Any) -> tuple[Predictor, Any]:
    from keras import layers

    path, model = exported(
        "unmasked", layers.Input((None, 1), name="x"), layers.LSTM(3, name="lstm"), layers.Dense(2, name="out")
    )
    return Predictor(path), model


def test_answers_to_each_step_fit_in_one_array(exported: Any) -> None:
    from keras import layers

    path, model = exported(
        "stepwise",
        layers.Input((None, 1), name="x"),
        layers.Masking(-1.0),
        layers.GRU(3, return_sequences=True, name="gru"),
        layers.Dense(2, name="out"),
    )
    rows = beats([1 + i % 40 for i in range(300)])  # several batches, of different lengths
    result = Predictor(path).predict(rows).outputs["out"]
    np.testing.assert_allclose(result, model(padded(rows), training=False).numpy(), **TOLERANCE)


def test_answers_to_each_step_without_a_pad_value_need_one_length() -> None:
    predictor = Predictor.from_runner(
        [field()], [field(name="y", shape=("batch", "time", 1))], lambda feed: {"y": feed["x"] * 2}
    )
    assert predictor.predict([[1, 2], [3, 4]]).outputs["y"][..., 0].tolist() == [[2, 4], [6, 8]]
    with pytest.raises(DataError) as caught:
        predictor.predict([[1, 2], [3], [1, 2, 3]])
    assert str(caught.value) == (
        "the model answers each step and has no pad value, and the sequences have 1 to 3 steps; "
        "give sequences of one length"
    )


@pytest.mark.parametrize("shape", [("batch", 3, 1), ("batch", 3)])
def test_a_fixed_length_is_never_filled_up_unseen(shape: tuple[int | str, ...]) -> None:
    predictor = echo(shape=shape)
    assert predictor.predict([[1, 2, 3], [4, 5, 6]]).outputs["y"].tolist() == [[6], [15]]
    for wrong in ([1, 2], [1, 2, 3, 4]):
        with pytest.raises(DataError) as caught:
            predictor.predict([[1, 2, 3], wrong])
        assert str(caught.value) == f"sequence 1 has {len(wrong)} steps; the model takes 3"
    with pytest.raises(DataError, match=r"^the array has shape \(1, 4\); the model takes \(batch, 3"):
        predictor.predict(np.ones((1, 4)))


def test_a_fixed_length_with_a_pad_value_is_filled_up() -> None:
    seen: list[Any] = []

    def run(feed: Any) -> dict[str, Any]:
        seen.append(feed["x"][..., 0].tolist())
        return {"y": feed["x"][:, 0]}

    predictor = Predictor.from_runner(
        [field(shape=("batch", 4, 1), pad_value=-1.0)], [field(name="y", shape=("batch", 1))], run
    )
    predictor.predict([[1, 2], [3]])
    assert sorted(row for batch in seen for row in batch) == [[1, 2, -1, -1], [3, -1, -1, -1]]
    with pytest.raises(DataError, match=r"^sequence 0 has 5 steps; the model takes 4$"):
        predictor.predict([[1] * 5])


def test_several_features_and_inner_axes() -> None:
    seen: list[Any] = []

    def run(feed: Any) -> dict[str, Any]:
        seen.append(feed["x"].copy())
        return {"y": feed["x"].reshape(len(feed["x"]), -1)[:, :1]}

    output = field(name="y", shape=("batch", 1))
    two = Predictor.from_runner([field(shape=("batch", "time", 2), pad_value=0.0)], [output], run)
    two.predict([[[1, 2], [3, 0]], [[5, 6]]])
    by_size = {array.shape[1]: array.tolist() for array in seen}
    assert by_size in ({2: [[[1, 2], [3, 0]], [[5, 6], [0, 0]]]}, {2: [[[1, 2], [3, 0]]], 1: [[[5, 6]]]})
    with pytest.raises(DataError, match=r"^sequence 0 has shape \(3,\); the model takes \(time, 2\)$"):
        two.predict([[1, 2, 3]])
    with pytest.raises(DataError, match=r"^sequence 0 holds the pad value 0 at step 1"):
        two.predict([[[1, 2], [0, 0]]])
    seen.clear()
    frames = Predictor.from_runner([field(shape=("batch", "time", 2, 2))], [output], run)
    frames.predict([np.arange(12).reshape(3, 2, 2)])
    assert seen[0].tolist() == np.arange(12).reshape(1, 3, 2, 2).tolist()


def test_whole_numbers_are_not_cut_from_others() -> None:
    predictor = echo(dtype="int32", unit="token id", minimum=1.0, maximum=9.0, pad_value=0.0, shape=("batch", "time"))
    assert predictor.predict([[1, 2.0], np.array([3.0])]).outputs["y"].tolist() == [[3], [3]]
    for wrong in ([[1, 2.5]], np.array([[1, 2.5]])):
        with pytest.raises(DataError, match=r"^(sequence 0|the array) holds 2\.5; the model takes whole numbers$"):
            predictor.predict(wrong)
    with pytest.raises(DataError, match=r"^sequence 0 holds nan; the model takes whole numbers$"):
        predictor.predict([[1, np.nan]])
    with pytest.raises(DataError, match=r"^sequence 0 at step 1 is 12, outside 1\.\.9; the model takes: token id$"):
        predictor.predict([[1, 12]])


BLOCKED = ("tensorflow", "keras", "tf_keras", "onnx", "tf2onnx", "pandas", "scipy", "sklearn", "rich", "typer")


def test_a_bundle_runs_where_nothing_else_is_installed(bundle: Path) -> None:
    code = f"""
import sys
from importlib.abc import MetaPathFinder

class Block(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {BLOCKED!r}:
            raise ImportError(name + " must not be imported")

sys.meta_path.insert(0, Block())
from pathlib import Path
from seqship.serving import Predictor
from seqship.serving.records import prediction_lines, read_records
predictor = Predictor(sys.argv[1])
print(predictor.predict([[0.1, 0.9], [0.5]]).classes, predictor.classes)
print(*prediction_lines(predictor.predict(read_records(Path(sys.argv[2]), predictor.inputs[0]))))
print(sorted(set(sys.modules) & set({BLOCKED!r})))
"""
    lines = bundle.parent / "blocked.jsonl"
    lines.write_text("[0.1, 0.9]\n")
    result = subprocess.run(
        [sys.executable, "-c", code, str(bundle), str(lines)], capture_output=True, text=True, check=False, timeout=60
    )
    assert result.stderr == ""
    classes = Predictor(bundle).predict([[0.1, 0.9], [0.5]]).classes
    first, second, blocked = result.stdout.splitlines()
    assert first == f"{classes} {CLASSES}"
    assert classes is not None
    assert json.loads(second)["class"] == classes[0]
    assert blocked == "[]"
