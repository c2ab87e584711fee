"""Exports a model, proves the exports equal, and writes the bundle."""

from __future__ import annotations

import json
import math
import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from seqship.atomic import write_directory
from seqship.errors import ModelError, ProofError
from seqship.export.audit import LayerAudit
from seqship.export.bundle import CASES_FILE, FORMAT, ONNX_FILE, SAVED_MODEL, Bundle, write_manifest
from seqship.export.equivalence import EquivalenceReport, check_equivalence, save_recorded
from seqship.export.inspection import inspect_model
from seqship.export.onnx import OnnxExport, to_onnx
from seqship.export.report import write_report
from seqship.export.saved_model import to_saved_model
from seqship.export.signature import ModelSignature, model_signature
from seqship.models.flavour import flavour_of
from seqship.pipelines.sequences import Sequences
from seqship.pipelines.spec import Field
from seqship.progress import Progress, silent

FORMATS = ("saved_model", "onnx")


def ship(
    model: Any,
    directory: str | os.PathLike[str],
    *,
    name: str,
    data: Sequences | None = None,
    inputs: Sequence[Field] | None = None,
    outputs: Sequence[Field] | None = None,
    formats: Sequence[str] = FORMATS,
    opset: int | None = None,
    allow_loop: bool = True,
    require_cudnn: bool = False,
    source: Mapping[str, Any] | None = None,
    facts: Mapping[str, Any] | None = None,
    seed: int = 0,
    force: bool = False,
    progress: Progress = silent,
) -> Bundle:
    """Exports a model and writes its bundle, proven or not: its manifest says which.

    Args:
        model: A tf-keras or Keras 3 model.
        directory: The bundle to make.
        name: Name of the model.
        data: Real sequences to compare the runtimes on, beside the grid of cases.
        inputs: Contracts that replace what the model says of its inputs.
        outputs: Contracts that replace what the model says of its outputs.
        formats: What to export to, of "saved_model" and "onnx".
        opset: ONNX operator set; the newest that all sides serve if left out.
        allow_loop: Whether a recurrent layer without an ONNX operator may become a Loop.
        require_cudnn: Whether every recurrent layer must be one that cuDNN can run.
        source: Where the model comes from, for the manifest.
        facts: More of the report: `metrics`, `training`, `classification`, `examples`.
        seed: Seed of the cases.
        force: Whether an existing bundle is replaced.
        progress: Told how far it is.

    Raises:
        ModelError: The model cannot be exported.
        ProofError: A layer is not what `allow_loop` or `require_cudnn` asks for.
        OutputError: The bundle cannot be written.
    """
    if not formats or set(formats) - set(FORMATS):
        raise ModelError(f"formats must be of {', '.join(FORMATS)}, got {', '.join(formats) or 'none'}")
    if seed < 0:
        raise ModelError(f"the seed must be 0 or more, got {seed}")
    target = Path(directory).absolute()  # Where the working directory itself is replaced, "." is the old one.
    signature = model_signature(model, inputs=inputs, outputs=outputs)
    layers = inspect_model(model, signature=signature)
    if require_cudnn:
        _require_cudnn(layers)
    with write_directory(target, force=force) as folder:
        onnx = None
        steps = len(formats) + 1
        if "onnx" in formats:
            progress("exporting to ONNX", 0, steps)
            onnx = to_onnx(model, folder / ONNX_FILE, opset=opset, allow_loop=allow_loop, signature=signature)
        if "saved_model" in formats:
            progress("exporting to SavedModel", steps - 2, steps)
            to_saved_model(model, folder / SAVED_MODEL, signature=signature)
        proof = check_equivalence(
            model,
            saved_model=folder / SAVED_MODEL if "saved_model" in formats else None,
            onnx=folder / ONNX_FILE if onnx else None,
            data=data,
            seed=seed,
            signature=signature,
            progress=progress,
        )
        created = now()
        (folder / CASES_FILE).parent.mkdir()
        save_recorded(proof.recorded, folder / CASES_FILE)
        document = _document(model, name, created, signature, onnx, layers, source or {"kind": "memory"}, facts or {})
        write_report(document | proof.to_json(), folder)
        manifest = {key: document[key] for key in ("name", "created", "versions", "source", "contract")}
        manifest |= {"version": "1", "signatures": {"serving_default": document["contract"]}}
        manifest |= {"onnx": document["onnx"], "audit": document["layers"], "metrics": document["metrics"]}
        if training := document.get("training"):
            manifest["training"] = {key: value for key, value in training.items() if key != "history"}
        write_manifest(folder, manifest | {"equivalence": verdict(proof, created)})
    return Bundle(Path(directory), json.loads((target / "manifest.json").read_text(encoding="utf-8")))


def verdict(proof: EquivalenceReport, verified: str) -> dict[str, Any]:
    """Returns what a manifest says of a proof."""
    worst = proof.worst
    return {
        "equivalent": bool(proof),
        "worst": None if worst is None else worst.to_json(),
        "cases": len(proof.recorded),
        "rows": max((row.rows for row in proof.data), default=0),
        "largest": max((agreement.max_abs for agreement in proof.all if math.isfinite(agreement.max_abs)), default=0.0),
        "failures": len(proof.failures),
        "verified": verified,
        "tolerance": {"atol": proof.tolerance.atol, "rtol": proof.tolerance.rtol},
    }


def now() -> str:
    """Returns the time, UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def versions(keras: str) -> dict[str, str]:
    """Returns the versions of what an export depends on.

    Args:
        keras: Distribution of the Keras in use, "keras" or "tf-keras".
    """
    packages = ("seqship", "tensorflow", keras, "onnx", "onnxruntime", "tf2onnx", "numpy")
    return {"python": platform.python_version()} | {package: metadata.version(package) for package in packages}


def _require_cudnn(layers: Sequence[LayerAudit]) -> None:
    if reasons := [f"{row.layer}: {', '.join(row.reasons)}" for row in layers if not row.cudnn_eligible]:
        raise ProofError(
            f"cuDNN cannot run every recurrent layer ({'; '.join(reasons)}); change it or drop --require-cudnn"
        )


def _document(
    model: Any,
    name: str,
    created: str,
    signature: ModelSignature,
    onnx: OnnxExport | None,
    layers: Sequence[LayerAudit],
    source: Mapping[str, Any],
    facts: Mapping[str, Any],
) -> dict[str, Any]:
    """Returns `report.json` but for the proof."""
    flavour = flavour_of(model)
    document: dict[str, Any] = {
        "format": FORMAT,
        "name": name,
        "created": created,
        "source": {**source, "keras": flavour.version},
        "contract": {
            "inputs": [field.to_json() for field in signature.inputs],
            "outputs": [field.to_json() for field in signature.outputs],
        },
        "layers": [row.to_json() for row in layers],
        "onnx": None if onnx is None else onnx.to_json(),
        "versions": versions(flavour.package),
        "metrics": facts.get("metrics", {}),
    }
    return document | {key: facts[key] for key in ("training", "classification", "examples") if key in facts}
