"""Compares runtimes over real data, row by row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqship.errors import ModelError
from seqship.export.agreement import Agreement, compare
from seqship.export.error_histogram import ErrorHistogram
from seqship.export.oracle import Oracle, measured
from seqship.export.runners import Feed, Outputs, Runner
from seqship.export.task_agreement import THRESHOLD, TaskAgreement, compare_classes, compare_values
from seqship.export.tolerance import ROUNDING, Tolerance
from seqship.pipelines.examples import padded_arrays
from seqship.pipelines.sequences import Sequences
from seqship.pipelines.spec import STATE_PREFIX, Field

TEST_DATA = "test data"
_BATCH = 256
_JUDGED = 256
"""Rows of data that the oracle judges."""


@dataclass(frozen=True)
class DataAgreement:
    """Agreement of one output over all rows of real data.

    Attributes:
        agreement: Of the rows together; the index's first number is the row.
        rows: Number of rows.
        changed_classes: Rows that are put into another class than the reference's; None where the output is not a row
            of scores.
        task: How well both solve the task, and by how much decisions are from turning; None where the output is neither
            scores of classes nor what the data has targets for.
    """

    agreement: Agreement
    rows: int
    changed_classes: int | None
    task: TaskAgreement | None = None

    def to_json(self) -> dict[str, Any]:
        """Returns the JSON form."""
        document = self.agreement.to_json() | {"rows": self.rows, "changed_classes": self.changed_classes}
        del document["case"]
        return document if self.task is None else document | {"task": self.task.to_json()}


def over_data(
    runners: Mapping[str, Runner],
    reference: Runner,
    data: Sequences,
    field: Field,
    *,
    judge: tuple[Runner, Oracle] | None,
    tolerance: Tolerance,
    histograms: Mapping[str, ErrorHistogram],
) -> tuple[DataAgreement, ...]:
    """Compares runtimes over sequences.

    Args:
        runners: What is compared, by name.
        reference: What they are compared with.
        data: The sequences.
        field: Contract of the model's input.
        judge: The reference and its float64 twin, which then have the say where a runtime is furthest from the
            reference: an error of the twin's own kind cannot be larger anywhere else.
        tolerance: What is allowed without a judge.
        histograms: Told every difference, by runner.
    """
    wanted = predict_sequences(reference, data, field)
    wanted = {name: rows for name, rows in wanted.items() if not name.startswith(STATE_PREFIX)}
    found: list[DataAgreement] = []
    for name, runner in runners.items():
        actual, failure = _answers_or_failure(runner, data, field)
        for output, expected in wanted.items():
            got, changed, task = actual.get(output), None, None
            agreement = compare(got, expected, tolerance, runner=name, case=TEST_DATA, output=output)
            if failure:
                agreement = replace(agreement, note=failure)
            if got is not None and got.shape == expected.shape:
                histograms[name].add(got, expected)
                if data.targets is not None:
                    task = _regression(got, expected, data.targets)
                elif expected.ndim == 2 and (expected.shape[1] > 1 or len(data.classes) == 2):
                    task = _task(got, expected, data)
                    changed = len(task.changed) if task is not None else _changed(got, expected)
                if judge is not None and expected.dtype.kind == "f":
                    agreement = _judged(agreement, got, expected, data, field, *judge)
            found.append(DataAgreement(agreement, len(data), changed, task))
    return tuple(found)


def _answers_or_failure(runner: Runner, data: Sequences, field: Field) -> tuple[Outputs, str]:
    try:
        return predict_sequences(runner, data, field), ""
    except ModelError as error:
        return {}, str(error)


def _changed(got: NDArray[Any], expected: NDArray[Any]) -> int:
    return int(np.sum(got.argmax(1) != expected.argmax(1)))


def _regression(got: NDArray[Any], expected: NDArray[Any], targets: NDArray[Any]) -> TaskAgreement | None:
    """Compares both as regressions; the output that the targets are not for is compared without them."""
    if not (np.isfinite(got).all() and np.isfinite(expected).all() and expected.dtype.kind == "f"):
        return None
    fits = targets.size == expected.size and np.isfinite(targets).all()
    return compare_values(expected, got, targets if fits else None)


def _task(got: NDArray[Any], expected: NDArray[Any], data: Sequences) -> TaskAgreement | None:
    """Compares both as classifiers; labels count where they are classes of this output."""
    if not (np.isfinite(got).all() and np.isfinite(expected).all()):
        return None
    classes, single = max(expected.shape[1], 2), expected.shape[1] == 1
    known = len(data.classes) == classes and int(data.labels.max(initial=0)) < classes
    # One score that leaves 0 to 1 is no probability: a logit, which decides at 0.
    logit = single and bool((expected < 0).any() or (expected > 1).any())
    return compare_classes(expected, got, data.labels if known else None, threshold=0.0 if logit else THRESHOLD)


def _judged(
    agreement: Agreement,
    got: NDArray[Any],
    expected: NDArray[Any],
    data: Sequences,
    field: Field,
    reference: Runner,
    oracle: Oracle,
) -> Agreement:
    """Compares the rows that differ most with the oracle."""
    with np.errstate(invalid="ignore"):
        difference = np.abs(got.astype(np.float64) - expected).reshape(len(got), -1).max(axis=1)
    rows = np.argsort(-np.nan_to_num(difference, nan=np.inf), kind="stable")[:_JUDGED]
    chosen = data.take(np.sort(rows))
    here = predict_sequences(reference, chosen, field)[agreement.output]
    try:
        runs = (oracle.run, *oracle.rounded)
        true, *others = (predict_sequences(run, chosen, field)[agreement.output] for run in runs)
    except ModelError:  # An operation turns out to have no float64 kernel: the fixed tolerance stands.
        return agreement
    one = measured(here, true, others)
    if one.error is None:
        return agreement
    limit = ROUNDING.limit(one.error, float(np.abs(expected[np.isfinite(expected)]).max(initial=0.0)))
    own = got[np.sort(rows)]
    if own.shape[1:] != one.expected.shape[1:]:  # Steps behind the longest of the chosen are padding in all of them.
        own = own[(slice(None), *(slice(size) for size in one.expected.shape[1:]))]
    if one.undetermined is not None and own.shape == one.expected.shape:
        own = np.where(one.undetermined, one.expected, own)
    judged = compare(own, one.expected, limit, runner=agreement.runner, case=agreement.case, output=agreement.output)
    row = (int(np.sort(rows)[judged.worst_index[0]]), *judged.worst_index[1:]) if judged.worst_index else ()
    return replace(judged, worst_index=row, max_abs=max(judged.max_abs, agreement.max_abs))


def predict_sequences(runner: Runner, data: Sequences, field: Field, *, batch_size: int = _BATCH) -> Outputs:
    """Runs a model with one input over sequences, in batches of similar length.

    Args:
        runner: The model.
        data: The sequences.
        field: Contract of the model's input.
        batch_size: Rows at once.

    Returns:
        Outputs by name, in the order of the sequences, shaped (n, ...). Those with an answer for each step hold zeros
        behind the end of a shorter batch.
    """
    batches = padded_arrays(
        data,
        pad_value=0.0 if field.pad_value is None else field.pad_value,
        batch_size=batch_size,
        dtype=np.dtype(field.dtype),
        step_shape=field.shape[2:],
        length=None if field.has_time else int(field.shape[1]),
    )
    return answers_to(runner, ((rows, {field.name: batch}) for rows, batch in batches), len(data))


def answers_to(runner: Runner, feeds: Iterable[tuple[NDArray[np.int64], Feed]], count: int) -> Outputs:
    """Runs a model over batches, and returns its outputs by name in the order of the rows.

    Args:
        runner: The model.
        feeds: Which rows each batch holds, and its inputs.
        count: Number of rows in all.
    """
    answers = [(rows, runner(feed)) for rows, feed in feeds]
    return {name: in_rows([(rows, made[name]) for rows, made in answers], count) for name in answers[0][1]}


def in_rows(parts: Sequence[tuple[NDArray[np.int64], NDArray[Any]]], count: int) -> NDArray[Any]:
    """Returns the rows of all batches in one array, as wide as the widest batch, with zeros behind the others.

    Args:
        parts: Which rows each batch holds, and the batch.
        count: Number of rows in all.
    """
    shape = np.max([array.shape[1:] for _, array in parts], axis=0)
    whole = np.zeros((count, *shape.astype(int)), parts[0][1].dtype)
    for rows, array in parts:
        whole[(rows, *(slice(size) for size in array.shape[1:]))] = array
    return whole
