"""A process that fails, hangs or dies costs one line."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator

import pytest

from benchmarks.child import Child, ChildError


def answering(first: int) -> Callable[[str, int], int]:
    """Runs in the process."""
    total = [first]

    def answer(what: str, number: int) -> int:
        if what == "fail":
            raise ValueError(f"no\n  {number}")
        if what == "hang":
            time.sleep(60)
        if what == "die":
            os._exit(number)
        total[0] += number
        return total[0]

    return answer


@pytest.fixture
def child() -> Generator[Child]:
    made = Child(answering, (10,))
    yield made
    made.end()


def test_it_keeps_what_it_made(child: Child) -> None:
    assert child.ask("add", 1, limit=20) == 11
    assert child.ask("add", 1, limit=20) == 12


def test_an_error_is_one_line_and_the_process_lives_on(child: Child) -> None:
    child.ask("add", 1, limit=20)
    with pytest.raises(ChildError, match=r"^ValueError: no 7$"):
        child.ask("fail", 7, limit=20)
    assert child.ask("add", 1, limit=20) == 12


def test_one_that_hangs_is_killed_and_the_next_starts_anew(child: Child) -> None:
    child.ask("add", 1, limit=20)
    with pytest.raises(ChildError, match=r"^not done after 0\.1 s$"):
        child.ask("hang", 0, limit=0.1)
    assert child.ask("add", 1, limit=20) == 11


def test_one_that_dies_says_with_what(child: Child) -> None:
    with pytest.raises(ChildError, match=r"^the process ended with code 3$"):
        child.ask("die", 3, limit=20)
