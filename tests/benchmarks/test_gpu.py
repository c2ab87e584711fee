"""What the GPU's script does with a session, on the CPU: it runs there, and finds the operations that were executed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.gpu import cudnn_kernels, in_tensorflow, operations
from seqship.export import to_saved_model
from seqship.export.cases import Case, make_feed
from seqship.export.runners import saved_model_runner
from seqship.models import build


def test_a_session_on_the_cpu(tmp_path: Path) -> None:
    export = to_saved_model(build("ecg-gru", keras=3), tmp_path / "saved")
    feed = make_feed(Case(3, 9, "right"), export.inputs, seed=1)
    expected = saved_model_runner(export.path)(feed)["probabilities"]
    assert in_tensorflow(export.path, feed, "CPU:0")["probabilities"] == pytest.approx(expected, abs=1e-6)
    assert cudnn_kernels(export.path, feed, "CPU:0") == 0
    assert operations(export.path, feed, "CPU:0", "Softmax") == 1
    assert np.isfinite(expected).all()
