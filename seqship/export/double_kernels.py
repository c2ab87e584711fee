"""Stand-ins in float64 for operations that TensorFlow's processors compute in float32 alone.

Each is a function of the graph's own library, made of operations that have float64 kernels, and called as the operation
was: the same inputs, outputs of the same names in the same order.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

Attributes = tuple[tuple[str, Any], ...]
"""Names and values."""


@dataclass(frozen=True)
class _StandIn:
    """What computes an operation.

    Attributes:
        make: Takes attributes as keywords; gives a function of the operation's inputs that returns all its outputs.
        attributes: Names of the attributes it takes.
    """

    make: Callable[..., Callable[..., Sequence[Any]]]
    attributes: tuple[str, ...]


def put_stand_ins(definition: Any) -> None:
    """Replaces the operations of a graph and of its functions that have a stand-in.

    Args:
        definition: A GraphDef in which every floating-point type is float64 already; changed in place.
    """
    nodes = [*definition.node, *(node for function in definition.library.function for node in function.node_def)]
    functions: dict[str, Any] = {}
    for node in nodes:
        if node.op in _STAND_INS:
            function = _function(node.op, *_settings(node))
            node.op = function.signature.name
            functions[node.op] = function
            for name in [name for name in node.attr if not name.startswith("_")]:  # The others are not the operation's.
                del node.attr[name]
    definition.library.function.extend(functions.values())


def _settings(node: Any) -> tuple[Attributes, tuple[int, ...]]:
    """Returns the attributes that a stand-in takes, and the types of its inputs."""
    from tensorflow.python.framework import op_def_registry

    signature: Any = op_def_registry.get(node.op)
    defaults = {attribute.name: attribute.default_value for attribute in signature.attr}
    values = {name: node.attr[name] if name in node.attr else defaults[name] for name in defaults}
    known = tuple((name, _plain(values[name])) for name in _STAND_INS[node.op].attributes)
    return known, tuple(values[one.type_attr].type if one.type_attr else one.type for one in signature.input_arg)


def _plain(attribute: Any) -> Any:
    kind = attribute.WhichOneof("value")
    if kind == "list":
        return tuple(attribute.list.i)
    return attribute.s.decode() if kind == "s" else getattr(attribute, kind)


@functools.cache
def _function(operation: str, attributes: Attributes, types: tuple[int, ...]) -> Any:
    """Returns a stand-in as a FunctionDef; always the same one, for TensorFlow knows functions of the process by name.

    Args:
        operation: Name of the operation.
        attributes: What the stand-in takes.
        types: Of the inputs.
    """
    import tensorflow as tf
    from tensorflow.core.framework.function_pb2 import FunctionDef
    from tensorflow.python.framework import op_def_registry

    made = _STAND_INS[operation].make(**dict(attributes))
    definition: Any = op_def_registry.get(operation)
    any_shape: Any = None
    specs = [tf.TensorSpec(any_shape, tf.as_dtype(one)) for one in types]
    traced: Any = tf.function(made, input_signature=specs, autograph=False)
    found: Any = FunctionDef()
    found.CopyFrom(traced.get_concrete_function().function_def)
    found.ClearField("attr")
    settings = [f"{name}={value}" for name, value in attributes]
    name = "_".join([operation, *settings, *(tf.as_dtype(one).name for one in types)])
    found.signature.name = f"{''.join(one if one.isalnum() else '_' for one in name)}_float64"
    # Inside a function, what an operation gives is named by the operation's name of it.
    for argument, output in zip(found.signature.output_arg, definition.output_arg, strict=True):
        source = found.ret.pop(argument.name)
        argument.name = output.name
        found.ret[argument.name] = source
    return found


def _batch_normalization(
    *,
    epsilon: float,
    exponential_avg_factor: float,
    data_format: str,
    is_training: bool,
    reserved: int = 2,
) -> Callable[..., Sequence[Any]]:
    """Normalizes each channel; while training by the mean and the variance over all else.

    The variance that is handed out has Bessel's correction then, the one that normalizes has not (TensorFlow,
    `core/kernels/fused_batch_norm_op.cc`, `FusedBatchNorm<CPUDevice>`).

    Args:
        epsilon: Added to the variance.
        exponential_avg_factor: Share of the batch in the mean and the variance that are handed out.
        data_format: "NHWC" or "NDHWC" with the channels last, "NCHW" or "NCDHW" with the channels second.
        is_training: Whether mean and variance are those of the batch.
        reserved: Number of the outputs for the gradient; the third of them is empty on a processor.
    """
    import tensorflow as tf

    def normalize(x: Any, scale: Any, offset: Any, mean: Any, variance: Any) -> Sequence[Any]:
        second = data_format.startswith("NC")
        shape = tf.concat([[-1], tf.ones([tf.rank(x) - 2], tf.int32)], 0) if second else tf.constant([-1])

        def of_channels(value: Any) -> Any:
            return tf.reshape(value, shape)

        if is_training:
            axes = tf.concat([[0], tf.range(2, tf.rank(x))], 0) if second else tf.range(tf.rank(x) - 1)
            own_mean = tf.reduce_mean(x, axes)
            centred = x - of_channels(own_mean)
            own_variance = tf.reduce_mean(centred * centred, axes)
            count = tf.cast(tf.size(x) // tf.maximum(tf.size(own_mean), 1), tf.float64)
            unbiased = own_variance * count / tf.maximum(count - 1, 1)
            new_mean, new_variance = own_mean, unbiased
            if exponential_avg_factor != 1:
                new_mean = (1 - exponential_avg_factor) * mean + exponential_avg_factor * own_mean
                new_variance = (1 - exponential_avg_factor) * variance + exponential_avg_factor * unbiased
        else:
            own_mean = new_mean = mean
            own_variance = new_variance = variance
            centred = x - of_channels(mean)
        y = centred * of_channels(tf.math.rsqrt(own_variance + epsilon) * scale) + of_channels(offset)
        empty = [tf.zeros([0], tf.float64)] * (reserved - 2)
        return [y, *map(tf.identity, (new_mean, new_variance, own_mean, own_variance)), *empty]

    return normalize


def _pooling(
    *, ksize: Sequence[int], strides: Sequence[int], padding: str, data_format: str, average: bool
) -> Callable[..., Sequence[Any]]:
    """Pools (batch, depth, height, width, channels): every image, then over the depth.

    Largest values and averages may be taken one after the other: a window at the edge has the same part of its padding
    in each image, and padding counts for neither.
    """
    import tensorflow as tf

    pool: Any = tf.nn.avg_pool2d if average else tf.nn.max_pool2d
    space = slice(2, 5) if data_format.startswith("NC") else slice(1, 4)
    (deep, *window), (deep_step, *step) = ksize[space], strides[space]

    def pooled(x: Any) -> Sequence[Any]:
        if data_format.startswith("NC"):
            x = tf.transpose(x, [0, 2, 3, 4, 1])
        batch, depth, height, width, channels = tf.unstack(tf.shape(x), 5)
        images = pool(tf.reshape(x, [batch * depth, height, width, channels]), window, step, padding)
        _, height, width, _ = tf.unstack(tf.shape(images), 4)
        lines = tf.reshape(images, [batch, depth, height * width, channels])
        lines = pool(lines, [deep, 1], [deep_step, 1], padding)
        y = tf.reshape(lines, [batch, tf.shape(lines)[1], height, width, channels])
        return [tf.transpose(y, [0, 4, 1, 2, 3]) if data_format.startswith("NC") else y]

    return pooled


def _bilinear(*, align_corners: bool, half_pixel_centers: bool) -> Callable[..., Sequence[Any]]:
    """Resizes images (batch, height, width, channels) along one axis, then along the other.

    Where the pixels of the result lie is said in TensorFlow's `core/kernels/image/resize_bilinear_op.cc`
    (`compute_interpolation_weights`) and `core/util/image_resizer_state.h` (`CalculateResizeScale`).

    Args:
        align_corners: Whether the middles of the corner pixels lie upon each other.
        half_pixel_centers: Whether the middle of the first pixel is at one half.
    """
    import tensorflow as tf

    def along(images: Any, axis: int, size: Any) -> Any:
        before = tf.shape(images)[axis]
        last, wanted = tf.cast(before - 1, tf.float64), tf.cast(size, tf.float64)
        places = tf.cast(tf.range(size), tf.float64)
        if align_corners:
            where = places * tf.where(size > 1, last / tf.maximum(wanted - 1, 1), (last + 1) / wanted)
        elif half_pixel_centers:
            where = (places + 0.5) * (last + 1) / wanted - 0.5
        else:
            where = places * (last + 1) / wanted
        lower, upper = tf.floor(where), tf.math.ceil(where)
        share = tf.reshape(where - lower, [1, -1, 1, 1] if axis == 1 else [1, 1, -1, 1])
        one, other = (
            tf.gather(images, tf.cast(tf.clip_by_value(edge, 0, last), tf.int32), axis=axis) for edge in (lower, upper)
        )
        return one + (other - one) * share

    def resized(images: Any, size: Any) -> Sequence[Any]:
        return [along(along(tf.cast(images, tf.float64), 1, size[0]), 2, size[1])]

    return resized


_NORMALIZATION = ("epsilon", "exponential_avg_factor", "data_format", "is_training")
_POOLING = ("ksize", "strides", "padding", "data_format")
_STAND_INS = MappingProxyType(
    {
        "FusedBatchNorm": _StandIn(_batch_normalization, _NORMALIZATION),
        "FusedBatchNormV2": _StandIn(_batch_normalization, _NORMALIZATION),
        "FusedBatchNormV3": _StandIn(functools.partial(_batch_normalization, reserved=3), _NORMALIZATION),
        "AvgPool3D": _StandIn(functools.partial(_pooling, average=True), _POOLING),
        "MaxPool3D": _StandIn(functools.partial(_pooling, average=False), _POOLING),
        "ResizeBilinear": _StandIn(_bilinear, ("align_corners", "half_pixel_centers")),
    }
)
