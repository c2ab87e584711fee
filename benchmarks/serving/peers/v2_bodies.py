"""Writes requests of the v2 inference protocol: `python v2_bodies.py LENGTHS.json FOLDER INPUT`.

For each sequence a framed gRPC message; the JSON bodies need no library.
"""

from __future__ import annotations

import json
import struct
import sys
from pathlib import Path

import numpy as np
from tritonclient.grpc import service_pb2  # pyright: ignore[reportMissingImports]  (of the peers' environment)

if __name__ == "__main__":
    sequences, folder, name = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]), sys.argv[3]
    for number, sequence in enumerate(sequences):
        request = service_pb2.ModelInferRequest(model_name="ecg")
        tensor = request.inputs.add(name=name, datatype="FP32")
        tensor.shape.extend([1, len(sequence), 1])
        request.raw_input_contents.append(np.array(sequence, np.float32).tobytes())
        data = request.SerializeToString()
        (folder / f"v2-{number}.bin").write_bytes(b"\0" + struct.pack(">I", len(data)) + data)
