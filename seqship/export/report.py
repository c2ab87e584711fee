"""`report.json` to `report.html`: the proof of equivalence, for people.

The page is made from the JSON document alone and holds everything it shows: no font, script, style sheet or image is
loaded from anywhere, and a content security policy [1] makes the browser hold it to that. A section whose data the
document lacks is left out, so a user's own model, exported without training, gets a shorter page and no empty boxes.

[1] W3C, Content Security Policy Level 3, https://www.w3.org/TR/CSP3/
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from seqship.errors import OutputError
from seqship.export.report_cases import (
    MOST_FAILURES,
    REAL_DATA,
    Comparison,
    case_columns,
    comparison,
    failure_words,
    relation_name,
    relations,
    runner_name,
    runtimes,
    shown_failures,
    worst_first,
    worst_of,
)
from seqship.export.report_drift import drift_plots
from seqship.export.report_figures import drawings
from seqship.export.report_int8 import int8_section
from seqship.export.report_plots import beats, histograms, history_panels, number, plain, times
from seqship.export.report_task import tasks

_RECURRENT = ("GRU", "LSTM", "RNN")
_SECTIONS = {
    "failures": "Failures",
    "test-split": "Real test data",
    "drift": "Error against the number of steps",
    "relations": "Each runtime with itself",
    "cases": "Every case",
    "errors": "Size of the errors",
    "int8": "The int8 file",
    "confusion": "Right and wrong by class",
    "results": "What it does with test data",
    "training": "Training history",
    "examples": "Examples and predictions",
    "architecture": "Architecture",
    "provenance": "Provenance",
}
_SHOWN_METRICS = ("test_accuracy", "majority_accuracy")
_OPTIONAL = ("tolerance", "test_split", "errors", "left_open", "drift", "where", "onnx", "layers", "contract",
             "metrics", "training", "classification", "examples", "figures", "reached", "versions",
             "source")  # fmt: skip


def render_report(document: Mapping[str, Any]) -> str:
    """Renders the self-contained page.

    The banner says "Equivalent" only where the document says so, cases were compared and not one failed.

    Args:
        document: Content of `report.json`. `name`, `created`, `equivalent`, `worst` and `cases` are needed; `source`,
            `tolerance`, `test_split`, `errors`, `onnx`, `layers`, `contract`, `metrics`, `training`, `classification`,
            `examples`, `figures`, `reached`, `versions`, `drift`, `where` and `int8` may be absent or None. Numbers
            that JSON does not have are the strings "NaN" and "Infinity". `training.best_epoch` counts from 1.

    Returns:
        The HTML text, the same for the same document.
    """
    part: dict[str, Any] = {key: document.get(key) or None for key in _OPTIONAL}
    cases = worst_first(comparison(row) for row in document["cases"])
    split = [comparison(row, case=f"{REAL_DATA}, {row['rows']:,} rows") for row in part["test_split"] or ()]
    failures = [row for row in worst_first([*cases, *split]) if not row.passed]
    equivalent = bool(document["equivalent"] and cases) and not failures
    worst = worst_of(document.get("worst"), failures, [*cases, *split])
    tolerance = part["tolerance"] or {}
    plots = drift_plots(part["drift"])
    outputs = (part["contract"] or {}).get("outputs") or ()
    int8 = int8_section(document.get("int8"), outputs)
    related = relations(cases)
    present: dict[str, object] = {
        "failures": failures,
        "test-split": split,
        "drift": plots,
        "relations": related,
        "cases": cases,
        "errors": part["errors"],
        "int8": int8,
        "confusion": part["classification"],
        "results": part["figures"] or part["reached"],
        "training": part["training"],
        "examples": part["examples"],
        "architecture": part["layers"],
        "provenance": True,
    }
    return _environment().get_template("report.html.j2").render(
        part,
        name=document["name"],
        created=document["created"],
        equivalent=equivalent,
        cases=cases,
        failures=shown_failures(failures),
        failure_count=len(failures),
        most_failures=MOST_FAILURES,
        failure_words=failure_words(failures),
        case_count=len({row.case for row in cases if not row.relation}),
        worst=worst,
        where=None if equivalent else part["where"],
        columns=case_columns(cases),
        runners=sorted({row.runner for row in cases}, key=runner_name),
        told_runners=" and ".join(runtimes(sorted({row.runner for row in cases}))),
        sections={key: title for key, title in _SECTIONS.items() if present[key]},
        drift_plots=plots,
        relations=related,
        split=split,
        tasks=tasks(part["test_split"] or (), outputs),
        int8=int8,
        panels=history_panels(part["training"] or {}),
        histograms=histograms(part["errors"] or {}, _smallest_limit(cases, tolerance)),
        headroom=_headroom(worst, tolerance),
        onnx_note=_onnx_note(part["onnx"] or {}),
        changed_words=_changed_words(part["test_split"] or ()),
        drawings=drawings(part["figures"] or ()),
        other_metrics=_other_metrics(part["metrics"] or {}),
        beats=beats(part["examples"] or (), _time_input(part["contract"]), _classes(part)),
    )  # fmt: skip


def write_report(document: Mapping[str, Any], directory: Path) -> None:
    """Writes `report.json` and `report.html` into `directory`; both are made before either is written.

    Raises:
        OutputError: The directory cannot be written to.
        ValueError: The document holds a NaN or an infinity that is no string.
    """
    texts = {
        "report.json": json.dumps(document, indent=1, allow_nan=False, ensure_ascii=False) + "\n",
        "report.html": render_report(document),
    }
    for name, text in texts.items():
        try:
            # A path may hold bytes that are no text (PEP 383); backslash escapes are how JSON writes those.
            (directory / name).write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")
        except OSError as error:
            raise OutputError(f"{directory / name}: the report cannot be written: {error.strerror or error}") from error


def _headroom(worst: Comparison | None, tolerance: Mapping[str, Any]) -> str:
    """How the worst difference compares with what is allowed there; empty where it is not well below."""
    if worst is None:
        return ""
    largest, fixed = number(worst.max_abs), number(tolerance.get("atol"))
    if 0 < worst.share <= 0.5:
        return f"{1 / worst.share:,.0f} times smaller than what is allowed there"
    if math.isnan(worst.share) and 0 < largest <= fixed / 2:
        return f"{fixed / largest:,.0f} times smaller than {plain(fixed)}, the fixed part of the limit"
    return ""


def _smallest_limit(cases: Sequence[Comparison], tolerance: Mapping[str, Any]) -> float:
    """The limit that the histogram shows: the fixed part, or the smallest of all cases."""
    if "rule" not in tolerance:
        return number(tolerance.get("atol"))
    return min((row.limit for row in cases if row.limit > 0), default=math.nan)


def _onnx_note(onnx: Mapping[str, Any]) -> str:
    facts = [f"{key} {onnx[key]}" for key in ("opset",) if onnx.get(key)]
    facts += [f"{onnx['nodes']} nodes"] if onnx.get("nodes") else []
    facts += [f"{onnx['bytes'] / 1000:,.0f} kB"] if onnx.get("bytes") else []
    return ", ".join(facts)


def _other_metrics(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Metrics that are one value and stand nowhere else on the page."""
    return {
        key: value
        for key, value in metrics.items()
        if key not in _SHOWN_METRICS and isinstance(value, int | float | str)
    }


def _changed_words(test_split: Sequence[Mapping[str, Any]]) -> str:
    changed = [row["changed_classes"] for row in test_split if row.get("changed_classes") is not None]
    if not changed:
        return ""
    return "no class changed" if not any(changed) else f"up to {max(changed)} classes changed"


def _time_input(contract: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """The first input that is a sequence: its sampling rate and unit label the examples."""
    inputs: Sequence[Mapping[str, Any]] = (contract or {}).get("inputs") or ()
    return next((field for field in inputs if len(field["shape"]) >= 2 and isinstance(field["shape"][1], str)), {})


def _classes(part: Mapping[str, Any]) -> Sequence[str]:
    if part["classification"]:
        return part["classification"]["classes"]
    outputs: Sequence[Mapping[str, Any]] = (part["contract"] or {}).get("outputs") or ()
    return next((field["classes"] for field in outputs if field.get("classes")), ())


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "plain": plain,
        "difference": _difference,
        "sort_key": _sort_key,
        "percent": _percent,
        "runner": runner_name,
        "relation": relation_name,
        "share": _share,
        "limit": _limit,
        "date": _date,
        "csp_hash": _csp_hash,
        "recurrent": _recurrent,
    }
    return environment


def _percent(share: object) -> str:
    return f"{number(share) * 100:.1f}\u00a0%"


def _difference(value: object) -> str:
    """A difference in two digits, so that a column of them is read by its exponents."""
    size = number(value)
    if value is None:
        return "–"
    if size == 0 or not math.isfinite(size) or abs(size) >= 0.001:
        return plain(size, digits=3)
    mantissa, exponent = f"{size:.1e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def _limit(value: float) -> str:
    return "–" if math.isnan(value) else _difference(value)


def _share(value: object) -> str:
    """How much of a limit is used: a percentage, or how many times it is exceeded."""
    size = number(value)
    if value is None or math.isnan(size):
        return "–"
    if size > 1:
        return "infinite" if math.isinf(size) else times(size)
    # Nothing that is not nothing is told as that, and nothing below the limit as all of it.
    return (
        f"{size * 100:.0f}\u00a0%"
        if size == 0 or 0.01 <= size <= 0.99
        else "< 1\u00a0%"
        if size < 0.5
        else "> 99\u00a0%"
    )


def _sort_key(value: object) -> str:
    """The number that the page's script sorts by; no number at all is the worst."""
    size = number(value)
    return repr(size) if math.isfinite(size) else "Infinity"


def _date(text: str) -> str:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text
    zone = moment.tzname() or ""
    return f"{moment.day} {moment:%b %Y, %H:%M} {zone}".strip()


def _csp_hash(script: str) -> str:
    """The policy's name for one inline script: the page may run this one and no other."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _recurrent(onnx: Mapping[str, Any]) -> str:
    """The recurrent operators in words, such as "2 GRU, no Loop"."""
    operators: Mapping[str, int] = onnx.get("operators") or {}
    found = [f"{operators[kind]} {kind}" for kind in _RECURRENT if operators.get(kind)]
    loops = onnx.get("loops") or "no"
    return ", ".join([*(found or ["no recurrent operator"]), f"{loops} Loop"])
