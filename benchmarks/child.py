"""A process that answers requests, each within a time limit."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

Answer = Callable[..., Any]


class ChildError(Exception):
    """A request failed, in one line: the error's type and text, the time limit, or how the process ended."""


@dataclass(eq=False)
class Child:
    """A process of its own, started at the first request and again after it was lost.

    Attributes:
        start: Runs in the process, once; what it returns answers the requests. Found by name there, like any pickle.
        arguments: What `start` is called with.
    """

    start: Callable[..., Answer]
    arguments: tuple[Any, ...] = ()
    _process: Any = None
    _connection: Any = None

    def ask(self, *request: Any, limit: float) -> Any:
        """Returns the answer.

        Args:
            request: Arguments of the function that answers.
            limit: Seconds to wait; the process is killed after them.

        Raises:
            ChildError: The request failed, or took too long.
        """
        if self._process is None:
            context = multiprocessing.get_context("spawn")
            self._connection, theirs = context.Pipe()
            self._process = context.Process(target=_answer, args=(theirs, self.start, self.arguments), daemon=True)
            self._process.start()
            theirs.close()
        try:
            self._connection.send(request)
            if not self._connection.poll(limit):
                self.end()
                raise ChildError(f"not done after {limit:g} s")
            done, value = self._connection.recv()
        except (EOFError, OSError):
            self._process.join(5)
            code = self._process.exitcode
            self.end()
            raise ChildError(f"the process ended with code {code}") from None
        if not done:
            raise ChildError(value)
        return value

    def end(self) -> None:
        """Ends the process."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._connection.close()
            self._process = None


def _answer(connection: Connection, start: Callable[..., Answer], arguments: tuple[Any, ...]) -> None:
    os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", "KERAS_BACKEND": "tensorflow"}
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123  (no path: the chatter of TensorFlow and tf2onnx)
        os.dup2(nowhere.fileno(), sys.__stdout__.fileno() if sys.__stdout__ else 1)
        os.dup2(nowhere.fileno(), sys.__stderr__.fileno() if sys.__stderr__ else 2)
    answer: Answer | None = None
    with contextlib.suppress(EOFError, KeyboardInterrupt):
        while True:
            request = connection.recv()
            try:
                answer = answer or start(*arguments)
                connection.send((True, answer(*request)))
            except Exception as error:  # Whatever it is, it is a result.
                text = " ".join(str(error).split())
                connection.send((False, f"{type(error).__name__}: {text[:300]}"))
