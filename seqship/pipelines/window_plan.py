"""Which windows a series has and which go into which batch, with numpy alone.

A plan holds no list of windows: the first step of any window is computed from its number. So a plan is as small for
10^8 steps as for 10^3, can be counted, cut into shards, and taken up at any batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from seqship.errors import DataError
from seqship.pipelines.chronological import Span
from seqship.pipelines.permutation import shuffled
from seqship.pipelines.plan import check_batch_size

Targets = Literal["last", "sequence"]


@dataclass(frozen=True)
class WindowFrame:
    """Where the inputs and targets of a window lie.

    Attributes:
        length: Steps of the inputs.
        horizon: Steps of the targets.
        shift: Steps from an input to its first target; 1 is the next step.
        stride: Steps from one window to the next.
        targets: "last": targets of the last input step alone; "sequence": of every input step.

    Raises:
        ValueError: A number is below 1, or there is no such kind of targets.
    """

    length: int
    horizon: int = 1
    shift: int = 1
    stride: int = 1
    targets: Targets = "last"

    def __post_init__(self) -> None:
        for name in ("length", "horizon", "shift", "stride"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more steps, met {getattr(self, name)}; 1 is the least")
        if self.targets not in ("last", "sequence"):
            raise ValueError(f"targets must be 'last' or 'sequence', met {self.targets!r}; 'last' is the common one")

    @property
    def first_target(self) -> int:
        """Steps from the first input to the first target."""
        return self.shift + (self.length - 1 if self.targets == "last" else 0)

    @property
    def steps(self) -> int:
        """Steps from the first input to the last target, both counted."""
        return self.length - 1 + self.shift + self.horizon

    @property
    def target_steps(self) -> int:
        """Steps from the first target to the last, both counted."""
        return self.steps - self.first_target


@dataclass(frozen=True, eq=False)
class WindowPlan:
    """The batches of one shard of all windows; each window is in exactly one batch of one shard.

    Attributes:
        firsts: First step of the first window of each run of windows, int64, shaped (runs,).
        counts: Windows of each run, int64, shaped (runs,).
        stride: Steps from one window of a run to the next.
        batch_size: Windows a batch; the last batch may hold fewer.
        drop_remainder: Whether such a last batch is dropped.
        shuffle: Whether windows come in random order.
        seed: Seed of all epochs.
        shard: This shard's number and the number of shards: it takes every so many-th window of the order.
    """

    firsts: NDArray[np.int64]
    counts: NDArray[np.int64]
    stride: int
    batch_size: int
    drop_remainder: bool = False
    shuffle: bool = False
    seed: int = 0
    shard: tuple[int, int] = (0, 1)

    def __post_init__(self) -> None:
        check_batch_size(self.batch_size)
        index, count = self.shard
        if not 0 <= index < count:
            raise ValueError(f"shard must be a number below the number of shards, met {self.shard}; (0, 1) is all")
        if self.seed < 0:
            raise ValueError(f"seed must be 0 or more, met {self.seed}; 0 is the usual one")

    @property
    def total(self) -> int:
        """Number of windows of all shards."""
        return int(self.counts.sum())

    @property
    def windows(self) -> int:
        """Number of windows in the batches of this shard."""
        index, count = self.shard
        mine = max(0, -(-(self.total - index) // count))
        return mine - mine % self.batch_size if self.drop_remainder else mine

    def __len__(self) -> int:
        """Returns the number of batches."""
        return -(-self.windows // self.batch_size)

    def starts(self, begin: int, end: int, *, epoch: int = 0) -> NDArray[np.int64]:
        """Returns the first steps of this shard's windows `begin` to `end` in the order of an epoch, int64."""
        index, count = self.shard
        numbers = index + count * np.arange(begin, min(end, self.windows), dtype=np.int64)
        if self.shuffle and len(numbers):
            numbers = shuffled(numbers, self.total, seed=self.seed, epoch=epoch)
        if len(self.firsts) == 1:
            return self.firsts[0] + self.stride * numbers
        ends = np.cumsum(self.counts)
        run = np.searchsorted(ends, numbers, side="right")
        return self.firsts[run] + self.stride * (numbers - (ends - self.counts)[run])


def first_starts(span: Span, frame: WindowFrame) -> NDArray[np.int64]:
    """Returns the earliest step at which a window may begin in each series, int64, shaped (series,)."""
    return np.maximum(span.reach, span.starts - frame.first_target)


def window_runs(
    span: Span, frame: WindowFrame, excluded: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Finds the windows that lie within the series of a span and begin at no excluded step.

    Args:
        span: Where the targets, and unless it says otherwise the inputs, lie.
        frame: The shape of a window.
        excluded: Steps at which no window may begin: first and last of each stretch, int64, shaped (stretches, 2),
            ascending and apart, as `merged` gives them.

    Returns:
        First step and number of windows of each run, int64, shaped (runs,).

    Raises:
        DataError: There is no window.
    """
    lows = first_starts(span, frame)
    highs = span.stops - frame.steps
    firsts: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
    counts = firsts.copy()
    for low, high in zip(lows, highs, strict=True):
        if low > high:
            continue
        between = excluded[np.searchsorted(excluded[:, 1], low) : np.searchsorted(excluded[:, 0], high, side="right")]
        first = np.maximum(np.append(low, between[:, 1] + 1), low)
        last = np.minimum(np.append(between[:, 0] - 1, high), high)
        first = low + -(-(first - low) // frame.stride) * frame.stride  # The windows keep their places around a hole.
        count = np.maximum(0, (last - first) // frame.stride + 1)
        firsts.append(first[count > 0])
        counts.append(count[count > 0])
    found = np.concatenate(firsts)
    if not len(found):
        raise _no_window(int((span.stops - lows).max(initial=0)), frame)
    return found, np.concatenate(counts)


def starts_that_touch(steps: NDArray[np.int64], first: int, last: int) -> NDArray[np.int64]:
    """Returns the starts of windows that hold one of the steps between their steps `first` and `last`.

    Args:
        steps: Steps, int64, ascending.
        first: First step of the part of a window that counts, from the window's beginning.
        last: Last step of that part.

    Returns:
        First and last start of each stretch, int64, shaped (len(steps), 2).
    """
    return np.stack([steps - last, steps - first], axis=1)


def starts_wholly_in(steps: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """Returns the starts of windows whose first `length` steps are all among `steps`, int64, shaped (stretches, 2)."""
    breaks = np.flatnonzero(np.diff(steps) > 1)
    first = steps[np.append(0, breaks + 1)] if len(steps) else steps
    last = steps[np.append(breaks, len(steps) - 1)] if len(steps) else steps
    stretches = np.stack([first, last - length + 1], axis=1)
    return stretches[stretches[:, 0] <= stretches[:, 1]]


def merged(stretches: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns stretches (first, last) ascending and apart, those that touch or overlap joined; shaped (n, 2)."""
    if not len(stretches):
        return stretches
    ordered = stretches[np.argsort(stretches[:, 0], kind="stable")]
    reached = np.maximum.accumulate(ordered[:, 1])
    opens = np.append(True, ordered[1:, 0] > reached[:-1] + 1)
    closes = np.append(opens[1:], True)
    return np.stack([ordered[opens, 0], reached[closes]], axis=1)


def _no_window(longest: int, frame: WindowFrame) -> DataError:
    needs = f"a window needs {frame.steps} steps (length {frame.length}, shift {frame.shift}, horizon {frame.horizon})"
    if longest < frame.steps:
        return DataError(f"{needs}, the longest series of the span has {longest}; give more steps or a shorter window")
    return DataError(
        f"{needs}, and every one of them lacks a value; take missing='forward' or 'mask', or a shorter window"
    )
