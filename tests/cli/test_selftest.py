"""`seqship selftest` from the shell: one run of all falsifications and 20 right exports, which the tests here read."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from seqship.cli.selftest import print_selftest
from seqship.export.falsification.convictions import Conviction, SubjectVerdict
from seqship.export.falsification.falsifications import FALSIFICATIONS, Falsification
from seqship.export.falsification.right_exports import RightVerdict
from seqship.export.falsification.selftest import SelfTest
from seqship.export.falsification.subjects import SUBJECTS

Said = subprocess.CompletedProcess[str]
Call = Callable[..., Said]
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture(scope="module")
def said(start: Start) -> Said:
    process = start("selftest", "--quick", "--json")
    out, err = process.communicate(timeout=540)
    return Said(process.args, process.returncode, out, err)


@pytest.fixture(scope="module")
def document(said: Said) -> dict[str, Any]:
    return json.loads(said.stdout)


def test_the_proof_passes_and_nothing_else_is_said(said: Said, document: dict[str, Any]) -> None:
    assert (said.returncode, said.stderr) == (0, "")
    assert len(document["falsifications"]) == len(FALSIFICATIONS)


@pytest.mark.parametrize("fault", FALSIFICATIONS, ids=lambda fault: f"{fault.subject}-{fault.name}")
def test_a_wrong_export_is_convicted(document: dict[str, Any], fault: Falsification) -> None:
    rows = [row for row in document["falsifications"] if (row["name"], row["subject"]) == (fault.name, fault.subject)]
    assert len(rows) == 1
    assert rows[0]["convicted"], f"{fault.falsify.__doc__} {rows[0]}"
    assert rows[0]["times"] == "Infinity" or rows[0]["times"] > 1
    # Of an int8 file, a weight or a constant may be wrong that no case shows.
    place = r"batch=|[WR] of \w+$|(constant|operator) \w" if fault.subject == "quantized" else r"batch="
    assert re.match(place, rows[0]["case"])


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.name)
def test_the_right_export_before_the_fault_is_let_pass(document: dict[str, Any], subject: Any) -> None:
    row = next(row for row in document["subjects"] if row["name"] == subject.name)
    assert row["passed"]
    assert row["times"] < 0.5


def test_no_right_export_is_convicted(document: dict[str, Any]) -> None:
    assert (document["false_alarms"], document["right_exports"], document["alarms"]) == (0, 20, [])
    assert document["nearest"]["times"] < 1
    assert len(document["subjects"]) + document["right_exports"] >= 30


# --- What is printed


PASSED = SubjectVerdict(
    "gru", True, "batch=1", 0.05, (Conviction("bias-dropped", "gru", True, "batch=2 time=3 mask=left", 1234.5),)
)
RIGHT = (RightVerdict(0, "keras plain > GRU(3)", True, "batch=1", 0.25),)


def test_the_table_of_a_proof_that_holds(capsys: pytest.CaptureFixture[str]) -> None:
    found = SelfTest((PASSED,), RIGHT)
    assert found
    print_selftest(found)
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        "falsification subject convicted times the limit case",
        "bias-dropped gru yes 1.23e+03 batch=2 time=3 mask=left",
        "",
        "convicted 1 of 1",
        "false alarms 0 of 1",
        "nearest 0.25 times the limit: keras plain > GRU(3)",
    ]


def test_misses_and_false_alarms_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    missed = Conviction("bias-dropped", "gru", False, "batch=2", 0.4)
    alarm = RightVerdict(7, "keras plain > GRU(3)", False, "batch=1", float("inf"))
    found = SelfTest((SubjectVerdict("gru", False, "batch=1", 2.0, (missed,)),), (alarm,))
    assert not found
    assert not SelfTest((PASSED,), (alarm,))
    assert not SelfTest((SubjectVerdict("gru", False, "batch=1", 2.0, PASSED.convictions),), RIGHT)
    assert not SelfTest((SubjectVerdict("gru", True, "batch=1", 0.1, (missed,)),), RIGHT)
    assert not SelfTest((), RIGHT)
    print_selftest(found)
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "bias-dropped gru NO 0.4 batch=2" in lines
    assert lines[-4:] == [
        "false alarms 1 of 1",
        "nearest inf times the limit: keras plain > GRU(3)",
        "gru, the right export itself: 2 times the limit at batch=1",
        "right export 7: keras plain > GRU(3): inf times the limit at batch=1",
    ]
    text = json.dumps(found.to_json(), allow_nan=False)
    assert json.loads(text)["alarms"][0]["times"] == "Infinity"


# --- Mistakes and interrupts


def test_a_negative_seed_is_refused(seqship: Call) -> None:
    made = seqship("selftest", "--seed", "-1")
    assert (made.returncode, made.stdout) == (2, "")
    assert made.stderr == "seqship: error: the seed must be 0 or more, got -1\n"


def test_a_seed_that_is_no_number_is_refused(seqship: Call) -> None:
    made = seqship("selftest", "--seed", "x")
    assert (made.returncode, made.stdout, made.stderr.count("\n")) == (2, "", 1)
    assert "invalid value for '--seed': Input should be a valid integer" in made.stderr


@pytest.fixture
def running(start: Start) -> Iterator[subprocess.Popen[str]]:
    process = start("selftest", "--quick", start_new_session=True)
    yield process
    if process.poll() is None:
        process.kill()


@pytest.mark.parametrize("send", [os.killpg, os.kill], ids=["terminal", "kill"])
def test_an_interrupt_ends_every_process(
    running: subprocess.Popen[str], send: Callable[[int, signal.Signals], None]
) -> None:
    wait_for_workers(running)
    send(running.pid, signal.SIGINT)  # A terminal sends it to all of them.
    out, err = running.communicate(timeout=60)  # Ends when no process holds the pipes any more.
    assert (running.returncode, out, err) == (130, "", "seqship: error: interrupted\n")


def wait_for_workers(process: subprocess.Popen[str]) -> None:
    """Returns as soon as one of its processes is at work."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while process.poll() is None:
        for child in children.read_text(encoding="ascii").split():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                if "libtensorflow" in Path("/proc", child, "maps").read_text(encoding="utf-8"):
                    return
