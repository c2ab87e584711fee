"""Puts the figures of a JSON file into a page: `python -m benchmarks.page FIGURES.json docs/performance.md`.

What stands between the two marks in the page is replaced.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.forms import KERAS_EXPORT, SAVED_MODEL, SEQSHIP, STOCK
from benchmarks.latency import AGAIN
from benchmarks.ratio import Ratio
from benchmarks.tables import FLAVOURS, shown, verdicts
from benchmarks.targets import Judged

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
TITLES = {
    SEQSHIP: "Milliseconds of one call, seqship",
    STOCK: "Stock tf2onnx, by seqship",
    KERAS_EXPORT: "Keras 3's own export, by seqship",
    SAVED_MODEL: "The SavedModel in TensorFlow, by seqship",
    AGAIN: "Noise: seqship's file in a second process, by seqship",
}


def replaced(page: str, figures: str) -> str:
    """Returns the page with other figures between its marks.

    Raises:
        ValueError: The page lacks a mark.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page needs the marks {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{figures.strip()}\n\n{END}{after}"


def figures(document: dict[str, Any]) -> str:
    """Returns the figures of one run as Markdown."""
    settings = document["settings"]
    loads = " before and ".join(f"{settings[f'load_average_{when}']:.1f}" for when in ("before", "after"))
    parts = [
        ", ".join(f"{package} {number}" for package, number in settings["versions"].items())
        + f"; {settings['threads']} threads for each, {settings['cores']} cores, load average {loads} after.",
    ]
    for runtime, title in TITLES.items():
        parts.append(f"### {title}\n\n" + _by_batch(document, runtime))
    parts.append("### Conversion to ONNX\n\n" + _conversion(document["conversion"]))
    judged = [Judged(**one) for one in document["judged"]]
    parts.append("### Targets\n\n```text\n" + verdicts(judged) + "\n```")
    return "\n\n".join(part for part in parts if not part.endswith("\n\n"))


def _by_batch(document: dict[str, Any], runtime: str) -> str:
    """Returns one line for each model with a cell for each batch size; nothing where all cells are empty."""
    batches: list[int] = document["settings"]["batches"]
    models: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for row in document["latency"]:
        models.setdefault((row["model"], row["keras"]), []).append(row)
    lines: list[list[str]] = []
    for (name, keras), rows in models.items():
        cells = [_milliseconds(row) if runtime == SEQSHIP else _ratio(row, runtime) for row in rows]
        if any(cells):
            lines.append([name, FLAVOURS[keras], str(rows[0]["steps"]), _loops(rows[0]), *cells])
    head = ["model", "Keras", "steps", "stock Loops", *(f"batch {batch}" for batch in batches)]
    return _table(head, lines)


def _loops(row: dict[str, Any]) -> str:
    return "failed" if row["stock_loops"] is None else str(row["stock_loops"])


def _milliseconds(row: dict[str, Any]) -> str:
    taken = row["median_ms"].get(SEQSHIP)
    return "" if taken is None else f"{taken:.3f}"


def _ratio(row: dict[str, Any], runtime: str) -> str:
    return shown(Ratio(**row["ratio"][runtime])) if runtime in row["ratio"] else ""


def _conversion(rows: Sequence[dict[str, Any]]) -> str:
    lines = [
        [
            row["model"],
            FLAVOURS[row["keras"]],
            *(f"{row['seconds'][tool]:.2f} s" if tool in row["seconds"] else "failed" for tool in (SEQSHIP, STOCK)),
            shown(Ratio(**row["ratio"])) if row["ratio"] else "",
            *(_pair(row, what) for what in ("nodes", "loops", "size")),
        ]
        for row in rows
    ]
    return _table(["model", "Keras", "seqship", "tf2onnx", "ratio", "nodes", "Loops", "bytes"], lines)


def _pair(row: dict[str, Any], what: str) -> str:
    return " : ".join(f"{row['files'][tool][what]:,}" if tool in row["files"] else "-" for tool in (SEQSHIP, STOCK))


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    if not lines:
        return ""
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, ["---"] * len(head), *lines])


def main() -> None:
    """Writes the page."""
    source, target = map(Path, sys.argv[1:])
    document = json.loads(source.read_text(encoding="utf-8"))
    target.write_text(replaced(target.read_text(encoding="utf-8"), figures(document)), encoding="utf-8")


if __name__ == "__main__":
    main()
