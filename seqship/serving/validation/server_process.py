"""A server in a process of its own, over a base path: TensorFlow Serving's, that of its container, or ours."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from seqship.errors import DependencyError

ServerKind = Literal["tensorflow_model_server", "docker", "seqship"]

IMAGE = "tensorflow/serving:2.20.0"
"""The latest release's."""
_STOP_SECONDS = 30
_LAST = 300


@dataclass(frozen=True, eq=False)
class ServerProcess:
    """A server that has been started.

    Attributes:
        kind: Which one.
        version: What it says of its version.
        addresses: Of its REST and its gRPC API, for a client.
        model: Name that the model is served under.
        process: The process; of a container, that of `docker run`.
        log: What it writes.
    """

    kind: ServerKind
    version: str
    addresses: dict[str, str]
    model: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def last_words(self) -> str:
        """The last line that it wrote."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1][-_LAST:] if lines else "nothing"

    def memory_mb(self) -> float | None:
        """Returns the most memory that it had resident, in MB; None where the system does not tell."""
        if self.kind == "docker":
            return None  # The process is docker's client.
        try:
            status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii", errors="replace")
        except OSError:
            return None
        found = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
        return round(int(found[0]) / 1024, 1) if found else None


def choose_server(kind: ServerKind | Literal["auto"]) -> ServerKind:
    """Returns the server that is validated with: the one asked for, or the nearest to production that is there.

    Raises:
        DependencyError: The one asked for is not there.
    """
    if kind in ("auto", "tensorflow_model_server") and shutil.which("tensorflow_model_server"):
        return "tensorflow_model_server"
    if kind in ("auto", "docker") and _docker_works():
        return "docker"
    if kind == "tensorflow_model_server":
        raise DependencyError("there is no tensorflow_model_server on the PATH; install it, or use --server seqship")
    if kind == "docker":
        raise DependencyError("docker info fails: no daemon answers; start one, or use --server seqship")
    return "seqship"


@contextlib.contextmanager
def started(kind: ServerKind, base_path: Path, model: str, log: Path) -> Generator[ServerProcess]:
    """Starts a server on free ports, and ends it with the block.

    Args:
        kind: Which one.
        base_path: The directory above the versions.
        model: Name to serve the model under.
        log: Where its output goes.
    """
    grpc_port, rest_port = _free_ports()
    name = f"seqship-validate-{secrets.token_hex(4)}"
    command = _command(kind, base_path, model, grpc_port, rest_port, name)
    version = _version(kind)
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)  # noqa: S603
    try:
        addresses = {"REST": f"http://127.0.0.1:{rest_port}", "gRPC": f"grpc://127.0.0.1:{grpc_port}"}
        yield ServerProcess(kind, version, addresses, model, process, log)
    finally:
        if kind == "docker":
            _said(["docker", "rm", "--force", name])
        _stop(process)


def _command(kind: ServerKind, base_path: Path, model: str, grpc_port: int, rest_port: int, name: str) -> list[str]:
    if kind == "docker":
        target = "/models/validated"
        return [
            "docker", "run", "--rm", "--name", name,
            "--publish", f"127.0.0.1:{grpc_port}:8500", "--publish", f"127.0.0.1:{rest_port}:8501",
            "--mount", f"type=bind,source={base_path},target={target},readonly",
            "--entrypoint", "tensorflow_model_server", IMAGE,
            "--port=8500", "--rest_api_port=8501", f"--model_name={model}", f"--model_base_path={target}",
        ]  # fmt: skip
    flags = [f"--port={grpc_port}", f"--rest_api_port={rest_port}"]
    flags += [f"--model_name={model}", f"--model_base_path={base_path}"]
    return [*_program(kind), *flags]


def _program(kind: ServerKind) -> list[str]:
    if kind == "tensorflow_model_server":
        return [shutil.which("tensorflow_model_server") or "tensorflow_model_server"]
    return [sys.executable, "-m", "seqship", "serve"]


def _version(kind: ServerKind) -> str:
    if kind == "docker":
        return IMAGE
    said = _said([*_program(kind), "--version"])
    return said.splitlines()[0].rpartition(":")[2].strip() if said.strip() else "unknown"


def _said(command: Sequence[str]) -> str:
    try:
        made = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return made.stdout


def _docker_works() -> bool:
    if shutil.which("docker") is None:
        return False
    try:
        return subprocess.run(["docker", "info"], capture_output=True, timeout=30, check=False).returncode == 0  # noqa: S607
    except (OSError, subprocess.TimeoutExpired):
        return False


def _free_ports() -> tuple[int, int]:
    """Returns two ports that nobody listens on now."""
    with closing(socket.socket()) as one, closing(socket.socket()) as other:
        for opened in (one, other):
            opened.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1]), int(other.getsockname()[1])


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
