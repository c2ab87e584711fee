"""Geometry of the report's plot of errors by the number of steps: both axes logarithmic, one line for each runtime."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seqship.export.report_cases import runner_name
from seqship.export.report_plots import BOTTOM, LEFT, RIGHT, TOP, Scale, Tick, number, or_infinite, path_of, plain
from seqship.export.tolerance import LAST_PLACE

REFERENCE = "keras"
_SHAPES = ("square", "circle", "triangle", "diamond")
_MARKS = {
    "square": "M{x:g} {y:g}m-3-3h6v6h-6z",
    "circle": "M{x:g} {y:g}m-3.5 0a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0-7 0z",
    "triangle": "M{x:g} {y:g}m0-4.2l4 7h-8z",
    "diamond": "M{x:g} {y:g}m0-4.5l4.5 4.5l-4.5 4.5l-4.5-4.5z",
}
_LEGEND_AT = (16.0, 5.0)
_FEW_DECADES = 2.3
"""Of an axis with more, 2 and 5 have no room beside the powers of ten."""


@dataclass(frozen=True)
class DriftLine:
    """One runtime in the plot.

    Attributes:
        runner: Its name in words.
        style: "reference" for Keras, else the shape of its marks, which tells lines apart without their colour.
        path: The line.
        marks: All its marks as one path; empty for Keras.
        sample: The mark of the legend.
    """

    runner: str
    style: str
    path: str
    marks: str
    sample: str


@dataclass(frozen=True)
class DriftPlot:
    """The errors of one output.

    Attributes:
        output: Its name.
        description: The plot in words.
        x_ticks: Coordinates and labels of numbers of steps.
        y_ticks: Coordinates and labels of errors.
        lines: The runtimes, Keras first: a broad line under the others, which may lie exactly on it.
        last_place: Where a unit in the last place of the largest value is; None where it is off the axis.
        scale: The largest value.
        unit: A unit in its last place.
        names: The runtimes in their order, for the table.
        rows: For each number of steps the error of each runtime.
    """

    output: str
    description: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    lines: tuple[DriftLine, ...]
    last_place: float | None
    scale: float
    unit: float
    names: tuple[str, ...]
    rows: tuple[tuple[int, tuple[float, ...]], ...]


def drift_plots(drift: Mapping[str, Any] | None) -> list[DriftPlot]:
    """Returns a plot for each output.

    Args:
        drift: What `Drift.to_json` gives, or None.
    """
    if not drift or len(drift["steps"]) < 2:
        return []
    return [_plot(output, drift["steps"], entry) for output, entry in drift["outputs"].items() if entry["runners"]]


def _plot(output: str, steps: Sequence[int], entry: Mapping[str, Any]) -> DriftPlot:
    errors = {runner: [number(value) for value in values] for runner, values in entry["runners"].items()}
    scale = number(entry["scale"])
    unit = scale * LAST_PLACE
    x = Scale(math.log10(steps[0]), math.log10(steps[-1]), LEFT + 6, RIGHT - 8)
    y, y_ticks = _error_axis(errors, unit)
    styles = dict(zip((name for name in errors if name != REFERENCE), _endless(_SHAPES, len(errors)), strict=False))
    lines = [
        _line(runner, styles.get(runner, "reference"), [(x(math.log10(at)), y(_log(one))) for at, one in pairs])
        for runner, pairs in ((runner, list(zip(steps, values, strict=True))) for runner, values in errors.items())
    ]
    return DriftPlot(
        output=output,
        description=_words(output, steps, errors),
        x_ticks=tuple((x(math.log10(step)), plain(step)) for step in _step_ticks(steps[0], steps[-1])),
        y_ticks=y_ticks,
        lines=tuple(sorted(lines, key=lambda line: line.style != "reference")),
        last_place=y(math.log10(unit)) if unit > 0 else None,
        scale=scale,
        unit=unit,
        names=tuple(runner_name(runner) for runner in errors),
        rows=tuple((step, tuple(values[at] for values in errors.values())) for at, step in enumerate(steps)),
    )


@dataclass(frozen=True)
class _ErrorAxis:
    """Decimal logarithms to coordinates; nothing at all lies on the lower edge, what is no number on the upper."""

    inner: Scale

    def __call__(self, value: float) -> float:
        if math.isnan(value) or value == math.inf:
            return float(TOP)
        return float(BOTTOM) if value == -math.inf else self.inner(value)


def _error_axis(errors: Mapping[str, Sequence[float]], unit: float) -> tuple[_ErrorAxis, tuple[Tick, ...]]:
    values = [value for line in errors.values() for value in line]
    sizes = [value for value in (*values, unit) if math.isfinite(value) and value > 0] or [LAST_PLACE]
    low, high = math.floor(math.log10(min(sizes))), math.ceil(math.log10(max(sizes)))
    high = max(high, low + 1)
    nothing, no_number = 0.0 in values, not all(map(math.isfinite, values))
    inner = Scale(low, high, BOTTOM - (20 if nothing else 0), TOP + (20 if no_number else 0))
    apart = math.ceil((high - low) / 7)
    ticks = [(inner(power), f"1e{power}") for power in range(low, high + 1, apart)]
    ticks += [(float(BOTTOM), "0")] if nothing else []
    ticks += [(float(TOP), "∞")] if no_number else []
    return _ErrorAxis(inner), tuple(ticks)


def _line(runner: str, style: str, points: Sequence[tuple[float, float]]) -> DriftLine:
    mark = _MARKS.get(style, "")
    marks = "".join(mark.format(x=at, y=value) for at, value in points)
    sample = mark.format(x=_LEGEND_AT[0], y=_LEGEND_AT[1])
    return DriftLine(runner_name(runner), style, path_of(points), marks, sample)


def _step_ticks(low: int, high: int) -> list[int]:
    few = math.log10(high / low) <= _FEW_DECADES
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    numbers = [factor * 10**power for power in powers for factor in ((1, 2, 5) if few else (1,))]
    return [one for one in numbers if low <= one <= high]


def _words(output: str, steps: Sequence[int], errors: Mapping[str, Sequence[float]]) -> str:
    told = [
        f"{runner_name(runner)} from {plain(values[0], 2)} to {plain(values[-1], 2)}, "
        f"at most {plain(max(values, key=or_infinite), 2)}"
        for runner, values in errors.items()
    ]
    return f"Largest error of {output} after {steps[0]} to {steps[-1]} steps: {'; '.join(told)}"


def _endless(items: Sequence[str], count: int) -> list[str]:
    return [items[index % len(items)] for index in range(count)]


def _log(value: float) -> float:
    if math.isnan(value):
        return math.nan
    return math.log10(value) if value > 0 else -math.inf
