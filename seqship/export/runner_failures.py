"""What a runtime says of inputs that it fails on, as one error."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Mapping
from typing import Any

from seqship.errors import ModelError


@contextlib.contextmanager
def failures_told(what: str, feed: Mapping[str, Any]) -> Generator[None]:
    """Makes a ModelError of what a runtime says of inputs that it fails on.

    Args:
        what: What is run, in words.
        feed: The inputs.
    """
    try:
        yield
    except ModelError:
        raise
    except Exception as error:  # onnxruntime's own types derive from Exception alone, TensorFlow's are many.
        shapes = ", ".join(f"{name} {list(value.shape)}" for name, value in feed.items())
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = next((line for line in reversed(lines) if not line.startswith("[[")), type(error).__name__)
        raise ModelError(f"{what} cannot be run on {shapes}: {reason[:200]}") from error


def run_or_say(runner: Callable[[Any], dict[str, Any]], feed: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Returns what a runtime gives, and why it gives nothing where it fails.

    Args:
        runner: The runtime.
        feed: The inputs.
    """
    try:
        return runner(feed), ""
    except ModelError as error:
        return {}, str(error)
