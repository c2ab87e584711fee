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
from typing import Any, get_args

from seqship.atomic import write_directory
from seqship.errors import ModelError, ProofError
from seqship.export.audit import LayerAudit
from seqship.export.bundle import (
    CASES_FILE,
    FORMAT,
    INT8_FILE,
    ONNX_FILE,
    PARTS,
    SAVED_MODEL,
    VOCABULARY_FILE,
    Bundle,
    write_manifest,
)
from seqship.export.cases import Padding
from seqship.export.deployment_files import FOLDER, deployment_of, write_deployment_files
from seqship.export.divergence import Divergence, find_divergence, layer_reference
from seqship.export.equivalence import EquivalenceReport, check_equivalence
from seqship.export.graph_signature import gpu_operations
from seqship.export.inspection import inspect_model
from seqship.export.onnx import OnnxExport, to_onnx
from seqship.export.quantization import check_quantization, write_int8
from seqship.export.quantization_proof import prove_int8
from seqship.export.quantized_bundle import NOTHING, told
from seqship.export.recording import save_recorded
from seqship.export.report import write_report
from seqship.export.saved_model import SavedModelExport, to_saved_model
from seqship.export.signature import ModelSignature, with_classes
from seqship.export.streaming import export_signature
from seqship.export.warmup import write_warmup_requests
from seqship.models.flavour import flavour_of
from seqship.models.saved import SavedGraph
from seqship.pipelines.sequences import Sequences
from seqship.pipelines.spec import Field
from seqship.pipelines.text_vectorizer import TextVectorizer
from seqship.progress import Progress, silent

FORMATS = ("saved_model", "onnx")
_SHOWN = ("reached", "training", "classification", "examples", "figures")

Part = tuple[Any, Sequence[Field] | None, Sequence[Field] | None]
"""A model, and the contracts that replace what it says of its inputs and outputs."""


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
    padding: Padding = "any",
    allow_loop: bool = True,
    require_cudnn: bool = False,
    quantize: str | None = None,
    source: Mapping[str, Any] | None = None,
    facts: Mapping[str, Any] | None = None,
    parts: Mapping[str, Part] | None = None,
    classes: Sequence[str] | None = None,
    vectorizer: TextVectorizer | None = None,
    seed: int = 0,
    force: bool = False,
    progress: Progress = silent,
) -> Bundle:
    """Exports a model and writes its bundle, proven or not: its manifest says which.

    Args:
        model: A tf-keras or Keras 3 model, or a `SavedGraph`, which is then compared with itself as TensorFlow runs it.
        directory: The bundle to make.
        name: Name of the model.
        data: Real sequences to compare the runtimes on, beside the grid of cases.
        inputs: Contracts that replace what the model says of its inputs.
        outputs: Contracts that replace what the model says of its outputs.
        formats: What to export to, of "saved_model" and "onnx".
        opset: ONNX operator set; the newest that all sides serve if left out.
        padding: "right" if every mask is off behind the data alone: the ONNX graph then needs no permutation, and the
            proof has no other masks.
        allow_loop: Whether a recurrent layer without an ONNX operator may become a Loop.
        require_cudnn: Whether every recurrent layer must be one that cuDNN can run.
        quantize: "int8" writes the ONNX file a second time with int8 weights, and proves it (`quantization_proof`); the
            models in `parts` stay as they are.
        source: Where the model comes from, for the manifest.
        facts: More of the report: `metrics`, `reached`, `training`, `classification`, `examples`, `figures`.
        parts: Models that belong to this one, each a bundle of its own in `parts/NAME`.
        classes: Names of the classes that the first output scores; two for one score, that of the second.
        vectorizer: What makes a text model's token ids of raw text; kept in the bundle.
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
    if padding not in get_args(Padding):
        raise ModelError(f"padding must be {' or '.join(get_args(Padding))}, got {padding!r}")
    if seed < 0:
        raise ModelError(f"the seed must be 0 or more, got {seed}")
    check_quantization(quantize, formats)
    target = Path(directory).absolute()  # Where the working directory itself is replaced, "." is the old one.
    if isinstance(model, SavedGraph):
        _require_reference(model)
    signature = export_signature(model, inputs=inputs, outputs=outputs)
    if classes is not None:
        signature = with_classes(signature, classes)
    # The export to ONNX audits the layers; a layer that is not eligible is to be told before anything is written.
    layers = inspect_model(model, signature=signature) if require_cudnn or "onnx" not in formats else ()
    if require_cudnn:
        _require_cudnn(layers)
    with write_directory(target, force=force) as folder:
        onnx, saved, int8 = None, None, None
        steps = len(formats) + 1
        if "onnx" in formats:
            progress("exporting to ONNX", 0, steps)
            onnx = to_onnx(
                model, folder / ONNX_FILE, opset=opset, padding=padding, allow_loop=allow_loop, signature=signature
            )
            layers = onnx.audit
            int8 = None if quantize is None else write_int8(onnx.path, folder / INT8_FILE, audit=onnx.audit)
        if "saved_model" in formats:
            progress("exporting to SavedModel", steps - 2, steps)
            saved = to_saved_model(model, folder / SAVED_MODEL, signature=signature, vectorizer=vectorizer)
            write_warmup_requests(saved.path, saved.signatures, name=name, data=data, vectorizer=vectorizer, seed=seed)
        proof = check_equivalence(
            model,
            saved_model=folder / SAVED_MODEL if "saved_model" in formats else None,
            onnx=folder / ONNX_FILE if onnx else None,
            data=data,
            padding=padding,
            seed=seed,
            signature=signature,
            vectorizer=vectorizer,
            progress=progress,
        )
        created = now()
        (folder / CASES_FILE).parent.mkdir()
        save_recorded(proof.recorded, folder / CASES_FILE)
        document = _document(model, name, created, signature, onnx, layers, source or {"kind": "memory"}, facts or {})
        where = None if onnx is None or isinstance(model, SavedGraph) else _where(model, signature, onnx.path, proof)
        where_json = {} if where is None else {"where": where.to_json()}
        told_int8 = NOTHING
        if onnx is not None and int8 is not None:
            fields = {"inputs": signature.inputs, "outputs": signature.outputs}
            int8_proof = prove_int8(onnx.path, int8.path, proof.recorded, **fields, data=data, progress=progress)
            told_int8 = told(int8, int8_proof, created)
        write_report(document | proof.to_json() | where_json | told_int8.report, folder)
        manifest = {key: document[key] for key in ("name", "created", "versions", "source", "contract")}
        manifest |= {"version": "1", "padding": padding, "signatures": _signatures(saved)}
        manifest |= {"onnx": document["onnx"], "audit": document["layers"], "metrics": document["metrics"]}
        manifest |= {"reached": document["reached"]} if document.get("reached") else {}
        if vectorizer is not None:
            (folder / VOCABULARY_FILE).parent.mkdir()
            vectorizer.save(folder / VOCABULARY_FILE)
            manifest["preprocessing"] = {"text": _text_facts(vectorizer)}
        for part, (own, its_inputs, its_outputs) in (parts or {}).items():
            made = ship(
                own,
                folder / PARTS / part,
                name=f"{name}-{part}",
                inputs=its_inputs,
                outputs=its_outputs,
                formats=formats,
                opset=opset,
                allow_loop=allow_loop,
                source=source,
                seed=seed,
                progress=progress,
            )
            manifest.setdefault("parts", {})[part] = made.manifest["equivalence"]
        if saved is not None:
            longest = int(data.lengths.max()) if data is not None and len(data) else None
            deployment = deployment_of(
                name,
                signature.inputs,
                saved.path,
                recurrent_weights=sum(row.params for row in layers),
                units=sum(row.units for row in layers),
                longest=longest or (vectorizer.max_length if vectorizer is not None else None),
                seqship_version=document["versions"]["seqship"],
            )
            write_deployment_files(folder / FOLDER, deployment)
        if training := document.get("training"):
            manifest["training"] = {key: value for key, value in training.items() if key != "history"}
        judged = verdict(proof, created) | ({} if where is None else {"where": where.sentence()})
        write_manifest(folder, manifest | told_int8.manifest | {"equivalence": judged})
    return Bundle(Path(directory), json.loads((target / "manifest.json").read_text(encoding="utf-8")))


def _where(model: Any, signature: ModelSignature, onnx: Path, proof: EquivalenceReport) -> Divergence | None:
    """Finds the first layer that differs, where a recorded case shows that the ONNX file is wrong."""
    feed = proof.wrong_feed
    if feed is None:
        return None
    try:
        return find_divergence(layer_reference(model, signature=signature), onnx, feed)
    except ModelError:  # The verdict stands without it.
        return None


def _signatures(saved: SavedModelExport | None) -> dict[str, Any]:
    """Returns the contract of each signature of the SavedModel."""
    return {} if saved is None else {one.name: one.to_json() for one in saved.signatures}


def _text_facts(vectorizer: TextVectorizer) -> dict[str, Any]:
    """Returns what a manifest says of the vocabulary."""
    facts = {"vocabulary": VOCABULARY_FILE, "words": len(vectorizer.vocabulary)}
    return facts | {"max_length": vectorizer.max_length, "truncate": vectorizer.truncate}


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
        "left_open": dict(zip(("values", "of"), proof.left_open, strict=True)),
        "verified": verified,
        "tolerance": {key: value for key, value in proof.tolerance.to_json().items() if key != "why"},
    }


def now() -> str:
    """Returns the time, UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def versions(keras: str | None) -> dict[str, str]:
    """Returns the versions of what an export depends on.

    Args:
        keras: Distribution of the Keras in use, "keras" or "tf-keras"; None where there is none.
    """
    used = [] if keras is None else [keras]
    packages = ("seqship", "tensorflow", *used, "onnx", "onnxruntime", "tf2onnx", "numpy")
    return {"python": platform.python_version()} | {package: metadata.version(package) for package in packages}


def _require_reference(saved: SavedGraph) -> None:
    """Refuses a graph that nothing here can run: what an export of it computes cannot be compared with anything."""
    if found := gpu_operations(saved):
        raise ModelError(
            f"{saved.directory} holds {found[0]}, which runs on a GPU alone: nothing can be proven here; give the "
            ".keras file, or convert it without proof in Python (seqship.export.saved_model_to_onnx)"
        )


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
    flavour = None if isinstance(model, SavedGraph) else flavour_of(model)
    document: dict[str, Any] = {
        "format": FORMAT,
        "name": name,
        "created": created,
        "source": {**source, **({} if flavour is None else {"keras": flavour.version})},
        "contract": signature.to_json(),
        "layers": [row.to_json() for row in layers],
        "onnx": None if onnx is None else onnx.to_json(),
        "versions": versions(None if flavour is None else flavour.package),
        "metrics": facts.get("metrics", {}),
    }
    return document | {key: facts[key] for key in _SHOWN if key in facts}
