"""The worker processes of the local runner, which end with the run that they belong to.

Beam's own (apache_beam 2.77 `runners/portability/local_job_service.py`) end the work that they have begun before they
heed an interrupt, live on for a while where the run was killed, and are waited for without end where one died.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shlex
import signal
import sys
import tempfile
import threading
from collections.abc import Generator
from pathlib import Path
from types import FrameType

from seqship import interrupt
from seqship.serving.scoring.failures import WORKER_DIED, PipelineError

GRACE = 10.0
"""Seconds that a run may go on for once a worker is gone: at its end workers go, and some of them badly."""

_THREAD = "run_worker"
"""Name of the threads that wait for the processes (apache_beam `runners/portability/fn_api_runner`)."""


def worker_command(lock: Path) -> str:
    """Returns the command line of a worker, which ends once the lock is free: when the run says so, or is no more."""
    return f"exec {shlex.quote(sys.executable)} -m {__name__} {shlex.quote(str(lock))}"


@contextlib.contextmanager
def local_workers() -> Generator[Path]:
    """Yields the lock of the workers that the block starts, held as long as they are to live.

    In another thread than the main one, interrupts are not heard, and dead workers not seen.

    Raises:
        PipelineError: A worker died, and the block went on waiting.
    """
    with tempfile.TemporaryDirectory(prefix="seqship-") as folder:
        path = Path(folder, "workers")
        with path.open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if threading.current_thread() is threading.main_thread():
                with _watched(lock.fileno()):
                    yield path
            else:
                yield path


@contextlib.contextmanager
def _watched(lock: int) -> Generator[None]:
    done, main = threading.Event(), threading.get_ident()
    died: list[BaseException | None] = []
    hook_before, handler_before = threading.excepthook, signal.getsignal(signal.SIGINT)

    def give_up(reason: BaseException | None) -> None:
        if not done.is_set():
            died.append(reason)
            signal.pthread_kill(main, signal.SIGINT)  # A signal, since nothing else wakes a thread that waits.

    def note(arguments: threading.ExceptHookArgs) -> None:
        if arguments.thread is None or arguments.thread.name != _THREAD:
            hook_before(arguments)
            return
        timer = threading.Timer(GRACE, give_up, [arguments.exc_value])
        timer.daemon = True
        timer.start()

    def stop(number: int, frame: FrameType | None) -> None:
        fcntl.flock(lock, fcntl.LOCK_UN)  # First of all: the runner waits for its workers on the way out.
        if callable(handler_before):
            handler_before(number, frame)

    threading.excepthook = note
    if callable(handler_before):
        signal.signal(signal.SIGINT, stop)
    try:
        yield
    except KeyboardInterrupt:
        if not died:
            raise
        with contextlib.suppress(KeyboardInterrupt):
            interrupt.check()  # Nobody pressed Ctrl-C.
        raise PipelineError(WORKER_DIED) from died[0]
    finally:
        done.set()
        threading.excepthook = hook_before
        if callable(handler_before):
            signal.signal(signal.SIGINT, handler_before)


def _end_with_the_run(lock: str) -> None:
    with contextlib.suppress(OSError), Path(lock).open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
    os._exit(0)


def _work() -> None:
    """Is a worker."""
    from apache_beam.runners.worker import sdk_worker_main  # pyright: ignore[reportMissingImports]

    threading.Thread(target=_end_with_the_run, args=[sys.argv[1]], daemon=True).start()
    sdk_worker_main.main(sys.argv[:1])


if __name__ == "__main__":
    _work()
