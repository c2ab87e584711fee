"""A pipeline that failed, in one line."""

from __future__ import annotations

import contextlib
from collections.abc import Generator

from seqship.errors import SeqshipError


class PipelineError(SeqshipError):
    """A pipeline of Apache Beam failed."""

    exit_code = 1


WORKER_DIED = "a worker of the pipeline died, and nothing was written; where memory was short, use fewer workers"
_LOST = "Channel closed prematurely"
"""What the local runner says when it was about to ask a worker that is gone."""


@contextlib.contextmanager
def pipeline_failures() -> Generator[None]:
    """Turns whatever a runner raises into one line.

    Raises:
        PipelineError: Anything was raised within the block; its cause has the whole story.
    """
    try:
        yield
    except SeqshipError:
        raise
    except Exception as error:  # Each runner has types of its own, and some hand on the text of a traceback alone.
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = lines[-1] if lines else type(error).__name__
        if _LOST in reason:
            raise PipelineError(WORKER_DIED) from error
        raise PipelineError(f"the pipeline failed: {reason[:500]}; --verbose shows Beam's log") from error
