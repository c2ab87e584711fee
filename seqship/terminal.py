"""What the command line shows: a progress bar on standard error, short tables on standard output."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import warnings
from collections.abc import Generator, Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from seqship import interrupt
from seqship.progress import Progress as Report

_SEPARATOR = "  "
"""Behind it a label holds figures that change while the work stays the same."""


@contextlib.contextmanager
def progress_bar() -> Generator[Report]:
    """Yields a function that shows how far work is; silent where standard error is no terminal."""
    shown = sys.stderr.isatty()
    console = Console(stderr=True, highlight=False)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not shown) as bar:
        current: list[tuple[str, TaskID]] = []

        def report(what: str, done: int, total: int) -> None:
            interrupt.check()
            name = what.partition(_SEPARATOR)[0]
            if current and current[0][0] != name:
                bar.remove_task(current.pop()[1])
            if not current:
                current.append((name, bar.add_task(what, total=total)))
            bar.update(current[0][1], description=what, completed=done, total=total)
            if shown and done == total and "val_loss" in what:
                bar.console.print(what)

        yield report


def table(rows: Sequence[tuple[str, str]]) -> None:
    """Prints labelled lines to standard output."""
    width = max(len(label) for label, _ in rows)
    for label, text in rows:
        print(f"{label:<{width}}  {text}")


def quiet_tensorflow() -> None:
    """Imports TensorFlow without what it says of itself on the way.

    Its libraries write to the file descriptor before any log level holds. What they wrote is shown if the import fails.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    warnings.simplefilter("ignore")
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)
        try:
            import tensorflow as tf

            tf.get_logger().setLevel("ERROR")
            tf.constant(0)  # The devices speak when they are first used.
            import tf_keras  # pyright: ignore[reportUnusedImport]  # noqa: F401  (says something, too)
        except Exception:
            said.seek(0)
            os.write(kept, said.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
