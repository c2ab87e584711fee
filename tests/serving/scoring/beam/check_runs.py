"""Runs as they are started: in several processes, interrupted, with a worker that dies, and with many sequences."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from tests.serving.scoring.beam.conftest import documents, lines_of

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start() -> Generator[Start]:
    """Starts `seqship score`, or a program, in a session of its own, of which nothing outlives the test."""
    started: list[subprocess.Popen[str]] = []

    def call(*arguments: object, code: str = "") -> subprocess.Popen[str]:
        begin = ["-c", code] if code else ["-m", "seqship", "score"]
        process = subprocess.Popen(
            [sys.executable, *begin, *map(str, arguments)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, start_new_session=True,
        )  # fmt: skip
        started.append(process)
        return process

    yield call
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(60)


def workers(process: subprocess.Popen[str]) -> list[int]:
    """Python processes of Beam's that live in the session of a run."""
    found: list[int] = []
    for folder in Path("/proc").iterdir():
        try:
            command = (folder / "cmdline").read_bytes().split(b"\0")
            session = int((folder / "stat").read_text().rpartition(")")[2].split()[3])
        except (OSError, ValueError):
            continue
        if session == process.pid and b"seqship.serving.scoring.local_workers" in command:
            found.append(int(folder.name))
    return found


def wait_for(process: subprocess.Popen[str], happened: Callable[[], Any]) -> None:
    until = time.monotonic() + 60
    while not happened():
        assert process.poll() is None and time.monotonic() < until, process.communicate()
        time.sleep(0.02)


def check_several_processes(start: Start, bundles: Path, signals: list[Any], tmp_path: Path) -> None:
    """The same answers as one process gives, and nothing said but the counts."""
    for shard in range(4):
        (tmp_path / f"part-{shard}.jsonl").write_text(lines_of(signals[shard::4]))
    options = (bundles / "classifier", "-i", tmp_path / "part-*.jsonl", "-o")
    many = start(*options, tmp_path / "many", "--workers", 2)
    one = start(*options, tmp_path / "one", "--json")
    out, err = many.communicate(timeout=120)
    assert (many.returncode, err) == (0, "")
    assert out.startswith("read      150 of 4 files\nanswered  150\nrefused   0\n")
    assert len(list((tmp_path / "many").glob("predictions-*-of-00002.jsonl"))) == 2
    out, err = one.communicate(timeout=120)
    assert (one.returncode, err) == (0, "")
    assert json.loads(out)["answered"] == 150

    def key(answer: dict[str, Any]) -> tuple[str, int]:
        return answer["file"], answer["line"]

    def scores(name: str) -> list[dict[str, Any]]:
        rounded = documents(tmp_path / name)
        for answer in rounded:
            answer["probabilities"] = [round(score, 5) for score in answer["probabilities"]]
        return sorted(rounded, key=key)

    assert scores("many") == scores("one")


@contextlib.contextmanager
def never_ending(path: Path) -> Generator[None]:
    """Makes a pipe that nobody ends."""
    os.mkfifo(path)
    with path.open("r+b", buffering=0):  # Open for both, which waits for nobody.
        yield


def moment(name: str, process: subprocess.Popen[str], source: Path) -> Callable[[], bool]:
    """Whether all workers are there, which know nothing of the run yet; or one of them reads."""

    def reads(worker: int) -> bool:
        try:
            return any(file.resolve() == source for file in Path(f"/proc/{worker}/fd").iterdir())
        except OSError:
            return False

    if name == "started":
        return lambda: len(workers(process)) == 2
    return lambda: any(map(reads, workers(process)))


@pytest.mark.parametrize("when", ["started", "reading"])
def check_an_interrupted_run_leaves_nothing(when: str, start: Start, bundles: Path, tmp_path: Path) -> None:
    source, output = tmp_path / "in.jsonl.gz", tmp_path / "out"
    with never_ending(source):
        process = start(bundles / "classifier", "-i", source, "-o", output, "--workers", 2)
        wait_for(process, moment(when, process, source))
        assert list(tmp_path.glob(".out.*"))
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "seqship: error: interrupted\n")
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl.gz"]
    assert workers(process) == []


@pytest.mark.parametrize("when", ["started", "reading"])
def check_a_worker_that_dies_ends_the_run(when: str, start: Start, bundles: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from seqship.serving.scoring import score, local_workers; local_workers.GRACE = 0.2; "
        "score(*sys.argv[1:], workers=2)"
    )
    source, output = tmp_path / "in.jsonl.gz", tmp_path / "out"
    with never_ending(source):
        process = start(bundles / "classifier", source, output, code=code)
        wait_for(process, moment(when, process, source))
        os.kill(workers(process)[0], signal.SIGKILL)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert err.splitlines()[-1] == (
        "seqship.serving.scoring.failures.PipelineError: a worker of the pipeline died, and nothing was written; where "
        "memory was short, use fewer workers"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl.gz"]
    assert workers(process) == []


def check_workers_end_with_a_run_that_is_killed(start: Start, bundles: Path, tmp_path: Path) -> None:
    source, output = tmp_path / "in.jsonl.gz", tmp_path / "out"
    with never_ending(source):
        process = start(bundles / "classifier", "-i", source, "-o", output, "--workers", 2)
        wait_for(process, moment("started", process, source))
        process.kill()
        process.wait(60)
        until = time.monotonic() + 60
        while workers(process):
            assert time.monotonic() < until
            time.sleep(0.02)
    assert not output.exists()


def check_memory_does_not_grow_with_the_files(start: Start, bundles: Path, tmp_path: Path) -> None:
    """20,000 sequences hold 32 MB of numbers, 100 MB as Python's own, and as text 40 MB."""
    code = (
        "import re, sys; from seqship.serving.scoring import score; scored = score(*sys.argv[1:]); "
        "print(scored.answered, re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])"
    )
    line = json.dumps([[0.125, 1.5]] * 200) + "\n"
    runs: dict[int, subprocess.Popen[str]] = {}
    for rows in (4_500, 20_000):
        (tmp_path / f"{rows}.jsonl").write_text(line * rows)
        runs[rows] = start(bundles / "classifier", tmp_path / f"{rows}.jsonl", tmp_path / f"out-{rows}", code=code)
    peaks: list[int] = []
    for rows, process in runs.items():
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
        answered, peak = map(int, out.split())
        assert answered == rows
        peaks.append(peak)
    assert peaks[1] - peaks[0] < 15_000, peaks  # KiB
