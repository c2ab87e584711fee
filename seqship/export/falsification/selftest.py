"""The test of the proof: every wrong export convicted, no right one."""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import os
import signal
from collections.abc import Callable, Generator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import resource_tracker
from typing import Any

from seqship.errors import ModelError
from seqship.export.falsification.convictions import Conviction, SubjectVerdict, falsify_subject
from seqship.export.falsification.falsifications import FALSIFICATIONS
from seqship.export.falsification.right_exports import RightVerdict, check_right_export
from seqship.export.falsification.subjects import SUBJECTS
from seqship.progress import Progress, silent

RIGHT_EXPORTS = 300
QUICK_RIGHT_EXPORTS = 20
_CHUNK = 5
"""Right exports to a task."""
_MOST_PROCESSES = 4
"""Each has a TensorFlow of its own, which keeps half a megabyte of every architecture for good."""


@dataclass(frozen=True)
class SelfTest:
    """What was found; true where every wrong export is convicted and no right one.

    Attributes:
        subjects: The right models, and what became of the wrong exports made of them.
        right: The right exports that were drawn.
    """

    subjects: tuple[SubjectVerdict, ...]
    right: tuple[RightVerdict, ...]

    def __bool__(self) -> bool:
        wrong = self.falsifications
        right = all(one.passed for one in self.subjects)
        return right and bool(wrong) and all(one.convicted for one in wrong) and not self.false_alarms

    @property
    def falsifications(self) -> tuple[Conviction, ...]:
        """What became of every wrong export."""
        return tuple(one for subject in self.subjects for one in subject.convictions)

    @property
    def false_alarms(self) -> tuple[RightVerdict, ...]:
        """Right exports that were convicted."""
        return tuple(one for one in self.right if not one.passed)

    @property
    def nearest(self) -> RightVerdict | None:
        """The right export that is nearest to its limit, or furthest beyond it."""
        return max(self.right, key=lambda one: one.times, default=None)

    def to_json(self) -> dict[str, Any]:
        """Returns the JSON form; a number that JSON lacks is the string "Infinity"."""
        return {
            "falsifications": [
                {
                    "name": one.name,
                    "subject": one.subject,
                    "convicted": one.convicted,
                    "case": one.case,
                    "times": _number(one.times),
                }
                for one in self.falsifications
            ],
            "subjects": [
                {"name": one.subject, "passed": one.passed, "case": one.case, "times": _number(one.times)}
                for one in self.subjects
            ],
            "false_alarms": len(self.false_alarms),
            "right_exports": len(self.right),
            "nearest": None if self.nearest is None else _right_row(self.nearest),
            "alarms": [_right_row(one) for one in self.false_alarms],
        }


def selftest(
    *,
    right_exports: int = RIGHT_EXPORTS,
    seed: int = 0,
    processes: int | None = None,
    prepare: Callable[[], None] | None = None,
    progress: Progress = silent,
) -> SelfTest:
    """Has the proof judge every wrong export, and right ones drawn at random.

    Args:
        right_exports: Number of right exports to draw.
        seed: Seed of the weights, of the cases, and of what is drawn.
        processes: Number of processes; that of the cores, four at most, if left out.
        prepare: Called first in every process, before TensorFlow is imported.
        progress: Told how far it is.

    Raises:
        ModelError: The seed is negative, or a model cannot be exported.
    """
    if seed < 0:
        raise ModelError(f"the seed must be 0 or more, got {seed}")
    chunks = [range(start, min(start + _CHUNK, right_exports)) for start in range(0, right_exports, _CHUNK)]
    pool = ProcessPoolExecutor(
        processes or min(os.cpu_count() or 1, _MOST_PROCESSES),
        mp_context=multiprocessing.get_context("spawn"),
        initializer=prepare,
    )
    try:
        # Those with most faults first: what is left at the end is short.
        counts = {one.name: sum(fault.subject == one.name for fault in FALSIFICATIONS) for one in SUBJECTS}
        with _without_interrupts():
            wrong = {
                subject.name: pool.submit(falsify_subject, subject, seed=seed)
                for subject in sorted(SUBJECTS, key=lambda subject: -counts[subject.name])
            }
            right = [pool.submit(_check_chunk, chunk, seed=seed) for chunk in chunks]
        sizes: dict[Future[Any], int] = {future: counts[name] for name, future in wrong.items()}
        sizes |= {future: len(chunk) for future, chunk in zip(right, chunks, strict=True)}
        done = 0
        progress("testing the proof", done, sum(sizes.values()))
        for future in as_completed(sizes):
            future.result()
            done += sizes[future]
            progress("testing the proof", done, sum(sizes.values()))
    except BaseException:  # An interrupt above all: none of the processes is to go on.
        pool.shutdown(wait=False, cancel_futures=True)
        for child in multiprocessing.active_children():
            child.terminate()
        raise
    pool.shutdown()
    return SelfTest(
        tuple(wrong[subject.name].result() for subject in SUBJECTS),
        tuple(one for future in right for one in future.result()),
    )


@contextlib.contextmanager
def _without_interrupts() -> Generator[None]:
    """Holds interrupts back, for good in the processes that are started here.

    A terminal interrupts all processes at once. The first one ends the others, which have nothing to say of it.
    """
    resource_tracker.ensure_running()  # Starting it lets interrupts through again.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _check_chunk(numbers: range, *, seed: int) -> tuple[RightVerdict, ...]:
    return tuple(check_right_export(number, seed=seed) for number in numbers)


def _right_row(one: RightVerdict) -> dict[str, Any]:
    return {"number": one.number, "architecture": one.architecture, "case": one.case, "times": _number(one.times)}


def _number(value: float) -> float | str:
    return value if math.isfinite(value) else "Infinity"
