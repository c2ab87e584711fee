"""Splits of time series by time: what is trained on lies before what is validated on, and that before the test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqship.errors import DataError
from seqship.pipelines.series import Series


@dataclass(frozen=True, eq=False)
class Span:
    """A stretch of each series of a `Series`.

    Attributes:
        starts: First step of the span in each series, int64, shaped (series,).
        stops: Step after its last one, int64, shaped (series,); equal to the start where a series has no part in it.
        reach: First step that the inputs of a window may read, int64, shaped (series,). Equal to `starts`, a window
            lies wholly in the span; earlier, only its targets must.
    """

    starts: NDArray[np.int64]
    stops: NDArray[np.int64]
    reach: NDArray[np.int64]

    @property
    def steps(self) -> int:
        """Number of steps of all series in the span."""
        return int((self.stops - self.starts).sum())

    def values_of(self, series: Series) -> NDArray[np.float32]:
        """Returns the values in the span, shaped (steps, columns): what a scaling is fitted on.

        For one series it is a view, for several a copy.
        """
        parts = [series.values[start:stop] for start, stop in zip(self.starts, self.stops, strict=True)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


def check_span(span: Span, series: Series) -> None:
    """Raises a DataError unless the span is one of this series."""
    begins, ends = series.borders[:-1], series.borders[1:]
    fits = span.reach.shape == span.starts.shape == span.stops.shape == begins.shape
    if fits:
        fits = bool(((begins <= span.reach) & (span.reach <= span.starts)).all())
        fits = fits and bool(((span.starts <= span.stops) & (span.stops <= ends)).all())
    if not fits:
        raise DataError(
            f"the span from {span.starts.tolist()[:4]} to {span.stops.tolist()[:4]} is none of a series with the "
            f"borders {series.borders.tolist()[:5]}; split this very series"
        )


def whole_span(series: Series) -> Span:
    """Returns the span of all steps."""
    return Span(series.borders[:-1], series.borders[1:], series.borders[:-1])


def chronological_split(
    series: Series,
    *,
    train: float = 0.7,
    validation: float = 0.1,
    at: tuple[Any, Any] | None = None,
    gap: int = 0,
    inputs_reach_back: bool = False,
) -> tuple[Span, Span, Span]:
    """Splits series in time.

    Where the times are known, all series are cut at the same two instants, so that no series is trained on at a time
    at which another is tested. Where they are not, each series is cut at the same shares of its own steps.

    By default nothing leaks: a window lies wholly in its span, so that the targets of the last training window end
    before the inputs of the first validation window begin. With `inputs_reach_back`, the usual practice, windows of
    validation and test may read inputs from the spans before, and only their targets are new: more windows, and the
    first forecast comes at once, but values that were targets of training are inputs of validation.

    Args:
        series: The data.
        train: Share of the steps to train on, above 0.
        validation: Share of the steps to validate on, 0 or more; the rest is the test, above 0.
        at: Times at which validation and test begin, instead of shares: anything that `numpy.datetime64` takes.
        gap: Steps left out at the beginning of validation and of test.
        inputs_reach_back: Whether inputs of validation and test may lie before their span.

    Returns:
        Spans of training, validation and test.

    Raises:
        DataError: A span would hold no step, or `at` is given and the times are unknown.
        ValueError: The shares do not add up, the times do not ascend, or `gap` is negative.
    """
    if gap < 0:
        raise ValueError(f"gap must be 0 or more steps, met {gap}; 0 leaves nothing out")
    begins, ends = series.borders[:-1], series.borders[1:]
    if at is not None:
        first, second = _instants(series, at)
    elif train > 0 and validation >= 0 and train + validation < 1:
        first, second = _shares(series, train, train + validation)
    else:
        raise ValueError(
            f"train must be above 0, validation 0 or more and both together below 1, met {train} and {validation}; "
            "0.7 and 0.1 leave 0.2 for the test"
        )
    spans = (
        Span(begins, first, begins),
        _later(first, second, gap, begins if inputs_reach_back else None),
        _later(second, ends, gap, begins if inputs_reach_back else None),
    )
    for name, span, wanted in zip(("training", "validation", "test"), spans, (True, validation > 0, True), strict=True):
        if wanted and not span.steps:
            raise DataError(
                f"{name} would get none of the {len(series)} steps; give more data, other shares or less gap"
            )
    return spans


def _later(starts: NDArray[np.int64], stops: NDArray[np.int64], gap: int, reach: NDArray[np.int64] | None) -> Span:
    """Returns a span after another one."""
    begins = np.minimum(starts + gap, stops)
    return Span(begins, stops, begins if reach is None else reach)


def _shares(series: Series, first: float, second: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns where each series is cut for two shares of the steps."""
    begins, lengths = series.borders[:-1], series.lengths
    if series.times is None or len(lengths) == 1:
        return begins + np.rint(lengths * first).astype(np.int64), begins + np.rint(lengths * second).astype(np.int64)
    instants = np.sort(series.times)
    last = len(instants) - 1
    cuts = (instants[min(round(len(instants) * share), last)] for share in (first, second))
    one, other = (_cut(series, series.times, instant) for instant in cuts)
    return one, other


def _instants(series: Series, at: tuple[Any, Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns where each series is cut for two times."""
    if series.times is None:
        raise DataError(f"the times of {series.source or 'this series'} are unknown; split it by shares instead")
    validation, test = np.datetime64(at[0]), np.datetime64(at[1])
    if validation > test:
        raise ValueError(f"validation must begin before the test, met {validation} and {test}; swap them")
    return _cut(series, series.times, validation), _cut(series, series.times, test)


def _cut(series: Series, times: NDArray[np.datetime64], instant: np.datetime64) -> NDArray[np.int64]:
    """Returns the first step of each series at or after an instant; its end where there is none."""
    pieces = zip(series.borders[:-1], series.borders[1:], strict=True)
    return np.array([start + np.searchsorted(times[start:stop], instant) for start, stop in pieces], dtype=np.int64)
