"""What is known of the versions of models: their states, and what is loaded of them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path

from seqship.errors import SeqshipError
from seqship.serving.server.servable import Servable
from seqship.serving.server.status import Code, StatusError

Load = Callable[[str, int, Path], Servable]
"""Loads a version and warms it up, given the model's name, the version and its directory."""


class State(IntEnum):
    """`ModelVersionStatus.State`."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclass(frozen=True)
class LifecycleSettings:
    """How versions come and go; the defaults are TensorFlow Serving's.

    Attributes:
        poll_seconds: Time between two looks at the base paths; 0 looks once.
        max_num_load_retries: How often a version that failed is tried again.
        load_retry_interval_seconds: Time between two tries.
        allow_labels_for_unavailable: Whether a new label may name a version that is not loaded yet.
        load_threads: How many versions are loaded at the same time.
        settle_seconds: For how long nothing may have changed in a version without a manifest, where it is looked for
            more than once.
    """

    poll_seconds: float = 1
    max_num_load_retries: int = 5
    load_retry_interval_seconds: float = 60
    allow_labels_for_unavailable: bool = False
    load_threads: int = 1
    settle_seconds: float = 2


@dataclass(frozen=True)
class VersionStatus:
    """What is known of one version.

    Attributes:
        version: Its number.
        state: Where it is in its life.
        error: Why it could not be loaded; None where nothing went wrong.
    """

    version: int
    state: State
    error: StatusError | None


@dataclass(eq=False)
class Version:
    """One version; what changes is guarded by the lock of the models.

    Attributes:
        number: Its number.
        path: Its directory.
        seen: Fingerprint of the directory when it was found.
        state: Where it is in its life.
        error: Why it could not be loaded.
        servable: What is loaded, from AVAILABLE until it is unloaded.
        users: How many requests are under way on it.
        wanted: Whether the policy wants it.
        hurry: Ends the wait for another try.
    """

    number: int
    path: Path
    seen: tuple[int, ...]
    state: State = State.START
    error: StatusError | None = None
    servable: Servable | None = None
    users: int = 0
    wanted: bool = True
    hurry: threading.Event = field(default_factory=threading.Event)


def load_error(error: Exception) -> StatusError:
    """Returns the status of a version that could not be loaded."""
    if isinstance(error, StatusError):
        # A new one: the old one's traceback would keep what was loaded for as long as the status is kept.
        return StatusError(error.code, error.message)
    text = " ".join(str(error).split())[:500]
    if isinstance(error, SeqshipError):
        return StatusError(Code.FAILED_PRECONDITION, text)
    return StatusError(Code.INTERNAL, f"{type(error).__name__}: {text}")
