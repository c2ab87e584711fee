"""Ctrl-C that is not lost: some libraries catch the KeyboardInterrupt that a signal raises within them."""

from __future__ import annotations

import signal
import threading
from types import FrameType

_asked = threading.Event()


def watch() -> None:
    """Remembers that the user asked to stop, beside raising KeyboardInterrupt as Python does."""

    def remember(number: int, frame: FrameType | None) -> None:
        _asked.set()
        signal.default_int_handler(number, frame)

    signal.signal(signal.SIGINT, remember)


def asked() -> bool:
    """Whether the user asked to stop and nothing has stopped yet."""
    return _asked.is_set()


def check() -> None:
    """Raises KeyboardInterrupt once the user asked to stop; called between the steps of long work."""
    if _asked.is_set():
        _asked.clear()
        raise KeyboardInterrupt
