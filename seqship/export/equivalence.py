"""Proves that the exported models compute what Keras computes, or names the case in which they do not."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seqship.errors import ModelError
from seqship.export.agreement import Agreement, compare
from seqship.export.cases import Case, Padding, grid, relation_cases
from seqship.export.data_agreement import DataAgreement, over_data
from seqship.export.error_histogram import ErrorHistogram
from seqship.export.oracle import Oracle, make_oracle
from seqship.export.recording import RecordedCase, record_cases
from seqship.export.relations import check_relations
from seqship.export.runners import Feed, Runner, keras_runner, onnx_runners, saved_model_runner
from seqship.export.signature import ModelSignature
from seqship.export.streaming import export_signature
from seqship.export.tolerance import FLOAT32, ROUNDING, Rounding, Tolerance, Within
from seqship.pipelines.sequences import Sequences
from seqship.pipelines.spec import Field
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
    """

    agreements: tuple[Agreement, ...]
    data: tuple[DataAgreement, ...]
    tolerance: Tolerance | Rounding
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
    def wrong_feed(self) -> Feed | None:
        """Inputs of the worst recorded case that shows the ONNX file to be wrong; None where none does."""
        feeds = {case.case: case.feed for case in self.recorded}
        failed = (one.case for one in self.failures if one.runner.startswith("onnx"))
        return next((feeds[case] for case in failed if case in feeds), None)

    @property
    def worst(self) -> Agreement | None:
        """The agreement nearest to its limit, or furthest beyond it."""
        return max(self.all, key=lambda agreement: agreement.severity, default=None)

    def to_json(self) -> dict[str, Any]:
        """Returns the part of `report.json` that is the proof."""
        worst = self.worst
        limits = {} if isinstance(self.tolerance, Tolerance) else {one.case: one.limits for one in self.recorded}
        return {
            "equivalent": bool(self),
            "tolerance": self.tolerance.to_json(),
            "worst": None if worst is None else worst.to_json(),
            "cases": [
                _case_row(agreement, limits.get(agreement.case, {}).get(agreement.output))
                for agreement in self.agreements
            ],
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
    padding: Padding = "any",
    seed: int = 0,
    input_signature: Sequence[Field] | None = None,
    signature: ModelSignature | None = None,
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
        cases: What to try; the full grid that the model takes if left out.
        padding: "right" if every mask is off behind the data alone.
        seed: Seed of the inputs.
        input_signature: Contracts of the inputs, where the export was given them.
        signature: The signature where it has been made already.
        tolerance: A fixed one instead, against Keras itself.
        progress: Told how far it is.

    Raises:
        ModelError: An export cannot be loaded.
    """
    signature = signature or export_signature(model, inputs=input_signature)
    runners: dict[str, Runner] = {}
    if saved_model is not None:
        runners["saved_model"] = saved_model_runner(saved_model)
    if onnx is not None:
        runners |= onnx_runners(onnx)
    reference = keras_runner(signature)
    oracle = None
    if tolerance is None:
        # An operation without a float64 kernel leaves Keras itself as the measure, and the fixed tolerance.
        with contextlib.suppress(ModelError):
            oracle = make_oracle(signature)
    cases = grid(signature.inputs, padding=padding) if cases is None else cases
    recorded = record_cases(cases, signature.inputs, reference, oracle, seed=seed, progress=progress)
    related = record_cases(relation_cases(signature.inputs, padding=padding), signature.inputs, reference, oracle)
    return compare_runners(
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
        for name, runner in runners.items():
            made = runner(case.feed)
            for output, expected in case.expected.items():
                actual = made.get(output)
                if actual is not None and actual.shape == expected.shape:
                    histograms[name].add(actual, expected)
                limit = fixed if tolerance or output not in case.limits else Within(case.limits[output])
                agreements.append(compare(actual, expected, limit, runner=name, case=case.case, output=output))
        if progress:
            progress("running them in the exports", done, len(recorded))
    # The variants of one file differ in their graphs, which the cases try out.
    whole = {name: runner for name, runner in runners.items() if not name.startswith("onnx_")}
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
    by_rounding = tolerance is None and any(case.limits for case in recorded)
    return EquivalenceReport(tuple(agreements), rows, ROUNDING if by_rounding else fixed, histograms, tuple(recorded))


def _case_row(agreement: Agreement, limit: float | None) -> dict[str, Any]:
    parts = dict(part.split("=", 1) for part in agreement.case.split())
    row = agreement.to_json() | {"batch": int(parts["batch"]), "time": int(parts["time"]), "mask": parts["mask"]}
    return row | {"values": parts.get("values", "data")} | ({} if limit is None else {"limit": limit})
