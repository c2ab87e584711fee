"""What a bundle's manifest and report say of its int8 file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from seqship.export.bundle import Bundle
from seqship.export.quantization import Int8Export
from seqship.export.quantization_proof import Int8Proof, prove_int8
from seqship.export.recording import RecordedCase
from seqship.pipelines.sequences import Sequences
from seqship.progress import Progress, silent

KEY = "int8"


@dataclass(frozen=True)
class Int8Told:
    """What is told of an int8 file; nothing where there is none.

    Attributes:
        manifest: What the manifest gets.
        report: What `report.json` gets.
    """

    manifest: dict[str, Any]
    report: dict[str, Any]


NOTHING = Int8Told({}, {})


def told(export: Int8Export, proof: Int8Proof, verified: str) -> Int8Told:
    """Returns what is told of a new int8 file.

    Args:
        export: The file.
        proof: The verdict on it.
        verified: When that was made.
    """
    facts = export.to_json() | {"verified": verified}
    return Int8Told({KEY: facts | proof.verdict()}, {KEY: facts | proof.to_json()})


def verify_int8(
    bundle: Bundle,
    recorded: Sequence[RecordedCase],
    verified: str,
    *,
    data: Sequences | None = None,
    progress: Progress = silent,
) -> Int8Told:
    """Proves a bundle's int8 file again, from the bundle's files alone; what was found over data stands without data.

    Args:
        bundle: The bundle.
        recorded: Its cases.
        verified: The time, for the manifest.
        data: Real sequences.
        progress: Told how far it is.

    Raises:
        ModelError: A file cannot be loaded in onnxruntime.
    """
    if bundle.int8 is None or bundle.onnx is None:
        return NOTHING
    proof = prove_int8(
        bundle.onnx,
        bundle.int8,
        recorded,
        inputs=bundle.inputs,
        outputs=bundle.outputs,
        data=data,
        progress=progress,
    )
    before: dict[str, Any] = bundle.manifest.get(KEY) or {}
    report: dict[str, Any] = json.loads((bundle.path / "report.json").read_text(encoding="utf-8")).get(KEY) or {}
    manifest = before | proof.verdict() | {"verified": verified}
    document = report | proof.to_json() | {"verified": verified}
    if not proof.data:
        manifest["data"], document["test_split"] = before.get("data", []), report.get("test_split", [])
    return Int8Told({KEY: manifest}, {KEY: document})
