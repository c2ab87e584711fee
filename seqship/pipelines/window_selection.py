"""Which steps the windows of a span read, and where none may begin because a value is missing; numpy alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seqship.errors import DataError
from seqship.pipelines.chronological import Span
from seqship.pipelines.missing import Missing, first_step_of, forward_fill, missing_steps
from seqship.pipelines.series import Series
from seqship.pipelines.window_parts import WindowPart, is_mapped, narrowed
from seqship.pipelines.window_plan import WindowFrame, first_starts, merged, starts_that_touch, starts_wholly_in


@dataclass(frozen=True)
class WindowColumns:
    """Indices of the columns that are inputs, that are targets, and that are known in advance (perhaps none)."""

    inputs: tuple[int, ...]
    targets: tuple[int, ...]
    known: tuple[int, ...]


def select(
    data: Series,
    frame: WindowFrame,
    span: Span,
    columns: WindowColumns,
    missing: Missing,
    pad_value: float | None,
) -> tuple[list[WindowPart], NDArray[np.int64]]:
    """Returns inputs, known columns if any, and targets; and where no window may begin.

    Args:
        data: The series.
        frame: The shape of a window.
        span: Where windows are taken from.
        columns: What each column is.
        missing: What becomes of missing inputs, as `windows` describes it.
        pad_value: What "mask" fills with; None for the others.

    Returns:
        The parts, and the first and last step of each stretch in which no window may begin, int64, (stretches, 2).

    Raises:
        DataError: Values are missing with "error" or infinite, a step that is not missing would be masked, or a
            memory-mapped series would be copied.
    """
    begins, stops = first_starts(span, frame), span.stops
    source = data.values
    # Often these are the same columns, and a long file is looked through once.
    found = {
        some: _missing(data, source, begins, stops, some) for some in {columns.targets, columns.inputs, columns.known}
    }
    targets, inputs, known = found[columns.targets], found[columns.inputs], found[columns.known]
    if missing == "error" and (len(targets) or len(inputs) or len(known)):
        raise _lacking(data, np.unique(np.concatenate([targets, inputs, known])), columns)
    if missing == "forward" and (len(inputs) or len(known)):
        if is_mapped(source):
            raise DataError(
                f"missing='forward' would copy the memory-mapped {data.source or 'series'} as a whole; "
                "fill the file once with forward_fill(values, borders, out=...) or take missing='drop'"
            )
        # Nothing is carried in from before what the span may read: a validation input would be a training value.
        source = forward_fill(source, np.unique(np.concatenate([data.borders, begins])))
        inputs = _missing(data, source, begins, stops, columns.inputs)
        known = _missing(data, source, begins, stops, columns.known)
    last_target = frame.steps - 1
    stretches = [
        starts_that_touch(targets, frame.first_target, last_target),
        starts_that_touch(known, frame.first_target, last_target),
    ]
    if pad_value is None:
        stretches.append(starts_that_touch(inputs, 0, frame.length - 1))
    else:
        stretches.append(starts_wholly_in(inputs, frame.length))
        _refuse_masked(data, begins, stops, columns.inputs, pad_value)
    horizon, steps = (frame.horizon, frame.length) if frame.targets == "sequence" else (None, frame.horizon)
    pad = pad_value if len(inputs) else None
    parts = [WindowPart(*narrowed(source, columns.inputs), 0, frame.length, pad_value=pad)]
    if columns.known:
        parts.append(WindowPart(*narrowed(source, columns.known), frame.first_target, steps, horizon))
    parts.append(WindowPart(*narrowed(data.values, columns.targets), frame.first_target, steps, horizon, squeeze=True))
    return parts, merged(np.concatenate(stretches))


def _missing(
    data: Series,
    values: NDArray[np.float32],
    begins: NDArray[np.int64],
    stops: NDArray[np.int64],
    columns: Sequence[int],
) -> NDArray[np.int64]:
    """Returns the steps between `begins` and `stops` of each series that lack a value in one of the columns."""
    if not columns:
        return np.zeros(0, np.int64)
    steps = missing_steps(values, columns, start=int(begins.min()), stop=int(stops.max()))
    which = np.searchsorted(data.borders, steps, side="right") - 1
    return steps[(steps >= begins[which]) & (steps < stops[which])]


def _refuse_masked(
    data: Series,
    begins: NDArray[np.int64],
    stops: NDArray[np.int64],
    columns: Sequence[int],
    pad_value: float,
) -> None:
    """Raises a DataError where a step that lacks nothing would be masked."""
    step = first_step_of(data.values, columns, pad_value, start=int(begins.min()), stop=int(stops.max()))
    if step is not None:
        raise DataError(
            f"step {step} holds the pad_value {pad_value} in every input column and would be masked; "
            "choose a value that the data does not have"
        )


def _lacking(data: Series, steps: NDArray[np.int64], columns: WindowColumns) -> DataError:
    """Returns the error of data that lacks values."""
    step = int(steps[0])
    used = sorted({*columns.inputs, *columns.targets, *columns.known})
    names = ", ".join(data.columns[column] for column in used if np.isnan(data.values[step, column]))
    when = "" if data.times is None else f" ({data.times[step]})"
    return DataError(
        f"{data.source or 'the series'} lacks values at {len(steps)} steps, the first at step {step}{when} in column "
        f"{names}; choose missing='drop', 'mask' or 'forward', or other columns"
    )
