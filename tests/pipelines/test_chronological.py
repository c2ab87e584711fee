"""Splits by time leak nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from seqship.errors import DataError
from seqship.pipelines.chronological import Span, chronological_split, whole_span
from seqship.pipelines.scaling import fit_scaling
from seqship.pipelines.series import Series, as_series
from seqship.pipelines.window_plan import WindowFrame, WindowPlan, window_runs

FRAMES = st.builds(
    WindowFrame,
    length=st.integers(1, 6),
    horizon=st.integers(1, 4),
    shift=st.integers(1, 4),
    stride=st.integers(1, 4),
    targets=st.sampled_from(["last", "sequence"]),
)
LENGTHS = st.lists(st.integers(1, 60), min_size=1, max_size=4)
NONE_EXCLUDED = np.zeros((0, 2), np.int64)


def made(lengths: list[int], times: list[int] | None = None) -> Series:
    """A series whose values are its steps; its series begin at the given times."""
    when = None
    if times is not None:
        when = np.concatenate([np.arange(length) + first for length, first in zip(lengths, times, strict=True)])
    values = np.arange(sum(lengths), dtype=np.float32)
    return as_series(values, lengths=lengths, times=None if when is None else when.astype("datetime64[h]"))


def reads(span: Span, frame: WindowFrame) -> list[tuple[set[int], set[int]]]:
    """Returns the input steps and the target steps of each window, counted out one by one."""
    try:
        firsts, counts = window_runs(span, frame, NONE_EXCLUDED)
    except DataError:
        return []
    plan = WindowPlan(firsts, counts, frame.stride, 1)
    return [_steps(int(start), frame) for start in plan.starts(0, len(plan))]


def _steps(start: int, frame: WindowFrame) -> tuple[set[int], set[int]]:
    inputs = range(start, start + frame.length)
    seeing = inputs if frame.targets == "sequence" else [inputs[-1]]
    return set(inputs), {step + frame.shift + ahead for step in seeing for ahead in range(frame.horizon)}


@given(
    lengths=LENGTHS,
    starts=st.none() | st.lists(st.integers(0, 40), min_size=4, max_size=4),
    frame=FRAMES,
    train=st.sampled_from([0.3, 0.5, 0.7]),
    validation=st.sampled_from([0.0, 0.1, 0.25]),
    gap=st.integers(0, 3),
    reach_back=st.booleans(),
)
def test_nothing_leaks(
    lengths: list[int],
    starts: list[int] | None,
    frame: WindowFrame,
    train: float,
    validation: float,
    gap: int,
    reach_back: bool,
) -> None:
    series = made(lengths, None if starts is None else starts[: len(lengths)])
    try:
        spans = chronological_split(series, train=train, validation=validation, gap=gap, inputs_reach_back=reach_back)
    except DataError as error:
        assume("would get none of the" not in str(error))
        raise
    clock = np.arange(len(series)) if series.times is None else series.times.astype(np.int64)
    used = [reads(span, frame) for span in spans]
    owner = np.searchsorted(series.borders, np.arange(len(series)), side="right")
    for earlier, later in ((0, 1), (1, 2), (0, 2)):
        for number in set(owner.tolist()):
            # Without times, series are only told apart by their own steps.
            ends = [max(clock[[*targets]]) for inputs, targets in used[earlier] if owner[min(inputs)] == number]
            first = [
                min(clock[[*(targets if reach_back else inputs)]])
                for inputs, targets in used[later]
                if owner[min(inputs)] == number or series.times is not None
            ]
            if ends and first:
                assert max(ends) < min(first)
    for inputs, targets in (window for windows in used for window in windows):
        assert len({*owner[[*inputs, *targets]].tolist()}) == 1, "a window crosses a border"
    read = [{step for inputs, targets in windows for step in inputs | targets} for windows in used]
    if not reach_back:
        assert not (read[0] & read[1] or read[0] & read[2] or read[1] & read[2])


@given(lengths=LENGTHS, frame=FRAMES)
def test_reaching_back_gives_every_step_of_the_span_its_target(lengths: list[int], frame: WindowFrame) -> None:
    assume(min(lengths) > 10)
    frame = WindowFrame(frame.length, frame.horizon, frame.shift, 1, frame.targets)
    spans = chronological_split(made(lengths), train=0.5, validation=0.2, inputs_reach_back=True)
    for span in spans[1:]:
        met = {step for _, targets in reads(span, frame) for step in targets}
        within = {
            step
            for start, stop, begin in zip(span.starts, span.stops, span.reach, strict=True)
            for step in range(max(start, begin + frame.first_target), stop)
            if stop - max(start, begin + frame.first_target) >= frame.target_steps
        }
        assert met == within


def test_shares_are_counted_in_steps() -> None:
    train, validation, test = chronological_split(made([100]))
    assert [(span.starts.tolist(), span.stops.tolist()) for span in (train, validation, test)] == [
        ([0], [70]),
        ([70], [80]),
        ([80], [100]),
    ]
    assert [span.steps for span in (train, validation, test)] == [70, 10, 20]


def test_without_times_each_series_is_cut_at_its_own_shares() -> None:
    train, _, test = chronological_split(made([10, 20]), train=0.5, validation=0.1)
    assert train.stops.tolist() == [5, 20]
    assert test.starts.tolist() == [6, 22]


def test_with_times_all_series_are_cut_at_the_same_instant() -> None:
    series = made([10, 10], [0, 5])
    train, validation, test = chronological_split(series, train=0.5, validation=0.2)
    assert series.times is not None
    for earlier, later in ((train, validation), (validation, test)):
        assert max(series.times[_all(earlier)]) < min(series.times[_all(later)])


def _all(span: Span) -> list[int]:
    return [step for start, stop in zip(span.starts, span.stops, strict=True) for step in range(start, stop)]


def test_the_instants_can_be_given() -> None:
    series = made([10, 10], [0, 5])
    at = (np.datetime64(7, "h"), np.datetime64(12, "h"))
    train, validation, test = chronological_split(series, at=at)
    assert (train.stops.tolist(), validation.stops.tolist(), test.stops.tolist()) == ([7, 12], [10, 17], [10, 20])


def test_a_gap_is_left_out_of_the_later_spans() -> None:
    _, validation, test = chronological_split(made([100]), gap=3)
    assert (validation.starts.tolist(), test.starts.tolist()) == ([73], [83])
    assert validation.reach.tolist() == [73]


def test_a_scaling_is_fitted_on_the_training_steps_alone() -> None:
    series = made([10, 20])
    train = chronological_split(series, train=0.5, validation=0.1)[0]
    values = train.values_of(series)
    assert values[:, 0].tolist() == [*range(5), *range(10, 20)]
    changed = as_series(np.where(np.isin(series.values, values), series.values, 999), lengths=[10, 20])
    assert fit_scaling(train.values_of(changed), "standard", ["x"]) == fit_scaling(values, "standard", ["x"])
    assert chronological_split(made([10]))[0].values_of(made([10])).base is not None, "one series is not copied"


def test_the_whole_span_is_all_steps() -> None:
    assert whole_span(made([3, 4])).steps == 7


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"train": 0.0},
            ValueError,
            r"^train must be above 0, validation 0 or more and both together below 1, met 0\.0",
        ),
        (
            {"train": 0.9, "validation": 0.1},
            ValueError,
            r"^train must be above 0, .*, met 0\.9 and 0\.1; 0\.7 and 0\.1 l",
        ),
        ({"gap": -1}, ValueError, r"^gap must be 0 or more steps, met -1; 0 leaves nothing out$"),
        (
            {"gap": 1},
            DataError,
            r"^validation would get none of the 10 steps; give more data, other shares or less gap$",
        ),
        ({"train": 0.01}, DataError, r"^training would get none of the 10 steps; give more data"),
        (
            {"at": ("1970-01-02", "1970-01-01")},
            ValueError,
            r"^validation must begin before the test, met 1970-01-02 and",
        ),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        chronological_split(made([10], [0]), **options)


def test_instants_need_times() -> None:
    with pytest.raises(DataError, match=r"^the times of an array are unknown; split it by shares instead$"):
        chronological_split(made([10]), at=("1970-01-01", "1970-01-02"))
