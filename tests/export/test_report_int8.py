"""What the report says of an int8 file: a verdict of its own, what it costs, and what of the model is int8."""

from __future__ import annotations

from typing import Any

import pytest

from seqship.export.report import render_report
from seqship.export.report_int8 import MOST_FAILURES, Int8Section, int8_section
from tests.export.report_documents import CONTRACT, int8, int8_failing, sample
from tests.export.report_page import Page


def section(document: dict[str, Any] | None = None, **changes: Any) -> Int8Section:
    found = int8_section((document or int8()) | changes, CONTRACT["outputs"])
    assert found is not None
    return found


def test_a_right_file() -> None:
    told = section()
    assert told.passed
    assert told.verdict == "what int8 makes of model.onnx"
    assert told.sentence == "Held to it were 3 tensors of int8 weights, and 2 cases in 3 settings of onnxruntime."
    assert (told.size, told.float_size) == ("23\u00a0kB", "70\u00a0kB")
    assert told.share == pytest.approx(23_456 / 70_123)
    assert told.operators == "1 LSTM, 1 matrix product"
    assert [(row.layer, row.int8, row.reasons) for row in told.layers] == [
        ("first", True, ()),
        ("gru_1", False, ("onnxruntime has no int8 kernel for GRU",)),
    ]
    assert [(row.time, row.max_abs) for row in told.drift] == [(24, 7.2e-5), (120, 3.6e-4), (480, 1.44e-3)]
    assert told.worst is not None
    assert told.worst.share == pytest.approx(0.09)
    assert (told.failures, told.left_out) == ((), 0)


def test_decisions_are_told_against_the_float32_file() -> None:
    told = section()
    (task,) = told.tasks
    assert (told.rows, task.output, task.runners) == (4000, "probabilities", ("int8",))
    rows = {label: (reference, others) for label, reference, others in task.rows}
    assert rows["Accuracy"] == ("0.9712", ("0.97125",))
    assert rows["Same class as float32"] == ("–", ("99.925\u00a0%",))
    assert rows["Changed decisions"] == ("–", ("3",))
    assert not any("Keras" in label for label in rows)
    assert [(one.row, one.reference, one.other) for one in task.changed] == [
        (42, "V", "N"),
        (41, "V", "N"),
        (40, "V", "N"),
    ]


def test_a_wrong_file_has_what_is_wrong_first() -> None:
    told = section(int8_failing())
    assert not told.passed
    assert told.verdict == "NOT what int8 makes of model.onnx"
    assert [(row.weight, row.passed) for row in told.weights] == [("R", False), ("B", False), ("W", True)]
    assert told.worst is not None
    assert told.worst.note == "output is missing"
    assert told.worst_runner == "int8, no optimizations"
    many = section(int8_failing(), failures=[f"int8 lacks {number}" for number in range(MOST_FAILURES + 7)])
    assert (len(many.failures), many.left_out) == (MOST_FAILURES, 7)


def test_a_document_that_calls_itself_right_is_not_believed() -> None:
    failing = int8_failing()
    assert not section(weights=failing["weights"]).passed
    assert not section(cases=failing["cases"]).passed
    assert not section(failures=failing["failures"]).passed
    assert not section(passed=False).passed
    nothing = section(weights=[])
    assert (nothing.passed, nothing.sentence) == (False, "No weight was compared, so nothing is proven of it.")
    nothing = section(cases=[], worst=None)
    assert (nothing.passed, nothing.sentence) == (False, "No case was compared, so nothing is proven of it.")
    assert nothing.worst is None


def test_a_bundle_without_one_says_nothing_of_it() -> None:
    assert int8_section(None, ()) is None
    for document in (sample(), sample() | {"int8": None}):
        page = render_report(document)
        assert "int8" not in page.split("</style>")[1].casefold()


def test_the_page_of_a_right_file() -> None:
    page = render_report(sample() | {"int8": int8()})
    assert 'class="beside"' not in page
    assert "<title>ecg-gru: Equivalent – seqship report</title>" in page
    assert '<li><a href="#int8">The int8 file</a></li>' in page
    assert "of 70\u00a0kB: within what int8 explains" in page
    part = page.split('<section id="int8" aria')[1].split("</section>")[0]
    for words in ("pass</span>: it is what int8 makes of model.onnx.", "6 times what noise of up to half a step",
                  "192 units in the last place", "33.4\u00a0%", "1 LSTM, 1 matrix product", "0.0123",
                  "int8, 9\u00a0% of the limit", "onnxruntime has no int8 kernel for GRU", "4,000 rows of real data",
                  "<td>V</td><td>N</td>", "functional/wide/MatMul", "It was measured to be at most 2.0.", "0.00144",
                  "What int8 does to probabilities", "After more and more steps"):  # fmt: skip
        assert words in part
    assert "What is wrong" not in part


def test_the_page_of_a_wrong_file_says_so_at_the_top_and_lets_the_verdict_on_the_others_be() -> None:
    page = render_report(sample() | {"int8": int8_failing()})
    assert "<title>ecg-gru: Equivalent, int8 failed – seqship report</title>" in page
    banner = page.split('<dl class="facts">')[0].split('class="verdict good"')[1]
    assert "Equivalent</h2>" in banner
    told = banner[banner.index('class="beside"') : banner.index("The comparison nearest to its limit")]
    assert "model.int8.onnx is NOT what int8 makes of model.onnx." in told
    assert "int8 has no weight B of functional/wide/MatMul" in told
    assert "file&#39;s, and 2 more." in told
    assert '<a href="#int8">' in told
    assert "of 70\u00a0kB: failed" in page
    part = page.split('<section id="int8" class="alarm"')[1].split("</section>")[0]
    assert "fail</span>: it is NOT what int8 makes of model.onnx." in part
    assert part.count("<li>int8") == 3
    assert "32.2 steps of its grid apart" in part
    assert part.count('<tr class="failed">') == 2
    assert part.count('colspan="5" class="soft">not comparable') == 1
    assert "int8, no optimizations, not comparable" in part


def test_one_that_nothing_was_compared_of_says_so_at_the_top() -> None:
    page = render_report(sample() | {"int8": int8() | {"weights": [], "passed": False}})
    told = page[page.index('class="beside"') : page.index('class="facts"')]
    assert "No weight was compared, so nothing is proven of it." in told


def test_what_a_model_has_not_leaves_no_heading() -> None:
    bare = int8() | {"layers": [], "drift": [], "test_split": [], "weights": [], "cases": [], "worst": None}
    headings = Page(render_report(sample() | {"int8": bare})).headings
    left_out = {"Which layers are int8", "After more and more steps", "Weights", "Decisions that int8 changes"}
    assert not left_out & set(headings)


def test_names_are_escaped() -> None:
    evil = "<script>alert(1)</script>"
    found: dict[str, Any] = int8_failing() | {"failures": [evil], "operators": {evil: 1}}
    found["layers"][0] |= {"layer": evil, "reasons": [evil]}
    found["weights"][0] |= {"node": evil, "weight": evil}
    found["drift"][0] |= {"output": evil}
    found["cases"][0] |= {"runner": evil, "case": evil, "output": evil, "severity": "Infinity", "passed": False}
    page = render_report(sample() | {"int8": found})
    assert [tag for tag, _ in Page(page).tags].count("script") == 1
    assert "<script>alert" not in page
