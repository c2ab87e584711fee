"""A stand-in computes what TensorFlow's own float32 kernel does, and exactly what the definition says."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from seqship.export.double_kernels import put_stand_ins
from seqship.export.tolerance import LAST_PLACE

Array = NDArray[Any]

EXACT = 1e-12
"""float64 beside float64: sums of at most 200 terms, of numbers below 10."""
ROUNDED = 100 * LAST_PLACE
EPSILON = 2.0**-8


def graph_of(operation: str, given: Sequence[Array], attributes: Mapping[str, Any]) -> tuple[Any, list[str]]:
    """Returns the GraphDef of one operation over placeholders, and the names of its outputs."""
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        placed = [
            tf.compat.v1.placeholder(value.dtype, [None] * value.ndim, f"given_{number}")
            for number, value in enumerate(given)
        ]
        inputs = dict(zip(_arguments(operation), placed, strict=True))
        made = getattr(tf.raw_ops, operation)(**inputs, **attributes)
        outputs = [tensor.name for tensor in tf.nest.flatten(made)]
    return graph.as_graph_def(), outputs


def _arguments(operation: str) -> list[str]:
    from tensorflow.python.framework import op_def_registry

    definition: Any = op_def_registry.get(operation)
    return [argument.name for argument in definition.input_arg]


def call(definition: Any, given: Sequence[Array], outputs: Sequence[str]) -> list[Array]:
    import tensorflow as tf
    from tensorflow.python.eager import wrap_function

    names = [f"given_{number}:0" for number in range(len(given))]
    function: Any = wrap_function.function_from_graph_def(definition, names, list(outputs))
    return [tensor.numpy() for tensor in function(*map(tf.constant, given))]


def both(operation: str, given: Sequence[Array], **attributes: Any) -> tuple[list[Array], list[Array]]:
    """Returns the outputs of TensorFlow's kernel, and those of the stand-in given the same numbers."""
    import tensorflow as tf

    definition, outputs = graph_of(operation, given, attributes)
    kernel = call(definition, given, outputs)
    for node in definition.node:
        for attribute in node.attr.values():
            if attribute.WhichOneof("value") == "type" and attribute.type == tf.float32.as_datatype_enum:
                attribute.type = tf.float64.as_datatype_enum
    put_stand_ins(definition)
    assert operation not in {node.op for node in definition.node}
    wide = [value.astype(np.float64) if value.dtype == np.float32 else value for value in given]
    return kernel, call(definition, wide, outputs)


def drawn(random: np.random.Generator, *shape: int) -> Array:
    return random.normal(0.5, 1.5, shape).astype(np.float32)


def close(found: Sequence[Array], expected: Sequence[Array], atol: float) -> None:
    for number, (one, other) in enumerate(zip(found, expected, strict=True)):
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, rtol=0, atol=atol, err_msg=f"output {number}")


# --- Normalization.


def normalized(given: Sequence[Array], *, training: bool, share: float, axes: tuple[int, ...]) -> list[Array]:
    x, scale, offset, mean, variance = (value.astype(np.float64) for value in given)
    channels = next(axis for axis in range(x.ndim) if axis not in axes)

    def of_channels(value: Array) -> Array:
        return value.reshape([-1 if axis == channels else 1 for axis in range(x.ndim)])

    used = (x.mean(axes), x.var(axes)) if training else (mean, variance)
    handed = used
    if training:
        count = x.size / x.shape[channels]
        handed = (used[0], used[1] * count / (count - 1))
        if share != 1:
            handed = tuple((1 - share) * old + share * new for old, new in zip((mean, variance), handed, strict=True))
    y = (x - of_channels(used[0])) / np.sqrt(of_channels(used[1]) + EPSILON) * of_channels(scale) + of_channels(offset)
    return [y, *handed, *used]


@pytest.mark.parametrize("operation", ["FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"])
@pytest.mark.parametrize("data_format", ["NHWC", "NCHW"])
@pytest.mark.parametrize(("training", "share"), [(False, 1.0), (True, 1.0), (True, 0.25)])
def test_batch_normalization(operation: str, data_format: str, training: bool, share: float) -> None:
    random = np.random.default_rng(0)
    shape, axes = ((4, 5, 3, 6), (0, 1, 2)) if data_format == "NHWC" else ((4, 6, 5, 3), (0, 2, 3))
    given = [drawn(random, *shape), *(drawn(random, 6) for _ in range(4))]
    given[4] = np.abs(given[4]) + np.float32(0.1)
    settings = {
        "epsilon": EPSILON,
        "data_format": data_format,
        "is_training": training,
        "exponential_avg_factor": share,
    }
    kernel, stand_in = both(operation, given, **settings)
    assert all(value.dtype == np.float64 for value in stand_in)
    close(stand_in[:5], normalized(given, training=training, share=share, axes=axes), EXACT)
    close(kernel, stand_in, ROUNDED)


def test_layer_normalization_is_batch_normalization_of_one_image() -> None:
    """tf-keras' call of it: rows are the channels, and neither mean nor variance is given."""
    x = drawn(np.random.default_rng(1), 1, 7, 9, 1)
    empty = np.zeros(0, np.float32)
    given = [x, np.ones(7, np.float32), np.zeros(7, np.float32), empty, empty]
    kernel, stand_in = both("FusedBatchNormV3", given, epsilon=0.5, data_format="NCHW", is_training=True)
    wide = x.astype(np.float64)
    centred = wide - wide.mean((2, 3), keepdims=True)
    close(stand_in[:1], [centred / np.sqrt(wide.var((2, 3), keepdims=True) + 0.5)], EXACT)
    close(kernel, stand_in, ROUNDED)


def test_one_value_has_no_variance_and_no_values_are_no_error() -> None:
    empty = np.zeros(0, np.float32)
    for count in (0, 1):
        given = [np.ones((1, count, 1, 1), np.float32), np.ones(count, np.float32), np.zeros(count, np.float32)]
        settings = {"epsilon": 0.5, "data_format": "NCHW", "is_training": True}
        kernel, stand_in = both("FusedBatchNormV3", [*given, empty, empty], **settings)
        close(kernel, stand_in, ROUNDED)


# --- Pooling.


def pooled(x: Array, window: Sequence[int], step: Sequence[int], *, same: bool, average: bool) -> Array:
    """Windows one by one; those at the edge take what lies within."""
    sizes = x.shape[1:4]
    axes: list[list[slice]] = []
    for size, wide, stride in zip(sizes, window, step, strict=True):
        count = -(-size // stride) if same else (size - wide) // stride + 1
        before = max((count - 1) * stride + wide - size, 0) // 2 if same else 0
        starts = [number * stride - before for number in range(count)]
        axes.append([slice(max(start, 0), min(start + wide, size)) for start in starts])
    y = np.zeros((x.shape[0], *map(len, axes), x.shape[4]))
    for place in itertools.product(*(range(len(axis)) for axis in axes)):
        part = x[:, axes[0][place[0]], axes[1][place[1]], axes[2][place[2]]]
        y[:, *place] = part.mean((1, 2, 3)) if average else part.max((1, 2, 3))
    return y


@pytest.mark.parametrize("operation", ["AvgPool3D", "MaxPool3D"])
@pytest.mark.parametrize("padding", ["VALID", "SAME"])
@pytest.mark.parametrize(("window", "step"), [((1, 2, 2), (1, 2, 2)), ((2, 3, 2), (1, 2, 2)), ((3, 1, 2), (2, 1, 1))])
def test_pooling(operation: str, padding: str, window: tuple[int, ...], step: tuple[int, ...]) -> None:
    x = drawn(np.random.default_rng(2), 2, 5, 6, 7, 3)
    settings = {"ksize": [1, *window, 1], "strides": [1, *step, 1], "padding": padding}
    kernel, stand_in = both(operation, [x], **settings)
    average = operation == "AvgPool3D"
    expected = pooled(x.astype(np.float64), window, step, same=padding == "SAME", average=average)
    close(stand_in, [expected], EXACT)
    close(kernel, stand_in, ROUNDED)


# --- Images.


def resized(x: Array, size: Sequence[int], *, align: bool, half: bool) -> Array:
    for axis, wanted in enumerate(size, start=1):
        before = x.shape[axis]
        if align and wanted > 1:
            where = np.arange(wanted) * (before - 1) / (wanted - 1)
        else:
            where = (np.arange(wanted) + 0.5 * half) * before / wanted - 0.5 * half
        where = np.clip(where, 0, before - 1)
        lower = np.minimum(where.astype(int), max(before - 2, 0))
        share = (where - lower).reshape([-1 if axis == other else 1 for other in range(4)])
        upper = np.minimum(lower + 1, before - 1)
        x = (1 - share) * np.take(x, lower, axis) + share * np.take(x, upper, axis)
    return x


@pytest.mark.parametrize(("align", "half"), [(False, True), (True, False), (False, False)])
@pytest.mark.parametrize("size", [(7, 3), (1, 9), (4, 5), (2, 2)])
def test_bilinear_resizing(align: bool, half: bool, size: tuple[int, int]) -> None:
    x = drawn(np.random.default_rng(3), 2, 4, 5, 3)
    settings = {"align_corners": align, "half_pixel_centers": half}
    kernel, stand_in = both("ResizeBilinear", [x, np.array(size, np.int32)], **settings)
    close(stand_in, [resized(x.astype(np.float64), size, align=align, half=half)], EXACT)
    close(kernel, stand_in, ROUNDED)


def test_images_of_whole_numbers() -> None:
    x = np.random.default_rng(4).integers(0, 256, (1, 4, 5, 3)).astype(np.uint8)
    kernel, stand_in = both("ResizeBilinear", [x, np.array([7, 8], np.int32)], half_pixel_centers=True)
    assert stand_in[0].dtype == np.float64
    close(kernel, stand_in, 256 * ROUNDED)


# --- Graphs.


def test_the_same_stand_in_serves_all_who_compute_the_same() -> None:
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        x, many = tf.zeros([1, 2, 3, 4], tf.float64), tf.ones([4], tf.float64)
        definition = graph.as_graph_def()
    for number, epsilon in enumerate([0.25, 0.5, 0.25]):
        node = definition.node.add(name=f"norm_{number}", op="FusedBatchNormV3")
        node.input.extend([x.op.name, *[many.op.name] * 4])
        node.attr["epsilon"].f = epsilon
        for name in ("T", "U"):
            node.attr[name].type = tf.float64.as_datatype_enum
    put_stand_ins(definition)
    names = [node.op for node in definition.node[2:]]
    assert names[0] == names[2] != names[1]
    assert [function.signature.name for function in definition.library.function] == names[:2]
    outputs = [argument.name for argument in definition.library.function[0].signature.output_arg]
    assert outputs == ["y", "batch_mean", "batch_variance", *(f"reserve_space_{number}" for number in (1, 2, 3))]


def test_other_operations_stay() -> None:
    settings = {"ksize": [1, 2, 2, 1], "strides": [1, 1, 1, 1], "padding": "SAME"}
    definition, _ = graph_of("AvgPool", [np.zeros((1, 4, 4, 2), np.float32)], settings)
    nodes = list(definition.node)
    put_stand_ins(definition)
    assert list(definition.node) == nodes
    assert not definition.library.function
