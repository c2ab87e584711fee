"""On a GPU: the exported layers run in cuDNN, and give what they give on the CPU. Skipped where there is none.

Run with `CUDA_VISIBLE_DEVICES=0 pytest -m gpu`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.gpu import DIFFERENCE, cudnn_kernels, in_onnxruntime, in_tensorflow
from seqship.export import to_onnx, to_saved_model
from seqship.export.cases import Case, MaskKind, make_feed
from seqship.export.runners import onnx_runner, saved_model_runner
from seqship.export.streaming import export_signature
from seqship.models import build
from seqship.models.flavour import Flavour

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def gpu() -> str:
    """The name of the device in TensorFlow."""
    import tensorflow as tf

    if not tf.config.list_physical_devices("GPU"):
        pytest.skip("needs an NVIDIA GPU that TensorFlow sees")
    return "GPU:0"


@pytest.fixture(scope="module")
def model(flavour: Flavour) -> Any:
    return build("ecg-gru", keras=flavour.version)


@pytest.mark.parametrize("mask", ["full", "right", "left", "holes", "empty_row"])
def test_a_saved_model_gives_on_a_gpu_what_keras_gives(gpu: str, model: Any, mask: MaskKind, tmp_path: Path) -> None:
    export = to_saved_model(model, tmp_path / "saved")
    feed = make_feed(Case(8, 50, mask), export.inputs, seed=1)
    expected = saved_model_runner(export.path)(feed)["probabilities"]
    assert np.abs(in_tensorflow(export.path, feed, gpu)["probabilities"] - expected).max() <= DIFFERENCE


def test_right_padding_runs_in_cudnn(gpu: str, model: Any, tmp_path: Path) -> None:
    export = to_saved_model(model, tmp_path / "saved")
    feed = make_feed(Case(8, 50, "right"), export.inputs, seed=1)
    assert cudnn_kernels(export.path, feed, gpu) == 2


def test_onnxruntime_places_the_operators_on_the_gpu(model: Any, tmp_path: Path) -> None:
    import onnxruntime

    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        pytest.skip("needs onnxruntime-gpu")
    export = to_onnx(model, tmp_path / "model.onnx")
    feed = make_feed(Case(8, 50, "right"), export_signature(model).inputs, seed=1)
    outputs, placement = in_onnxruntime(export.path, feed)
    assert placement["GRU"] == {"CUDAExecutionProvider"}
    expected = onnx_runner(export.path)(feed)["probabilities"]
    assert np.abs(outputs["probabilities"] - expected).max() <= DIFFERENCE
