"""How long a call may take, and when it is tried again."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from seqship.errors import UnavailableError

Answer = TypeVar("Answer")

FIRST_PAUSE = 0.1
"""Seconds before the second try; each further pause is twice as long."""
LONGEST_PAUSE = 5.0


@dataclass(frozen=True)
class Deadline:
    """When a call ends at the latest.

    Attributes:
        seconds: How long it may take.
        end: When it ends, on `time.monotonic`'s clock.
    """

    seconds: float
    end: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """Returns the deadline of a call that begins now."""
        return cls(seconds, time.monotonic() + seconds)

    @property
    def left(self) -> float:
        """Seconds that are left, 0 where there are none."""
        return max(self.end - time.monotonic(), 0.0)


def with_retries(ask: Callable[[], Answer], *, retries: int, deadline: Deadline) -> Answer:
    """Asks, and asks again where the server could not be reached or had no room.

    Between two tries lies an exponential pause, a random part of it, so that clients that failed together do not come
    back together; or as long as the server asks for. A pause that the deadline does not allow is not begun.

    Args:
        ask: The call, which may be made twice.
        retries: How often it is made again, at most.
        deadline: When all of it ends.

    Raises:
        UnavailableError: It was in vain every time; the last error.
    """
    pause = FIRST_PAUSE
    for _ in range(retries):
        try:
            return ask()
        except UnavailableError as error:
            wait = max(pause * random.uniform(0.5, 1.0), error.retry_after or 0.0)
            if wait >= deadline.left:
                raise
        time.sleep(wait)
        pause = min(2 * pause, LONGEST_PAUSE)
    return ask()
