"""Where a falsified ONNX file goes wrong, told from the SavedModel beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

from seqship.errors import ModelError
from seqship.export import read_bundle
from seqship.export.cases import Case, make_feed
from seqship.export.divergence import Divergence
from seqship.export.graph_divergence import find_graph_divergence
from seqship.export.runners import Feed


@pytest.fixture(scope="module")
def feed(shipped: Path) -> Feed:
    return make_feed(Case(3, 7, "holes"), read_bundle(shipped).inputs, seed=3)


def gru(proto: Any, name: str) -> Any:
    (node,) = [node for node in proto.graph.node if node.op_type == "GRU" and node.name.startswith(f"{name}_")]
    return node


def change_tensor(proto: Any, name: str, change: Any) -> None:
    (tensor,) = [tensor for tensor in proto.graph.initializer if tensor.name == name]
    value: NDArray[Any] = numpy_helper.to_array(tensor)
    tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(change(value), value.dtype), name))


def diverged(shipped: Path, feed: Feed, change: Any, folder: Path) -> Divergence | None:
    proto = onnx.load(shipped / "model.onnx")
    change(proto)
    onnx.save(proto, folder / "wrong.onnx")
    return find_graph_divergence(shipped / "saved_model", folder / "wrong.onnx", feed)


def times_two(value: NDArray[Any]) -> NDArray[Any]:
    return value * 2


def next_gate(value: NDArray[Any]) -> NDArray[Any]:
    return np.roll(value, value.shape[1] // 3, axis=1)


def nothing(_: Any) -> None:
    """Leaves the file as it is."""


def recurrent_weights(proto: Any) -> None:
    change_tensor(proto, gru(proto, "second").input[2], times_two)


def gates(proto: Any) -> None:
    change_tensor(proto, gru(proto, "first").input[1], next_gate)


def reset(proto: Any) -> None:
    (found,) = [one for one in gru(proto, "first").attribute if one.name == "linear_before_reset"]
    found.i = 1 - found.i


def lengths(proto: Any) -> None:
    gru(proto, "second").input[4] = ""


def head(proto: Any) -> None:
    (node,) = [node for node in proto.graph.node if node.op_type == "MatMul"]
    change_tensor(proto, node.input[1], times_two)


def test_a_right_file_diverges_nowhere(shipped: Path, feed: Feed, tmp_path: Path) -> None:
    assert diverged(shipped, feed, nothing, tmp_path) is None


@pytest.mark.parametrize(
    ("change", "layer", "reason", "nth"),
    [
        (recurrent_weights, "second", "weights", 1),
        (gates, "first", "order of gates", 0),
        (reset, "first", "reset", 0),
        (lengths, "second", "mask", None),
        (head, "scores", "weights", None),
    ],
)
def test_layer_step_and_reason_are_told(
    change: Any, layer: str, reason: str, nth: int | None, shipped: Path, feed: Feed, tmp_path: Path
) -> None:
    found = diverged(shipped, feed, change, tmp_path)
    assert found is not None
    assert found.layer.removesuffix("_1") == layer  # Keras 3 numbers the scope of a layer that is traced again.
    assert found.reason == reason
    assert "\n" not in found.sentence()
    steps = np.flatnonzero((feed["signal"][found.row] != -1.0).any(axis=1)).tolist()
    assert found.step == (None if nth is None else steps[nth])


def test_a_directory_that_is_no_saved_model_is_named(shipped: Path, feed: Feed, tmp_path: Path) -> None:
    with pytest.raises(ModelError):
        find_graph_divergence(tmp_path, shipped / "model.onnx", feed)
