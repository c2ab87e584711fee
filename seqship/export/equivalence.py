"""Proves that the exported models compute what Keras computes, or names the case in which they do not."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqship.export.agreement import Agreement, compare
from seqship.export.cases import Case, grid, make_feed
from seqship.export.runners import Feed, Outputs, Runner, keras_runner, onnx_runner, saved_model_runner
from seqship.export.signature import ModelSignature
from seqship.export.streaming import export_signature
from seqship.export.tolerance import FLOAT32, Tolerance
from seqship.pipelines.examples import padded_arrays
from seqship.pipelines.sequences import Sequences
from seqship.pipelines.spec import STATE_PREFIX, Field
from seqship.progress import Progress

TEST_DATA = "test data"
_BATCH = 256
_EDGES = np.arange(-12.0, 1.25, 0.25)


@dataclass(frozen=True, eq=False)
class RecordedCase:
    """Inputs and what the reference made of them, kept in the bundle so that it can be checked without the model."""

    case: str
    feed: Feed
    expected: Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class DataAgreement:
    """Agreement of one output over all rows of real data.

    Attributes:
        agreement: Of the rows together; the index's first number is the row.
        rows: Number of rows.
        changed_classes: Rows whose largest score is in another place than the reference's; None where the output is
            not a row of scores.
    """

    agreement: Agreement
    rows: int
    changed_classes: int | None

    def to_json(self) -> dict[str, Any]:
        """Returns the JSON form."""
        document = self.agreement.to_json() | {"rows": self.rows, "changed_classes": self.changed_classes}
        del document["case"]
        return document


@dataclass(eq=False)
class ErrorHistogram:
    """Number of elements by the decimal logarithm of their absolute difference."""

    zeros: int = 0
    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(_EDGES) - 1, np.int64))

    def add(self, actual: NDArray[Any], expected: NDArray[Any]) -> None:
        """Counts the elements of one comparison; those that are no numbers are left out."""
        with np.errstate(invalid="ignore"):
            difference = np.abs(np.asarray(actual, np.float64) - np.asarray(expected, np.float64)).ravel()
        difference = difference[np.isfinite(difference)]
        self.zeros += int(np.sum(difference == 0))
        exponents = np.log10(difference[difference > 0])
        self.counts += np.histogram(np.clip(exponents, _EDGES[0], np.nextafter(_EDGES[-1], 0)), _EDGES)[0]

    def to_json(self) -> dict[str, Any]:
        """Returns the JSON form."""
        return {"zeros": self.zeros, "edges": _EDGES.tolist(), "counts": self.counts.tolist()}


@dataclass(frozen=True, eq=False)
class EquivalenceReport:
    """The proof; true where everything agrees.

    Attributes:
        agreements: One per runner, case and output.
        data: One per runner and output over real data; empty where there was none.
        tolerance: What was allowed.
        histograms: Differences of all elements, by runner.
        recorded: The cases with the reference's results.
    """

    agreements: tuple[Agreement, ...]
    data: tuple[DataAgreement, ...]
    tolerance: Tolerance
    histograms: Mapping[str, ErrorHistogram]
    recorded: tuple[RecordedCase, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.agreements) and all(agreement.passed for agreement in self.all)

    @property
    def all(self) -> tuple[Agreement, ...]:
        """Agreements on the cases and on real data."""
        return (*self.agreements, *(row.agreement for row in self.data))

    @property
    def failures(self) -> tuple[Agreement, ...]:
        """What does not agree, worst first."""
        failed = [agreement for agreement in self.all if not agreement.passed]
        return tuple(sorted(failed, key=lambda agreement: -agreement.severity))

    @property
    def worst(self) -> Agreement | None:
        """The agreement nearest to its limit, or furthest beyond it."""
        return max(self.all, key=lambda agreement: agreement.severity, default=None)

    def to_json(self) -> dict[str, Any]:
        """Returns the part of `report.json` that is the proof."""
        worst = self.worst
        return {
            "equivalent": bool(self),
            "tolerance": self.tolerance.to_json(),
            "worst": None if worst is None else worst.to_json(),
            "cases": [_case_row(agreement) for agreement in self.agreements],
            "test_split": [row.to_json() for row in self.data],
            "errors": {name: histogram.to_json() for name, histogram in self.histograms.items()},
        }

    def to_html(self) -> str:
        """Returns the proof as a page that opens offline."""
        from seqship.export.report import render_report

        return render_report({"name": "model", "created": "", **self.to_json()})


def check_equivalence(
    model: Any,
    *,
    saved_model: str | os.PathLike[str] | None = None,
    onnx: str | os.PathLike[str] | None = None,
    data: Sequences | None = None,
    cases: Sequence[Case] | None = None,
    seed: int = 0,
    input_signature: Sequence[Field] | None = None,
    signature: ModelSignature | None = None,
    progress: Progress | None = None,
) -> EquivalenceReport:
    """Compares exports, loaded again from disk, with the Keras model.

    Args:
        model: The tf-keras or Keras 3 model.
        saved_model: A SavedModel directory.
        onnx: An ONNX file.
        data: Real sequences for a model with one input; every one is compared.
        cases: What to try; the full grid that the model takes if left out.
        seed: Seed of the inputs.
        input_signature: Contracts of the inputs, where the export was given them.
        signature: The signature where it has been made already.
        progress: Told how far it is.

    Raises:
        ModelError: An export cannot be loaded.
    """
    signature = signature or export_signature(model, inputs=input_signature)
    runners: dict[str, Runner] = {}
    if saved_model is not None:
        runners["saved_model"] = saved_model_runner(saved_model)
    if onnx is not None:
        runners["onnx"] = onnx_runner(onnx)
    reference = keras_runner(signature)
    cases = grid(signature.inputs) if cases is None else cases
    recorded: list[RecordedCase] = []
    for done, case in enumerate(cases, start=1):
        feed = make_feed(case, signature.inputs, seed=seed)
        expected = reference(feed)
        if case.state == "zero":  # A pure function, which gives no state either.
            expected = {name: value for name, value in expected.items() if not name.startswith(STATE_PREFIX)}
        recorded.append(RecordedCase(case.name, feed, expected))
        if progress:
            progress("running the cases in Keras", done, len(cases))
    return compare_runners(
        recorded, runners, reference=reference, inputs=signature.inputs, data=data, progress=progress
    )


def compare_runners(
    recorded: Sequence[RecordedCase],
    runners: Mapping[str, Runner],
    *,
    reference: Runner | None = None,
    inputs: Sequence[Field] = (),
    data: Sequences | None = None,
    tolerance: Tolerance = FLOAT32,
    progress: Progress | None = None,
) -> EquivalenceReport:
    """Compares runtimes with recorded results, and with a live reference over real data.

    Args:
        recorded: Inputs and expected outputs.
        runners: What is compared, by name.
        reference: What the data is compared with; needed with `data`.
        inputs: Contract of the inputs; needed with `data`.
        data: Real sequences.
        tolerance: What is allowed.
        progress: Told how far it is.
    """
    histograms = {name: ErrorHistogram() for name in runners}
    agreements: list[Agreement] = []
    for done, case in enumerate(recorded, start=1):
        for name, runner in runners.items():
            outputs = runner(case.feed)
            for output, expected in case.expected.items():
                actual = outputs.get(output)
                if actual is not None and actual.shape == expected.shape:
                    histograms[name].add(actual, expected)
                agreements.append(compare(actual, expected, tolerance, runner=name, case=case.case, output=output))
        if progress:
            progress("running them in the exports", done, len(recorded))
    rows: tuple[DataAgreement, ...] = ()
    if data is not None and reference is not None:
        expected_rows = predict_sequences(reference, data, inputs[0])
        expected_rows = {name: rows for name, rows in expected_rows.items() if not name.startswith(STATE_PREFIX)}
        rows = tuple(
            agreement
            for name, runner in runners.items()
            for agreement in _over_data(name, runner, data, inputs[0], expected_rows, tolerance, histograms[name])
        )
    return EquivalenceReport(tuple(agreements), rows, tolerance, histograms, tuple(recorded))


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


def _over_data(
    name: str,
    runner: Runner,
    data: Sequences,
    field: Field,
    expected: Outputs,
    tolerance: Tolerance,
    histogram: ErrorHistogram,
) -> Iterable[DataAgreement]:
    actual = predict_sequences(runner, data, field)
    for output, wanted in expected.items():
        got = actual.get(output)
        changed = None
        if got is not None and got.shape == wanted.shape:
            histogram.add(got, wanted)
            if wanted.ndim == 2 and wanted.shape[1] > 1:
                changed = int(np.sum(got.argmax(1) != wanted.argmax(1)))
        agreement = compare(got, wanted, tolerance, runner=name, case=TEST_DATA, output=output)
        yield DataAgreement(agreement, len(data), changed)


def _case_row(agreement: Agreement) -> dict[str, Any]:
    parts = dict(part.split("=", 1) for part in agreement.case.split())
    return agreement.to_json() | {"batch": int(parts["batch"]), "time": int(parts["time"]), "mask": parts["mask"]}


def save_recorded(recorded: Sequence[RecordedCase], path: Path) -> None:
    """Writes recorded cases as one compressed `.npz`, with no pickled objects."""
    arrays: dict[str, NDArray[Any]] = {}
    for case in recorded:
        arrays |= {f"{case.case}|in|{name}": value for name, value in case.feed.items()}
        arrays |= {f"{case.case}|out|{name}": value for name, value in case.expected.items()}
    with path.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def load_recorded(path: Path) -> tuple[RecordedCase, ...]:
    """Reads what `save_recorded` wrote."""
    feeds: dict[str, dict[str, NDArray[Any]]] = {}
    expected: dict[str, dict[str, NDArray[Any]]] = {}
    with np.load(path, allow_pickle=False) as arrays:
        for key in arrays.files:
            case, direction, name = key.split("|")
            side = feeds if direction == "in" else expected
            side.setdefault(case, {})[name] = arrays[key]
    return tuple(RecordedCase(case, feed, expected[case]) for case, feed in feeds.items())
