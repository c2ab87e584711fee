"""Writes every model in every form, before anything is timed."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from benchmarks.architectures import Architecture, Version
from benchmarks.child import Child, ChildError
from benchmarks.forms import FORMS, KERAS_EXPORT, Written, writer

Models = Sequence[tuple[Architecture, Version]]
Files = dict[str, Written | str]
"""What was written of a model, by form; a text says why there is nothing."""
LIMIT, PROCESSES = 120.0, 2
"""Seconds that one export may take, and how many run at a time."""


def write_all(models: Models, folder: str) -> list[Files]:
    """Writes the models; a form that fails or takes too long costs no other."""
    files: list[Files] = [{} for _ in models]
    with ThreadPoolExecutor(PROCESSES) as pool:
        for start in range(PROCESSES):
            pool.submit(_write, models[start::PROCESSES], files[start::PROCESSES], folder)
    return files


def _write(models: Models, files: Sequence[Files], folder: str) -> None:
    child = Child(writer)
    for (architecture, version), made in zip(models, files, strict=True):
        for form in FORMS:
            if form == KERAS_EXPORT and version == 2:
                made[form] = "n/a"
                continue
            try:
                made[form] = child.ask(architecture.name, version, form, folder, limit=LIMIT)
            except ChildError as error:
                made[form] = str(error)
    child.end()
