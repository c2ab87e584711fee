"""A server in a process of its own."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

START = """
import sys
from importlib.abc import MetaPathFinder

class Block(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("tensorflow", "keras", "tf_keras", "onnx", "tf2onnx", "typer", "rich"):
            raise ImportError(f"{name} must not be imported")

sys.meta_path.insert(0, Block())
from seqship.serving.server import serve
sys.exit(serve(sys.argv[1:]))
"""
"""Every server of these tests runs without TensorFlow."""


@dataclass(frozen=True)
class Served:
    """A server in a process of its own."""

    grpc_port: int
    rest_port: int
    process: subprocess.Popen[str]
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.rest_port}"

    def post(self, path: str, body: Any, **options: Any) -> httpx.Response:
        if isinstance(body, bytes):
            return httpx.post(self.url + path, content=body, timeout=60, **options)
        return httpx.post(self.url + path, json=body, timeout=60, **options)

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.url + path, timeout=60)

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(60)


def find_port(log: Path, pattern: str) -> int:
    found = re.search(pattern, log.read_text())
    return int(found[1]) if found else 0


@contextlib.contextmanager
def served(log: Path, arguments: Sequence[str], *, ports: bool = True) -> Generator[Served]:
    """Starts a server, and ends it with the block."""
    given = ["--port=auto", "--rest_api_port=auto"] if ports else []
    with log.open("w") as file:
        process = subprocess.Popen([sys.executable, "-c", START, *given, *arguments], stderr=file, text=True)
    try:
        until = time.monotonic() + 60
        while "Exporting HTTP/REST API at:localhost:" not in log.read_text():
            assert process.poll() is None and time.monotonic() < until, log.read_text()
            time.sleep(0.02)
        grpc_port = find_port(log, r"Running gRPC ModelServer at 0\.0\.0\.0:(\d+) \.\.\.")
        rest_port = find_port(log, r"Exporting HTTP/REST API at:localhost:(\d+) \.\.\.")
        yield Served(grpc_port, rest_port, process, log)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(60)
