"""What the report says of decisions: measures of both, decisions that changed, and how near the others are."""

from __future__ import annotations

from typing import Any

import numpy as np

from seqship.export.report import render_report
from seqship.export.report_task import MOST_CHANGED, tasks
from seqship.export.task_agreement import compare_classes
from tests.export.report_documents import CLASSES, CONTRACT, sample, task

OUTPUTS = CONTRACT["outputs"]


def split(**by_runner: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"runner": name, "output": "probabilities", "task": one} for name, one in by_runner.items()]


def test_measures_of_keras_stand_beside_those_of_each_runtime() -> None:
    (told,) = tasks(split(saved_model=task(difference=0.0), onnx=task(changed=1)), OUTPUTS)
    assert told.output == "probabilities"
    assert told.runners == ("SavedModel", "ONNX")
    rows = {label: (reference, others) for label, reference, others in told.rows}
    assert rows["Accuracy"] == ("0.9712", ("0.97125", "0.97125"))
    assert "AUC" not in rows  # It is not defined here.
    assert rows["F1"][0] == "0.883"
    assert rows["Same class as Keras"] == ("–", ("100\u00a0%", "99.975\u00a0%"))
    assert rows["Changed decisions"] == ("–", ("0", "1"))
    assert rows["Largest difference of a score"] == ("–", ("0", "4.2e-7"))
    assert rows["Smallest margin of a decision, in row 2718"] == ("0.00013", ("–", "–"))
    assert rows["That margin by the largest difference"] == ("–", ("no difference", "310 times"))


def test_a_share_is_not_rounded_to_all() -> None:
    almost = task() | {"top_k": {"1": 1 - 1e-9}}
    (told,) = tasks(split(onnx=almost), OUTPUTS)
    assert ("Same class as Keras", "–", ("99.999\u00a0%",)) in told.rows


def test_changed_decisions_are_told_by_their_classes_the_most_certain_first() -> None:
    lost = task(changed=3)
    lost["changed"][1] |= {"other": -1, "margin": "NaN"}
    (told,) = tasks(split(onnx=lost), OUTPUTS)
    assert [(one.runner, one.row, one.reference, one.other) for one in told.changed] == [
        ("ONNX", 41, "V", "none (not a number)"),
        ("ONNX", 42, "V", "N"),
        ("ONNX", 40, "V", "N"),
    ]
    (many,) = tasks(split(onnx=task(changed=MOST_CHANGED + 7), saved_model=task(changed=1)), ())
    assert len(many.changed) == MOST_CHANGED
    assert many.left_out == 8
    assert many.changed[0].reference == "2"  # Classes without names have numbers.


def test_the_sentence_says_how_near_decisions_are_to_turning() -> None:
    def sentence(**changes: Any) -> str:
        (told,) = tasks(split(onnx=task() | changes, saved_model=task(difference=0.0)), OUTPUTS)
        return told.sentence

    assert sentence(margin_times=2.0).startswith("No decision is near to turning")
    assert sentence(margin_times=1.9).startswith("No decision changed, though")
    assert sentence(changed=task(changed=1)["changed"]) == ""


def test_what_the_package_compares_is_told() -> None:
    random = np.random.default_rng(0)
    scores = random.dirichlet(np.ones(5), 400)
    turned = scores + random.normal(0, 0.05, scores.shape)
    found = compare_classes(scores, turned, random.integers(0, 5, 400)).to_json()
    (told,) = tasks(split(onnx=found), OUTPUTS)
    rows = {label: others for label, _, others in told.rows}
    assert rows["Changed decisions"] == (str(len(found["changed"])),)
    assert {"Accuracy", "AUC", "F1", "Same 3 best classes as Keras"} <= set(rows)
    assert {one.reference for one in told.changed} <= set(CLASSES)


def test_the_page_shows_it_where_there_is_real_data_of_classes() -> None:
    document = sample()
    document["test_split"][1]["task"] = task(changed=60, difference=0.02)
    html = render_report(document).split('id="test-split"')[1].split("</section>")[0]
    assert "What the differences do to probabilities" in html
    assert "Decisions that changed" in html
    assert "10 more are in report.json." in html
    assert html.count("<td>V</td><td>N</td>") == MOST_CHANGED
    for row in document["test_split"]:
        del row["task"]
    assert "What the differences do" not in render_report(document)
    assert tasks([], OUTPUTS) == []
