"""A few of a bundle's cases that have each of their conditions once: what a check of seconds has time for."""

from __future__ import annotations

import re
from collections.abc import Sequence

from seqship.export.recording import RecordedCase

_SHORTEST = 3


def quick_cases(recorded: Sequence[RecordedCase]) -> tuple[RecordedCase, ...]:
    """Returns cases in which every batch size, mask, state and kind of values occurs, small ones first.

    Not every pair of them, as in all cases together; of the lengths the shortest three and the longest.

    Args:
        recorded: The cases.
    """
    chosen: list[RecordedCase] = []
    times = sorted({_time(case) for case in recorded})
    seen = {f"time={time}" for time in times[_SHORTEST:-1]}
    for case in sorted(recorded, key=lambda one: (_numbers(one), one.case)):
        # One part of a vocabulary stands for all.
        if new := {re.sub(r"-\d+/\d+$", "", part) for part in case.case.split()} - seen:
            seen |= new
            chosen.append(case)
    return tuple(chosen)


def _time(case: RecordedCase) -> int:
    return next(int(part.removeprefix("time=")) for part in case.case.split() if part.startswith("time="))


def _numbers(case: RecordedCase) -> int:
    return sum(value.size for value in case.feed.values())
