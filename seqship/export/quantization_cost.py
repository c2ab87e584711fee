"""What int8 weights cost: decisions that change over real data, and the error over the number of steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqship.errors import ModelError
from seqship.export.agreement import json_value
from seqship.export.cases import Case, make_feed
from seqship.export.data_agreement import predict_sequences
from seqship.export.runners import Runner
from seqship.export.task_agreement import TaskAgreement, compare_classes, compare_values
from seqship.pipelines.sequences import Sequences
from seqship.pipelines.spec import STATE_PREFIX, Field

TIMES = (24, 120, 480)
"""Numbers of steps after which the error is told."""
_ROWS = 8


@dataclass(frozen=True)
class Drift:
    """The difference between the int8 and the float32 file after a number of steps.

    Attributes:
        time: Number of steps.
        output: Name of the output.
        max_abs: Largest absolute difference, in the unit of the output.
        scale: Largest absolute value of the float32 file's output.
    """

    time: int
    output: str
    max_abs: float
    scale: float

    def to_json(self) -> dict[str, Any]:
        """Returns the JSON form; numbers that JSON lacks are strings."""
        return json_value(asdict(self))


@dataclass(frozen=True)
class DataCost:
    """The int8 file against the float32 file over real data.

    Attributes:
        output: Name of the output.
        rows: Number of rows.
        max_abs: Largest absolute difference, in the unit of the output.
        task: What changes of decisions, and of the measures against the labels.
    """

    output: str
    rows: int
    max_abs: float
    task: TaskAgreement

    def to_json(self) -> dict[str, Any]:
        """Returns the JSON form; numbers that JSON lacks are strings."""
        return self._facts() | {"task": self.task.to_json()}

    def summary(self) -> dict[str, Any]:
        """Returns what a manifest says of it: the row without its list of changed decisions."""
        measures = {name: asdict(measure) for name, measure in self.task.measures.items()}
        margins = [one.margin for one in self.task.changed]
        widest = {"widest_margin": max(margins)} if margins else {}
        return self._facts() | json_value(widest | {"measures": measures})

    def _facts(self) -> dict[str, Any]:
        decided = self.task.smallest_margin is not None
        facts = {"output": self.output, "rows": self.rows, "max_abs": self.max_abs}
        return json_value(facts | {"changed": len(self.task.changed) if decided else None})


def drift_by_length(plain: Runner, quantized: Runner, inputs: Sequence[Field]) -> tuple[Drift, ...]:
    """Runs both files on longer and longer sequences, whose masks are full and whose states begin at zero.

    Args:
        plain: The float32 file.
        quantized: The int8 file.
        inputs: Contract of each input.

    Returns:
        A row for each length and output; none where the number of steps is fixed.
    """
    if not any(field.has_time and not field.is_state for field in inputs):
        return ()
    rows = next((field.shape[0] for field in inputs if isinstance(field.shape[0], int)), _ROWS)
    state = "zero" if any(field.is_state for field in inputs) else None
    found: list[Drift] = []
    for time in TIMES:
        feed = make_feed(Case(rows, time, "full", state), inputs, seed=0)
        try:
            one, two = plain(feed), quantized(feed)
        except ModelError:  # The model does not take the length; the verdict stands without it.
            return ()
        found += [
            Drift(time, name, _largest(np.abs(two[name].astype(np.float64) - value)), _largest(np.abs(value)))
            for name, value in one.items()
            if value.dtype.kind == "f" and not name.startswith(STATE_PREFIX)
        ]
    return tuple(found)


def data_cost(
    plain: Runner, quantized: Runner, data: Sequences, inputs: Sequence[Field], outputs: Sequence[Field]
) -> tuple[DataCost, ...]:
    """Runs both files over real data.

    The grid of an activation is that of its batch, so that an answer of the int8 file depends, in its last digits, on
    the rows beside it: batches are of 256 rows of similar length.

    Args:
        plain: The float32 file.
        quantized: The int8 file.
        data: The sequences.
        inputs: Contract of each input; states begin at zero.
        outputs: Contract of each output.
    """
    fields = [field for field in inputs if not field.is_state]
    if len(fields) != 1 or not len(data):
        return ()
    one, two = (predict_sequences(runner, data, fields[0]) for runner in (plain, quantized))
    kinds = {field.name: field for field in outputs}
    found: list[DataCost] = []
    for name, value in one.items():
        if value.dtype.kind != "f" or name.startswith(STATE_PREFIX):
            continue
        task = _task(value, two[name], kinds[name], data)
        found.append(DataCost(name, len(data), task.largest_difference, task))
    return tuple(found)


def _task(plain: NDArray[Any], quantized: NDArray[Any], field: Field, data: Sequences) -> TaskAgreement:
    """Compares both as regressions where the data has targets, and as classifiers where the output has scores."""
    if data.targets is not None:
        fits = data.targets.size == plain.size and np.isfinite(data.targets).all()
        return compare_values(plain, quantized, data.targets if fits else None)
    scores = plain.shape[1] if plain.ndim == 2 else 0
    of = 2 if scores == 1 else scores  # A single score is that of the second of two.
    known = len(data.classes) == of > 0
    if known or (of and len(field.classes or ()) == of):
        return compare_classes(plain, quantized, data.labels if known else None)
    return compare_values(plain, quantized)


def _largest(values: NDArray[Any]) -> float:
    return float(values.max(initial=0.0))
