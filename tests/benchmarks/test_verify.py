"""One recipe is shipped and verified as `make bench` does it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.verify import Row, Run, VerifyError, table, verified

ROOT = Path(__file__).parents[2]


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.verify", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)


def row(full: float, quick: float, *, error: str = "", equivalent: bool = True) -> Row:
    runs = {"full": Run(full, 1.5, 800, equivalent), "quick": Run(quick, 1.25, 700)}
    return Row("sine-rnn", 3, 31, 1186, 0.125, "onnx at batch=1 time=1", runs, error)


def test_a_recipe_is_shipped_and_verified(tmp_path: Path) -> None:
    done = bench("--only", "sine-rnn", "--keras", "3", "--out", str(tmp_path / "figures.json"))
    assert done.returncode == 0, done.stderr
    document = json.loads((tmp_path / "figures.json").read_text())
    [found] = document["rows"]
    assert (found["recipe"], found["keras"], found["error"]) == ("sine-rnn", 3, "")
    assert found["cases"] > 20
    assert found["comparisons"] > 3 * found["cases"]
    assert 0 < found["worst"] < 1
    assert found["runs"].keys() <= document["settings"]["targets"].keys()
    for run in found["runs"].values():
        assert run["seconds"] > 0 and run["cpu_seconds"] > 0
        assert 100 < run["peak_mb"] < 10_000
    assert "| `sine-rnn` | Keras 3 |" in done.stdout
    assert "1 recipes in " in done.stdout


def test_an_unknown_name_is_refused() -> None:
    done = bench("--only", "nothing")
    assert done.returncode == 2
    assert "nothing is named nothing; there are ecg-gru, " in done.stderr


def test_what_is_no_bundle_is_named_and_not_timed(tmp_path: Path) -> None:
    with pytest.raises(VerifyError, match=rf"^verify ended with 2: .*{tmp_path.name}"):
        verified(tmp_path)


@pytest.mark.parametrize(
    ("one", "verdict"),
    [
        (row(120, 10), "met"),
        (row(120.5, 9), "missed: full takes over 120 s"),
        (row(121, 11), "missed: full takes over 120 s, quick takes over 10 s"),
        (row(1, 1, error="not done after 600 s"), "failed: not done after 600 s"),
        (row(121, 11, equivalent=False), "failed: not equivalent, onnx at batch=1 time=1"),
        (Row("sine-rnn", 2, runs={"full": Run(20, 1, 1)}), "met"),
    ],
)
def test_a_verdict_names_what_missed(one: Row, verdict: str) -> None:
    assert one.verdict == verdict
    assert one.right != verdict.startswith("failed")


def test_rows_of_the_table() -> None:
    ways = ("full", "quick")
    head, _, met, failed = table([row(20, 5), row(1, 1, error="no | way")], ways).splitlines()
    assert "| full: s (of processors), MB | quick: s (of processors), MB |" in head
    assert met == "| `sine-rnn` | Keras 3 | 31 | 1,186 | 0.12 | 20.0 (1.5), 800 | 5.0 (1.2), 700 | met |"
    assert failed.replace("\\|", "").count("|") == head.count("|")
    assert failed.endswith("failed: no \\| way |")
