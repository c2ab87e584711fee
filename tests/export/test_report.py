"""The report page: whole, closed in itself, honest, and usable in a real browser."""

from __future__ import annotations

import copy
import itertools
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqship.errors import OutputError
from seqship.export.report import render_report, write_report
from seqship.export.report_plots import Scale, plain

CLASSES = ["N", "S", "V", "F", "Q"]
VOID = {"meta", "link", "input", "br", "img", "hr"}


def sample(*, seed: int = 0) -> dict[str, Any]:
    """The document of a heartbeat classifier, as `seqship ship ecg-gru` would write it."""
    random = np.random.default_rng(seed)
    cases = [case_row(random, batch, time, mask, runner)
             for batch in (1, 3, 8) for time in (1, 2, 33, 187) for mask in ("none", "right", "left", "gaps", "all")
             for runner in ("saved_model", "onnx")]  # fmt: skip
    worst = max(cases, key=lambda row: row["max_abs"])
    return {
        "format": 1,
        "name": "ecg-gru",
        "created": "2026-11-22T03:10:45Z",
        "equivalent": True,
        "source": {"kind": "recipe", "name": "ecg-gru", "sha256": "9f" * 32},
        "tolerance": {
            "atol": 1e-05,
            "rtol": 1e-04,
            "why": "Two float32 kernels that sum in another order were measured to differ by up to 9e-7.",
        },
        "worst": {key: worst[key] for key in ("case", "runner", "output", "max_abs", "max_rel")},
        "cases": cases,
        "test_split": [
            {"runner": runner, "output": "probabilities", "rows": 4000, "max_abs": size, "max_rel": size * 310,
             "changed_classes": 0, "passed": True}
            for runner, size in (("saved_model", 0.0), ("onnx", 4.2e-7))
        ],
        "errors": {"saved_model": errors(random, -9.1, 41000), "onnx": errors(random, -7.8, 900)},
        "onnx": {"operators": {"GRU": 2}, "loops": 0, "opset": 24, "nodes": 80, "bytes": 70123},
        "layers": copy.deepcopy(LAYERS),
        "contract": copy.deepcopy(CONTRACT),
        "metrics": {"test_accuracy": 0.9712, "majority_accuracy": 0.8265, "test_loss": 0.1043},
        "training": training(random),
        "classification": classification(),
        "examples": [example(random, true, index) for true in range(5) for index in range(4)],
        "versions": {"seqship": "0.1.0", "tensorflow": "2.21.0", "keras": "3.15.1", "onnx": "1.23.2",
                     "onnxruntime": "1.31.1", "tf2onnx": "1.17.0", "numpy": "2.4.6", "python": "3.11.2"},
    }  # fmt: skip


def case_row(random: np.random.Generator, batch: int, time: int, mask: str, runner: str) -> dict[str, Any]:
    size = float(10 ** random.normal(-7.4 if runner == "onnx" else -8.3, 0.4)) if random.random() > 0.1 else 0.0
    expected = float(random.random())
    return {
        "case": f"batch={batch} time={time} mask={mask}", "batch": batch, "time": time, "mask": mask, "runner": runner,
        "output": "probabilities", "max_abs": size, "max_rel": size * float(random.uniform(2, 60)),
        "worst_index": [int(random.integers(batch)), int(random.integers(5))], "expected": expected,
        "actual": expected + size, "passed": True, "note": "",
    }  # fmt: skip


def errors(random: np.random.Generator, centre: float, zeros: int) -> dict[str, Any]:
    counts, edges = np.histogram(random.normal(centre, 0.5, 20000), bins=np.linspace(-12, 0, 49))
    return {"zeros": zeros, "edges": edges.tolist(), "counts": counts.tolist()}


def training(random: np.random.Generator) -> dict[str, Any]:
    epoch = np.arange(20)
    loss = 0.08 + 0.55 * np.exp(-epoch / 4) + random.normal(0, 0.006, 20)
    val_loss = 0.11 + 0.5 * np.exp(-epoch / 3.5) + 0.004 * np.maximum(0, epoch - 11) + random.normal(0, 0.008, 20)
    history = {"loss": loss, "accuracy": 1 - loss / 3.3, "val_loss": val_loss, "val_accuracy": 1 - val_loss / 3.4}
    return {
        "data": "heartbeat CSV files, one beat a row, 125 Hz, zero tail removed", "train_rows": 9000,
        "validation_rows": 1000, "test_rows": 4000, "parameters": 5000, "seed": 0, "seconds": 210.4,
        "best_epoch": int(np.argmin(val_loss)) + 1, "history": {key: line.tolist() for key, line in history.items()},
    }  # fmt: skip


def classification() -> dict[str, Any]:
    confusion = np.array(
        [[3281, 11, 9, 2, 3], [31, 69, 2, 0, 1], [12, 1, 252, 5, 2], [6, 0, 5, 20, 0], [8, 0, 3, 0, 277]]
    )
    support = confusion.sum(1)
    return {"classes": CLASSES, "confusion": confusion.tolist(), "support": support.tolist(),
            "recall": (confusion.diagonal() / support).tolist()}  # fmt: skip


def example(random: np.random.Generator, true: int, index: int) -> dict[str, Any]:
    steps = np.arange(int(random.integers(80, 187))) / 125
    width = (0.02, 0.02, 0.06, 0.045, 0.03)[true]
    wave = np.exp(-(((steps - 0.02) / width) ** 2)) + 0.25 * np.exp(-(((steps - 0.3 - 0.05 * true) / 0.08) ** 2))
    wave += (0.9 - 0.1 * true) * np.exp(-(((steps - steps[-1] + 0.04) / width) ** 2)) + random.normal(
        0.08, 0.01, len(steps)
    )
    predicted = 0 if true in (1, 3) and index == 2 else true
    scores = random.normal(0, 0.8, 5)
    scores[predicted] += 4.5
    shares = np.exp(scores) / np.exp(scores).sum()
    return {"true": CLASSES[true], "predicted": CLASSES[predicted], "values": np.clip(wave, 0, 1).round(4).tolist(),
            "probabilities": shares.round(5).tolist()}  # fmt: skip


LAYERS = [
    {"layer": "masking", "kind": "Masking", "units": None, "params": 0, "cudnn_eligible": None, "reasons": [],
     "onnx": "sequence_lens", "onnx_reasons": []},
    {"layer": "gru", "kind": "GRU", "units": 20, "params": 1380, "cudnn_eligible": True, "reasons": [],
     "onnx": "GRU", "onnx_reasons": []},
    {"layer": "gru_1", "kind": "GRU", "units": 20, "params": 2520, "cudnn_eligible": False,
     "reasons": ["recurrent_dropout is 0.1, must be 0", "activation is relu, must be tanh"],
     "onnx": "GRU", "onnx_reasons": []},
]  # fmt: skip
CONTRACT = {
    "inputs": [{"name": "beat", "dtype": "float32", "shape": ["batch", "time", 1], "unit": "normalised voltage",
                "pad_value": -1.0, "minimum": 0.0, "maximum": 1.0, "sampling_hz": 125.0}],
    "outputs": [{"name": "probabilities", "dtype": "float32", "shape": ["batch", 5], "unit": "probability",
                 "minimum": 0.0, "maximum": 1.0, "classes": CLASSES}],
}  # fmt: skip


def users_model() -> dict[str, Any]:
    document = sample()
    for key in ("training", "classification", "examples", "test_split", "metrics"):
        del document[key]
    return document | {
        "name": "my_model.keras",
        "source": {"kind": "file", "name": "my_model.keras", "sha256": "0a" * 32},
    }


def failing() -> dict[str, Any]:
    document = sample()
    broken, shapeless = document["cases"][17], document["cases"][40]
    broken |= {"max_abs": 0.0213, "max_rel": 0.31, "actual": broken["expected"] + 0.0213, "passed": False}
    shapeless |= {"max_abs": None, "max_rel": None, "worst_index": None, "expected": None, "actual": None,
                  "passed": False, "note": "shape (3, 5) expected, (3, 1, 5) met"}  # fmt: skip
    document["cases"][55] |= {
        "max_abs": "NaN",
        "max_rel": "NaN",
        "actual": "NaN",
        "passed": False,
        "note": "not a number",
    }
    keys = ("case", "runner", "output", "max_abs", "max_rel")
    return document | {"equivalent": False, "worst": {key: shapeless[key] for key in keys}}


class Page(HTMLParser):
    """What a page holds; unbalanced tags end the parse with an error."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> at {self.getpos()}"

    def handle_data(self, data: str) -> None:
        if self.open:
            self.texts.append((self.open[-1], data))

    def attributes(self, name: str) -> list[str]:
        return [attrs[name] or "" for _, attrs in self.tags if name in attrs]

    @property
    def headings(self) -> list[str]:
        return [text.strip() for tag, text in self.texts if tag in {"h1", "h2", "h3"} and text.strip()]


DOCUMENTS = {"equivalent": sample, "user's model": users_model, "failing": failing}


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
    assert Page(html).headings[:3] == ["ecg-gru", "Equivalent", "The largest difference of all"]


def test_sections_stand_in_order():
    assert [heading for heading in Page(render_report(failing())).headings if heading in TITLES] == TITLES


TITLES = [
    "NOT equivalent", "Failures", "Real test data", "Every case", "Size of the errors", "Right and wrong by class",
    "Training history", "Examples and predictions", "Architecture", "Provenance",
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


def test_banner_names_the_worst_case_and_the_limit():
    document = sample()
    banner = render_report(document).split('id="cases"')[0]
    assert document["worst"]["case"] in banner
    assert "1e-5 plus 0.01&nbsp;% of the expected value" in banner
    assert "times smaller than 1e-5" in banner
    assert "2 GRU, no Loop" in banner
    assert "97.1\u00a0%" in banner
    assert "82.7\u00a0%" in banner


def test_failing_page_says_so_first_and_names_every_failed_case():
    document = failing()
    html = render_report(document)
    banner, failures = html.split('id="failures"')[0], html.split('id="failures"')[1].split("</section>")[0]
    assert "NOT equivalent</h2>" in banner
    assert "3 comparisons with Keras failed" in banner
    assert document["worst"]["case"] in banner
    assert "shape (3, 5) expected, (3, 1, 5) met" in banner
    for row in document["cases"]:
        assert (f'class="code">{row["case"]}</span>' in failures) or row["passed"]
    assert failures.count("<tr>") == 4  # with the head
    assert failures.index("NaN") < failures.index("0.0213")


def test_a_failed_row_overrules_a_document_that_calls_itself_equivalent():
    document = sample()
    document["test_split"][1] |= {"passed": False, "max_abs": 0.5, "changed_classes": 3}
    html = render_report(document)
    assert "NOT equivalent" in html
    assert "real test data, 4000 rows" in html.split('id="test-split"')[0]


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
           "max_rel": value, "passed": False, "note": text}  # fmt: skip
    page = Page(render_report({"name": text, "created": text, "equivalent": False, "worst": row, "cases": [row]}))
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


CLICKS = """
const say = (key, value) => { document.body.dataset[key] = value; };
const table = document.getElementById('case-table'), form = document.getElementById('case-filter');
const visible = () => [...table.tBodies[0].rows].filter(row => !row.hidden);
const set = (name, value) => { form.elements[name][name === 'failed' ? 'checked' : 'value'] = value;
  form.dispatchEvent(new Event('input', {bubbles: true})); };
const column = [...table.tHead.rows[0].cells].findIndex(cell => cell.textContent.includes('absolute'));
const button = table.tHead.rows[0].cells[column].querySelector('button');
const values = () => visible().map(row => row.cells[column].textContent);
say('controls', !form.hidden);
button.click(); say('first', values()[0]); say('arrow', button.parentNode.getAttribute('aria-sort'));
button.click(); say('last', values().at(-1)); say('smallest', values()[0]);
set('failed', true); say('failed', visible().length); set('failed', false);
set('mask', 'left'); set('runner', 'onnx'); say('left', visible().length);
set('text', 'time=187 batch=3'); say('one', visible().length);
say('count', document.getElementById('case-shown').textContent);
say('wide', document.documentElement.scrollWidth <= window.innerWidth);
"""


@pytest.mark.browser
def test_in_a_browser_the_table_sorts_and_filters(tmp_path: Path):
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium on the PATH")
    # The page's own policy would refuse the clicks; that its own script runs under it, the untouched page shows.
    html = render_report(failing())
    clicked = re.sub(r"<meta http-equiv[^>]*>", "", html).replace("</body>", f"<script>{CLICKS}</script></body>")

    def dump(text: str) -> str:
        path = tmp_path / "page.html"
        path.write_text(text, encoding="utf-8")
        command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                   "--disable-background-networking", "--disable-component-update", "--disable-sync",
                   f"--user-data-dir={tmp_path / 'profile'}", "--window-size=500,900",
                   "--dump-dom", path.as_uri()]  # fmt: skip
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout

    assert "120 of 120 shown" in dump(html)
    body = next(attrs for tag, attrs in Page(dump(clicked)).tags if tag == "body")
    assert {key: value for key, value in body.items() if key.startswith("data-")} == {
        "data-controls": "true", "data-first": "–", "data-arrow": "descending", "data-last": "NaN",
        "data-smallest": "0", "data-failed": "3", "data-left": "12", "data-one": "1", "data-count": "1 of 120 shown",
        "data-wide": "true",
    }  # fmt: skip
