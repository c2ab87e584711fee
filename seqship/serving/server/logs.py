"""What a server says while it works: one line each, plain or JSON, on standard error."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Literal

LOGGER = "seqship.serving.server"


def start_logging(form: Literal["plain", "json"]) -> None:
    """Sends the server's log to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if form == "json" else _Plain())
    logger = logging.getLogger(LOGGER)
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False
    # What uvicorn warns of is part of the log, in its form.
    http = logging.getLogger("uvicorn.error")
    http.handlers = [handler]
    http.setLevel(logging.WARNING)
    http.propagate = False


class _Plain(logging.Formatter):
    """As TensorFlow Serving's: time, a letter for the level, and the text."""

    def format(self, record: logging.LogRecord) -> str:
        return f"{_time(record):%Y-%m-%d %H:%M:%S.%f}: {record.levelname[0]} {_text(self, record)}"


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": _time(record).isoformat(),
            "level": record.levelname.lower(),
            "thread": record.threadName,
            "message": _text(self, record),
        }
        return json.dumps(entry, ensure_ascii=False)


def _time(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)


def _text(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    text = record.getMessage()
    return f"{text}\n{formatter.formatException(record.exc_info)}" if record.exc_info else text
