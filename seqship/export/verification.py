"""Checks a bundle again from its files alone."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from seqship.atomic import write_directory
from seqship.errors import BundleError, ModelError, TamperedError
from seqship.export.bundle import (
    CASES_FILE,
    MANIFEST,
    ONNX_FILE,
    REPORT_FILES,
    SAVED_MODEL,
    Bundle,
    read_bundle,
    unnamed_files,
    write_manifest,
)
from seqship.export.data_agreement import TEST_DATA
from seqship.export.divergence import Divergence
from seqship.export.equivalence import EquivalenceReport, compare_runners
from seqship.export.graph_divergence import find_graph_divergence
from seqship.export.oracle import Oracle, saved_model_oracle
from seqship.export.quantized_bundle import Int8Told, verify_int8
from seqship.export.quick_cases import quick_cases
from seqship.export.recording import load_recorded
from seqship.export.report import write_report
from seqship.export.runners import ONNX_RUNNER, SAVED_MODEL_RUNNER, Runner, onnx_runners, saved_model_runners
from seqship.export.shipping import now, verdict
from seqship.export.text_cases import with_texts
from seqship.export.tolerance import Tolerance
from seqship.pipelines.sequences import Sequences
from seqship.pipelines.spec import Field
from seqship.progress import Progress, silent


def verify(
    path: str | os.PathLike[str],
    *,
    data: Sequences | None = None,
    strict: bool = False,
    tolerance: Tolerance | None = None,
    progress: Progress = silent,
) -> tuple[Bundle, EquivalenceReport]:
    """Runs every recorded case in every runtime of a bundle, and writes the verdict and the report anew.

    The cases hold what Keras computed when the bundle was made. Over `data` the SavedModel is the reference: Keras is
    not in the bundle.

    Args:
        path: The bundle.
        data: Real sequences to compare the runtimes on.
        strict: Whether a file that the manifest does not name is refused.
        tolerance: A fixed one instead of the limits that the cases were recorded with.
        progress: Told how far it is.

    Returns:
        The bundle as it is now, and the proof.

    Raises:
        BundleError: The path is no bundle.
        TamperedError: A file is missing or changed, or (with `strict`) one is there that the manifest does not name.
        ModelError: A file cannot be loaded in its runtime.
    """
    bundle = _checked(path, strict=strict)
    runners = _runners(bundle)
    oracle = None
    if data is not None and bundle.saved_model is not None:
        oracle = _oracle(bundle.saved_model, bundle.inputs)
    recorded = load_recorded(bundle.path / CASES_FILE)
    proof = compare_runners(
        recorded,
        runners,
        reference=runners.get(SAVED_MODEL_RUNNER) or runners[ONNX_RUNNER],
        oracle=oracle,
        inputs=bundle.inputs,
        data=data,
        tolerance=tolerance,
        progress=progress,
    )
    int8 = verify_int8(bundle, recorded, now(), data=data, progress=progress)
    return _rewrite(bundle, proof, _where(bundle, proof), int8), proof


def verify_quickly(
    path: str | os.PathLike[str],
    *,
    strict: bool = False,
    tolerance: Tolerance | None = None,
    progress: Progress = silent,
) -> tuple[Bundle, EquivalenceReport]:
    """Runs a few cases that have each condition once, in TensorFlow and in onnxruntime as it comes.

    The bundle stays as it is: what it says was shown by more than this.

    Args:
        path: The bundle.
        strict: Whether a file that the manifest does not name is refused.
        tolerance: A fixed one instead of the limits that the cases were recorded with.
        progress: Told how far it is.

    Raises:
        SeqshipError: As `verify` does.
    """
    bundle = _checked(path, strict=strict)
    plain = (SAVED_MODEL_RUNNER, ONNX_RUNNER)
    runners = {name: runner for name, runner in _runners(bundle).items() if name in plain}
    recorded = quick_cases(load_recorded(bundle.path / CASES_FILE))
    return bundle, compare_runners(recorded, runners, tolerance=tolerance, progress=progress)


def _checked(path: str | os.PathLike[str], *, strict: bool) -> Bundle:
    """Reads a bundle that holds cases, and whose files are what its manifest says."""
    bundle = read_bundle(path)
    if strict and (extra := unnamed_files(bundle)):
        raise TamperedError(f"{bundle.path}: {extra[0]} is not named by the manifest; remove it or drop --strict")
    if CASES_FILE not in bundle.manifest["files"]:
        raise BundleError(f"{bundle.path} holds no {CASES_FILE}: there is nothing to verify it with")
    return bundle


def _runners(bundle: Bundle) -> dict[str, Runner]:
    """Opens the files of a bundle in their runtimes."""
    runners: dict[str, Runner] = {}
    if bundle.saved_model is not None:
        runners |= saved_model_runners(bundle.saved_model, bundle.inputs, bundle.outputs)
    if bundle.onnx is not None:
        runners |= onnx_runners(bundle.onnx)
    if not runners:
        raise BundleError(f"{bundle.path} holds neither {ONNX_FILE} nor {SAVED_MODEL}: there is nothing to verify")
    vectorizer = bundle.vectorizer()
    return runners if vectorizer is None else with_texts(runners, vectorizer, bundle.inputs[0])


def _where(bundle: Bundle, proof: EquivalenceReport) -> Divergence | None:
    """Finds the first layer in which the ONNX file differs from the SavedModel, where a case shows that it is wrong."""
    feed = proof.wrong_feed
    if feed is None or bundle.onnx is None or bundle.saved_model is None:
        return None
    try:
        return find_graph_divergence(bundle.saved_model, bundle.onnx, feed)
    except ModelError:  # The verdict stands without it.
        return None


def verify_served(
    path: str | os.PathLike[str],
    runners: Mapping[str, Runner],
    *,
    tolerance: Tolerance | None = None,
    progress: Progress = silent,
) -> tuple[Bundle, EquivalenceReport]:
    """Runs every recorded case of a bundle in servers; the bundle stays as it is, of which a server proves nothing.

    Args:
        path: The bundle.
        runners: What asks each server, by its name.
        tolerance: A fixed one instead of the limits that the cases were recorded with.
        progress: Told how far it is.

    Raises:
        BundleError: The path is no bundle, or holds no cases.
        TamperedError: A file is missing or changed.
    """
    bundle = _checked(path, strict=False)
    # What a server makes of a NaN or of an unknown token id is its own affair: seqship's and JSON have no such numbers.
    recorded = [case for case in load_recorded(bundle.path / CASES_FILE) if case.expected and case.finite]
    return bundle, compare_runners(recorded, runners, tolerance=tolerance, progress=progress)


def _oracle(saved_model: Path, inputs: Sequence[Field]) -> Oracle | None:
    try:
        return saved_model_oracle(saved_model, inputs)
    except ModelError:  # An operation has no float64 kernel: the fixed tolerance stands in.
        return None


def _rewrite(bundle: Bundle, proof: EquivalenceReport, where: Divergence | None, int8: Int8Told) -> Bundle:
    """Puts a copy with the new verdict in the bundle's place, at once."""
    report = json.loads((bundle.path / "report.json").read_text(encoding="utf-8"))
    parts, judged = proof.to_json(), verdict(proof, now())
    report.pop("where", None)
    if where is not None:
        parts["where"], judged["where"] = where.to_json(), where.sentence()
    if not proof.data:
        # What was found over data when the bundle was made still stands, a difference above all.
        del parts["test_split"]
        kept = report.get("test_split") or []
        if proof:
            judged["rows"] = max((row["rows"] for row in kept), default=0)
        finite = [row["max_abs"] for row in kept if isinstance(row["max_abs"], float | int)]
        judged["largest"] = max([judged["largest"], *finite])
        if failed := [row for row in kept if not row["passed"]]:
            judged["failures"] += len(failed)
            judged["equivalent"] = parts["equivalent"] = False
            if proof:
                judged["worst"] = parts["worst"] = failed[0] | {"case": TEST_DATA}
    # The bundle may be the working directory, which moves away with the old files, or be reached through a link.
    target = bundle.path.resolve()
    with write_directory(target, force=True) as folder:
        for name in bundle.manifest["files"]:
            if name not in REPORT_FILES:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                _link_or_copy(target / name, folder / name)
        write_report(report | parts | int8.report, folder)
        manifest = {key: value for key, value in bundle.manifest.items() if key != "files"}
        write_manifest(folder, manifest | int8.manifest | {"equivalence": judged})
        for name in unnamed_files(bundle):  # Not ours, so not named; and not ours to remove.
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            _link_or_copy(target / name, folder / name)
    return Bundle(bundle.path, json.loads((target / MANIFEST).read_text(encoding="utf-8")))


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except OSError:  # Another file system, or one without hard links.
        shutil.copy2(source, target)
