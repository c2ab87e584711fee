"""What requests have cost so far, to tell which are too quick to be handed to another thread."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

QUICK_SECONDS = 1e-3
"""A request below is answered where it is read. Handing one over and back takes a tenth of this, and takes the
interpreter from the others twice; answering it there keeps them waiting no longer than this. Measured on two cores with
the heartbeat model: a sixth less processor time for a request, and as many requests a second."""

_WEIGHT = 0.1
_FIXED = 2000
"""What a request costs whatever its body holds, in bytes: about as much as 2 kB of numbers."""


@dataclass(eq=False)
class RequestCosts:
    """Seconds for each byte of a body, of each model; many threads may tell it.

    Sequences differ in length by orders of magnitude, and bodies as much.
    """

    _per_byte: dict[str, float] = field(default_factory=dict[str, float])
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def observe(self, model: str, size: int, seconds: float) -> None:
        """Takes account of a request that has been answered.

        Args:
            model: Name of the model, which there is: names that clients make up would each be kept.
            size: Bytes of its body.
            seconds: Processor time that it took.
        """
        rate = seconds / (size + _FIXED)
        with self._lock:
            known = self._per_byte.get(model)
            # What got slower is believed at once: a wrong guess keeps others waiting.
            self._per_byte[model] = rate if known is None or rate > known else known + _WEIGHT * (rate - known)

    def is_quick(self, model: str, size: int) -> bool:
        """Whether a request is likely to take less than `QUICK_SECONDS`; one of a model not asked before is not."""
        rate = self._per_byte.get(model)
        return rate is not None and rate * (size + _FIXED) < QUICK_SECONDS
