"""Proves that the exported models compute what Keras computes, or names the case in which they do not."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqship.errors import ModelError
from seqship.export.adversary import search
from seqship.export.agreement import Agreement, compare
from seqship.export.cases import Case, Padding, finite_rows, grid, make_feed, relation_cases
from seqship.export.data_agreement import DataAgreement, over_data
from seqship.export.drift import Drift, error_over_steps
from seqship.export.error_histogram import ErrorHistogram
from seqship.export.example_runner import PartialRunner
from seqship.export.oracle import Oracle, make_oracle, runs_alike
from seqship.export.recording import RecordedCase, record_cases, record_feeds
from seqship.export.relations import check_relations
from seqship.export.runner_failures import run_or_say
from seqship.export.runners import (
    ONNX_RUNNER,
    SAVED_MODEL_RUNNER,
    Feed,
    Runner,
    keras_runner,
    onnx_runners,
    saved_model_runners,
)
from seqship.export.signature import ModelSignature
from seqship.export.streaming import export_signature
from seqship.export.taken_lengths import lengths_taken_by
from seqship.export.text_cases import record_texts, with_texts
from seqship.export.tolerance import FLOAT32, ROUNDING, Rounding, Tolerance, Within
from seqship.pipelines.sequences import Sequences
from seqship.pipelines.signature_contracts import TEXT
from seqship.pipelines.spec import Field
from seqship.pipelines.text_vectorizer import TextVectorizer
from seqship.progress import Progress


@dataclass(frozen=True, eq=False)
class EquivalenceReport:
    """The proof; true where everything agrees.

    Attributes:
        agreements: One per runner, case and output.
        data: One per runner and output over real data; empty where there was none.
        tolerance: What was allowed.
        histograms: Differences of all elements, by runner.
        recorded: The cases with the reference's results.
        drift: The error after more and more steps; None where it was not looked at.
    """

    agreements: tuple[Agreement, ...]
    data: tuple[DataAgreement, ...]
    tolerance: Tolerance | Rounding
    histograms: Mapping[str, ErrorHistogram]
    recorded: tuple[RecordedCase, ...] = ()
    drift: Drift | None = None

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
    def left_open(self) -> tuple[int, int]:
        """How many of the cases' values float32 leaves open, so that nothing is demanded of them; and of how many.

        Cases with a NaN or an infinity are not counted: what becomes of those is open in many a kernel.
        """
        usual = [case for case in self.recorded if case.finite]
        found = sum(int(where.sum()) for case in usual for where in case.undetermined.values())
        return found, sum(value.size for case in usual for value in case.expected.values())

    @property
    def wrong_feed(self) -> Feed | None:
        """Inputs of the worst recorded case that shows the ONNX file to be wrong; None where none does."""
        # Of numbers that are numbers: what a layer makes of a NaN, or of a word, is not what differs.
        usual = (one for one in self.recorded if one.expected and one.finite)
        feeds = {
            one.case: one.feed for one in usual if TEXT.name not in one.feed or one.feed[TEXT.name].dtype.kind != "S"
        }
        failed = (one.case for one in self.failures if one.runner.startswith(ONNX_RUNNER))
        return next((feeds[case] for case in failed if case in feeds), None)

    @property
    def worst(self) -> Agreement | None:
        """The agreement nearest to its limit, or furthest beyond it."""
        return max(self.all, key=lambda agreement: agreement.severity, default=None)

    def to_json(self) -> dict[str, Any]:
        """Returns the part of `report.json` that is the proof."""
        worst = self.worst
        limits = {} if isinstance(self.tolerance, Tolerance) else {one.case: one.limits for one in self.recorded}
        document = {
            "equivalent": bool(self),
            "tolerance": self.tolerance.to_json(),
            "worst": None if worst is None else worst.to_json(),
            "cases": [
                _case_row(agreement, limits.get(agreement.case, {}).get(agreement.output))
                for agreement in self.agreements
            ],
            "test_split": [row.to_json() for row in self.data],
            "errors": {name: histogram.to_json() for name, histogram in self.histograms.items()},
            "left_open": dict(zip(("values", "of"), self.left_open, strict=True)),
        }
        return document if self.drift is None else document | {"drift": self.drift.to_json()}

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
    padding: Padding = "any",
    seed: int = 0,
    input_signature: Sequence[Field] | None = None,
    signature: ModelSignature | None = None,
    vectorizer: TextVectorizer | None = None,
    tolerance: Tolerance | None = None,
    progress: Progress | None = None,
) -> EquivalenceReport:
    """Compares exports, loaded again from disk, with the Keras model.

    The measure is the model's float64 twin: an export passes where its error is no larger than float32 explains, which
    Keras' own error shows (`tolerance.ROUNDING`).

    Args:
        model: The tf-keras or Keras 3 model.
        saved_model: A SavedModel directory.
        onnx: An ONNX file.
        data: Real sequences for a model with one input; every one is compared.
        cases: What to try; the full grid that the model takes if left out, with the lengths of `data`, and what a
            search for the worst inputs ends with.
        padding: "right" if every mask is off behind the data alone.
        seed: Seed of the inputs.
        input_signature: Contracts of the inputs, where the export was given them.
        signature: The signature where it has been made already.
        vectorizer: The vocabulary of a text model, which is then given raw text, too.
        tolerance: A fixed one instead, against Keras itself.
        progress: Told how far it is.

    Raises:
        ModelError: An export cannot be loaded.
    """
    signature = signature or export_signature(model, inputs=input_signature)
    inputs, outputs = signature.inputs, signature.outputs
    runners: dict[str, Runner] = {}
    if saved_model is not None:
        runners |= saved_model_runners(saved_model, inputs, outputs)
    if onnx is not None:
        runners |= onnx_runners(onnx)
    concrete = signature.traced()  # Once: tracing tf-keras' LSTM and GRU takes seconds.
    reference = keras_runner(signature, concrete=concrete)
    oracle = None
    if tolerance is None:
        # An operation without a float64 kernel leaves Keras itself as the measure, and the fixed tolerance.
        with contextlib.suppress(ModelError):
            oracle = make_oracle(signature, concrete=concrete)
    full, takes = cases is None, lengths_taken_by(reference, inputs, seed=seed)
    if cases is None:
        lengths = None if data is None else data.lengths
        cases = grid(inputs, outputs=outputs, lengths=lengths, padding=padding, takes=takes)
    if oracle is not None and not runs_alike(oracle, make_feed(cases[0], inputs, seed=seed)):
        oracle = None
    recorded = record_cases(cases, inputs, reference, oracle, seed=seed, progress=progress)
    if full:
        exports = [runners[name] for name in (SAVED_MODEL_RUNNER, ONNX_RUNNER) if name in runners]
        found = search(
            inputs, reference, exports, outputs=outputs, padding=padding, seed=seed, takes=takes, progress=progress
        )
        recorded += record_feeds(found, reference, oracle, scales_of=recorded)
    if vectorizer is not None:
        recorded += record_texts(vectorizer, inputs[0], reference, oracle, seed=seed, scales_of=recorded)
        runners = with_texts(runners, vectorizer, inputs[0])
    related = record_cases(relation_cases(inputs, padding=padding, takes=takes), inputs, reference, oracle)
    proof = compare_runners(
        recorded,
        runners,
        reference=reference,
        oracle=oracle,
        inputs=signature.inputs,
        outputs=signature.outputs,
        related=related,
        data=data,
        tolerance=tolerance,
        progress=progress,
    )
    if oracle is None:
        return proof
    plain = {name: runners[name] for name in (SAVED_MODEL_RUNNER, ONNX_RUNNER) if name in runners}
    return replace(proof, drift=error_over_steps(inputs, reference, oracle, plain, seed=seed))


def compare_runners(
    recorded: Sequence[RecordedCase],
    runners: Mapping[str, Runner],
    *,
    reference: Runner | None = None,
    oracle: Oracle | None = None,
    inputs: Sequence[Field] = (),
    outputs: Sequence[Field] = (),
    related: Sequence[RecordedCase] = (),
    data: Sequences | None = None,
    tolerance: Tolerance | None = None,
    progress: Progress | None = None,
) -> EquivalenceReport:
    """Compares runtimes with recorded results, and with a live reference over real data.

    Over data, the rows in which a runtime is furthest from the reference are run in the oracle too, and judged by it.

    Args:
        recorded: Inputs and expected outputs.
        runners: What is compared, by name.
        reference: What the data is compared with; needed with `data`.
        oracle: The float64 twin of the reference.
        inputs: Contract of the inputs; needed with `data` and `related`.
        outputs: Contract of the outputs; needed with `related`.
        related: Cases on which each runtime is compared with itself: a row alone, rows permuted, padding, chunks.
        data: Real sequences.
        tolerance: What is allowed, instead of the limits that the cases were recorded with.
        progress: Told how far it is.
    """
    fixed = tolerance or FLOAT32
    histograms = {name: ErrorHistogram() for name in runners}
    agreements: list[Agreement] = []
    for done, case in enumerate(recorded, start=1):
        finite = finite_rows(case.feed)
        for name, runner in runners.items():
            if isinstance(runner, PartialRunner) and not runner.takes(case.feed):
                continue
            if not case.expected:
                if name.startswith(ONNX_RUNNER):  # TensorFlow refuses a token id on the CPU alone.
                    agreements.append(refusal(runner, case.feed, runner_name=name, case=case.case))
                continue
            made, failure = run_or_say(runner, case.feed)
            for output, expected in case.expected.items():
                if isinstance(runner, PartialRunner) and output not in runner.gives:
                    continue
                actual, wanted = case.demanded(output, made.get(output)), expected
                if finite is not None and name.startswith(ONNX_RUNNER):
                    actual, wanted = without_spoiled_rows(actual, expected, finite)
                if actual is not None and actual.shape == wanted.shape:
                    histograms[name].add(actual, wanted)
                limit = fixed if tolerance or output not in case.limits else Within(case.limits[output])
                agreement = compare(actual, wanted, limit, runner=name, case=case.case, output=output)
                agreements.append(agreement if not failure else replace(agreement, note=failure))
        if progress:
            progress("running them in the exports", done, len(recorded))
    # The variants of one file differ in their graphs, which the cases try out.
    whole = {
        name: runner
        for name, runner in runners.items()
        if not name.startswith(f"{ONNX_RUNNER}_") and not isinstance(runner, PartialRunner)
    }
    if related and reference is not None:
        for name, runner in whole.items():
            single = runners.get(f"{name}_1_thread")
            found = check_relations(
                runner, inputs, outputs, related, name=name, reference=reference, single=single, limit=fixed
            )
            agreements.extend(found)
    rows: tuple[DataAgreement, ...] = ()
    if data is not None and reference is not None:
        judge = None if oracle is None or tolerance else (reference, oracle)
        rows = over_data(whole, reference, data, inputs[0], judge=judge, tolerance=fixed, histograms=histograms)
    by_rounding = tolerance is None and any(limit for case in recorded for limit in case.limits.values())
    return EquivalenceReport(tuple(agreements), rows, ROUNDING if by_rounding else fixed, histograms, tuple(recorded))


def refusal(runner: Runner, feed: Feed, *, runner_name: str, case: str) -> Agreement:
    """Returns whether a runtime fails on inputs that Keras refuses, as an agreement."""
    made, failure = run_or_say(runner, feed)
    note = "" if failure else f"it answers {', '.join(made)}; Keras refuses such input"
    size = 0.0 if failure else math.inf
    return Agreement(runner_name, case, next(iter(made), "none"), size, size, size, (), 0.0, 0.0, bool(failure), note)


def without_spoiled_rows(
    actual: NDArray[Any] | None, expected: NDArray[Any], finite: NDArray[np.bool_]
) -> tuple[NDArray[Any] | None, NDArray[Any]]:
    """Leaves the rows out that were given a NaN or an infinity: onnxruntime's recurrent kernels clamp them.

    What such a row does to the others is still seen, but where it spoils them in Keras too, as a mean over the rows
    does.

    Args:
        actual: What onnxruntime gives.
        expected: What is expected.
        finite: Which rows are good, (batch,).
    """
    if actual is None or actual.shape != expected.shape:
        return actual, expected
    if expected.shape[:1] != finite.shape:  # No result for each row.
        spoiled = expected.dtype.kind == "f" and not np.isfinite(expected).all()
        return (np.zeros(0), np.zeros(0)) if spoiled else (actual, expected)
    if expected.dtype.kind == "f":
        finite = finite & np.isfinite(expected).reshape(len(expected), -1).all(axis=1)
    return actual[finite], expected[finite]


def _case_row(agreement: Agreement, limit: float | None) -> dict[str, Any]:
    parts = dict(part.split("=", 1) for part in agreement.case.split())
    row = agreement.to_json() | {"batch": int(parts["batch"]), "time": int(parts["time"]), "mask": parts["mask"]}
    return row | {"values": parts.get("values", "data")} | ({} if limit is None else {"limit": limit})
