"""Figures of an evaluation in the report: every value within the axes, gaps as gaps, text escaped."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from seqship.export.report import render_report
from seqship.export.report_figures import drawings
from seqship.export.report_plots import BOTTOM, LEFT, RIGHT, TOP


def lines(values: list[float | None]) -> dict[str, Any]:
    return {
        "kind": "lines",
        "title": "Series",
        "x": list(range(len(values))),
        "lines": {"series": values},
        "marks": {"test begins": 1.0},
        "x_label": "step",
        "y_label": "USD",
    }


@given(st.lists(st.none() | st.floats(-1e6, 1e6), min_size=2, max_size=30))
def test_lines_lie_within_the_axes(values: list[float | None]) -> None:
    (drawing,) = drawings([lines(values)])
    points = re.findall(r"[ML](\S+) (\S+?)(?=[ML]|$)", drawing.lines[0][1])
    assert len(points) == sum(value is not None for value in values)
    assert all(LEFT <= float(x) <= RIGHT and TOP <= float(y) <= BOTTOM for x, y in points)


def test_what_is_missing_interrupts_a_line() -> None:
    (drawing,) = drawings([lines([1.0, None, 2.0, 3.0])])
    assert drawing.lines[0][1].count("M") == 2
    assert drawing.marks[0][1] == "test begins"
    assert "series, from 1 to 3; test begins" in drawing.description


def test_bars_have_the_counts_heights() -> None:
    figure = {"kind": "histogram", "title": "Errors", "edges": [0, 1, 2, 3], "counts": [1, 0, 4], "x_label": "USD"}
    (drawing,) = drawings([figure])
    assert len(drawing.bars) == 2
    heights = [height for *_, height in drawing.bars]
    assert heights[1] > 3.5 * heights[0]
    assert "5 values from 0 to 3" in drawing.description


def test_the_page_shows_figures_and_what_was_reached() -> None:
    document = {
        "name": "text",
        "created": "2026-11-22T03:10:45Z",
        "equivalent": False,
        "worst": None,
        "cases": [],
        "figures": [lines([1.0, 2.0]), {"kind": "text", "title": "A sample", "text": "<b>To be & not"}],
        "reached": [["forecast", "mse 0.1"]],
    }
    page = render_report(document)
    assert "What it does with test data" in page
    assert "&lt;b&gt;To be &amp; not" in page
    assert "mse 0.1" in page
    assert 'aria-label="Series: series, from 1 to 2; test begins."' in page
