"""One ONNX file in onnxruntime."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnxruntime

from seqship.errors import BundleError
from seqship.serving.server.signatures import Feed, Outputs
from seqship.serving.server.status import Code, StatusError

_LARGE = 1 << 20
"""Bytes of inputs above which a call gives back what it took: an arena keeps the most that it ever held, for ever.

Measured: a sequence of 2,000,000 steps leaves 330 MB behind, and 16 MB where it gives back; small calls are as fast.
"""

_OUT_OF_MEMORY = ("bad_alloc", "bad allocation", "Failed to allocate memory")


def open_session(model: Path, *, threads: int) -> Any:
    """Opens an ONNX file.

    Args:
        model: The file.
        threads: Threads of one call; several calls run at the same time anyway.

    Raises:
        BundleError: onnxruntime refuses it.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # Its errors are raised, and told to whoever asked.
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Threads that spin while they wait take the cores of the other calls.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(os.fspath(model), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own types derive from Exception alone.
        raise BundleError(f"{model} cannot be opened by onnxruntime: {_one_line(error)}") from error


def session_run(session: Any) -> Callable[[Feed], Outputs]:
    """Returns a function that computes all outputs of a session, by name; many threads may call it at once.

    What it returns raises StatusError where onnxruntime cannot compute them.
    """
    names = [output.name for output in session.get_outputs()]

    def run(feed: Feed) -> Outputs:
        try:
            values: list[Any] = session.run(names, dict(feed), _run_options(feed))
        except Exception as error:  # As above.
            text = _one_line(error)
            exhausted = isinstance(error, MemoryError) or any(sign in text for sign in _OUT_OF_MEMORY)
            # The types and shapes are checked before: what is left to go wrong are the values, such as an id that no
            # word has, or lengths that do not go together.
            raise StatusError(Code.RESOURCE_EXHAUSTED if exhausted else Code.INVALID_ARGUMENT, text) from error
        return dict(zip(names, values, strict=True))

    return run


def _run_options(feed: Feed) -> Any:
    if sum(array.nbytes for array in feed.values()) <= _LARGE:
        return None
    options = onnxruntime.RunOptions()
    options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    return options


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:500]
