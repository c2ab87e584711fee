"""A right export passes, and every wrong one that we could think of is convicted, with the case that shows it."""

# What Lambda layers compute has no types.
# pyright: reportUnknownLambdaType=false

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import onnx
import pytest
import tensorflow as tf
from numpy.typing import NDArray
from onnx import numpy_helper

from seqship.errors import ModelError
from seqship.export import Case, check_equivalence, to_onnx, to_saved_model
from seqship.export.cases import MaskKind, finite_rows, grid
from seqship.export.data_agreement import over_data, predict_sequences
from seqship.export.equivalence import EquivalenceReport, compare_runners
from seqship.export.error_histogram import ErrorHistogram
from seqship.export.oracle import Oracle, make_oracle
from seqship.export.recording import RecordedCase, load_recorded, record_cases, save_recorded
from seqship.export.runners import Outputs, Runner, keras_runner, onnx_runner, saved_model_runner
from seqship.export.signature import ModelSignature, model_signature
from seqship.export.tolerance import FLOAT32
from seqship.models.flavour import Flavour
from seqship.pipelines.sequences import Sequences
from seqship.pipelines.spec import TOKEN_ID, Field

RUNNERS = {"saved_model", "saved_model:tf_example", "onnx", "onnx_basic", "onnx_off", "onnx_1_thread"}
FEW = tuple(Case(3, time, mask) for time in (1, 7) for mask in get_args(MaskKind))
MASKED = {case.name for case in FEW if case.mask != "full"}


@pytest.fixture(scope="module")
def signature(small: Any) -> ModelSignature:
    return model_signature(small)


@pytest.fixture(scope="module")
def reference(signature: ModelSignature) -> Runner:
    """Keras itself; traced once for all tests."""
    return keras_runner(signature)


@pytest.fixture(scope="module")
def exports(small: Any, signature: ModelSignature, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The small model's SavedModel and its ONNX file."""
    folder = tmp_path_factory.mktemp("exports")
    saved_model = to_saved_model(small, folder / "saved_model", signature=signature)
    return saved_model.path, to_onnx(small, folder / "model.onnx", signature=signature).path


@pytest.fixture(scope="module")
def oracle(signature: ModelSignature) -> Oracle:
    return make_oracle(signature)


@pytest.fixture(scope="module")
def recorded(reference: Runner, oracle: Oracle, signature: ModelSignature) -> tuple[RecordedCase, ...]:
    """What Keras and its twin make of a few cases."""
    return record_cases(FEW, signature.inputs, reference, oracle)


# --- Right exports


def test_a_right_export_passes_every_case(small: Any, exports: tuple[Path, Path], real: Sequences) -> None:
    saved_model, path = exports
    told: list[tuple[int, int]] = []

    def progress(_: str, done: int, total: int) -> None:
        told.append((done, total))

    report = check_equivalence(small, saved_model=saved_model, onnx=path, data=real, seed=1, progress=progress)
    assert report
    assert report.failures == ()
    cases = {
        case.name
        for case in grid([Field("signal", "float32", ("batch", "time", 2), pad_value=-1.0)], lengths=real.lengths)
    } | {"batch=32 time=24 mask=searched values=adversary"}
    assert {case.case for case in report.recorded} == cases
    assert len([one for one in report.agreements if not one.case.startswith("relation=")]) == len(cases) * 6
    assert {agreement.runner for agreement in report.agreements} == RUNNERS
    assert report.worst is not None
    assert report.worst.severity < 0.5
    assert {(len(cases) - 1, len(cases) - 1), (len(cases), len(cases)), (24, 24)} <= set(told)
    elements = sum(case.expected["scores"].size for case in report.recorded)
    # Rows with a NaN or an infinity are compared in TensorFlow alone.
    spoiled = 3 * sum(int((~finite).sum()) for one in report.recorded if (finite := finite_rows(one.feed)) is not None)
    assert spoiled
    nothing = sum(int((~np.isfinite(one.expected["scores"])).sum()) for one in report.recorded)
    assert nothing
    of_data = len(real) * 3
    assert {name: histogram.zeros + histogram.counts.sum() for name, histogram in report.histograms.items()} == {
        "saved_model": elements - nothing + of_data,
        "saved_model:tf_example": elements - nothing,
        "onnx": elements - spoiled + of_data,
        "onnx_basic": elements - spoiled,
        "onnx_off": elements - spoiled,
        "onnx_1_thread": elements - spoiled,
    }
    # Every row of real data is compared in every runtime.
    assert [(row.agreement.runner, row.rows, row.changed_classes) for row in report.data] == [
        ("saved_model", 300, 0),
        ("onnx", 300, 0),
    ]
    assert "case" not in report.to_json()["test_split"][0]


def test_nothing_compared_is_no_proof(recorded: Any) -> None:
    report = compare_runners(recorded, {})
    assert not report
    assert report.worst is None
    assert report.to_json()["worst"] is None


# --- Wrong exports

Change = Callable[[Any, Any], None]


def operator(model: Any, name: str, position: int = 0) -> Any:
    return [node for node in model.graph.node if node.op_type == name][position]


def change_tensor(model: Any, name: str, change: Callable[[NDArray[Any]], NDArray[Any]]) -> None:
    (tensor,) = [tensor for tensor in model.graph.initializer if tensor.name == name]
    value = numpy_helper.to_array(tensor).copy()
    changed = change(value)
    assert not np.array_equal(changed, value)
    tensor.CopyFrom(numpy_helper.from_array(changed.astype(value.dtype), name))


def one_percent(value: NDArray[Any]) -> NDArray[Any]:
    """One weight, the largest, changed by one part in a hundred."""
    changed = value.copy()
    changed.flat[np.abs(value).argmax()] *= 1.01
    return changed


def all_by_one_percent(value: NDArray[Any]) -> NDArray[Any]:
    return value * np.float32(1.01)


def swap_first_gates(value: NDArray[Any]) -> NDArray[Any]:
    units = value.shape[1] // 3
    return value[:, [*range(units, 2 * units), *range(units), *range(2 * units, 3 * units)]]


def weights(position: int, operand: int, change: Callable[[NDArray[Any]], NDArray[Any]] = all_by_one_percent) -> Change:
    return lambda model, _: change_tensor(model, operator(model, "GRU", position).input[operand], change)


def dense(model: Any, _: Any) -> None:
    change_tensor(model, operator(model, "MatMul").input[1], one_percent)


def gates(model: Any, _: Any) -> None:
    change_tensor(model, operator(model, "GRU").input[1], swap_first_gates)


def flip_reset(model: Any, _: Any) -> None:
    (attribute,) = [found for found in operator(model, "GRU").attribute if found.name == "linear_before_reset"]
    assert attribute.i == 1
    attribute.i = 0


def activations(model: Any, _: Any) -> None:
    (attribute,) = [found for found in operator(model, "GRU").attribute if found.name == "activations"]
    attribute.strings[1] = b"Softsign"


def drop_mask(position: int) -> Change:
    def change(model: Any, _: Any) -> None:
        node = operator(model, "GRU", position)
        assert node.input[4]
        node.input[4] = ""

    return change


WRONG: Mapping[str, Change] = {
    # One weight of the second layer may change so little that rounding does as much, so there all of a matrix change.
    "one of W": weights(0, 1, one_percent),
    "one of R": weights(0, 2, one_percent),
    "one of B": weights(0, 3, one_percent),
    "W": weights(0, 1),
    "R": weights(0, 2),
    "B": weights(0, 3),
    "second W": weights(1, 1),
    "second R": weights(1, 2),
    "second B": weights(1, 3),
    "Dense": dense,
    "gates": gates,
    "reset": flip_reset,
    "activation": activations,
}


def convict(model: Any, recorded: Any, path: Path) -> EquivalenceReport:
    onnx.save(model, path)
    report = compare_runners(recorded, {"onnx": onnx_runner(path)})
    assert not report
    worst = report.failures[0]
    assert worst == report.worst
    assert worst.severity > 1
    assert worst.sentence().startswith(f"onnx differs from Keras at {worst.case}: scores[")
    assert report.to_json()["equivalent"] is False
    return report


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_export_is_convicted(wrong: str, exports: tuple[Path, Path], recorded: Any, tmp_path: Path) -> None:
    model = onnx.load(exports[1])
    WRONG[wrong](model, None)
    report = convict(model, recorded, tmp_path / "wrong.onnx")
    assert {failure.case for failure in report.failures} <= {case.name for case in FEW}
    assert [failure.severity for failure in report.failures] == sorted(
        (failure.severity for failure in report.failures), reverse=True
    )


def test_the_export_that_is_changed_was_right(exports: tuple[Path, Path], recorded: Any) -> None:
    assert compare_runners(recorded, {"onnx": onnx_runner(exports[1]), "saved_model": saved_model_runner(exports[0])})


@pytest.mark.parametrize("position", [0, 1])
def test_a_dropped_mask_is_convicted_by_masked_cases_alone(
    position: int, exports: tuple[Path, Path], recorded: Any, tmp_path: Path
) -> None:
    model = onnx.load(exports[1])
    if position == 0:  # The first layer's extra steps come behind the valid ones and do not reach the second.
        drop_mask(0)(model, None)
    drop_mask(1)(model, None)
    report = convict(model, recorded, tmp_path / "wrong.onnx")
    assert {failure.case for failure in report.failures} <= MASKED
    kinds = {failure.case.split("mask=")[1] for failure in report.failures}
    assert kinds >= {"right", "left", "holes", "single"}


def test_masks_of_right_padding_only_are_convicted_by_holes(
    exports: tuple[Path, Path], recorded: Any, tmp_path: Path
) -> None:
    """Lengths alone, without the compaction, are right for right padding; the other masks tell the difference."""
    model = onnx.load(exports[1])
    scatter = operator(model, "ScatterElements")
    # The steps stay where they are: the permutation is that which it starts from.
    for node in model.graph.node:
        for place, name in enumerate(node.input):
            if name == scatter.output[0]:
                node.input[place] = scatter.input[0]
    onnx.save(model, tmp_path / "wrong.onnx")
    report = compare_runners(recorded, {"onnx": onnx_runner(tmp_path / "wrong.onnx")})
    kinds = {failure.case.split("mask=")[1] for failure in report.failures}
    assert not report
    assert kinds <= {"left", "holes", "single"}
    assert "holes" in kinds


def test_a_saved_model_of_another_model_is_convicted(
    flavour: Flavour, small: Any, recorded: Any, tmp_path: Path
) -> None:
    other = flavour.keras.models.clone_model(small)
    other.set_weights([weight * 1.01 for weight in small.get_weights()])
    to_saved_model(other, tmp_path / "saved_model")
    report = compare_runners(recorded, {"saved_model": saved_model_runner(tmp_path / "saved_model")})
    assert not report
    assert {failure.runner for failure in report.failures} == {"saved_model"}


def test_one_wrong_runner_is_enough(recorded: Any, exports: tuple[Path, Path]) -> None:
    right = onnx_runner(exports[1])

    def wrong(feed: Any) -> Outputs:
        outputs = right(feed)
        if outputs["scores"].shape[0] == 3 and feed["signal"].shape[1] == 7:
            outputs["scores"] = outputs["scores"].copy()
            outputs["scores"][2, 1] = np.nan
        return outputs

    report = compare_runners(recorded, {"right": right, "wrong": wrong})
    assert not report
    assert report.failures[0].worst_index == (2, 1)
    assert {failure.runner for failure in report.failures} == {"wrong"}
    assert {failure.case for failure in report.failures} == {case.name for case in FEW if case.time == 7}


def test_a_missing_output_and_another_shape_are_convicted(recorded: Any) -> None:
    report = compare_runners(recorded, {"none": lambda _: {}, "flat": lambda _: {"scores": np.zeros(3)}})
    assert len(report.failures) == 2 * len(FEW)
    assert {failure.note for failure in report.failures} == {
        "output is missing",
        "output has shape (3,), expected (3, 3)",
    }


def test_a_file_that_is_no_onnx_is_named(small: Any, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"no model")
    with pytest.raises(ModelError, match=rf"^{path} is refused by onnxruntime: ") as raised:
        check_equivalence(small, onnx=path, cases=FEW)
    assert "\n" not in str(raised.value)


# --- Real data


@pytest.fixture(scope="module")
def real() -> Sequences:
    random = np.random.default_rng(2)
    values = tuple(random.random((int(length), 2)).astype(np.float32) for length in random.integers(1, 30, 300))
    return Sequences(values, np.zeros(300, np.int64), ("a", "b", "c"), source="noise")


def test_sequences_keep_their_order_and_their_own_answer(
    reference: Runner, signature: ModelSignature, real: Sequences
) -> None:
    run = reference
    together = predict_sequences(run, real, signature.inputs[0], batch_size=64)["scores"]
    assert together.shape == (300, 3)
    for row in (0, 17, 299):
        alone = run({"signal": real.values[row][None]})["scores"]
        assert np.allclose(together[row], alone[0], atol=1e-6)


def test_changed_classes_are_counted_and_convicted(
    reference: Runner, signature: ModelSignature, real: Sequences, recorded: Any
) -> None:
    right = reference

    def wrong(feed: Any) -> Outputs:
        scores = right(feed)["scores"].copy()
        alone = feed["signal"].shape[1] > 20
        return {"scores": np.roll(scores, 1, axis=1) if alone else scores}

    report = compare_runners(recorded, {"onnx": wrong}, reference=right, inputs=signature.inputs, data=real)
    assert all(agreement.passed for agreement in report.agreements)  # The cases are short.
    assert not report
    (row,) = report.data
    scores = predict_sequences(right, real, signature.inputs[0])["scores"]
    turned = predict_sequences(wrong, real, signature.inputs[0])["scores"]
    assert row.changed_classes == int((scores.argmax(1) != turned.argmax(1)).sum()) > 10
    assert report.failures[0].case == "test data"


# --- What is kept


def test_recorded_cases_are_written_and_read_back(recorded: Any, tmp_path: Path) -> None:
    save_recorded(recorded, tmp_path / "cases.npz")
    again = load_recorded(tmp_path / "cases.npz")
    assert [case.case for case in again] == [case.name for case in FEW]
    for one, other in zip(recorded, again, strict=True):
        assert one.limits == other.limits != {}
        for kept, read in ((one.feed, other.feed), (one.expected, other.expected)):
            assert kept.keys() == read.keys()
            for name, value in kept.items():
                assert np.array_equal(value, read[name])
                assert value.dtype == read[name].dtype


def test_a_recorded_file_holds_no_pickles(recorded: Any, tmp_path: Path) -> None:
    odd = RecordedCase("c", {"x": np.array([{}], object)}, {})
    with pytest.raises(ValueError, match="Object arrays cannot be saved"):
        save_recorded([odd], tmp_path / "cases.npz")


def test_the_histogram_counts_elements_by_size() -> None:
    histogram = ErrorHistogram()
    histogram.add(np.array([0.0, 1.0, 1.0, np.nan, np.inf]), np.array([0.0, 1.0 + 2e-6, 3.0, 0.0, 0.0]))
    histogram.add(np.array([1e-20]), np.array([0.0]))
    found = histogram.to_json()
    assert found["zeros"] == 1
    assert sum(found["counts"]) == 3
    placed = [edge for edge, count in zip(found["edges"], found["counts"], strict=False) if count]
    assert placed == [-12.0, -5.75, 0.25]  # Below the lowest edge, 2e-6, and 2.


def test_the_report_becomes_a_page(recorded: Any, exports: tuple[Path, Path]) -> None:
    right = compare_runners(recorded, {"onnx": onnx_runner(exports[1])})
    page = right.to_html()
    assert page.lower().startswith("<!doctype html>")
    assert "NOT equivalent" not in page
    wrong = compare_runners(recorded, {"onnx": lambda _: {}})
    assert "NOT equivalent" in wrong.to_html()


def test_a_case_row_says_its_sizes(recorded: Any, exports: tuple[Path, Path]) -> None:
    row = compare_runners(recorded[-1:], {"onnx": onnx_runner(exports[1])}).to_json()["cases"][0]
    assert (row["batch"], row["time"], row["mask"], row["runner"]) == (3, 7, "all_empty", "onnx")


def test_a_field_of_fixed_length_takes_padded_sequences(real: Sequences) -> None:
    field = Field("signal", "float32", ("batch", 30, 2), pad_value=-1.0)
    seen: list[tuple[int, ...]] = []

    def run(feed: Any) -> Outputs:
        seen.append(feed["signal"].shape)
        return {"length": (feed["signal"][:, :, 0] != -1).sum(axis=1)}

    assert np.array_equal(predict_sequences(run, real, field)["length"], real.lengths)
    assert {shape[1] for shape in seen} == {30}


def test_token_ids_and_answers_to_every_step_are_compared(flavour: Flavour, tmp_path: Path) -> None:
    layers = flavour.keras.layers
    model = flavour.keras.Sequential(
        [
            layers.Input((None,), dtype="int32", name="tokens"),
            layers.Embedding(9, 3, mask_zero=True),
            layers.GRU(4, return_sequences=True),
            layers.Dense(2, name="scores"),
        ]
    )
    random = np.random.default_rng(0)
    values = tuple(random.integers(1, 9, length) for length in (*range(1, 30), 60))
    data = Sequences(values, np.zeros(30, np.int64), ("",))
    onnx_file = to_onnx(model, tmp_path / "model.onnx").path
    report = check_equivalence(model, onnx=onnx_file, data=data, cases=[Case(1, 3, "full")])
    assert report
    assert [row.rows for row in report.data] == [30]
    runner = onnx_runner(onnx_file)
    found = predict_sequences(runner, data, Field("tokens", "int32", ("batch", "time"), pad_value=0), batch_size=4)
    assert found["scores"].shape == (30, 60, 2)
    alone = runner({"tokens": values[7][None].astype(np.int32)})["scores"]
    np.testing.assert_allclose(found["scores"][7, :8], alone[0], atol=1e-6)
    assert not found["scores"][0, 40:].any()


# --- Runtimes that fail, and inputs that must not pass


def test_a_file_that_fails_while_it_runs_is_convicted(
    small: Any, exports: tuple[Path, Path], real: Sequences, tmp_path: Path
) -> None:
    """It loads, and answers one row alone: the mistake of a batch size that was traced as a constant."""
    model = onnx.load(exports[1])
    last = model.graph.node[-1]
    name, last.output[0] = last.output[0], "scores_before"
    shape = numpy_helper.from_array(np.array([1, 3], np.int64), "one_row")
    model.graph.initializer.append(shape)
    model.graph.node.append(onnx.helper.make_node("Reshape", ["scores_before", "one_row"], [name], name="frozen"))
    onnx.save(model, tmp_path / "frozen.onnx")
    report = check_equivalence(small, onnx=tmp_path / "frozen.onnx", data=real)
    assert not report
    worst = report.failures[0]
    assert worst.note.startswith("the ONNX file cannot be run on signal [")
    assert "frozen" in worst.note
    assert "\n" not in worst.sentence()
    assert {one.passed for one in report.agreements if "batch=1 " in one.case} == {True}
    assert {one.passed for one in report.agreements if "batch=7 " in one.case} == {False}
    assert [row.agreement.passed for row in report.data] == [False]
    assert report.data[0].agreement.note == worst.note or "cannot be run" in report.data[0].agreement.note
    assert any(one.case.startswith("relation=") and "cannot be run" in one.note for one in report.failures)


def test_rows_beside_a_nan_are_compared_everywhere_and_its_own_in_tensorflow(
    reference: Runner, oracle: Oracle, signature: ModelSignature, exports: tuple[Path, Path]
) -> None:
    cases = [Case(5, 6, "right", values=kind) for kind in ("nan", "infinite")]
    spoiled = record_cases(cases, signature.inputs, reference, oracle)
    assert np.isnan(spoiled[0].expected["scores"]).all(axis=1).sum() == 1
    saved_model, right = saved_model_runner(exports[0]), onnx_runner(exports[1])
    assert compare_runners(spoiled, {"saved_model": saved_model, "onnx": right})
    # onnxruntime's own answer to the row is another one: that is why it is left out.
    assert not compare_runners(spoiled, {"saved_model": right})

    def spreads(feed: Any) -> Outputs:
        made = right(feed)["scores"]
        return {"scores": made + np.where(np.isnan(feed["signal"]).any(), np.float32(1e-3), np.float32(0))}

    found = compare_runners(spoiled, {"onnx": spreads})
    assert {failure.case for failure in found.failures} == {cases[0].name}


def test_a_nan_that_spoils_all_rows_in_keras_may_spoil_none_in_onnxruntime(flavour: Flavour, tmp_path: Path) -> None:
    """A mean over the rows, which has no result for each, and what is left when it is taken away, which has."""
    layers = flavour.keras.layers
    source = layers.Input((None, 2), name="signal")
    state = layers.GRU(3, name="state")(source)
    mean = layers.Lambda(lambda x: tf.reduce_mean(x, 0), output_shape=lambda shape: shape[1:], name="mean")(state)
    centred = layers.Lambda(lambda x: x - tf.reduce_mean(x, 0), output_shape=lambda shape: shape, name="centred")(state)
    model = flavour.keras.Model(source, [mean, centred])
    signature = model_signature(model)
    path = to_onnx(model, tmp_path / "model.onnx", signature=signature).path
    cases = [Case(5, 6, "full", values=kind) for kind in ("data", "nan", "infinite")]
    assert check_equivalence(model, onnx=path, cases=cases, signature=signature).failures == ()


def test_a_whole_number_is_right_or_wrong(flavour: Flavour, tmp_path: Path) -> None:
    """An id of 20,000 is no nearer to 20,001 than to 1."""
    layers = flavour.keras.layers
    source = layers.Input((None,), dtype="int32", name="tokens")
    ids = layers.Lambda(lambda x: tf.reduce_max(x, 1) + 20_000, output_shape=lambda shape: shape[:1], name="ids")
    model = flavour.keras.Model(source, ids(source))
    signature = model_signature(model)
    path = to_onnx(model, tmp_path / "model.onnx", signature=signature).path
    cases = [Case(3, 6, "full")]
    assert check_equivalence(model, onnx=path, cases=cases, signature=signature)
    recorded = record_cases(cases, signature.inputs, keras_runner(signature), None)
    right = onnx_runner(path)
    assert compare_runners(recorded, {"onnx": right})
    assert not compare_runners(recorded, {"onnx": lambda feed: {"ids": right(feed)["ids"] + 1}})


def test_an_export_must_refuse_what_keras_refuses(flavour: Flavour, tmp_path: Path) -> None:
    layers = flavour.keras.layers
    model = flavour.keras.Sequential(
        [layers.Input((None,), dtype="int32", name="tokens"), layers.Embedding(9, 3), layers.GRU(2, name="out")]
    )
    tokens = Field("tokens", "int32", ("batch", "time"), TOKEN_ID, minimum=0.0, maximum=8.0)
    signature = model_signature(model, inputs=[tokens])
    path = to_onnx(model, tmp_path / "model.onnx", signature=signature).path
    proof = check_equivalence(model, onnx=path, signature=signature)
    assert proof
    beyond = [case for case in proof.recorded if not case.expected]
    assert [case.case for case in beyond] == ["batch=2 time=8 mask=full values=out-of-vocabulary"]
    assert beyond[0].feed["tokens"].max() == 9
    save_recorded(beyond, tmp_path / "cases.npz")
    (again,) = load_recorded(tmp_path / "cases.npz")
    assert again.expected == {}
    assert compare_runners([again], {"onnx": onnx_runner(path)})
    run = onnx_runner(path)
    wrong = compare_runners([again], {"onnx": lambda feed: run({"tokens": np.minimum(feed["tokens"], 8)})})
    (output,) = [field.name for field in signature.outputs]
    assert [failure.note for failure in wrong.failures] == [f"it answers {output}; Keras refuses such input"]
    assert wrong.wrong_feed is None


# --- What the task makes of it


def over(expected: NDArray[Any], actual: NDArray[Any], data: Sequences) -> Any:
    """The agreement of two runtimes that give the rows of two arrays."""

    def giving(values: NDArray[Any]) -> Runner:
        return lambda feed: {"out": values[feed["x"][:, 0, 0].astype(int)]}

    (row,) = over_data(
        {"onnx": giving(actual)},
        giving(expected),
        data,
        Field("x", "float32", ("batch", "time", 1)),
        judge=None,
        tolerance=FLOAT32,
        histograms={"onnx": ErrorHistogram()},
    )
    return row


def numbered(**options: Any) -> Sequences:
    values = tuple(np.full((1 + row % 3, 1), row, np.float32) for row in range(40))
    return replace(Sequences(values, np.zeros(40, np.int64), ("",)), **options)


def test_the_task_of_a_regression_is_measured_by_its_targets() -> None:
    random = np.random.default_rng(0)
    expected, targets = random.normal(size=(40, 3)), random.normal(size=(40, 3))
    row = over(expected, expected + 0.01, numbered(targets=targets))
    assert row.changed_classes is None
    measure = row.task.measures["mae"]
    assert measure.reference == pytest.approx(np.abs(expected - targets).mean())
    assert measure.other == pytest.approx(np.abs(expected + 0.01 - targets).mean())
    assert row.to_json()["task"]["measures"]["rmse"]["reference"] > measure.reference
    # Another output than that which the targets are for.
    assert over(expected[:, :2], expected[:, :2], numbered(targets=targets)).task.measures == {}


@pytest.mark.parametrize(("shift", "decides"), [(0.0, 0.5), (-0.5, 0.0)])
def test_one_score_decides_between_two_classes(shift: float, decides: float) -> None:
    scores = np.linspace(0.02, 0.98, 40)[:, None] + shift  # Below 0 it is no probability, but a logit.
    labels = (np.arange(40) >= 20).astype(np.int64)
    actual = scores.copy()
    actual[19] = decides + 1e-3
    row = over(scores, actual, numbered(labels=labels, classes=("bad", "good")))
    assert row.changed_classes == 1
    (changed,) = row.task.changed
    assert (changed.row, changed.reference, changed.other) == (19, 0, 1)
    assert changed.margin == pytest.approx(decides - scores[19, 0])
    assert row.task.measures["accuracy"].reference == 1
    assert row.task.measures["accuracy"].other == 39 / 40
    assert over(scores, actual, numbered()).task is None


def test_what_is_left_open_is_counted(recorded: Any, exports: tuple[Path, Path]) -> None:
    where = np.zeros(recorded[0].expected["scores"].shape, bool)
    where[0] = True
    proof = compare_runners(
        [replace(recorded[0], undetermined={"scores": where}), recorded[1]], {"onnx": onnx_runner(exports[1])}
    )
    assert proof.left_open == (3, recorded[0].expected["scores"].size + recorded[1].expected["scores"].size)
    assert proof.to_json()["left_open"] == {"values": 3, "of": proof.left_open[1]}
    assert f"Float32 leaves 3 of {proof.left_open[1]} values open" in proof.to_html()
    assert "values open" not in compare_runners(recorded, {"onnx": onnx_runner(exports[1])}).to_html()
