"""The plot of errors by steps: every point within the axes, lines told apart without colour, the same in words."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqship.export.report import render_report
from seqship.export.report_drift import DriftPlot, drift_plots
from seqship.export.report_plots import BOTTOM, LEFT, RIGHT, TOP
from tests.export.report_documents import drift, sample
from tests.export.report_page import Page


def points(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"[ML](\S+) (\S+?)(?=[MLm]|$)", path)]


def plot_of(errors: dict[str, Any], steps: list[int], scale: float = 1.0) -> DriftPlot:
    (plot,) = drift_plots({"steps": steps, "outputs": {"y": {"scale": scale, "runners": errors}}})
    return plot


def test_errors_ten_times_as_large_stand_a_decade_higher() -> None:
    plot = plot_of({"keras": [1e-8, 1e-7, 1e-6], "onnx": [1e-5, 1e-5, 1e-4]}, [1, 10, 100])
    keras, onnx = (points(line.path) for line in plot.lines)
    assert [x for x, _ in keras] == pytest.approx([LEFT + 6, (LEFT + RIGHT - 2) / 2, RIGHT - 8], abs=0.1)
    decade = keras[0][1] - keras[1][1]
    assert decade > 20
    assert keras[1][1] - keras[2][1] == pytest.approx(decade, abs=0.2)
    assert keras[0][1] - onnx[0][1] == pytest.approx(3 * decade, abs=0.3)
    assert onnx[0][1] == onnx[1][1]
    assert [label for _, label in plot.x_ticks] == ["1", "2", "5", "10", "20", "50", "100"]
    assert [label for _, label in plot.y_ticks] == [f"1e{power}" for power in range(-8, -3)]


def test_keras_lies_under_the_others_and_every_other_line_has_marks_of_its_own() -> None:
    names = ("saved_model", "onnx", "onnx_int8", "another", "keras")
    plot = plot_of({name: [1e-8, 1e-7] for name in names}, [1, 9])
    assert [line.runner for line in plot.lines] == ["Keras", "SavedModel", "ONNX", "ONNX, int8", "another"]
    assert plot.lines[0].style == "reference"
    assert not plot.lines[0].marks
    assert len({line.style for line in plot.lines}) == 5
    assert all(line.marks.count("M") == 2 for line in plot.lines[1:])
    # The table keeps the document's order.
    assert plot.names[-1] == "Keras"
    assert plot.rows[1] == (9, (1e-7,) * 5)


def test_nothing_and_no_number_have_places_of_their_own() -> None:
    plot = plot_of({"keras": [0.0, 1e-7, 1e-7], "onnx": [1e-7, "Infinity", "NaN"]}, [1, 2, 3])
    keras, onnx = (points(line.path) for line in plot.lines)
    assert keras[0][1] == BOTTOM
    assert [at for _, at in onnx[1:]] == [TOP, TOP]
    labels = {label: at for at, label in plot.y_ticks}
    assert (labels["0"], labels["∞"]) == (BOTTOM, TOP)
    assert min(at for label, at in labels.items() if label.startswith("1e")) > TOP + 15
    assert "∞" not in {label for _, label in plot_of({"keras": [1e-8, 1e-7]}, [1, 2]).y_ticks}


def test_a_unit_in_the_last_place_is_the_yardstick() -> None:
    plot = plot_of({"keras": [1e-7, 1e-6]}, [1, 2], scale=0.5)
    assert plot.unit == 2**-24
    (line,) = plot.lines
    assert plot.last_place is not None
    assert points(line.path)[0][1] < plot.last_place <= BOTTOM
    assert plot_of({"keras": [0.0, 0.0]}, [1, 2], scale=0.0).last_place is None


@given(
    st.lists(st.floats(0, 1e30) | st.sampled_from(["Infinity", "NaN"]), min_size=3, max_size=3),
    st.floats(0, 1e30),
    st.sampled_from([[1, 2, 3], [1, 50, 120], [1, 900, 100_000]]),
)
def test_any_errors_lie_within_the_axes(errors: list[Any], scale: float, steps: list[int]) -> None:
    plot = plot_of({"keras": [1e-8, 2e-8, 3e-8], "onnx": errors}, steps, scale)
    assert all(LEFT <= x <= RIGHT and TOP <= y <= BOTTOM for line in plot.lines for x, y in points(line.path))
    assert all(TOP <= at <= BOTTOM for at, _ in plot.y_ticks)
    assert all(LEFT <= at <= RIGHT for at, _ in plot.x_ticks)
    assert len(plot.x_ticks) <= 8
    assert len(plot.y_ticks) <= 11
    assert plot.last_place is None or TOP <= plot.last_place <= BOTTOM


def test_nothing_is_drawn_where_there_is_nothing() -> None:
    assert drift_plots(None) == []
    assert drift_plots({"steps": [1], "outputs": {"y": {"scale": 1.0, "runners": {"keras": [1e-7]}}}}) == []
    assert drift_plots({"steps": [1, 2], "outputs": {}}) == []
    for absent in ({"drift": None}, {}):
        document = {key: value for key, value in sample().items() if key != "drift"} | absent
        assert "Error against the number of steps" not in render_report(document)


def test_the_page_says_the_plot_in_words_and_in_numbers() -> None:
    html = render_report(sample())
    words = [text for text in Page(html).attributes("aria-label") if text.startswith("Largest error")]
    assert words == [
        "Largest error of probabilities after 1 to 120 steps: Keras from 7.2e-8 to 1.9e-7, at most 1.9e-7; "
        "SavedModel from 7.2e-8 to 1.9e-7, at most 1.9e-7; ONNX from 5e-8 to 6.6e-5, at most 6.6e-5."
    ]
    section = html.split('<section id="drift"')[1].split("</section>")[0]
    assert "<summary>The numbers</summary>" in section
    assert section.count("<tr>") == 1 + len(drift()["steps"])
    assert "one unit in the last place of the largest value, 0.97, is 1.2e-7" in section


def test_names_of_outputs_and_runners_are_escaped() -> None:
    evil = '"><script>alert(1)</script>'
    entry = drift()["outputs"]["probabilities"]
    entry["runners"][evil] = entry["runners"]["onnx"]
    html = render_report(sample() | {"drift": {"steps": drift()["steps"], "outputs": {evil: entry}}})
    assert [tag for tag, _ in Page(html).tags].count("script") == 1
