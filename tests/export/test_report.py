"""The report page: whole, closed in itself, and honest."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqship.errors import OutputError
from seqship.export.report import render_report, write_report
from seqship.export.report_plots import Scale, plain
from tests.export.report_documents import (
    CLASSES,
    CONTRACT,
    LAYERS,
    WHERE,
    failing,
    int8,
    int8_failing,
    sample,
    users_model,
)
from tests.export.report_page import Page

DOCUMENTS = {
    "equivalent": sample,
    "user's model": users_model,
    "failing": failing,
    "int8": lambda: sample() | {"int8": int8()},
    "int8 failing": lambda: users_model() | {"int8": int8_failing()},
}


@pytest.fixture(params=DOCUMENTS, scope="module")
def html(request: pytest.FixtureRequest) -> str:
    return render_report(DOCUMENTS[request.param]())


class TestEveryPage:
    def test_is_balanced_and_small(self, html: str):
        assert html.startswith("<!DOCTYPE html>")
        assert len(Page(html).tags) > 200
        assert len(html.encode()) < 600_000

    def test_loads_nothing(self, html: str):
        page = Page(html)
        assert page.attributes("src") == []
        assert all(link.startswith("#") for link in page.attributes("href"))
        assert not re.search(
            r"url\(|@import|https?:|//[a-z]+\.|<(link|img|iframe|object|embed|base)\b", html, re.IGNORECASE
        )
        assert any("default-src 'none'" in policy for policy in page.attributes("content"))

    def test_headings_go_down_one_level_at_a_time(self, html: str):
        levels = [int(tag[1]) for tag, _ in Page(html).tags if re.fullmatch("h[1-6]", tag)]
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(after <= before + 1 for before, after in itertools.pairwise(levels))

    def test_ids_are_unique_and_every_link_and_label_has_its_target(self, html: str):
        page = Page(html)
        ids = page.attributes("id")
        assert len(ids) == len(set(ids))
        assert {link[1:] for link in page.attributes("href")} <= set(ids)
        assert set(page.attributes("aria-labelledby")) <= set(ids)

    def test_figures_and_table_heads_speak(self, html: str):
        tags = Page(html).tags
        assert all(attrs.get("scope") in {"row", "col", "colgroup"} for tag, attrs in tags if tag == "th")
        figures = [attrs for tag, attrs in tags if tag == "svg" and "aria-hidden" not in attrs]
        assert figures
        assert all(attrs.get("role") == "img" and attrs.get("aria-label") for attrs in figures)

    def test_has_neither_undefined_nor_python_words(self, html: str):
        words = " ".join(text for tag, text in Page(html).texts if tag not in {"script", "style"})
        assert not re.search(r"\b(None|nan|inf|Undefined)\b", words)


def test_verdict_comes_first_then_the_cases():
    html = render_report(sample())
    assert html.index("Equivalent</h2>") < html.index('id="case-table"')
    assert Page(html).headings[:3] == ["ecg-gru", "Equivalent", "The comparison nearest to its limit"]


def test_sections_stand_in_order():
    page = Page(render_report(failing() | {"int8": int8()}))
    assert [heading for heading in page.headings if heading in TITLES] == TITLES


TITLES = [
    "NOT equivalent", "Where it begins", "The worst case", "Failures", "Real test data",
    "Error against the number of steps", "Each runtime with itself", "Every case", "Size of the errors",
    "The int8 file", "Right and wrong by class", "Training history", "Examples and predictions", "Architecture",
    "Provenance",
]  # fmt: skip


def test_every_case_is_there():
    document = sample()
    rows = [attrs for tag, attrs in Page(render_report(document)).tags if tag == "tr" and "data-case" in attrs]
    shown = sorted((row["data-case"], row["data-runner"]) for row in rows)
    assert shown == sorted((row["case"], row["runner"]) for row in document["cases"])


def test_cases_with_a_name_of_their_own_show_it():
    document = sample()
    document["cases"][3] |= {"case": "one empty row among full ones", "time": None}
    assert "one empty row among full ones</td>" in render_report(document)


def test_banner_names_the_worst_case_its_limit_and_the_share_of_it():
    document = sample()
    banner = render_report(document).split('id="test-split"')[0]
    assert document["worst"]["case"] in banner
    assert "2.4e-6" in banner
    worst = max(document["cases"], key=lambda row: row["severity"])
    assert f"{worst['severity'] * 100:.0f}\u00a0%" in banner
    assert f"{1 / worst['severity']:.0f} times smaller than what is allowed there" in banner
    assert "8 times the error that Keras’ own result has in that case, and 32 units in the last place" in banner
    assert "ONNX and SavedModel compute the same as Keras: 126 comparisons" in banner
    assert "62 cases in 3 settings of ONNX and SavedModel" in banner
    assert "2 GRU, no Loop" in banner
    assert "97.1\u00a0%" in banner
    assert "82.7\u00a0%" in banner


def test_a_fixed_tolerance_is_told_as_one():
    fixed = {"atol": 1e-5, "rtol": 1e-4, "why": "Somebody chose it."}
    document: dict[str, Any] = users_model() | {"tolerance": fixed}
    for row in document["cases"]:
        row.pop("limit", None)
        row.pop("severity")
    html = render_report(document)
    assert "1e-5 plus 0.01&nbsp;% of the expected value" in html
    assert "times smaller than 1e-5, the fixed part of the limit" in html
    assert '<th scope="col" class="number">Limit</th>' not in html


def test_failing_page_says_so_first_and_names_every_failed_case():
    document = failing()
    html = render_report(document)
    banner, failures = html.split('id="failures"')[0], html.split('id="failures"')[1].split("</section>")[0]
    assert "NOT equivalent</h2>" in banner
    assert "3 comparisons with Keras and 1 comparison of a runtime with itself failed" in banner
    assert document["worst"]["case"] in banner
    assert "Not comparable: output has shape (3, 1, 5), expected (3, 5)." in banner
    for row in document["cases"]:
        assert (f'class="code">{row["case"]}</span>' in failures) or row["passed"]
    assert failures.count("<tr>") == 5  # with the head
    assert failures.index("NaN") < failures.index("8,880 times") < failures.index("1.5 times")
    # What cannot be compared has a reason, and no numbers.
    (shapeless,) = [row for row in failures.split("<tr>") if "output has shape" in row]
    assert "not comparable" in shapeless
    assert "infinite" not in shapeless


def test_where_it_begins_stands_under_the_verdict():
    banner = render_report(failing()).split('id="failures"')[0]
    assert banner.index("NOT equivalent</h2>") < banner.index("Where it begins") < banner.index("The worst case")
    told = banner[banner.index("Where it begins") : banner.index("The worst case")]
    for words in ("gru_1", "GRU", ">31<", "row 7, element [13]", "0.17701444", "0.144320905", "1,340 times", "weights",
                  "Its recurrent weights R are not those of the Keras layer.", "gru_1_GRU__98",
                  "Nothing is seen of masking before it"):  # fmt: skip
        assert words in told
    # It is no news of a model that is right, and may lack what is not known.
    assert "Where it begins" not in render_report(sample() | {"where": dict(WHERE)})
    unknown = WHERE | {"operator": "", "step": None, "element": [], "detail": "", "unseen": [], "actual": "NaN"}
    page = render_report(failing() | {"where": unknown})
    assert "has no steps" in page
    assert "Nothing is seen" not in page


def test_one_runner_that_always_fails_does_not_hide_the_others():
    document = sample()
    for row in document["cases"]:
        if row["runner"] == "saved_model":
            row |= {"passed": False, "severity": 40.0, "max_abs": 1.0}
    document["cases"][1] |= {"passed": False, "severity": 2.0}
    failures = render_report(document).split('id="failures"')[1].split("</section>")[0]
    assert failures.count("<tr>") == 1 + 20 + 1
    assert "the 20 worst; the table of every case has all 63." in failures
    assert "2 times" in failures


def test_a_failed_row_overrules_a_document_that_calls_itself_equivalent():
    document = sample()
    document["test_split"][1] |= {"passed": False, "max_abs": 0.5, "changed_classes": 3}
    html = render_report(document)
    assert "NOT equivalent" in html
    assert "real test data, 4,000 rows" in html.split('id="test-split"')[0]


def test_absent_data_leaves_no_heading():
    headings = Page(render_report(users_model())).headings
    assert not {"Failures", "Real test data", "Right and wrong by class", "Training history",
                "Examples and predictions"} & set(headings)  # fmt: skip


def test_a_document_without_cases_proves_nothing():
    html = render_report({"name": "m", "created": "today", "equivalent": True, "worst": None, "cases": []})
    assert Page(html).headings == ["m", "NOT proven", "Provenance", "Check it again"]
    assert "No case was compared" in html


def test_names_are_escaped():
    evil = "<script>alert('&')</script>\" onload=\"x"
    document: dict[str, Any] = sample() | {"name": evil, "source": {"kind": evil, "name": evil}}
    document["cases"][0] |= {"case": evil, "mask": evil, "output": evil, "note": evil, "runner": evil}
    document["classification"]["classes"] = [evil, *CLASSES[1:]]
    document["examples"][0] |= {"true": evil, "predicted": evil}
    document["training"]["data"] = evil
    document["errors"][evil] = document["errors"]["onnx"]
    document["layers"] = [{**LAYERS[2], "layer": evil, "reasons": [evil]}]
    document["contract"]["outputs"][0] = {**CONTRACT["outputs"][0], "name": evil, "classes": [evil]}
    document["versions"][evil] = evil
    html = render_report(document)
    page = Page(html)
    assert [tag for tag, _ in page.tags].count("script") == 1
    assert page.attributes("onload") == []
    assert "<script>alert" not in html


def test_sequences_of_several_features_long_ones_and_gaps_draw():
    document = sample()
    values = [[float(np.sin(step / 50)), "NaN" if step == 500 else 0.1] for step in range(5000)]
    document["examples"] = [{"true": "N", "predicted": "S", "values": values, "probabilities": [0.2, 0.8, 0, 0, 0]}]
    document["contract"]["inputs"][0] = {**CONTRACT["inputs"][0], "sampling_hz": None}
    html = render_report(document).split('id="examples"')[1].split("</section>")[0]
    paths = re.findall(r'<path d="([^"]+)"', html)
    assert [path.count("M") for path in paths[-2:]] == [1, 2]
    assert all(path.count("L") < 500 for path in paths)
    assert "5000 steps" in html


@settings(max_examples=25, deadline=None)
@given(text=st.text(), size=st.floats() | st.none())
def test_any_name_and_any_number_give_a_whole_page(text: str, size: float | None):
    value = size if size is None or np.isfinite(size) else {"nan": "NaN", "inf": "Infinity"}.get(str(size), "-Infinity")
    row = {"case": text, "batch": 1, "time": None, "mask": None, "runner": text, "output": text, "max_abs": value,
           "max_rel": value, "severity": value, "limit": value, "passed": False, "note": text}  # fmt: skip
    related = row | {"case": f"relation={text} batch=2", "note": ""}
    where = WHERE | {"layer": text, "expected": value, "actual": value, "times": value, "detail": text}
    sizes = {"keras": [0.0, 1e-7], text: [1e-7, "Infinity" if value is None else value]}
    drift = {"steps": [1, 2], "outputs": {text: {"scale": 1.0, "runners": sizes}}}
    document = {"name": text, "created": text, "equivalent": False, "worst": row, "cases": [row, related],
                "where": where, "drift": drift}  # fmt: skip
    page = Page(render_report(document))
    assert [tag for tag, _ in page.tags].count("script") == 1
    assert "NOT equivalent" in page.headings


@given(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9))
def test_ticks_stand_inside_the_axis(one: float, other: float):
    ticks = Scale(min(one, other), max(one, other), 46, 388).ticks()
    assert len(ticks) <= 7
    assert all(45.9 <= at <= 388.1 for at, _ in ticks)


def test_numbers_lose_what_carries_no_meaning():
    assert [plain(value) for value in (1e-05, 0.97, 3, None, "NaN", "Infinity")] == [
        "1e-5", "0.97", "3", "–", "NaN", "infinite"]  # fmt: skip


def test_same_document_same_page():
    assert render_report(sample()) == render_report(sample())


def test_write_report_writes_both_and_the_json_reads_back(tmp_path: Path):
    document = failing() | {"name": "surrogate \udc80 µ"}
    write_report(document, tmp_path)
    assert json.loads((tmp_path / "report.json").read_text(encoding="utf-8")) == document
    assert "surrogate" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert len(list(tmp_path.iterdir())) == 2


def test_write_report_refuses_what_json_has_no_number_for(tmp_path: Path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_report(sample() | {"worst": {"max_abs": float("nan")}}, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_write_report_names_the_file_it_could_not_write(tmp_path: Path):
    with pytest.raises(OutputError, match=r"report\.json: the report cannot be written: No such file"):
        write_report(sample(), tmp_path / "absent")
