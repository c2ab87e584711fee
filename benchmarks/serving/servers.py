"""How each server is started, asked, and ended."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PEERS = Path(__file__).parent / "peers"
SEQSHIP, SEQSHIP_BATCHING = "seqship", "seqship, batching"
LITSERVE, MLSERVER, MLSERVER_INLINE, PYTRITON = "litserve", "mlserver", "mlserver, no workers", "pytriton"
OURS = (SEQSHIP, SEQSHIP_BATCHING)
PEERS = (LITSERVE, MLSERVER, MLSERVER_INLINE, PYTRITON)
_PREDICT = "/tensorflow.serving.PredictionService/Predict"
_INFER = "/inference.GRPCInferenceService/ModelInfer"


@dataclass(frozen=True)
class Server:
    """A server that runs.

    Attributes:
        name: Which one.
        process: Its first process, the leader of its group.
        rest_url: What JSON is posted to.
        rest_form: Which bodies it takes.
        grpc_url: Its method; empty without gRPC.
        grpc_form: Which messages it takes.
        ready_seconds: From its start to its first right answer.
    """

    name: str
    process: subprocess.Popen[bytes]
    rest_url: str
    rest_form: str
    grpc_url: str
    grpc_form: str
    ready_seconds: float


@contextlib.contextmanager
def running(name: str, model: Path, folder: Path, peers_python: Path | None, body: bytes) -> Generator[Server]:
    """Starts a server with its own defaults and one thread for a call of the runtime, and ends it with the block.

    Args:
        name: Which one.
        model: The ONNX file, in `ROOT/1/model.onnx`.
        folder: Where its files and its log go.
        peers_python: Interpreter of the peers' environment.
        body: A request, to tell when it answers.
    """
    rest, grpc, metrics = _free_ports(3)
    command, url, form, method = _started(name, model, folder, peers_python, rest, grpc, metrics)
    environment = os.environ | {"PYTHONPATH": str(_PEERS), "CUDA_VISIBLE_DEVICES": ""}
    if name in OURS:
        del environment["PYTHONPATH"]
    began = time.perf_counter()
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True, cwd=folder)
    try:
        while not _answers(url, body):
            if process.poll() is not None or time.perf_counter() - began > 120:
                raise RuntimeError(f"{name} does not answer; see {folder / f'{name}.log'}")
            time.sleep(0.01)
        seconds = time.perf_counter() - began
        yield Server(name, process, url, form, f"http://127.0.0.1:{grpc}{method}" if method else "", form, seconds)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):  # pytriton leaves its server to itself.
            os.killpg(process.pid, signal.SIGKILL)


def memory_mb(server: Server) -> float:
    """Returns the memory of all of a server's processes, pages that they share counted once, in MB."""
    members = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and _in(entry, server)]
    total = 0
    for member in members:
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{member}/smaps_rollup").read_text().splitlines():
                total += int(line.split()[1]) if line.startswith("Pss:") else 0
    return total / 1000


def _in(entry: Path, server: Server) -> bool:
    try:
        return os.getsid(int(entry.name)) == server.process.pid
    except (ProcessLookupError, PermissionError):
        return False


def _started(
    name: str, model: Path, folder: Path, peers_python: Path | None, rest: int, grpc: int, metrics: int
) -> tuple[list[Any], str, str, str]:
    base = f"http://127.0.0.1:{rest}"
    if name in OURS:
        command = [sys.executable, "-m", "seqship", "serve", "--model_name=ecg"]
        command += [f"--model_base_path={model.parent.parent}", f"--port={grpc}", f"--rest_api_port={rest}"]
        command += ["--enable_batching=true"] if name == SEQSHIP_BATCHING else []
        return command, f"{base}/v1/models/ecg:predict", "columnar", _PREDICT
    if name == LITSERVE:
        return [peers_python, _PEERS / "litserve_server.py", model, str(rest)], f"{base}/predict", "columnar", ""
    if name == PYTRITON:
        command = [peers_python, _PEERS / "pytriton_server.py", model, str(rest), str(grpc), str(metrics)]
        return command, f"{base}/v2/models/ecg/infer", "v2", _INFER
    settings: Mapping[str, Any] = {
        "host": "127.0.0.1",
        "http_port": rest,
        "grpc_port": grpc,
        "metrics_port": metrics,
        "debug": False,
        **({"parallel_workers": 0} if name == MLSERVER_INLINE else {}),
    }
    own = folder / name.replace(", ", "-").replace(" ", "-")
    own.mkdir(exist_ok=True)
    (own / "settings.json").write_text(json.dumps(settings))
    model_settings = {"name": "ecg", "implementation": "mlserver_runtime.OnnxModel", "parameters": {"uri": str(model)}}
    (own / "model-settings.json").write_text(json.dumps(model_settings))
    command = [Path(str(peers_python)).parent / "mlserver", "start", own]
    return command, f"{base}/v2/models/ecg/infer", "v2", _INFER


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def answer(url: str, body: bytes) -> Any:
    """Returns what a server answers a body with."""
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)


def _answers(url: str, body: bytes) -> bool:
    try:
        answer(url, body)
    except (urllib.error.URLError, OSError, ValueError):
        return False
    return True
