"""Writes `descriptors.binpb` from the .proto files: `python -m seqship.wire.protos.compile`.

Only whoever changes a .proto file needs it, and grpcio-tools for it; the set is committed.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from google.protobuf import descriptor_pb2

from seqship.errors import DataError, DependencyError

FOLDER = Path(__file__).parent
DESCRIPTORS = FOLDER / "descriptors.binpb"


def compiled() -> bytes:
    """Returns the serialized FileDescriptorSet of the .proto files, each after those that it imports.

    Google's own files are left out: the installed protobuf brings them.

    Raises:
        DependencyError: grpcio-tools is not installed.
        DataError: A .proto file cannot be compiled; the compiler's words follow.
    """
    if find_spec("grpc_tools") is None:
        raise DependencyError("compiling .proto files needs grpcio-tools; pip install grpcio-tools")
    files = sorted(path.name for path in FOLDER.glob("*.proto"))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, DESCRIPTORS.name)
        # In a process of its own: the compiler brings a protobuf that crashes beside TensorFlow's.
        command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{FOLDER}", "--include_imports"]
        command.append(f"--descriptor_set_out={out}")
        result = subprocess.run([*command, *files], capture_output=True, text=True, check=False)  # noqa: S603
        if result.returncode != 0:
            raise DataError(f"a .proto file cannot be compiled: {' '.join(result.stderr.split())}")
        whole = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes())
    own = descriptor_pb2.FileDescriptorSet(file=[file for file in whole.file if not file.name.startswith("google/")])
    return own.SerializeToString(deterministic=True)


if __name__ == "__main__":
    DESCRIPTORS.write_bytes(compiled())
