"""Keeps the loggers of libraries from saying what is checked, and reported in one line, afterwards."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Generator

_quieting = threading.Lock()
_quieted: dict[str, tuple[int, int]] = {}  # number of blocks that keep a logger quiet, and its level before them


@contextlib.contextmanager
def quiet(*names: str) -> Generator[None]:
    """Keeps loggers quiet for as long as the block runs.

    Several exports may run at once: the last one out gives a logger its level back.
    """
    with _quieting:
        for name in names:
            users, level = _quieted.get(name, (0, logging.getLogger(name).level))
            _quieted[name] = users + 1, level
            logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        with _quieting:
            for name in names:
                users, level = _quieted.pop(name)
                if users > 1:
                    _quieted[name] = users - 1, level
                else:
                    logging.getLogger(name).setLevel(level)
