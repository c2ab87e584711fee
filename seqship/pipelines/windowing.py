"""Windows of time series as `tf.data`: counted, shuffled without a buffer, resumable at any batch.

How a batch is read was decided by measurement (`python -m benchmarks.windows`). The stock way gathers window by
window. Here a block of several batches is planned in numpy at once. Series of few columns, whose gather in TensorFlow
would copy a few bytes at a time, and memory-mapped ones, which a constant would copy as a whole, are read in numpy as
well, one copy a window, and the block is cut into batches. Wider series in memory are a constant, and one `tf.gather`
a batch reads them, outside of Python and on all cores.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from seqship.pipelines.chronological import Span, check_span, whole_span
from seqship.pipelines.missing import MISSING, Missing
from seqship.pipelines.series import Series, as_series
from seqship.pipelines.window_parts import WindowPart, is_mapped
from seqship.pipelines.window_plan import Targets, WindowFrame, WindowPlan, window_runs
from seqship.pipelines.window_selection import WindowColumns, select

Gather = Literal["auto", "numpy", "graph"]

_BLOCK_BYTES = 4 << 20
_MOST_BATCHES = 64
"""A block is as many batches as fit in so many bytes, but not more than so many."""
_AHEAD = 8
"""Batches made ahead of the training loop: a fixed number, because AUTOTUNE may take half of the memory for them."""
_PLANNED = 1 << 16
"""So many windows are planned at once: each small step of numpy may have to wait for the training loop's Python."""
_GRAPH_COLUMNS, _GRAPH_BYTES = 8, 1 << 28
"""From so many columns on `tf.gather` is faster; up to so many bytes the copy in the constant is taken for it."""


def windows(
    series: Series | NDArray[Any],
    *,
    length: int,
    batch_size: int,
    horizon: int = 1,
    stride: int = 1,
    shift: int = 1,
    targets: Targets = "last",
    shuffle: bool = False,
    seed: int = 0,
    epoch: int = 0,
    start_batch: int = 0,
    input_columns: Sequence[str] | None = None,
    target_columns: Sequence[str] | None = None,
    known: Sequence[str] | None = None,
    missing: Missing = "error",
    pad_value: float | None = None,
    span: Span | None = None,
    shard: tuple[int, int] = (0, 1),
    drop_remainder: bool = False,
    gather: Gather = "auto",
) -> tf.data.Dataset[Any]:
    """Returns the batches of windows of one epoch; each window of the span is in exactly one batch of one shard.

    A window that begins at step s reads its inputs from the steps s to s + length - 1 and its first target from step
    s + length - 1 + shift. Windows begin every `stride` steps from the beginning of each series of the span; a series
    too short for one gives none.

    Args:
        series: The data, or an array of numbers shaped (steps,) or (steps, columns).
        length: Steps of the inputs.
        batch_size: Windows a batch; the last batch may hold fewer.
        horizon: Steps of the targets.
        stride: Steps from one window to the next.
        shift: Steps from the last input to the first target; 1 is the next step.
        targets: "last": the horizon after the last input step; "sequence": the horizon after every input step, for
            models that return sequences.
        shuffle: Whether windows come in random order, which depends on `seed` and `epoch` alone.
        seed: Seed of all epochs.
        epoch: Number of the epoch, from 0.
        start_batch: First batch, from 0: where training was interrupted, the number of batches it had seen.
        input_columns: Names of the columns that are inputs; None is all of them.
        target_columns: Names of the columns that are targets; None is all of them.
        known: Names of columns that are known in advance (calendar, prices, a weather forecast); they come at the
            steps of the targets, as a second input.
        missing: What becomes of missing inputs: "error"; "drop" leaves out the windows that lack a value; "mask"
            fills a step that lacks one with `pad_value`, in all columns (windows with no whole step are left out);
            "forward" carries the last value forward, within the series and within what the span may read (windows
            that lack a value before the first are left out). Missing targets are never made up: but for "error",
            windows that lack one are left out. So are, with "mask", windows that lack a known column.
        pad_value: What "mask" fills with: the value of the model's `Masking` layer.
        span: Steps to take windows from, as `chronological_split` gives them; None is all.
        shard: This worker's number and the number of workers. Shards differ by at most one window.
        drop_remainder: Whether a last batch of fewer windows is dropped.
        gather: How batches are read; "auto" decides as the module says. "graph" copies the series into a constant.

    Returns:
        Dataset of (inputs, targets), its cardinality known. Inputs: float32 (batch, length, inputs), with `known` the
        pair of these and the known columns, float32, shaped like the targets with an axis of columns at the end.
        Targets: float32 (batch, horizon, targets), for "sequence" (batch, length, horizon, targets); a single target
        column has no axis.

    Raises:
        DataError: The series is shorter than one window, lacks values with "error", holds an infinite one, has no
            such column, or all its windows are left out; `span` is of another series; a whole step equals
            `pad_value`, so that it would be masked; or "forward" would copy a memory-mapped series.
        ValueError: An option is out of range, or `pad_value` is missing or useless.
    """
    if missing not in MISSING or (missing == "mask") != (pad_value is not None):
        raise ValueError(
            f"missing is one of {', '.join(MISSING)}, and 'mask' alone takes a pad_value, met {missing!r} with "
            f"{pad_value}; give 'mask' the value of the Masking layer"
        )
    if pad_value is not None and not np.isfinite(pad_value):
        raise ValueError(f"pad_value must be a finite number, met {pad_value}; -1.0 is a common one")
    if gather not in ("auto", "numpy", "graph"):
        raise ValueError(f"gather must be 'auto', 'numpy' or 'graph', met {gather!r}; 'auto' chooses the faster")
    data = series if isinstance(series, Series) else as_series(series)
    frame = WindowFrame(length, horizon, shift, stride, targets)
    where = whole_span(data) if span is None else span
    check_span(where, data)
    columns = WindowColumns(
        data.column_indices(input_columns),
        data.column_indices(target_columns),
        () if known is None else data.column_indices(known),
    )
    parts, excluded = select(data, frame, where, columns, missing, pad_value)
    firsts, counts = window_runs(where, frame, excluded)
    plan = WindowPlan(firsts, counts, stride, batch_size, drop_remainder, shuffle, seed, shard)
    if epoch < 0 or not 0 <= start_batch <= len(plan):
        raise ValueError(
            f"epoch must be 0 or more and start_batch 0 to {len(plan)}, met {epoch} and {start_batch}; "
            "an epoch ends after its last batch"
        )
    in_graph = gather == "graph" or (gather == "auto" and _suits_graph(parts))
    if gather == "graph" and any(part.pad_value is not None for part in parts):
        raise ValueError("gather='graph' fills no missing steps; leave gather out")
    with tf.device("CPU:0"):  # where tf.data runs: see `epochs.training_batches`
        dataset = (_by_graph if in_graph else _by_numpy)(plan, parts, epoch, start_batch).prefetch(_AHEAD)
        return dataset.apply(tf.data.experimental.assert_cardinality(len(plan) - start_batch))


def _suits_graph(parts: Sequence[WindowPart]) -> bool:
    """Whether `tf.gather` reads the parts faster than numpy, at a bearable cost of memory."""
    small = sum(part.values.nbytes for part in parts) <= _GRAPH_BYTES
    fit = all(not is_mapped(part.values) and part.pad_value is None for part in parts)
    return small and fit and parts[0].width >= _GRAPH_COLUMNS


def _batches_a_block(plan: WindowPlan, parts: Sequence[WindowPart]) -> int:
    window = sum(4 * int(np.prod(part.shape, dtype=np.int64)) for part in parts)
    return int(np.clip(_BLOCK_BYTES // (window * plan.batch_size), 1, _MOST_BATCHES))


def _by_numpy(plan: WindowPlan, parts: Sequence[WindowPart], epoch: int, start_batch: int) -> tf.data.Dataset[Any]:
    """Returns the batches, blocks of them read in numpy."""

    def read(starts: NDArray[np.int64]) -> list[NDArray[Any]]:
        return [part.read(starts) for part in parts]

    shapes = [part.shape for part in parts]
    return _blocks(plan, epoch, start_batch, _batches_a_block(plan, parts), read, tf.float32, shapes, _element)


def _by_graph(plan: WindowPlan, parts: Sequence[WindowPart], epoch: int, start_batch: int) -> tf.data.Dataset[Any]:
    """Returns the batches, each gathered from constants."""
    constants: dict[int, tf.Tensor] = {}
    for part in parts:  # Inputs and targets are mostly read from the same array.
        if id(part.values) not in constants:
            constants[id(part.values)] = tf.constant(part.values)

    def batch(starts: tf.Tensor) -> tuple[Any, tf.Tensor]:
        return _element(*(_gathered(part, constants[id(part.values)], starts) for part in parts))

    def as_they_are(starts: Any) -> Any:
        return starts

    starts = _blocks(plan, epoch, start_batch, _MOST_BATCHES, as_they_are, tf.int64, [()], as_they_are)
    return starts.map(batch, num_parallel_calls=tf.data.AUTOTUNE)


def _blocks(
    plan: WindowPlan,
    epoch: int,
    start_batch: int,
    batches: int,
    read: Callable[[NDArray[np.int64]], Any],
    dtype: tf.DType,
    shapes: Sequence[tuple[int, ...]],
    element: Callable[..., Any],
) -> tf.data.Dataset[Any]:
    """Returns batches of what `read` makes of the first steps of windows, `batches` of them read at once."""
    step = batches * plan.batch_size
    origin = start_batch * plan.batch_size
    blocks_at_once = max(1, _PLANNED // step)

    @lru_cache(maxsize=2)
    def planned(number: int) -> NDArray[np.int64]:
        begin = origin + number * blocks_at_once * step
        return plan.starts(begin, begin + blocks_at_once * step, epoch=epoch)

    def load(block: np.int64) -> Any:
        number, within = divmod(int(block), blocks_at_once)
        # A copy: TensorFlow takes arrays over without one, and its operations may write into what they were given.
        return read(planned(number)[within * step : (within + 1) * step].copy())

    def loaded(block: tf.Tensor) -> Any:
        # Stateless: it depends on the number of the block alone, so that tf.data may save and restore iterators.
        tensors: Any = tf.numpy_function(load, [block], [dtype] * len(shapes), stateful=False)
        return element(*(tf.ensure_shape(one, (None, *shape)) for one, shape in zip(tensors, shapes, strict=True)))

    blocks = tf.data.Dataset.range(-(-(plan.windows - origin) // step)).map(loaded)
    return blocks.prefetch(1).rebatch(plan.batch_size, drop_remainder=plan.drop_remainder)


def _gathered(part: WindowPart, table: tf.Tensor, starts: tf.Tensor) -> tf.Tensor:
    """Returns a part of each window of a batch."""
    within = np.arange(part.steps, dtype=np.int64) + part.offset
    if part.horizon is not None:
        within = within[:, np.newaxis] + np.arange(part.horizon, dtype=np.int64)
    read = tf.gather(table, tf.reshape(starts, (-1, *(1,) * within.ndim)) + within)
    if part.columns is not None:
        read = tf.gather(read, part.columns, axis=-1)
    return tf.squeeze(read, -1) if part.squeeze and part.width == 1 else read


def _element(*parts: tf.Tensor) -> tuple[Any, tf.Tensor]:
    """Returns what Keras takes: the inputs, together where they are two, and the targets."""
    *inputs, targets = parts
    return (inputs[0] if len(inputs) == 1 else tuple(inputs)), targets
