"""Time of one call: seqship, stock tf2onnx, Keras' own export and the SavedModel, each in a process of its own.

The processes are asked in turn, round by round, so that a machine that slows down slows all of them; every second round
asks them in the opposite order, and the processors rest in between. A ratio is taken
within each round: the median of the other runtime's calls by the median of seqship's; its median over the rounds is
quoted, with the middle half of the rounds as its spread. seqship's file runs in a second process too: what that one
differs by is the noise. Inputs are ready before a call is timed, the outputs are compared first.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from benchmarks.architectures import Architecture, Version
from benchmarks.child import Child, ChildError
from benchmarks.forms import KERAS, KERAS_EXPORT, SAVED_MODEL, SEQSHIP, STOCK, Written
from benchmarks.ratio import Ratio, ratio_of
from benchmarks.runtimes import runtime
from benchmarks.writing import Files, Models, write_all
from seqship.export.tolerance import FLOAT32

AGAIN = "seqship again"
CALL_LIMIT = 60.0
"""Seconds that one round of calls may take."""
CELL_SECONDS, FEWEST_ROUNDS = 3.0, 4
REST = 0.04
"""Seconds between two runtimes: for 30 ms after its last call, onnxruntime's threads spin and hold a processor."""

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Effort:
    """How much is measured.

    Attributes:
        batches: Batch sizes.
        rounds: Rounds, fewer where they take longer than `CELL_SECONDS`.
        seconds: Length of one round of one runtime.
        threads: Threads of every runtime.
        keras: Whether the model itself, in a `tf.function`, is measured too.
    """

    batches: tuple[int, ...] = (1, 8, 32, 128)
    rounds: int = 6
    seconds: float = 0.04
    threads: int = 2
    keras: bool = False


@dataclass(frozen=True)
class Row:
    """One model at one batch size.

    Attributes:
        model: Name of the architecture.
        keras: 2 for tf-keras, 3 for Keras 3.
        batch: Rows.
        steps: Length of every row.
        stock_loops: Loop and Scan nodes of the stock file; None where there is no such file.
        slow_in_tensorflow: Whether it is masked or has a GRU or SimpleRNN.
        rounds: Rounds that were measured.
        median_ms: Milliseconds of a call, by runtime.
        ratio: Ratio to seqship, by runtime; `AGAIN` is the noise.
        difference: Largest difference of an output element from seqship's, by runtime.
        errors: Why there is no figure, by runtime.
    """

    model: str
    keras: Version
    batch: int
    steps: int
    stock_loops: int | None
    slow_in_tensorflow: bool
    rounds: int
    median_ms: dict[str, float]
    ratio: dict[str, Ratio]
    difference: dict[str, float]
    errors: dict[str, str] = field(default_factory=dict[str, str])

    def to_json(self) -> dict[str, Any]:
        """Returns the JSON form."""
        return asdict(self)


def measure(models: Models, effort: Effort, folder: str, tell: Tell) -> list[Row]:
    """Writes every model in every form, then times them.

    Args:
        models: What to measure.
        effort: How much.
        folder: An empty folder for the files.
        tell: Is told how far the work is.
    """
    tell(f"writing {len(models)} models in every form")
    files = write_all(models, folder)
    forms = (SEQSHIP, AGAIN, STOCK, KERAS_EXPORT, SAVED_MODEL, *([KERAS] if effort.keras else []))
    children = {form: Child(runtime, (form, effort.threads)) for form in forms}
    rows: list[Row] = []
    try:
        for (architecture, version), made in zip(models, files, strict=True):
            tell(f"timing {architecture.name}, Keras {version}")
            opened, errors = _open(children, architecture, version, made)
            stock = made[STOCK]
            loops = stock.loops if isinstance(stock, Written) else None
            rows += [
                _cell(opened, architecture, version, batch, effort, loops, dict(errors)) for batch in effort.batches
            ]
    finally:
        for child in children.values():
            child.end()
    return rows


def _open(
    children: dict[str, Child], architecture: Architecture, version: Version, made: Files
) -> tuple[dict[str, Child], dict[str, str]]:
    opened: dict[str, Child] = {}
    errors: dict[str, str] = {}
    paths = made | {AGAIN: made[SEQSHIP], KERAS: Written("")}
    for form, child in children.items():
        written = paths[form]
        try:
            if isinstance(written, str):
                raise ChildError(written)
            child.ask("open", architecture.name, version, written.path, limit=CALL_LIMIT)
            opened[form] = child
        except ChildError as error:
            errors[form] = str(error)
    return opened, errors


def _cell(
    opened: dict[str, Child],
    architecture: Architecture,
    version: Version,
    batch: int,
    effort: Effort,
    loops: int | None,
    errors: dict[str, str],
) -> Row:
    difference = _compare(opened, batch, errors)
    times: dict[str, list[float]] = {form: [] for form in difference}
    began = time.perf_counter()
    for done in range(effort.rounds):
        if done >= FEWEST_ROUNDS and time.perf_counter() > began + CELL_SECONDS:
            break
        for form in list(times)[:: -1 if done % 2 else 1]:
            time.sleep(REST)
            try:
                times[form].append(opened[form].ask("round", batch, effort.seconds, limit=CALL_LIMIT))
            except ChildError as error:
                errors[form] = str(error)
                del times[form], opened[form]
    ours = np.array(times.get(SEQSHIP, []))
    ratios = {form: np.array(taken) / ours for form, taken in times.items() if form != SEQSHIP and ours.size}
    return Row(
        model=architecture.name,
        keras=version,
        batch=batch,
        steps=architecture.steps,
        stock_loops=loops,
        slow_in_tensorflow=architecture.slow_in_tensorflow,
        rounds=ours.size,
        median_ms={form: float(np.median(taken)) for form, taken in times.items()},
        ratio={form: ratio_of(rounds) for form, rounds in ratios.items()},
        difference=difference,
        errors=errors,
    )


def _compare(opened: dict[str, Child], batch: int, errors: dict[str, str]) -> dict[str, float]:
    """Returns the largest difference of each runtime from seqship; what computes something else is an error."""
    outputs: dict[str, Any] = {}
    for form, child in list(opened.items()):
        try:
            outputs[form] = child.ask("outputs", batch, limit=CALL_LIMIT)
        except ChildError as error:
            errors[form] = str(error)
            del opened[form]
    differences: dict[str, float] = {}
    expected = outputs.get(SEQSHIP)
    if expected is None:
        return {}  # There is nothing to take a ratio to.
    for form, output in outputs.items():
        difference = float(np.abs(output - expected).max())
        if np.allclose(output, expected, rtol=FLOAT32.rtol, atol=FLOAT32.atol):
            differences[form] = difference
        else:
            errors[form] = f"its output differs from seqship's by {difference:.1e}"
    return differences
