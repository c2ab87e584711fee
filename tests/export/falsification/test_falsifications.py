"""The list of faults, and one right export that some of them are done to.

That every one of them is convicted is tested with the command, `tests/cli/test_selftest.py`, which runs them all.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest

from seqship.export.falsification import int8_faults, model_faults, operator_faults, weight_faults, wiring_faults
from seqship.export.falsification.convictions import convict, falsify_subject
from seqship.export.falsification.falsifications import FALSIFICATIONS, Falsification
from seqship.export.falsification.int8_faults import INT8_FAULTS
from seqship.export.falsification.right_export import Int8File, RightExport, judge
from seqship.export.falsification.subjects import SUBJECTS, Subject
from seqship.export.falsification.weight_faults import one_recurrent_weight_a_thousandth_off
from seqship.export.quantization_proof import NOISE, Int8Proof
from seqship.pipelines.text_vectorizer import TextVectorizer

SUBJECT = {subject.name: subject for subject in SUBJECTS}
OF_INT8 = {fault.name: fault for fault in FALSIFICATIONS if fault.subject == "quantized"}


@pytest.fixture(scope="module")
def lstm(tmp_path_factory: pytest.TempPathFactory) -> RightExport:
    return SUBJECT["lstm"].export(tmp_path_factory.mktemp("lstm"))


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> RightExport:
    return SUBJECT["text"].export(tmp_path_factory.mktemp("text"))


@pytest.fixture(scope="module")
def quantized(tmp_path_factory: pytest.TempPathFactory) -> RightExport:
    return SUBJECT["quantized"].export(tmp_path_factory.mktemp("quantized"))


@pytest.fixture(autouse=True)
def unchanged(request: pytest.FixtureRequest) -> Iterator[None]:
    """A right export is left as it is, by every fault."""
    used = [request.getfixturevalue(name) for name in ("lstm", "text", "quantized") if name in request.fixturenames]
    before = [(written(right), right.model.get_weights()) for right in used]
    yield
    for right, (files, weights) in zip(used, before, strict=True):
        assert written(right) == files
        for one, other in zip(right.model.get_weights(), weights, strict=True):
            np.testing.assert_array_equal(one, other)


def written(right: RightExport) -> list[bytes]:
    protos = [right.proto] if right.int8 is None else [right.proto, right.int8]
    return [proto.SerializeToString(deterministic=True) for proto in protos]


# --- The list


def test_there_are_many_faults_each_with_a_name_a_reason_and_a_subject() -> None:
    assert len({fault.name for fault in FALSIFICATIONS}) >= 60
    assert len({(fault.name, fault.subject) for fault in FALSIFICATIONS}) == len(FALSIFICATIONS)
    for fault in FALSIFICATIONS:
        assert fault.subject in SUBJECT
        assert fault.falsify.__doc__, fault.name
        assert "_" not in fault.name


def test_every_fault_of_the_modules_is_in_the_list() -> None:
    from seqship.export.falsification import bundle_faults, mask_faults

    modules = (bundle_faults, int8_faults, mask_faults, model_faults, operator_faults, weight_faults, wiring_faults)
    written = {
        value
        for module in modules
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", "") == module.__name__
    }
    listed = {inspect.unwrap(fault.falsify) for fault in FALSIFICATIONS}
    assert written - listed == {model_faults.step_before}


def test_every_fault_of_an_int8_file_is_done_to_one() -> None:
    assert [fault.name for fault in OF_INT8.values()] == [fault.__name__.replace("_", "-") for fault in INT8_FAULTS]


def test_every_subject_is_used() -> None:
    assert {fault.subject for fault in FALSIFICATIONS} == set(SUBJECT)
    assert {subject.keras for subject in SUBJECTS} == {2, 3}


# --- One right export


def test_the_right_export_is_right(lstm: RightExport) -> None:
    proof = judge(lstm, lstm.proto)
    assert proof
    assert proof.worst is not None
    assert proof.worst.severity < 0.5
    assert len(proof.agreements) == len(lstm.recorded) == 45


def test_a_conviction_names_the_case_and_how_far_beyond_the_limit_it_is(lstm: RightExport) -> None:
    found = convict(lstm, Falsification("lstm", weight_faults.lstm_gates_in_keras_order))
    assert found.convicted
    assert (found.name, found.subject) == ("lstm-gates-in-keras-order", "lstm")
    assert found.case in {case.case for case in lstm.recorded}
    assert found.times > 1000


def test_what_is_changed_in_nothing_is_not_convicted(lstm: RightExport) -> None:
    found = convict(lstm, Falsification("lstm", lambda right: right.proto))
    assert not found.convicted
    assert found.times < 0.5


def test_a_fault_of_one_part_in_a_thousand_of_one_weight_changes_that_weight_alone(lstm: RightExport) -> None:
    wrong = weight_faults.one_weight_a_thousandth_off(lstm)
    recurrent = one_recurrent_weight_a_thousandth_off(lstm)
    for made, position in ((wrong, 1), (recurrent, 2)):
        assert isinstance(made, onnx.ModelProto)
        pairs = zip(made.graph.initializer, lstm.proto.graph.initializer, strict=True)
        changed = [
            (one.name, np.flatnonzero(onnx.numpy_helper.to_array(one) != onnx.numpy_helper.to_array(other)).size)
            for one, other in pairs
        ]
        node = next(node for node in made.graph.node if node.op_type == "LSTM")
        assert [row for row in changed if row[1]] == [(node.input[position], 1)]


def test_gates_in_keras_order_are_those_of_keras(lstm: RightExport) -> None:
    wrong = weight_faults.lstm_gates_in_keras_order(lstm)
    node = next(node for node in wrong.graph.node if node.op_type == "LSTM")
    kernel = next(one for one in wrong.graph.initializer if one.name == node.input[1])
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(kernel)[0], lstm.model.get_weights()[0].T)


def test_a_fault_that_the_model_has_no_place_for_is_refused(lstm: RightExport) -> None:
    with pytest.raises(LookupError, match=r"^the graph has no GRU$"):
        weight_faults.gru_update_and_reset_swapped(lstm)
    with pytest.raises(LookupError, match=r"^the model has no BatchNormalization$"):
        model_faults.batch_norm_epsilon(lstm)
    with pytest.raises(LookupError, match=r"^the model has no int8 file$"):
        OF_INT8["int8-scale-doubled"].falsify(lstm)


# --- Raw text


def test_the_right_vocabulary_is_right(text: RightExport) -> None:
    assert isinstance(text.vectorizer, TextVectorizer)
    assert judge(text, text.vectorizer)
    texts = {word for case in text.texts for phrase in case.feed["text"].tolist() for word in phrase.split()}
    assert len(texts & {word.encode() for word in text.vectorizer.vocabulary}) >= 5


def test_a_vocabulary_with_two_words_exchanged_is_convicted(text: RightExport) -> None:
    assert text.vectorizer is not None
    words = list(text.vectorizer.vocabulary)
    words[2], words[3] = words[3], words[2]
    assert not judge(text, TextVectorizer(tuple(words)))


# --- The int8 file


def test_the_right_int8_file_is_right(quantized: RightExport) -> None:
    assert quantized.int8 is not None
    proof = judge(quantized, Int8File(quantized.int8))
    assert isinstance(proof, Int8Proof)
    assert proof
    # A table, two layers and a matrix: there is something for every fault to be done to.
    assert [row.weight for row in proof.weights] == ["data", "W", "R", "W", "R", "B"]
    assert [type(one) for one in quantized.exports] == [onnx.ModelProto, Int8File]
    assert all(judge(quantized, one) for one in quantized.exports)


def test_a_wrong_int8_file_is_convicted_by_the_case_that_shows_it(quantized: RightExport) -> None:
    found = convict(quantized, OF_INT8["int8-scale-doubled"])
    assert found.convicted
    assert found.case.startswith("batch=")
    assert 2 < found.times < 1000


@pytest.mark.parametrize(
    ("name", "place", "times"),
    [
        # Twice as coarse, with 63 steps where 64 are.
        ("int8-grid-too-coarse", r"^R of reading_LSTM__\d+$", 2 * 63 / 64),
        ("int8-bias-of-the-step-before", r"^constant reading/B__\d+$", float("inf")),
    ],
)
def test_one_that_no_case_shows_is_convicted_by_what_is_wrong_in_it(
    name: str, place: str, times: float, quantized: RightExport
) -> None:
    found = convict(quantized, OF_INT8[name])
    assert found.convicted
    assert re.search(place, found.case)
    assert found.times == pytest.approx(times, rel=1e-3)


def test_what_is_changed_in_nothing_of_an_int8_file_is_not_convicted(quantized: RightExport) -> None:
    assert quantized.int8 is not None
    right = Int8File(quantized.int8)
    found = convict(quantized, Falsification("quantized", lambda _: right))
    assert not found.convicted
    assert found.times < 0.5
    # Nor is the float32 file in its place one, which has no weights to compare.
    none = convict(quantized, Falsification("quantized", lambda right: Int8File(right.proto)))
    assert (none.convicted, none.times) == (True, float("inf"))


def test_the_subject_passes_where_both_of_its_files_do(monkeypatch: pytest.MonkeyPatch) -> None:
    found = falsify_subject(SUBJECT["quantized"], seed=2, falsifications=())
    assert found.passed
    assert found.case.startswith("batch=")
    assert found.times < 0.5
    # A false alarm over the int8 file is one over the subject.
    none = dataclasses.replace(NOISE, multiple=1e-3)
    monkeypatch.setattr("seqship.export.quantization_proof.NOISE", none)
    found = falsify_subject(SUBJECT["quantized"], seed=2, falsifications=())
    assert not found.passed
    assert found.times > 1


# --- One subject from end to end


def test_a_subject_is_judged_with_its_own_faults_alone(tmp_path: Path) -> None:
    heads = SUBJECT["heads"]
    found = falsify_subject(heads, seed=5)
    assert found.passed
    assert found.times < 1
    assert [one.name for one in found.convictions] == ["heads-exchanged", "one-recurrent-weight-a-thousandth-off"]
    assert found.convictions[0].convicted


def test_a_subject_has_the_weights_of_its_seed(tmp_path: Path) -> None:
    def weights(subject: Subject, seed: int) -> list[np.ndarray]:
        from seqship.export.falsification.weights import draw_weights
        from seqship.models.flavour import load_flavour

        model = subject.build(load_flavour(3).keras)
        draw_weights(model, np.random.default_rng(seed))
        return model.get_weights()

    normalized = dataclasses.replace(SUBJECT["normalized"])
    one, same, other = weights(normalized, 1), weights(normalized, 1), weights(normalized, 2)
    assert all(np.array_equal(a, b) for a, b in zip(one, same, strict=True))
    floats = [(a, b) for a, b in zip(one, other, strict=True) if a.dtype == np.float32]
    assert not any(np.array_equal(a, b) for a, b in floats)
    assert all(np.all(a != 0) for a, _ in floats)
