"""`seqship serve` from the shell: it answers over real sockets, without TensorFlow, and ends when it is asked to."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from seqship.serving import Predictor

Start = Callable[..., subprocess.Popen[str]]
DEADLINE = 60


def test_a_bundle_is_served(start: Start, shipped: Path, tmp_path: Path) -> None:
    shutil.copytree(shipped, tmp_path / "models" / "ecg" / "1")
    flags = ["--model_name=ecg", f"--model_base_path={tmp_path / 'models' / 'ecg'}", "--port=0", "--rest_api_port=auto"]
    process = start("serve", *flags, stderr=subprocess.STDOUT)
    try:
        url = f"http://127.0.0.1:{_port(process)}/v1/models/ecg:predict"
        beat = [0.98, 1.0, 0.58, 0.13]
        body = json.dumps({"instances": [[[step] for step in beat]]}).encode()
        with urllib.request.urlopen(urllib.request.Request(url, body), timeout=DEADLINE) as answer:
            found: Any = json.load(answer)
        expected = Predictor(shipped).predict([beat]).probabilities
        assert expected is not None
        np.testing.assert_allclose(found["predictions"], expected, atol=1e-6)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=DEADLINE)
        assert process.returncode == 0
    finally:
        process.kill()


def _port(process: subprocess.Popen[str]) -> str:
    """Waits for what TF-Serving's users wait for, and returns the port that it names."""
    assert process.stdout is not None
    until = time.monotonic() + DEADLINE
    said = ""
    while time.monotonic() < until:
        said += process.stdout.readline()
        if match := re.search(r"Exporting HTTP/REST API at:localhost:(\d+) ", said):
            return match[1]
    raise AssertionError(said)


def test_mistakes_are_one_line(start: Start, tmp_path: Path) -> None:
    process = start("serve", "--model_name=ecg")
    out, err = process.communicate(timeout=DEADLINE)
    assert (process.returncode, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("seqship: error: ")
