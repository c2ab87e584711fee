"""Rows of the report's tables: what a case's name says, in which order rows stand, what relations are called."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from seqship.export.report import render_report
from seqship.export.report_cases import (
    MOST_FAILURES,
    Comparison,
    comparison,
    failure_words,
    relations,
    runner_name,
    runtimes,
    shown_failures,
    worst_first,
    worst_of,
)
from tests.export.report_documents import case_row, sample
from tests.export.report_page import Page


def row(case: str = "batch=3 time=9 mask=full", **changes: Any) -> Comparison:
    usual = {"runner": "onnx", "output": "y", "case": case, "max_abs": 1e-7, "max_rel": 1e-6, "severity": 0.1,
             "passed": True, "note": ""}  # fmt: skip
    return comparison(usual | changes)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("batch=7 time=24 mask=holes values=nan", ("7", "24", "holes", "nan", "", "", False)),
        ("batch=32 time=24 mask=searched values=adversary", ("32", "24", "searched", "adversary", "", "", False)),
        ("batch=3 time=1 mask=text values=emoji", ("3", "1", "text", "emoji", "", "", False)),
        ("batch=1 time=2 mask=full state=zero", ("1", "2", "full", "data", "zero", "", False)),
        ("relation=row-alone batch=3 time=9 mask=left", ("3", "9", "left", "data", "", "row-alone", False)),
        ("batch=1 time=2 mask=full vocabulary=missing", ("1", "2", "full", "data", "", "", True)),
        ("one empty row among full ones", (None, None, "", "data", "", "", True)),
    ],
)
def test_a_name_is_read_into_columns(name: str, told: tuple[Any, ...]) -> None:
    one = row(name)
    assert (one.batch, one.time, one.mask, one.values, one.state, one.relation, one.named) == told


def test_columns_of_the_document_go_before_the_name() -> None:
    one = row("batch=3 time=9 mask=full", batch=4, mask="left", values="tiny", time=None)
    assert (one.batch, one.time, one.mask, one.values) == (4, "9", "left", "tiny")


def test_the_worst_uses_most_of_its_limit() -> None:
    large = row(max_abs=0.5, severity=0.01)
    near, over, lost = row(severity=0.9), row(severity=1.5, passed=False), row(severity="Infinity", passed=False)
    noted = row(max_abs="Infinity", severity="Infinity", passed=False, note="output is missing")
    assert worst_first([large, over, near, lost, noted]) == [noted, lost, over, near, large]
    # A document without shares has the differences.
    older = [row(severity=None, max_abs=size) for size in (1e-8, 1e-3, 1e-5)]
    assert [one.max_abs for one in worst_first(older)] == [1e-3, 1e-5, 1e-8]


def test_what_has_a_note_is_not_compared() -> None:
    assert row().compared
    assert row(max_abs="NaN").compared
    assert not row(note="output is missing").compared
    assert not row(max_abs=None).compared


def test_the_worst_is_the_failure_whatever_the_document_names() -> None:
    passed, failed = row(), row(case="batch=1 time=1 mask=full", passed=False, severity=3)
    named = {"runner": "onnx", "output": "y", "case": passed.case}
    assert worst_of(named, [], [passed]) is passed
    assert worst_of(named, [failed], [failed, passed]) is failed
    assert worst_of(None, [], [passed]) is None
    data = comparison({"runner": "onnx", "output": "y", "passed": True}, case="real test data, 40 rows")
    assert worst_of(named | {"case": "test data"}, [], [passed, data]) is data


def test_failures_are_counted_apart() -> None:
    with_keras, with_itself = row(passed=False), row("relation=padded batch=3 time=9 mask=left", passed=False)
    assert failure_words([with_keras]) == "1 comparison with Keras failed"
    assert failure_words([with_itself] * 2) == "2 comparisons of a runtime with itself failed"
    both = failure_words([with_itself, *[with_keras] * 1200])
    assert both == "1,200 comparisons with Keras and 1 comparison of a runtime with itself failed"


def test_of_each_runner_the_worst_failures_are_shown() -> None:
    rows = [row(runner=name, severity=9 - at / 10) for at in range(30) for name in ("onnx", "saved_model")]
    shown = shown_failures([*rows, row(runner="onnx:text", severity=2)])
    assert len(shown) == 2 * MOST_FAILURES + 1
    assert shown[-1].runner == "onnx:text"


def test_relations_tell_the_worst_of_each_runtime() -> None:
    names = [f"relation=row-alone batch=3 time=9 mask={mask}" for mask in ("left", "full")]
    rows = [row(name, runner=runner, severity=share) for name, runner, share in
            ((names[0], "onnx", 0.2), (names[1], "onnx", 0.7), (names[0], "saved_model", 0.0))]  # fmt: skip
    rows.append(row(names[0], output="another", severity=0.1))
    unknown = row("relation=of-my-own batch=3 time=9 mask=full", passed=False)
    alone, own = relations([row(), *rows, unknown])
    assert alone.sentence == "A row alone gives what it gives among others."
    assert {name: (one.share, count) for name, (one, count) in alone.worst.items()} == {
        "onnx": (0.7, 2),
        "saved_model": (0.0, 1),
    }
    assert (own.relation, own.name, own.sentence) == ("of-my-own", "of-my-own", "")
    assert relations([row()]) == []


def test_runners_have_names() -> None:
    names = (
        "saved_model:tf_example",
        "saved_model:serving_text",
        "onnx:text",
        "onnx_int8",
        "onnx_off",
        "served",
        "a:b",
    )
    assert [runner_name(name) for name in names] == [
        "SavedModel, tf.Example",
        "SavedModel, serving_text",
        "ONNX, text",
        "ONNX, int8",
        "ONNX, no optimizations",
        "served",
        "a:b",
    ]
    settings = ("onnx", "onnx_1_thread", "onnx:text", "onnx_int8", "saved_model", "saved_model:tf_example")
    assert runtimes(settings) == ["ONNX", "ONNX, int8", "SavedModel"]


# --- On the page


def section(html: str, name: str) -> str:
    return html.split(f'<section id="{name}"')[1].split("</section>")[0]


def test_the_page_has_a_row_of_each_relation_and_a_way_to_filter_it() -> None:
    html = render_report(sample())
    told = section(html, "relations")
    assert "A row alone gives what it gives among others." in told
    assert "Rows in another order give their results in that order." in told
    assert told.count("pass</span>") == 4
    assert "of the limit, 1 case" in told
    cases = section(html, "cases")
    assert '<option value="row-alone">itself: a row alone</option>' in cases
    assert '<option value="saved_model:serving_text">SavedModel, serving_text</option>' in cases
    for value in ("searched", "adversary", "emoji"):
        assert f'<option value="{value}">{value}</option>' in cases


def test_columns_that_say_nothing_are_left_out() -> None:
    random = np.random.default_rng(0)
    rows = [case_row(random, 2, 3, "full", runner) for runner in ("onnx", "saved_model")]
    document = sample() | {"cases": rows}
    cases = section(render_report(document), "cases")
    for name in ("State", "Compared with", "Case"):
        assert f'<th scope="col">{name}</th>' not in cases
    assert 'name="mask"' not in cases
    stateful = [one | {"case": one["case"] + f" state={state}"} for one in rows for state in ("zero", "random")]
    cases = section(render_report(document | {"cases": stateful}), "cases")
    assert '<th scope="col">States</th>' in cases
    assert 'name="state"' in cases


def test_a_case_shows_its_limit_its_share_and_its_note() -> None:
    document = sample()
    document["cases"] = [
        document["cases"][0] | {"severity": 0.384, "limit": 3.21e-6},
        document["cases"][1] | {"severity": 0.0004},
        document["cases"][2] | {"severity": 0.9999},
        document["cases"][3] | {"severity": 12345.0, "passed": False},
        document["cases"][4] | {"severity": "Infinity", "max_abs": "Infinity", "passed": False, "note": "it broke"},
    ]
    rows = section(render_report(document), "cases").split("<tr data-case")[1:]
    shares = ["–", "12,300 times", "&gt; 99\u00a0%", "38\u00a0%", "&lt; 1\u00a0%"]
    assert all(f">{share}</td>" in one for share, one in zip(shares, rows, strict=True))
    assert "3.2e-6" in rows[3]
    assert "it broke" in rows[0]
    assert "infinite" not in rows[0]


def test_a_thousand_rows_make_a_page_of_a_megabyte_and_a_half_at_most() -> None:
    random = np.random.default_rng(0)
    runners = ("saved_model", "onnx", "onnx_basic", "onnx_off", "onnx_1_thread")
    outputs = ("mean", "spread", "class", "mask", "state")
    rows = [case_row(random, 7, time, "empty_row", runner, values="saturating") | {"output": output}
            for time in range(1, 37) for runner in runners for output in outputs]  # fmt: skip
    html = render_report(sample() | {"cases": rows})
    assert len([attrs for tag, attrs in Page(html).tags if tag == "tr" and "data-case" in attrs]) == 900
    assert len(html.encode()) < 1_500_000
