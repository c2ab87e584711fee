"""The list of faults, and one right export that some of them are done to.

That every one of them is convicted is tested with the command, `tests/cli/test_selftest.py`, which runs them all.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest

from seqship.export.falsification import model_faults, operator_faults, weight_faults, wiring_faults
from seqship.export.falsification.convictions import convict, falsify_subject
from seqship.export.falsification.falsifications import FALSIFICATIONS, Falsification
from seqship.export.falsification.right_export import RightExport, judge
from seqship.export.falsification.subjects import SUBJECTS, Subject
from seqship.export.falsification.weight_faults import one_recurrent_weight_a_thousandth_off
from seqship.pipelines.text_vectorizer import TextVectorizer

SUBJECT = {subject.name: subject for subject in SUBJECTS}


@pytest.fixture(scope="module")
def lstm(tmp_path_factory: pytest.TempPathFactory) -> RightExport:
    return SUBJECT["lstm"].export(tmp_path_factory.mktemp("lstm"))


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> RightExport:
    return SUBJECT["text"].export(tmp_path_factory.mktemp("text"))


@pytest.fixture(autouse=True)
def unchanged(request: pytest.FixtureRequest) -> Iterator[None]:
    """A right export is left as it is, by every fault."""
    used = [request.getfixturevalue(name) for name in ("lstm", "text") if name in request.fixturenames]
    before = [(right.proto.SerializeToString(deterministic=True), right.model.get_weights()) for right in used]
    yield
    for right, (proto, weights) in zip(used, before, strict=True):
        assert right.proto.SerializeToString(deterministic=True) == proto
        for one, other in zip(right.model.get_weights(), weights, strict=True):
            np.testing.assert_array_equal(one, other)


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

    modules = (bundle_faults, mask_faults, model_faults, operator_faults, weight_faults, wiring_faults)
    written = {
        value
        for module in modules
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", "") == module.__name__
    }
    listed = {fault.falsify for fault in FALSIFICATIONS}
    assert written - listed == {model_faults.step_before}


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


# --- Raw text


def test_the_right_vocabulary_is_right(text: RightExport) -> None:
    assert isinstance(text.vectorizer, TextVectorizer)
    assert judge(text, text.vectorizer)
    texts = {word for case in text.texts for phrase in case.feed["text"].tolist() for word in phrase.split()}
    assert len(texts & set(text.vectorizer.vocabulary)) >= 5


def test_a_vocabulary_with_two_words_exchanged_is_convicted(text: RightExport) -> None:
    assert text.vectorizer is not None
    words = list(text.vectorizer.vocabulary)
    words[2], words[3] = words[3], words[2]
    assert not judge(text, TextVectorizer(tuple(words)))


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
