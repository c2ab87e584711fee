"""Geometry of the report's figures: numbers to SVG coordinates, ticks and descriptions.

The template draws them with CSS variables as colours, so that one drawing is right in light, in dark and on paper.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

WIDTH, HEIGHT = 400, 220
LEFT, RIGHT, TOP, BOTTOM = 46, 388, 14, 190
TRACE_WIDTH, TRACE_HEIGHT = 300, 100
_MOST_STEPS = 400  # more than a small multiple has pixels for
_MOST_CLASSES = 6

Tick = tuple[float, str]


@dataclass(frozen=True)
class Scale:
    """A linear map of data to coordinates."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        if math.isnan(value):
            return math.nan
        share = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self, *, whole: bool = False, count: int = 5) -> list[Tick]:
        """Coordinates and labels at multiples of 1, 2 or 5 times a power of ten."""
        span = self.high - self.low
        # A span that its division by `count` would bring to zero is none.
        step = 10.0 ** math.floor(math.log10((span if span > 1e-300 else 1.0) / count))
        step = next(step * factor for factor in (1, 2, 5, 10, 20) if step * factor * count >= self.high - self.low)
        step = max(step, 1.0) if whole else step
        steps = range(math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9) + 1)
        return [(self(index * step), plain(index * step)) for index in steps]


@dataclass(frozen=True)
class Panel:
    """One quantity by epoch: a line for training, one for validation."""

    title: str
    description: str
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    lines: dict[str, str]
    best: tuple[float, float | None, str] | None


@dataclass(frozen=True)
class Histogram:
    """How many values of one runner differ by how much; `zeros` not at all."""

    runner: str
    description: str
    bars: list[tuple[float, float, float, float]]
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    limit: float | None
    zeros: int
    total: int


@dataclass(frozen=True)
class Beat:
    """One example: its sequence as lines, the classes with a share to show, the rest left out."""

    true: str
    predicted: str
    length: str
    lines: list[str]
    bars: list[tuple[str, float]]
    left_out: int
    confidence: float | None

    @property
    def right(self) -> bool:
        return self.true == self.predicted


@dataclass(frozen=True)
class Beats:
    """All examples by true class, drawn to one scale."""

    groups: dict[str, list[Beat]]
    columns: int
    duration: str
    low: str
    high: str
    unit: str


def number(value: object) -> float:
    """The float that a JSON value stands for: "NaN" and "Infinity" are strings, None is NaN."""
    return math.nan if value is None else float(value)  # pyright: ignore[reportArgumentType]


def or_infinite(value: float) -> float:
    """The same, but for NaN, which is as bad as can be wherever things are put in order."""
    return math.inf if math.isnan(value) else value


def plain(value: object, digits: int = 6) -> str:
    """A number without what carries no meaning: 1e-05 becomes "1e-5"."""
    if value is None:
        return "–"
    size = number(value)
    if not math.isfinite(size):
        return "NaN" if math.isnan(size) else "infinite"
    mantissa, e, exponent = f"{size:.{digits}g}".partition("e")
    return f"{mantissa}e{int(exponent)}" if e else mantissa


def times(size: float) -> str:
    """How many times, in three digits: "1.5 times", "11,300 times"."""
    if not 1000 <= size < 1e9:
        return f"{plain(size, 3)} times"
    return f"{float(f'{size:.3g}'):,.0f} times"


def history_panels(training: Mapping[str, Any]) -> list[Panel]:
    """One panel for loss, accuracy and every other metric that was also validated."""
    history: Mapping[str, Sequence[object]] = training.get("history") or {}
    best = training.get("best_epoch")
    metrics = [key for key in history if key in ("loss", "accuracy") or f"val_{key}" in history]
    return [_panel(metric, history, best) for metric in metrics if history[metric]]


def histograms(errors: Mapping[str, Any], limit: float) -> list[Histogram]:
    """One histogram for each runner, all over the same range, which reaches to the limit."""
    filled = {runner: _filled(entry) for runner, entry in errors.items()}
    edges = [edge for bars in filled.values() for left, right, _ in bars for edge in (left, right)]
    known = [math.log10(limit)] if limit > 0 else []
    if not edges:
        edges = known or [0.0]
    x = Scale(min(edges + known) - 0.3, max(edges + known) + 0.3, LEFT, RIGHT)
    return [_histogram(runner, filled[runner], int(errors[runner]["zeros"]), x, known) for runner in errors]


def beats(examples: Sequence[Mapping[str, Any]], field: Mapping[str, Any], classes: Sequence[str]) -> Beats | None:
    """Small multiples of the examples, one group for each true class in the order of `classes`."""
    if not examples:
        return None
    features = [_features(example["values"]) for example in examples]
    values = [value for lines in features for line in lines for value in line if math.isfinite(value)] or [0.0]
    longest = max(len(line) for lines in features for line in lines)
    x, y = Scale(0, longest - 1, 0, TRACE_WIDTH), Scale(min(values), max(values), TRACE_HEIGHT - 4, 4)
    groups: dict[str, list[Beat]] = {name: [] for name in classes}
    for example, lines in zip(examples, features, strict=True):
        groups.setdefault(example["true"], []).append(_beat(example, lines, (x, y), field, classes))
    found = {name: group for name, group in groups.items() if group}
    return Beats(
        groups=found,
        columns=min(max(3, *map(len, found.values())), 5),
        duration=_duration(longest, field),
        low=plain(min(values), 2),
        high=plain(max(values), 2),
        unit=field.get("unit", ""),
    )


def _panel(metric: str, history: Mapping[str, Sequence[object]], best: int | None) -> Panel:
    curves = {"training": [number(value) for value in history[metric]]}
    if history.get(f"val_{metric}"):
        curves["validation"] = [number(value) for value in history[f"val_{metric}"]]
    finite = [value for curve in curves.values() for value in curve if math.isfinite(value)] or [0.0]
    epochs = max(len(curve) for curve in curves.values())
    x, y = Scale(1, epochs, LEFT + 6, RIGHT - 6), Scale(min(finite), max(finite), BOTTOM - 8, TOP + 8)
    lines = {name: path_of([(x(step), y(v)) for step, v in enumerate(curve, 1)]) for name, curve in curves.items()}
    judged = curves.get("validation", curves["training"])
    last = ", ".join(f"{name} {plain(curve[0], 3)} to {plain(curve[-1], 3)}" for name, curve in curves.items())
    words = f"{metric} over {epochs} epochs: {last}"
    marker = None
    if best is not None and 1 <= best <= len(judged):
        value = judged[best - 1]
        marker = (x(best), y(value) if math.isfinite(value) else None, f"best: epoch {best}")
        words += f"; best epoch {best} with {plain(value, 3)}"
    title = metric.replace("_", " ").capitalize()
    return Panel(title, words, x.ticks(whole=True), y.ticks(), lines, marker)


def _filled(entry: Mapping[str, Any]) -> list[tuple[float, float, int]]:
    edges, counts = entry.get("edges") or (), entry.get("counts") or ()
    bars = zip(edges[:-1], edges[1:], counts, strict=True)
    return [(left, right, count) for left, right, count in bars if count]


def _histogram(
    runner: str, filled: Sequence[tuple[float, float, int]], zeros: int, x: Scale, known: Sequence[float]
) -> Histogram:
    most = max((count for *_, count in filled), default=1)
    y = Scale(0, most, BOTTOM, TOP + 14)
    bars = [
        (x(left), y(count), round(x(right) - x(left), 1), round(BOTTOM - y(count), 1)) for left, right, count in filled
    ]
    apart = max(1, math.ceil((x.high - x.low) / 7))
    powers = range(math.ceil(x.low), math.floor(x.high) + 1)
    ticks = [(x(power), f"1e{power}") for power in powers if power % apart == 0]
    total = zeros + sum(count for *_, count in filled)
    words = f"{total} values, {zeros} of them exactly equal"
    if filled:
        peak = max(filled, key=lambda bar: bar[2])
        top = plain(10.0 ** max(right for _, right, _ in filled), 2)
        words += f"; most differ by about {plain(10.0 ** ((peak[0] + peak[1]) / 2), 1)}, none by more than {top}"
    return Histogram(
        runner, words, bars, ticks, y.ticks(whole=True, count=4), x(known[0]) if known else None, zeros, total
    )


def _beat(
    example: Mapping[str, Any],
    features: Sequence[Sequence[float]],
    scales: tuple[Scale, Scale],
    field: Mapping[str, Any],
    classes: Sequence[str],
) -> Beat:
    x, y = scales
    scores = [number(share) for share in example.get("probabilities") or ()]
    # Scores that do not belong one to one to the classes (a single sigmoid, say) have no names to stand beside.
    shares = dict(zip(classes, scores, strict=True)) if len(scores) == len(classes) else {}
    likely = sorted(shares, key=lambda name: (name != example["true"], -shares[name]))[:_MOST_CLASSES]
    return Beat(
        true=example["true"],
        predicted=example["predicted"],
        length=_duration(len(features[0]), field),
        lines=[path_of([(x(step), y(line[step])) for step in _kept(line)]) for line in features],
        bars=[(name, share) for name, share in shares.items() if name in likely],
        left_out=len(shares) - len(likely),
        confidence=shares.get(example["predicted"]),
    )


def _duration(steps: int, field: Mapping[str, Any]) -> str:
    rate = field.get("sampling_hz")
    return f"{plain((steps - 1) / rate, 3)} s" if rate else f"{steps} steps"


def _features(values: Sequence[Any]) -> list[list[float]]:
    """One line of values for each feature; a step is a number or a list of them."""
    steps = [step if isinstance(step, list) else [step] for step in values] or [[math.nan]]
    return [[number(value) for value in line] for line in zip(*steps, strict=True)]


def _kept(line: Sequence[float]) -> list[int]:
    """Steps to draw: all, or the lowest and highest of each stretch where there are more than the eye can part."""
    stretch = math.ceil(2 * len(line) / _MOST_STEPS) if len(line) > _MOST_STEPS else 1
    starts = range(0, len(line), stretch)
    ranges = [range(start, min(start + stretch, len(line))) for start in starts]
    return sorted({pick(steps, key=line.__getitem__) for steps in ranges for pick in (min, max)})


def path_of(points: Sequence[tuple[float, float]]) -> str:
    """SVG path data; a value that is no number interrupts the line."""
    commands: list[str] = []
    pen_down = False
    for x, y in points:
        if math.isfinite(y):
            commands.append(f"{'L' if pen_down else 'M'}{x:g} {y:g}")
        pen_down = math.isfinite(y)
    return "".join(commands)
