"""A quick check has every condition once, and little else."""

from __future__ import annotations

import numpy as np

from seqship.export.cases import grid, make_feed
from seqship.export.quick_cases import quick_cases
from seqship.export.recording import RecordedCase
from seqship.pipelines.spec import Field

SIGNAL = Field("signal", "float32", ("batch", "time", 2), pad_value=-1.0)


def test_every_condition_is_in_a_case_and_few_are_taken() -> None:
    cases = grid([SIGNAL], lengths=np.random.default_rng(0).integers(20, 401, 3000))
    recorded = tuple(RecordedCase(case.name, make_feed(case, [SIGNAL], seed=0), {}) for case in cases)
    chosen = quick_cases(recorded)
    assert len(chosen) < len(recorded) / 3
    assert chosen == quick_cases(recorded[::-1])

    def conditions(of: tuple[RecordedCase, ...]) -> set[str]:
        return {part for case in of for part in case.case.split()}

    longest = max(case.time for case in cases)
    times = {f"time={time}" for time in {case.time for case in cases} - {1, 2, 3, longest}}
    assert conditions(recorded) - times == conditions(chosen) - times
    assert {"time=1", "time=2", "time=3", f"time={longest}"} < conditions(chosen)


def test_of_one_case_that_one() -> None:
    only = RecordedCase("batch=1 time=9 mask=full", {"signal": np.zeros((1, 9, 2))}, {})
    assert quick_cases([only]) == (only,)
    assert quick_cases([]) == ()


def test_one_part_of_a_vocabulary_stands_for_all() -> None:
    tokens = np.ones((4, 8), np.int32)
    parts = [
        RecordedCase(f"batch=4 time=8 mask=full values=vocabulary-{part}/3", {"x": tokens}, {}) for part in (1, 2, 3)
    ]
    assert quick_cases(parts) == (parts[0],)
