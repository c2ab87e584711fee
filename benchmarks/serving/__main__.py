"""Measures servers under load: `python -m benchmarks.serving`. Needs wrk, and h2load of nghttp2.

The same untrained heartbeat model (two GRU layers) behind each; requests of mixed lengths, one at a time on 1, 8 and 64
connections. The servers are loaded in turn, round by round, every second round the other way; what is shown is the
median of the rounds, and seqship's requests a second by those of each peer in the same round.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from benchmarks.ratio import Ratio, ratio_of
from benchmarks.serving.bodies import Bodies, write_bodies
from benchmarks.serving.environment import peers_python
from benchmarks.serving.load import Load, grpc_load, rest_load
from benchmarks.serving.servers import OURS, PEERS, SEQSHIP, Server, answer, memory_mb, running

CONNECTIONS = (1, 8, 64)
REST_TARGET, OVERHEAD_TARGET_MS, READY_TARGET, MEMORY_TARGET = 3.0, 0.3, 1.5, 250.0


@dataclass(frozen=True)
class Row:
    """One server under one load.

    Attributes:
        server: Its name.
        api: "REST" or "gRPC".
        connections: How many requests were under way.
        per_second: Median of the rounds.
        p50_ms: Median of the rounds.
        p99_ms: Median of the rounds.
        failed: Requests without success, of all rounds.
        ratio: seqship's requests a second by this one's, in the same round; None for seqship itself.
    """

    server: str
    api: str
    connections: int
    per_second: float
    p50_ms: float
    p99_ms: float
    failed: int
    ratio: Ratio | None


def write_model(folder: Path) -> tuple[Path, str]:
    """Exports the model; returns the file, in a version's directory, and the name of its input."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from seqship.export import to_onnx
    from seqship.models import build, recipes

    target = folder / "ecg" / "1" / "model.onnx"
    target.parent.mkdir(parents=True)
    to_onnx(build("ecg-gru", keras=3), target, input_signature=recipes()["ecg-gru"].inputs)
    return target, onnxruntime.InferenceSession(target).get_inputs()[0].name


def check_answers(servers: Sequence[Server], bodies: Bodies, model: Path) -> None:
    """Refuses to measure a server that answers something else than the model.

    Raises:
        RuntimeError: One does.
    """
    session: Any = onnxruntime.InferenceSession(model)
    for server in servers:
        lines = bodies.rest[server.rest_form].read_bytes().splitlines()
        for line, sequence in zip(lines, bodies.sequences, strict=True):
            (expected,) = session.run(None, {session.get_inputs()[0].name: sequence})
            outputs = answer(server.rest_url, line)["outputs"]
            made = np.array(outputs[0]["data"] if server.rest_form == "v2" else outputs, np.float64)
            if not np.allclose(made.ravel(), expected.ravel(), atol=1e-5):
                raise RuntimeError(f"{server.name} answers {made}, the model {expected}")


def bare_ms(model: Path, bodies: Bodies, calls: int = 2000) -> float:
    """Returns the median time of a call of onnxruntime at batch 1, on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session: Any = onnxruntime.InferenceSession(model, options)
    name, sequence = session.get_inputs()[0].name, bodies.sequences[len(bodies.sequences) // 2]
    times: list[float] = []
    for _ in range(calls):
        began = time.perf_counter()
        session.run(None, {name: sequence})
        times.append(time.perf_counter() - began)
    return 1e3 * float(np.median(times[calls // 4 :]))


def measure(
    servers: Sequence[Server], bodies: Bodies, *, rounds: int, seconds: float
) -> dict[tuple[str, str, int], list[Load]]:
    """Loads every server in every round; the first is not counted."""
    found: dict[tuple[str, str, int], list[Load]] = {}
    for number in range(rounds + 1):
        for connections in CONNECTIONS:
            for server in servers if number % 2 else servers[::-1]:
                for api in ("REST", "gRPC"):
                    if api == "gRPC" and not server.grpc_url:
                        continue
                    if api == "REST":
                        body = bodies.rest[server.rest_form]
                        load = rest_load(server.rest_url, body, connections=connections, seconds=seconds)
                    else:
                        form = "v2" if server.rest_form == "v2" else "predict"
                        messages = bodies.grpc[form]
                        load = grpc_load(server.grpc_url, messages, connections=connections, seconds=seconds)
                    if number:
                        found.setdefault((server.name, api, connections), []).append(load)
                print(f"\rround {number} of {rounds}: {server.name}, {connections}   ", end="", file=sys.stderr)
    print(file=sys.stderr)
    return found


def rows_of(found: Mapping[tuple[str, str, int], Sequence[Load]]) -> list[Row]:
    """Sums up the rounds; each peer is compared with seqship under its own defaults."""
    rows: list[Row] = []
    for (name, api, connections), loads in found.items():
        speeds = np.array([load.per_second for load in loads])
        ours = np.array([load.per_second for load in found[SEQSHIP, api, connections]])
        p50, p99 = (float(np.median([getattr(load, which) for load in loads])) for which in ("p50_ms", "p99_ms"))
        ratio = None if name in OURS else ratio_of(ours / speeds)
        failed = sum(load.failed for load in loads)
        rows.append(Row(name, api, connections, float(np.median(speeds)), p50, p99, failed, ratio))
    return rows


def verdicts(rows: Sequence[Row], servers: Sequence[Mapping[str, Any]], bare: float) -> list[str]:
    """Returns a line for each target."""

    def line(met: bool, text: str) -> str:
        return f"{'met' if met else 'missed'}: {text}"

    said: list[str] = []
    for api in ("REST", "gRPC"):
        for connections in CONNECTIONS:
            peers = [row for row in rows if row.ratio and (row.api, row.connections) == (api, connections)]
            if peers:
                best = min(peers, key=lambda row: row.ratio.median if row.ratio else 0)
                ratio = best.ratio.median if best.ratio else 0
                text = f"{api}, {connections} connections: {ratio:.2f} times {best.server}, the best of the others"
                said.append(line(ratio >= REST_TARGET, f"{text}; at least {REST_TARGET:g}"))
    ours = next(row for row in rows if (row.server, row.api, row.connections) == (SEQSHIP, "gRPC", 1))
    over = ours.p50_ms - bare
    said.append(
        line(over <= OVERHEAD_TARGET_MS, f"gRPC at batch 1: {over:.2f} ms over bare onnxruntime ({bare:.2f} ms)")
    )
    facts = next(one for one in servers if one["server"] == SEQSHIP)
    said.append(line(facts["ready_seconds"] <= READY_TARGET, f"ready after {facts['ready_seconds']:.2f} s"))
    said.append(line(facts["memory_mb"] <= MEMORY_TARGET, f"{facts['memory_mb']:.0f} MB after the load"))
    return said


def table(rows: Sequence[Row]) -> str:
    """Returns one line for each server and load."""
    head = f"{'server':22} {'API':5} {'conns':>5} {'req/s':>8} {'p50 ms':>8} {'p99 ms':>8} {'failed':>6}  seqship by it"
    lines = [head]
    for row in sorted(rows, key=lambda row: (row.api, row.connections, -row.per_second)):
        ratio = "" if row.ratio is None else f"{row.ratio.median:.2f}x ({row.ratio.low:.2f}-{row.ratio.high:.2f})"
        numbers = f"{row.per_second:8,.0f} {row.p50_ms:8.2f} {row.p99_ms:8.2f} {row.failed:6}"
        lines.append(f"{row.server:22} {row.api:5} {row.connections:5} {numbers}  {ratio}".rstrip())
    return "\n".join(lines)


def main() -> None:
    """Measures all servers."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="1 round of 2 s instead of 5 of 4 s")
    parser.add_argument("--only", action="append", metavar="SERVER", help="measure this peer alone; repeatable")
    parser.add_argument("--json", action="store_true", help="print one JSON document and nothing else")
    arguments = parser.parse_args()
    if missing := [tool for tool in ("wrk", "h2load") if shutil.which(tool) is None]:
        sys.exit(f"{missing[0]} is missing; run: apt-get install wrk nghttp2-client")
    peers = [name for name in PEERS if arguments.only is None or name in arguments.only]
    python = peers_python() if peers else None
    load_before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        model, input_name = write_model(folder)
        bodies = write_bodies(folder, input_name, python)
        servers: list[Server] = []
        for one in (*OURS, *peers):
            body = bodies.rest["columnar" if one in OURS or one == "litserve" else "v2"].read_bytes().splitlines()[0]
            servers.append(stack.enter_context(running(one, model, folder, python, body)))
        check_answers(servers, bodies, model)
        bare = bare_ms(model, bodies)
        rounds, seconds = (1, 2.0) if arguments.quick else (5, 4.0)
        rows = rows_of(measure(servers, bodies, rounds=rounds, seconds=seconds))
        facts = [
            {"server": one.name, "ready_seconds": one.ready_seconds, "memory_mb": memory_mb(one)} for one in servers
        ]
    settings = {
        "cores": os.cpu_count(),
        "load_average_before": load_before,
        "rounds": rounds,
        "seconds": seconds,
        "onnxruntime": version("onnxruntime"),
        "bare_ms": bare,
    }
    said = verdicts(rows, facts, bare)
    if arguments.json:
        document = {"settings": settings, "servers": facts, "rows": [asdict(row) for row in rows], "verdicts": said}
        print(json.dumps(document, indent=1))
        return
    print(f"{os.cpu_count()} cores, load average before: {load_before:.1f}; onnxruntime {version('onnxruntime')}\n")
    print(table(rows), "", sep="\n")
    for one in facts:
        print(
            f"{one['server']:22} ready after {one['ready_seconds']:5.2f} s, {one['memory_mb']:6.0f} MB after the load"
        )
    print("", *said, sep="\n")


if __name__ == "__main__":
    main()
