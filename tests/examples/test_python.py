"""The example in Python answers from a bundle and from a server, and says what is wrong in one line."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from seqship.serving import Predictor
from tests.examples.conftest import EXAMPLES
from tests.serving.server.process import served


def run(*arguments: str | Path, stdin: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(EXAMPLES / "python/predict.py"), *map(str, arguments)]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=120)


def answers(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_bundle_and_a_server_answer_alike(
    bundles: Mapping[str, Path], beats: list[list[float]], tmp_path: Path
) -> None:
    expected = Predictor(bundles["beats"]).predict(beats)
    assert expected.classes is not None and expected.probabilities is not None
    stdin = "".join(json.dumps(beat) + "\n" for beat in beats)
    found = answers(run(bundles["beats"], stdin=stdin))
    assert tuple(one["class"] for one in found) == expected.classes
    np.testing.assert_allclose(np.array([one["probabilities"] for one in found]), expected.probabilities, atol=1e-6)
    shutil.copytree(bundles["beats"], tmp_path / "beats/1")
    with served(tmp_path / "log", ["--model_name=beats", f"--model_base_path={tmp_path / 'beats'}"]) as one:
        for address in (one.url, f"grpc://localhost:{one.grpc_port}"):
            [*rows] = answers(run(f"{address}/v1/models/beats", "--pad-value=-1", stdin=stdin))
            scores = np.array([row["probabilities"] for row in rows])
            np.testing.assert_allclose(scores, expected.probabilities, atol=1e-5)


def test_texts_and_outputs_by_name(bundles: Mapping[str, Path]) -> None:
    [one] = answers(run(bundles["texts"], stdin='"the good film"\n'))
    assert one["class"] in ("negative", "positive")
    [steps] = answers(run(bundles["stepwise"], stdin="[[0.5, 0.5], [1, 2]]\n"))
    assert np.shape(steps["steps"]) == (2, 2)


def test_mistakes_are_told_in_one_line(bundles: Mapping[str, Path], tmp_path: Path) -> None:
    def told(model: str | Path, stdin: str) -> str:
        done = run(model, stdin=stdin)
        assert (done.returncode, done.stdout) == (2, "")
        return done.stderr.removeprefix("predict.py: error: ").rstrip("\n")

    assert told(bundles["beats"], "") == "standard input is empty; give a JSON line for each sequence"
    assert told(bundles["beats"], "[").startswith("standard input is no JSON lines: ")
    assert told(bundles["beats"], "[2]").startswith("sequence 0 at step 0 is 2, outside 0..1; the model takes: ")
    assert told(tmp_path / "none", "[0.5]") == f"no bundle at {tmp_path / 'none'}: the path does not exist"
