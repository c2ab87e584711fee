"""The requests: heartbeats of mixed lengths, in the forms that each server takes."""

from __future__ import annotations

import json
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqship.wire.messages import PredictRequest
from seqship.wire.tensors import to_tensor_proto

LENGTHS = (60, 90, 120, 150, 187)
"""Samples of a heartbeat at 125 Hz."""

_PEERS = Path(__file__).parent / "peers"


@dataclass(frozen=True)
class Bodies:
    """Requests on disk, for load generators to read.

    Attributes:
        sequences: What they hold, each (1, time, 1).
        rest: A file of JSON bodies, one a line, by the name of its form: "columnar" or "v2".
        grpc: Files of one framed message each, by the name of their form: "predict" or "v2".
    """

    sequences: tuple[NDArray[np.float32], ...]
    rest: dict[str, Path]
    grpc: dict[str, tuple[Path, ...]]


def write_bodies(folder: Path, input_name: str, peers_python: Path | None) -> Bodies:
    """Writes the requests.

    Args:
        folder: Where to.
        input_name: What the model calls its input.
        peers_python: Interpreter of the peers' environment, which knows their messages; None without peers.
    """
    random = np.random.default_rng(0)
    sequences = tuple(random.random((1, length, 1)).astype(np.float32) for length in LENGTHS)
    columnar: list[Any] = [{"inputs": sequence.tolist()} for sequence in sequences]
    v2 = [
        {"inputs": [{"name": input_name, "shape": list(one.shape), "datatype": "FP32", "data": one.ravel().tolist()}]}
        for one in sequences
    ]
    rest: dict[str, Path] = {}
    for name, bodies in (("columnar", columnar), ("v2", v2)):
        rest[name] = folder / f"{name}.jsonl"
        rest[name].write_text("".join(json.dumps(body) + "\n" for body in bodies))
    grpc = {"predict": tuple(folder / f"predict-{number}.bin" for number in range(len(sequences)))}
    for path, sequence in zip(grpc["predict"], sequences, strict=True):
        request = PredictRequest()
        request.model_spec.name = "ecg"
        request.inputs[input_name].CopyFrom(to_tensor_proto(sequence, content=True))
        data = request.SerializeToString()
        path.write_bytes(b"\0" + struct.pack(">I", len(data)) + data)
    if peers_python is not None:
        values = folder / "sequences.json"
        values.write_text(json.dumps([one.ravel().tolist() for one in sequences]))
        subprocess.run([peers_python, _PEERS / "v2_bodies.py", values, folder, input_name], check=True)
        grpc["v2"] = tuple(folder / f"v2-{number}.bin" for number in range(len(sequences)))
    return Bodies(sequences, rest, grpc)
