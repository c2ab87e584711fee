"""A bundle whose files hold nothing: enough for whatever moves files and runs no model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seqship.export.bundle import write_manifest
from seqship.pipelines.spec import Field

INPUT = Field("signal", "float32", ("batch", "time", 2), pad_value=-1.0)
OUTPUT = Field("scores", "float32", ("batch", 3))
FILES = {
    "model.onnx": b"an onnx model",
    "report.html": b"a report",
    "saved_model/saved_model.pb": b"a saved model",
    "saved_model/variables/variables.index": b"an index",
    "saved_model/assets.extra/tf_serving_warmup_requests": b"requests",
}


def plain_bundle(path: Path, *, name: str = "ecg", equivalent: bool = True, files: Mapping[str, bytes] = FILES) -> Path:
    """Writes one of these files."""
    for file, data in files.items():
        (path / file).parent.mkdir(parents=True, exist_ok=True)
        (path / file).write_bytes(data)
    manifest: dict[str, Any] = {
        "name": name,
        "created": "2026-11-22T00:00:00Z",
        "versions": {},
        "source": {"kind": "memory", "keras": 3},
        "contract": {"inputs": [INPUT.to_json()], "outputs": [OUTPUT.to_json()]},
        "equivalence": {"equivalent": equivalent},
    }
    path.mkdir(parents=True, exist_ok=True)
    write_manifest(path, manifest)
    return path


def names(root: Path) -> list[str]:
    """What lies in a base path, but the lock."""
    return sorted(path.name for path in root.iterdir() if path.name != ".push.lock")
