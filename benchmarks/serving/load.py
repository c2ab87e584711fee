"""Closed-loop load: wrk for HTTP/1.1, h2load for gRPC; both are written in C and leave the cores to the server."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_LUA = """
local bodies, place, wrong = {}, 0, 0
for line in io.lines(os.getenv("BODIES")) do bodies[#bodies + 1] = line end
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
function request()
  place = place % #bodies + 1
  return wrk.format(nil, nil, nil, bodies[place])
end
function done(summary, latency)
  local failed = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.status
    + summary.errors.timeout
  io.stderr:write(string.format('{"requests": %d, "seconds": %f, "p50": %f, "p99": %f, "failed": %d}',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, failed))
end
"""


@dataclass(frozen=True)
class Load:
    """What a server did under load.

    Attributes:
        connections: How many there were, with one request at a time on each.
        per_second: Requests answered a second.
        p50_ms: Median latency.
        p99_ms: Latency that one in a hundred exceeds.
        failed: Requests that were not answered with success.
    """

    connections: int
    per_second: float
    p50_ms: float
    p99_ms: float
    failed: int


def rest_load(url: str, bodies: Path, *, connections: int, seconds: float) -> Load:
    """Loads a REST API with bodies in turn.

    Args:
        url: What is posted to.
        bodies: A file of bodies, one a line.
        connections: How many.
        seconds: For how long.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(_LUA)
        script.flush()
        done = subprocess.run(
            ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "--timeout=30s", "-s", script.name, url],
            env={"BODIES": str(bodies), "PATH": "/usr/bin:/bin:/usr/local/bin"},
            capture_output=True,
            text=True,
            check=True,
        )
    found = json.loads(done.stderr)
    return Load(connections, found["requests"] / found["seconds"], found["p50"], found["p99"], found["failed"])


def grpc_load(url: str, bodies: Sequence[Path], *, connections: int, seconds: float) -> Load:
    """Loads a gRPC method; where there are connections enough, one process for each body, as h2load sends one alone.

    Args:
        url: `http://host:port/service/method`.
        bodies: Framed messages.
        connections: How many in all.
        seconds: For how long.
    """
    used = list(bodies) if connections >= len(bodies) else [bodies[len(bodies) // 2]]
    shares = [connections // len(used) + (place < connections % len(used)) for place in range(len(used))]
    with tempfile.TemporaryDirectory() as folder:
        logs = [Path(folder) / str(place) for place in range(len(used))]
        grpc = ("-H", "content-type: application/grpc", "-H", "te: trailers", url)
        running = [
            subprocess.Popen(
                [
                    "h2load",
                    "-D",
                    f"{seconds:g}",
                    "-c",
                    str(share),
                    "-m1",
                    "-t1",
                    "-d",
                    body,
                    f"--log-file={log}",
                    *grpc,
                ],
                stdout=subprocess.PIPE,
                text=True,
            )
            for body, share, log in zip(used, shares, logs, strict=True)
        ]
        said = [process.communicate()[0] for process in running]
        # A line is: start, HTTP status, microseconds.
        rows = np.concatenate([np.loadtxt(log, ndmin=2) for log in logs])
    answered, failed = rows[rows[:, 1] == 200, 2], 0
    for text in said:
        found = re.search(r"requests: .* (\d+) failed, (\d+) errored, (\d+) timeout", text)
        failed += sum(map(int, found.groups())) if found else 1
    p50, p99 = np.percentile(answered, [50, 99]) / 1e3
    return Load(connections, len(answered) / seconds, float(p50), float(p99), failed + int((rows[:, 1] != 200).sum()))
