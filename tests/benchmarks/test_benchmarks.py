"""One architecture is measured as `make bench` measures all."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.architectures import ARCHITECTURES, by_name
from benchmarks.forms import SAVED_MODEL, SEQSHIP, STOCK
from benchmarks.latency import AGAIN
from benchmarks.page import BEGIN, END, figures, replaced

ROOT = Path(__file__).parents[2]


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)


def test_a_quick_run_writes_ratios_and_small_differences(tmp_path: Path) -> None:
    done = bench("latency", "--quick", "--only", "sine-rnn", "--out", str(tmp_path / "figures.json"))
    assert done.returncode == 0, done.stderr
    document = json.loads((tmp_path / "figures.json").read_text())
    assert document["settings"]["threads"] == 2
    assert document["conversion"] == []
    [row] = document["latency"]
    assert (row["model"], row["keras"], row["batch"], row["steps"], row["rounds"]) == ("sine-rnn", 2, 1, 1, 3)
    assert row["stock_loops"] == 1
    assert set(row["median_ms"]) == {SEQSHIP, STOCK, SAVED_MODEL, AGAIN}
    assert set(row["ratio"]) == {STOCK, SAVED_MODEL, AGAIN}
    for ratio in row["ratio"].values():
        assert 0 < ratio["low"] <= ratio["median"] <= ratio["high"]
    assert max(row["difference"].values()) < 1e-5
    assert row["errors"] == {"Keras export": "n/a"}
    assert {one["target"] for one in document["judged"]} == {"SavedModel 10x", "tf2onnx 5x"}
    assert "sine-rnn  tf-keras" in done.stdout
    assert "onnxruntime intra_op=2" in done.stdout
    page = replaced(f"# Title\n{BEGIN}\nold\n{END}\nrest\n", figures(document))
    assert "| sine-rnn | tf-keras | 1 | 1 |" in page
    assert "old" not in page and page.endswith("\nrest\n")


def test_an_unknown_name_is_refused() -> None:
    done = bench("--only", "nothing")
    assert done.returncode == 2
    assert "nothing is named nothing; there are ecg-gru, " in done.stderr


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=lambda one: one.name)
def test_inputs_are_the_same_for_every_runtime(architecture: object) -> None:
    one = by_name(getattr(architecture, "name", ""))
    values = one.inputs(8)
    assert np.array_equal(values, one.inputs(8))
    assert values.shape == (8, *one.shape)
    padded = (
        np.zeros(values.shape[:2], bool) if one.pad is None else (values == one.pad).reshape(8, one.steps, -1)[..., 0]
    )
    assert not padded[0].any()
    assert padded.any() == (one.pad is not None)
    assert not (padded[:, :-1] & ~padded[:, 1:]).any()  # right padding
