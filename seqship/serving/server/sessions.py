"""Streaming sessions: the server keeps a stateful model's states between the chunks of one stream.

TensorFlow Serving has none; its way is the signature `stream`, where the client hands every state back. A session does
that within the server. The client names it, and counts its chunks, in a header of REST or metadata of gRPC:

    x-seqship-session: ward-3/bed-2; chunk=0

Chunk 0 begins with zeros. A chunk that is sent again, since its answer was lost, is computed again from the states that
it began with: retries are safe. `; end` gives the states back once the chunk is answered.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqship.pipelines.spec import STATE_OUT, Field
from seqship.serving.server.feeds import batch_size
from seqship.serving.server.signatures import Feed, Outputs, Signature
from seqship.serving.server.status import Code, StatusError, invalid_argument
from seqship.wire.signature_names import PREDICT, STREAM

SESSION_HEADER = "x-seqship-session"

States = Mapping[str, NDArray[Any]]
"""By the names under which they come in."""

_FORM = re.compile(r"\s*(?P<id>[^\s;,]{1,128})\s*;\s*chunk\s*=\s*(?P<chunk>[0-9]{1,15})\s*(?P<end>;\s*end\s*)?")


@dataclass(frozen=True)
class Chunk:
    """Which part of which stream a request is.

    Attributes:
        session: What the client calls the session; whoever knows it can go on with it.
        number: How many chunks of the session came before.
        ends: Whether it is the last one.
    """

    session: str
    number: int
    ends: bool = False


@dataclass(frozen=True)
class SessionSettings:
    """How many sessions there may be.

    Attributes:
        most: Most sessions of all models together; 0 for none.
        idle_seconds: After which an unused session is forgotten.
        most_bytes: Most bytes that the states of all sessions may take.
    """

    most: int = 0
    idle_seconds: float = 300
    most_bytes: int = 1 << 28


@dataclass(eq=False)
class _Session:
    version: int
    rows: int
    before: States
    """What the last chunk began with."""
    after: States
    """What it left."""
    size: int
    used: float
    chunks: int = 0
    busy: bool = False


def parse_chunk(text: str) -> Chunk:
    """Reads the header.

    Raises:
        StatusError: It has another form.
    """
    found = _FORM.fullmatch(text)
    if found is None:
        raise invalid_argument(
            f"{SESSION_HEADER} takes 'NAME; chunk=N' or 'NAME; chunk=N; end', a name without spaces of at most 128 "
            f"characters and N counting from 0; got {text[:200]!r}"
        )
    return Chunk(found["id"], int(found["chunk"]), found["end"] is not None)


class Sessions:
    """The sessions of a server; many threads may use it."""

    def __init__(self, settings: SessionSettings, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Begins without a session.

        Args:
            settings: How many there may be.
            clock: Seconds that only grow.
        """
        self._settings, self._clock = settings, clock
        self._sessions: dict[tuple[str, str], _Session] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        with self._lock:
            self._forget_idle()
            return len(self._sessions)

    def version_of(self, model: str, chunk: Chunk) -> int | None:
        """Returns the version that a session stays with; None where it begins, or nothing is known of it."""
        if chunk.number == 0:
            return None
        with self._lock:
            found = self._sessions.get((model, chunk.session))
            return None if found is None else found.version

    def lost_version(self, model: str, chunk: Chunk, version: int) -> StatusError:
        """Forgets a session whose version is served no more, and returns what its client is told."""
        with self._lock:
            self._sessions.pop((model, chunk.session), None)
        return StatusError(
            Code.FAILED_PRECONDITION,
            f"Streaming session {chunk.session} began on version {version} of model {model}, which is not served any "
            "more; begin again with chunk=0",
        )

    def signature(self, model: str, version: int, signatures: Mapping[str, Signature], chunk: Chunk) -> Signature:
        """Returns what a chunk calls: the signature `stream` without its states, which the session has.

        Raises:
            StatusError: The server keeps no sessions, or the model has no states.
        """
        if not self._settings.most:
            raise StatusError(
                Code.FAILED_PRECONDITION,
                "This server keeps no streaming sessions; start it with --max_streaming_sessions=N, or send the states "
                f"yourself with the signature {STREAM}",
            )
        stream = signatures.get(STREAM)
        if stream is None:
            raise StatusError(
                Code.FAILED_PRECONDITION,
                f"Model {model} has no signature {STREAM}: it keeps no state between chunks; ask without a session",
            )
        inputs = tuple(one for one in stream.inputs if not one.is_state)
        outputs = tuple(one for one in stream.outputs if not one.is_state)
        states = tuple(one for one in stream.inputs if one.is_state)
        plain = Signature(STREAM, PREDICT, inputs, outputs, stream.run, stream.unchecked)

        def run(feed: Feed, deadline: float | None) -> Outputs:
            rows = batch_size(plain, feed) or 1
            session = self._enter(model, version, chunk, rows, states)
            try:
                began = session.after if chunk.number == session.chunks else session.before
                made = stream.run({**feed, **began}, deadline)
                self._advance(session, chunk, began, {one.name: made[one.name + STATE_OUT] for one in states})
            except BaseException:
                self._leave(model, session, chunk, failed=True)
                raise
            self._leave(model, session, chunk, failed=False)
            return {one.name: made[one.name] for one in outputs}

        return Signature(STREAM, PREDICT, inputs, outputs, run, stream.unchecked)

    def _enter(self, model: str, version: int, chunk: Chunk, rows: int, states: tuple[Field, ...]) -> _Session:
        name = f"Streaming session {chunk.session}"
        with self._lock:
            self._forget_idle()
            found = self._sessions.get((model, chunk.session))
            if found is not None and found.busy:
                raise StatusError(Code.ABORTED, f"{name} is at work on another chunk; send one at a time")
            if chunk.number == 0:
                found = self._begin(model, version, chunk, rows, states)
            if found is None:
                raise StatusError(
                    Code.FAILED_PRECONDITION,
                    f"{name} of model {model} is not known: it has ended, never began, or was idle for more than "
                    f"{self._settings.idle_seconds:g} s; begin again with chunk=0",
                )
            if found.version != version:
                raise StatusError(
                    Code.FAILED_PRECONDITION,
                    f"{name} began on version {found.version} of model {model}, the request names version {version}; "
                    "leave the version out, or begin again with chunk=0",
                )
            if found.rows != rows:
                raise invalid_argument(f"{name} has {found.rows} rows, the chunk has {rows}; send one for each.")
            if chunk.number not in (found.chunks, found.chunks - 1):
                raise StatusError(
                    Code.FAILED_PRECONDITION,
                    f"{name} has had {found.chunks} chunks, so that chunk={found.chunks} is next; got "
                    f"chunk={chunk.number}",
                )
            found.busy = True
            return found

    def _begin(self, model: str, version: int, chunk: Chunk, rows: int, states: tuple[Field, ...]) -> _Session:
        key = (model, chunk.session)
        if key not in self._sessions and len(self._sessions) >= self._settings.most:
            raise StatusError(
                Code.RESOURCE_EXHAUSTED,
                f"{len(self._sessions)} streaming sessions are open, the most this server keeps; end one, or raise "
                "--max_streaming_sessions",
            )
        self._sessions.pop(key, None)
        zeros = {one.name: np.zeros((rows, *map(int, one.shape[1:])), one.dtype) for one in states}
        size = 2 * sum(array.nbytes for array in zeros.values())  # What a chunk begins with, and what it leaves.
        taken = size + sum(one.size for one in self._sessions.values())
        if taken > self._settings.most_bytes:
            raise StatusError(
                Code.RESOURCE_EXHAUSTED,
                f"The states of all streaming sessions would take {taken} bytes, more than "
                f"--max_streaming_state_bytes={self._settings.most_bytes}; end one, or send fewer rows",
            )
        session = _Session(version, rows, zeros, zeros, size, self._clock())
        self._sessions[key] = session
        return session

    def _advance(self, session: _Session, chunk: Chunk, began: States, left: States) -> None:
        with self._lock:
            session.before, session.after = began, left
            session.chunks = chunk.number + 1

    def _leave(self, model: str, session: _Session, chunk: Chunk, *, failed: bool) -> None:
        with self._lock:
            session.busy, session.used = False, self._clock()
            over = chunk.ends if not failed else session.chunks == 0  # What never began is not kept.
            key = (model, chunk.session)
            if self._sessions.get(key) is session:
                del self._sessions[key]
                if not over:
                    self._sessions[key] = session  # The one used last stands last.

    def _forget_idle(self) -> None:
        last = self._clock() - self._settings.idle_seconds
        idle = takewhile(lambda item: item[1].used < last, self._sessions.items())
        for key in [key for key, one in idle if not one.busy]:
            del self._sessions[key]
