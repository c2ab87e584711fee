"""Time of one conversion to ONNX: seqship and stock tf2onnx in turn, and what each file holds.

Both run in one process for each Keras, after one conversion each of another model: imports and first traces are not
counted. The model is built before; reading its signature, tracing, converting and writing the file count for both,
and for seqship the checks of the file by the ONNX checker and onnxruntime.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.architectures import Version, build, by_name
from benchmarks.child import Child, ChildError
from benchmarks.forms import CONVERTERS, SEQSHIP, STOCK, Written, counted
from benchmarks.ratio import Ratio, ratio_of

TOOLS = (SEQSHIP, STOCK)
MODELS = ("imdb-bilstm", "ecg-gru", "series-lstm")
WARM_UP = "series-deep-rnn"
LIMIT = 180.0
"""Seconds that one conversion may take."""


@dataclass(frozen=True)
class Row:
    """One model.

    Attributes:
        model: Name of the architecture.
        keras: 2 for tf-keras, 3 for Keras 3.
        rounds: Conversions of each tool.
        seconds: Median, by tool.
        ratio: Stock tf2onnx' time by seqship's; None where one of them failed.
        files: What each tool wrote.
        errors: Why there is nothing, by tool.
    """

    model: str
    keras: Version
    rounds: int
    seconds: dict[str, float]
    ratio: Ratio | None
    files: dict[str, Written]
    errors: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """Returns the JSON form; the paths lead nowhere any more."""
        document = asdict(self)
        for file in document["files"].values():
            del file["path"]
        return document


def measure(models: Sequence[tuple[str, Version]], rounds: int, folder: str, tell: Callable[[str], None]) -> list[Row]:
    """Converts each model so many times with each tool, in turn."""
    children: dict[Version, Child] = {}
    rows: list[Row] = []
    try:
        for name, version in models:
            tell(f"converting {name}, Keras {version}")
            child = children.setdefault(version, Child(_converter, (version, folder)))
            rows.append(_row(child, name, version, rounds))
    finally:
        for child in children.values():
            child.end()
    return rows


def _row(child: Child, name: str, version: Version, rounds: int) -> Row:
    seconds: dict[str, list[float]] = {tool: [] for tool in TOOLS}
    files: dict[str, Written] = {}
    errors: dict[str, str] = {}
    for _ in range(rounds):
        for tool in [tool for tool in TOOLS if tool not in errors]:
            try:
                taken, files[tool] = child.ask(name, tool, limit=LIMIT)
                seconds[tool].append(taken)
            except ChildError as error:
                errors[tool] = str(error)
    ratio = None if errors else ratio_of(np.array(seconds[STOCK]) / seconds[SEQSHIP])
    medians = {tool: float(np.median(taken)) for tool, taken in seconds.items() if tool not in errors}
    return Row(name, version, rounds, medians, ratio, files, errors)


def _converter(version: Version, folder: str) -> Callable[[str, str], tuple[float, Written]]:
    """Returns what converts a model with a tool; it has converted another with both."""
    path = Path(folder) / f"conversion-{version}.onnx"
    models: dict[str, Any] = {}

    def convert(name: str, tool: str) -> tuple[float, Written]:
        if name not in models:
            models.clear()
            models[name] = build(by_name(name), version)
        gc.collect()  # What the conversion before left behind is not this one's.
        began = time.perf_counter()
        CONVERTERS[tool](models[name], str(path))
        taken = time.perf_counter() - began
        return taken, counted(path)

    for tool in TOOLS:
        convert(WARM_UP, tool)
    return convert
