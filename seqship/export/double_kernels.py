"""Stand-ins in float64 for operations that TensorFlow's processors compute in float32 alone."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import Any

from seqship.export.stand_ins import StandIn, all_nodes, replace_operations


def put_stand_ins(definition: Any) -> None:
    """Replaces the operations of a graph and of its functions that have a stand-in.

    Args:
        definition: A GraphDef in which every floating-point type is float64 already; changed in place.
    """
    replace_operations(definition, all_nodes(definition), _STAND_INS)


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
        "FusedBatchNorm": StandIn(_batch_normalization, _NORMALIZATION),
        "FusedBatchNormV2": StandIn(_batch_normalization, _NORMALIZATION),
        "FusedBatchNormV3": StandIn(functools.partial(_batch_normalization, reserved=3), _NORMALIZATION),
        "AvgPool3D": StandIn(functools.partial(_pooling, average=True), _POOLING),
        "MaxPool3D": StandIn(functools.partial(_pooling, average=False), _POOLING),
        "ResizeBilinear": StandIn(_bilinear, ("align_corners", "half_pixel_centers")),
    }
)
