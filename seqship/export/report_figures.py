"""The figures of a recipe's evaluation, from data to SVG coordinates: forecasts, errors, generated text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seqship.export.report_plots import BOTTOM, LEFT, RIGHT, TOP, Scale, Tick, number, path_of, plain


@dataclass(frozen=True)
class Drawing:
    """One figure as the template draws it.

    Attributes:
        kind: "lines", "histogram" or "text".
        title: What it shows.
        description: The same in words, for those who do not see it.
        x_ticks: Coordinates and labels.
        y_ticks: Coordinates and labels.
        lines: Path of each line, by name.
        bars: x, y, width and height of each bar.
        marks: Where a vertical line stands, with its label.
        x_label: Name of the axis.
        y_label: Name of the axis.
        text: The text, of a text.
    """

    kind: str
    title: str
    description: str
    x_ticks: tuple[Tick, ...] = ()
    y_ticks: tuple[Tick, ...] = ()
    lines: tuple[tuple[str, str], ...] = ()
    bars: tuple[tuple[float, float, float, float], ...] = ()
    marks: tuple[Tick, ...] = ()
    x_label: str = ""
    y_label: str = ""
    text: str = ""


def drawings(figures: Sequence[Mapping[str, Any]]) -> list[Drawing]:
    """Returns the figures of a document, in their order; a kind of no name is left out."""
    made = {"lines": _lines, "histogram": _bars, "text": _text}
    return [made[figure["kind"]](figure) for figure in figures if figure.get("kind") in made]


def _lines(figure: Mapping[str, Any]) -> Drawing:
    xs = [number(value) for value in figure["x"]]
    curves = {name: [number(value) for value in values] for name, values in figure["lines"].items()}
    finite = [value for curve in curves.values() for value in curve if math.isfinite(value)] or [0.0]
    x = Scale(min(xs, default=0), max(xs, default=1), LEFT + 6, RIGHT - 6)
    y = Scale(min(finite), max(finite), BOTTOM - 8, TOP + 8)
    paths = tuple(
        (name, path_of([(x(at), y(value)) for at, value in zip(xs, curve, strict=True)]))
        for name, curve in curves.items()
    )
    marks = tuple((x(number(at)), label) for label, at in (figure.get("marks") or {}).items())
    words = f"{figure['title']}: {', '.join(curves)}, from {plain(min(finite), 3)} to {plain(max(finite), 3)}"
    words += "".join(f"; {label}" for _, label in marks)
    return Drawing(
        "lines",
        figure["title"],
        words,
        tuple(x.ticks()),
        tuple(y.ticks()),
        paths,
        marks=marks,
        x_label=figure.get("x_label", ""),
        y_label=figure.get("y_label", ""),
    )


def _bars(figure: Mapping[str, Any]) -> Drawing:
    edges, counts = [number(edge) for edge in figure["edges"]], [number(count) for count in figure["counts"]]
    x, y = Scale(min(edges), max(edges), LEFT, RIGHT), Scale(0, max([*counts, 1]), BOTTOM, TOP + 14)
    bars = tuple(
        (x(left), y(count), round(x(right) - x(left), 1), round(BOTTOM - y(count), 1))
        for left, right, count in zip(edges[:-1], edges[1:], counts, strict=True)
        if count
    )
    words = f"{figure['title']}: {plain(sum(counts))} values from {plain(min(edges), 3)} to {plain(max(edges), 3)}"
    return Drawing(
        "histogram",
        figure["title"],
        words,
        tuple(x.ticks()),
        tuple(y.ticks(whole=True, count=4)),
        bars=bars,
        x_label=figure.get("x_label", ""),
    )


def _text(figure: Mapping[str, Any]) -> Drawing:
    return Drawing("text", figure["title"], figure["title"], text=str(figure["text"]))
