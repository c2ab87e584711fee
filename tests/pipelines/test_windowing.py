"""Windows of time series, compared with a loop that reads them one by one."""

from __future__ import annotations

import tracemalloc
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from seqship.errors import DataError
from seqship.pipelines import windowing as module
from seqship.pipelines.chronological import Span, chronological_split, whole_span
from seqship.pipelines.missing import Missing, forward_fill
from seqship.pipelines.permutation import shuffled
from seqship.pipelines.series import Series, as_series
from seqship.pipelines.window_plan import WindowFrame, WindowPlan
from seqship.pipelines.windowing import windows

PAD = -7.0
NAMES = ("a", "b", "c")
Window = tuple[Any, Any, Any]
"""Inputs, known columns and targets."""


@dataclass(frozen=True)
class Case:
    """A series and options of `windows`."""

    series: Series
    frame: WindowFrame
    columns: tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]
    missing: Missing
    span: Span

    def options(self) -> dict[str, Any]:
        frame, (inputs, targets, known) = self.frame, self.columns
        return {
            "length": frame.length,
            "horizon": frame.horizon,
            "stride": frame.stride,
            "shift": frame.shift,
            "targets": frame.targets,
            "input_columns": inputs,
            "target_columns": targets,
            "known": known or None,
            "missing": self.missing,
            "pad_value": PAD if self.missing == "mask" else None,
            "span": self.span,
        }


def expected(case: Case) -> list[Window]:
    """Returns the windows, read step by step as the documentation of `windows` says."""
    frame, table = case.frame, case.series.values
    found: list[Window] = []
    pieces = zip(case.series.borders[1:], case.span.starts, case.span.stops, case.span.reach, strict=True)
    inputs, targets, known = ([NAMES.index(name) for name in names] for names in case.columns)
    for border, start, stop, reach in pieces:
        begin = max(reach, start - frame.first_target)
        filled = table.copy()
        if case.missing == "forward":
            filled[begin:border] = forward_fill(table[begin:border])
        for first in range(begin, len(table), frame.stride):
            seeing = range(first, first + frame.length)
            ahead = [[step + frame.shift + at for at in range(frame.horizon)] for step in seeing]
            if ahead[-1][-1] >= stop:
                break
            steps = ahead if frame.targets == "sequence" else ahead[-1]
            values, future, truth = filled[seeing][:, inputs], filled[steps][..., known], table[steps][..., targets]
            whole: Any = ~np.isnan(values).any(axis=1)
            if np.isnan(truth).any() or np.isnan(future).any() or not whole.any():
                continue
            if case.missing == "mask":
                values = np.where(whole[:, np.newaxis], values, PAD)
            elif not whole.all():
                continue
            found.append((values, future, truth[..., 0] if len(targets) == 1 else truth))
    return found


def collect(dataset: Any) -> list[list[Window]]:
    """Returns the windows of each batch."""
    batches: list[list[Window]] = []
    for inputs, targets in dataset:
        values, known = inputs if isinstance(inputs, tuple) else (inputs, tf.zeros((*targets.shape[:1], 0)))
        batches.append([*zip(values.numpy(), known.numpy(), targets.numpy(), strict=True)])
    return batches


def same(one: list[Window], other: list[Window], with_known: bool = True) -> None:
    assert len(one) == len(other)
    for left, right in zip(one, other, strict=True):
        for index in (0, 1, 2) if with_known else (0, 2):
            assert left[index].shape == right[index].shape
            np.testing.assert_array_equal(left[index], right[index])


@st.composite
def cases(draw: st.DrawFn) -> Case:
    lengths = draw(st.lists(st.integers(0, 30), min_size=1, max_size=4).filter(lambda some: sum(some) > 0))
    steps, width = sum(lengths), draw(st.integers(1, 3))
    table = np.arange(steps * width, dtype=np.float32).reshape(steps, width)
    missing: Missing = draw(st.sampled_from(["error", "drop", "mask", "forward"]))
    if missing != "error":
        hole = st.tuples(st.integers(0, steps - 1), st.integers(1, 4), st.integers(0, width - 1))
        for step, count, column in draw(st.lists(hole, max_size=4)):
            table[step : step + count, column] = np.nan
    frame = WindowFrame(
        length=draw(st.integers(1, 6)),
        horizon=draw(st.integers(1, 4)),
        shift=draw(st.integers(1, 4)),
        stride=draw(st.integers(1, 5)),
        targets=draw(st.sampled_from(["last", "sequence"])),
    )
    names = NAMES[:width]
    some = st.lists(st.sampled_from(names), min_size=1, unique=True).map(tuple)
    columns = (draw(some), draw(some), draw(some | st.just(())))
    series = as_series(table, columns=names, lengths=lengths)
    span = whole_span(series)
    if steps > 6 and draw(st.booleans()):
        span = chronological_split(series, train=0.4, validation=0.0, inputs_reach_back=draw(st.booleans()))[2]
    return Case(series, frame, columns, missing, span)


GATHERS: list[Literal["numpy", "graph"]] = ["numpy", "graph"]


@pytest.mark.parametrize("gather", GATHERS)
@settings(max_examples=60, deadline=None)
@given(
    case=cases(),
    batch_size=st.integers(1, 9),
    drop_remainder=st.booleans(),
    shards=st.integers(1, 3),
    start_batch=st.integers(0, 2),
)
def test_windows_are_those_of_the_loop(
    gather: Literal["numpy", "graph"], case: Case, batch_size: int, drop_remainder: bool, shards: int, start_batch: int
) -> None:
    wanted = expected(case)
    if not wanted:
        with pytest.raises(DataError, match=r"^a window needs \d+ steps \(length "):
            windows(case.series, batch_size=batch_size, **case.options())
        return
    assume(gather == "numpy" or case.missing != "mask")
    for index in range(shards):
        mine = wanted[index::shards]
        mine = mine[: len(mine) - len(mine) % batch_size] if drop_remainder else mine
        first = min(start_batch, -(-len(mine) // batch_size))
        dataset = windows(
            case.series,
            batch_size=batch_size,
            drop_remainder=drop_remainder,
            shard=(index, shards),
            start_batch=first,
            gather=gather,
            **case.options(),
        )
        batches = collect(dataset)
        assert len(dataset) == len(batches)
        assert all(len(batch) == batch_size for batch in batches[:-1])
        same([window for batch in batches for window in batch], mine[first * batch_size :], bool(case.columns[2]))


@pytest.mark.parametrize("gather", GATHERS)
@settings(max_examples=25, deadline=None)
@given(case=cases(), shards=st.integers(1, 3), seed=st.integers(0, 9), batch_size=st.integers(1, 9))
def test_shuffled_shards_have_each_window_once(
    gather: Literal["numpy", "graph"], case: Case, shards: int, seed: int, batch_size: int
) -> None:
    wanted = expected(case)
    assume(wanted and (gather == "numpy" or case.missing != "mask"))
    options: dict[str, Any] = {
        "batch_size": batch_size,
        "shuffle": True,
        "seed": seed,
        "epoch": 3,
        "gather": gather,
        **case.options(),
    }
    met = [
        window
        for index in range(shards)
        for batch in collect(windows(case.series, shard=(index, shards), **options))
        for window in batch
    ]

    def content(window: Window) -> bytes:
        return window[0].tobytes() + window[2].tobytes()

    same(sorted(met, key=content), sorted(wanted, key=content), bool(case.columns[2]))


def firsts(dataset: Any) -> list[list[int]]:
    return [[int(window[0][0, 0]) for window in batch] for batch in collect(dataset)]


@pytest.mark.parametrize("gather", GATHERS)
@pytest.mark.parametrize("block", [1, 1 << 22])
def test_training_resumes_with_the_batches_it_would_have_seen(
    gather: Any, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_BLOCK_BYTES", block)
    monkeypatch.setattr(module, "_PLANNED", 64)
    values = np.arange(1000)

    def batches(start: int, epoch: int = 2) -> list[list[int]]:
        return firsts(
            windows(values, length=3, batch_size=8, shuffle=True, seed=5, epoch=epoch, start_batch=start, gather=gather)
        )

    whole = batches(0)
    assert len(whole) == 125
    for start in (1, 7, 64, 124, 125):
        assert batches(start) == whole[start:]
    assert whole != batches(0, epoch=3)
    flat = [first for batch in whole for first in batch]
    assert sorted(flat) == list(range(997))
    assert np.abs(np.diff(flat)).mean() > 200, "neighbours are far apart"


def test_tensorflow_does_not_write_into_the_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    # TensorFlow takes over an array that begins at a multiple of 64 bytes, and adds in place where it can: not always,
    # so that it takes many blocks to see it.
    memory = np.zeros(2048 + 8, np.int64)
    planned = memory[(-memory.ctypes.data % 64) // 8 :][:2048]
    planned[:] = np.arange(2048)

    def same_array(*_: object, **__: object) -> Any:
        return planned

    def as_it_is(starts: Any) -> Any:
        return starts

    def added(starts: Any) -> Any:
        return tf.reshape(starts, (-1, 1)) + np.array([168])

    monkeypatch.setattr(WindowPlan, "starts", same_array)
    plan = WindowPlan(np.array([0]), np.array([2048 * 300]), 1, 256)
    monkeypatch.setattr(module, "_PLANNED", 2048)
    blocks: Any = module._blocks(plan, 0, 0, 8, as_it_is, tf.int64, [()], as_it_is)
    assert {tuple(batch.shape) for batch in blocks.map(added)} == {(256, 1)}
    assert planned.tolist() == list(range(2048))


def test_an_iterator_is_saved_and_restored(tmp_path: Path) -> None:
    dataset = windows(np.arange(300), length=3, batch_size=4, shuffle=True)
    iterator: Any = iter(dataset)
    for _ in range(5):
        next(iterator)
    saved = tf.train.Checkpoint(iterator=iterator).save(str(tmp_path / "state"))
    continued = [batch[0].numpy().tolist() for batch in iterator]
    other: Any = iter(dataset)
    tf.train.Checkpoint(iterator=other).restore(saved)
    assert [batch[0].numpy().tolist() for batch in other] == continued
    assert len(continued) == 75 - 5


@given(n=st.integers(1, 3000), seed=st.integers(0, 2**63), epoch=st.integers(0, 99))
def test_the_shuffled_order_is_a_permutation(n: int, seed: int, epoch: int) -> None:
    order = shuffled(np.arange(n), n, seed=seed, epoch=epoch)
    assert sorted(order.tolist()) == list(range(n))
    np.testing.assert_array_equal(shuffled(np.arange(n)[::7], n, seed=seed, epoch=epoch), order[::7])


def test_the_shuffled_order_is_mixed() -> None:
    n = 100_000
    order = shuffled(np.arange(n), n, seed=1, epoch=0)
    assert abs(np.corrcoef(np.arange(n), order)[0, 1]) < 0.02
    assert abs(np.corrcoef(order[:-1], order[1:])[0, 1]) < 0.02
    assert abs(np.abs(np.diff(order)).mean() / n - 1 / 3) < 0.01, "as far apart as two draws at random"
    assert (np.diff(order) == 1).sum() < 15, "one in n at random"
    counts, _, _ = np.histogram2d(np.arange(n), order, bins=20)
    assert ((counts - n / 400) ** 2 / (n / 400)).sum() < 400 + 5 * np.sqrt(2 * 400), "each part comes from everywhere"
    other = shuffled(np.arange(n), n, seed=1, epoch=1)
    assert abs(np.corrcoef(order, other)[0, 1]) < 0.02
    assert (order == other).sum() < 15


def test_every_element_comes_as_often_at_every_position() -> None:
    n, draws = 13, 3000
    counts = np.zeros((n, n))
    for seed in range(draws):
        counts[np.arange(n), shuffled(np.arange(n), n, seed=seed, epoch=0)] += 1
    chi = ((counts - draws / n) ** 2 / (draws / n)).sum()
    assert chi < (n - 1) ** 2 + 5 * np.sqrt(2) * (n - 1)


def test_the_largest_orders_are_computed_too() -> None:
    n = 2**60
    order = shuffled(np.array([0, 1, n - 1]), n, seed=0, epoch=0)
    assert len(set(order.tolist())) == 3
    assert ((order >= 0) & (order < n)).all()
    for positions, size in (([n], n), ([-1], n), ([0], 0), ([0], n + 1)):
        with pytest.raises(ValueError, match=r"^positions lie in a range of 1 to 2\*\*60 elements, met a range of "):
            shuffled(np.array(positions), size, seed=0, epoch=0)
    with pytest.raises(ValueError, match=r"^epoch and seed must be 0 or more, met -1 and 0; count epochs from 0$"):
        shuffled(np.array([0]), 1, seed=0, epoch=-1)


def test_a_plan_of_many_windows_takes_no_memory() -> None:
    plan = WindowPlan(np.array([0]), np.array([10**12]), 1, 256, shuffle=True)
    assert len(plan) == 10**12 // 256
    tracemalloc.start()
    starts = plan.starts(10**11, 10**11 + 256, epoch=4)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(set(starts.tolist())) == 256
    assert peak < 200_000


@pytest.mark.parametrize("names", [("a", "b"), ("b",), ("b", "a")])
def test_a_memory_mapped_series_is_read_from_its_file(tmp_path: Path, names: tuple[str, ...]) -> None:
    table = np.arange(400, dtype=np.float32).reshape(200, 2)
    table.tofile(tmp_path / "x")
    mapped = np.memmap(tmp_path / "x", np.float32, "r", shape=(200, 2))
    options: dict[str, Any] = {"length": 7, "batch_size": 16, "horizon": 2, "input_columns": names, "shuffle": True}
    from_file = collect(windows(as_series(mapped, columns=["a", "b"]), **options))
    in_memory = collect(windows(as_series(table, columns=["a", "b"]), **options))
    for one, other in zip(from_file, in_memory, strict=True):
        same(one, other, with_known=False)


def test_a_file_is_not_copied(tmp_path: Path) -> None:
    steps = 4_000_000
    mapped = np.memmap(tmp_path / "x", np.float32, "w+", shape=(steps, 2))
    series = as_series(np.asarray(mapped), columns=["a", "b"])
    tracemalloc.start()
    next(iter(windows(series, length=5, batch_size=16, shuffle=True, target_columns=["b"])))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < mapped.nbytes / 4


def test_a_memory_mapped_series_is_masked_but_not_filled(tmp_path: Path) -> None:
    mapped = np.memmap(tmp_path / "x", np.float32, "w+", shape=(10, 1))
    mapped[:, 0] = np.arange(10)
    mapped[4] = np.nan
    batches = collect(windows(mapped, length=3, batch_size=9, missing="mask", pad_value=-1.0))
    inputs = [window[0][:, 0].tolist() for window in batches[0]]
    assert inputs == [[0, 1, 2], [2, 3, -1], [3, -1, 5], [-1, 5, 6], [5, 6, 7], [6, 7, 8]]
    with pytest.raises(
        DataError, match=r"^missing='forward' would copy the memory-mapped an array as a whole; fill the"
    ):
        windows(mapped, length=3, batch_size=9, missing="forward")


@pytest.mark.parametrize(
    ("columns", "options", "shapes"),
    [
        (1, {}, ((None, 5, 1), (None, 2))),
        (3, {}, ((None, 5, 3), (None, 2, 3))),
        (3, {"target_columns": ["1"]}, ((None, 5, 3), (None, 2))),
        (1, {"targets": "sequence"}, ((None, 5, 1), (None, 5, 2))),
        (2, {"targets": "sequence", "drop_remainder": True}, ((4, 5, 2), (4, 5, 2, 2))),
        (2, {"known": ["1"]}, (((None, 5, 2), (None, 2, 1)), (None, 2, 2))),
        (2, {"known": ["1"], "targets": "sequence"}, (((None, 5, 2), (None, 5, 2, 1)), (None, 5, 2, 2))),
    ],
)
@pytest.mark.parametrize("gather", GATHERS)
def test_shapes_are_known_before_the_first_batch(columns: int, options: Any, shapes: Any, gather: Any) -> None:
    dataset = windows(np.zeros((50, columns)), length=5, horizon=2, batch_size=4, gather=gather, **options)
    met: Any = tf.nest.map_structure(_shape, dataset.element_spec)
    assert met == shapes
    assert {spec.dtype for spec in tf.nest.flatten(dataset.element_spec)} == {tf.float32}


def _shape(spec: tf.TensorSpec) -> tuple[int | None, ...]:
    return tuple(spec.shape)


def _numbers(*_: object) -> Any:
    return tf.data.Dataset.range(9)


def test_wide_series_are_gathered_in_the_graph_and_files_are_not(tmp_path: Path) -> None:
    def chosen(values: Any, **options: Any) -> bool:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "_by_graph", _numbers)
            return windows(values, length=3, batch_size=4, **options).element_spec == tf.TensorSpec((), tf.int64)

    wide = np.zeros((20, 14), np.float32)
    assert chosen(wide)
    assert not chosen(wide[:, :2])
    assert not chosen(np.memmap(tmp_path / "x", np.float32, "w+", shape=(20, 14)))
    assert not chosen(wide, gather="numpy")


def test_keras_trains_on_them() -> None:
    model: Any = keras.Sequential([keras.layers.Input((8, 1)), keras.layers.GRU(4), keras.layers.Dense(2)])
    model.compile("adam", "mse")
    history = model.fit(windows(np.sin(np.arange(200)), length=8, horizon=2, batch_size=16), shuffle=False, verbose=0)
    assert np.isfinite(history.history["loss"]).all()


def test_a_window_that_would_be_masked_as_a_whole_is_left_out() -> None:
    batch = collect(windows(holes(5, 6, 7), length=2, batch_size=99, missing="mask", pad_value=-1.0))[0]
    inputs = [window[0][:, 0].tolist() for window in batch]
    # Those from 3, 4 and 5 lack their target, those from 5 and 6 all of their inputs.
    assert inputs == [[at, at + 1] for at in (0, 1, 2)] + [[-1, 8]] + [[at, at + 1] for at in range(8, 18)]


@pytest.mark.parametrize("reach_back", [False, True])
def test_nothing_is_carried_into_a_span_from_before_what_it_may_read(reach_back: bool) -> None:
    values = holes(10)
    validation = chronological_split(as_series(values), train=0.5, validation=0.4, inputs_reach_back=reach_back)[1]
    assert validation.starts.tolist() == [10]
    batch = collect(windows(values, length=2, batch_size=9, missing="forward", span=validation))[0]
    assert batch[0][0][:, 0].tolist() == ([9, 9] if reach_back else [11, 12])


def holes(*steps: int, n: int = 20) -> Any:
    values = np.arange(n, dtype=np.float32)
    values[list(steps)] = np.nan
    return values


@pytest.mark.parametrize(
    ("values", "options", "error", "message"),
    [
        (
            np.arange(7),
            {"length": 5, "horizon": 2, "shift": 2},
            DataError,
            r"^a window needs 8 steps \(length 5, shift 2, horizon 2\), the longest series of the span has 7; give",
        ),
        (
            as_series(np.arange(10), lengths=[3, 7]),
            {"length": 7},
            DataError,
            r"^a window needs 8 steps \(length 7, shift 1, horizon 1\), the longest series of the span has 7; give",
        ),
        (
            holes(3, 5),
            {},
            DataError,
            r"^an array lacks values at 2 steps, the first at step 3 in column 0; choose missing",
        ),
        (
            as_series(holes(2), times=np.arange(20).astype("datetime64[D]")),
            {},
            DataError,
            r"^an array lacks values at 1 steps, the first at step 2 \(1970-01-03\) in column 0; choose missing='drop'",
        ),
        (
            holes(*range(0, 20, 2)),
            {"missing": "drop"},
            DataError,
            r"steps .*, and every one of them lacks a value; take ",
        ),
        (np.array([1, np.inf, 3]), {}, DataError, r"^step 1 holds inf in column 0; put NaN where a value is missing$"),
        (
            np.arange(20),
            {"missing": "mask", "pad_value": 6.0},
            DataError,
            r"^step 6 holds the pad_value 6\.0 in every input column and would be masked; choose a value that the data",
        ),
        (
            np.arange(20),
            {"span": whole_span(as_series(np.arange(21)))},
            DataError,
            r"^the span from \[0\] to \[21\] is none of a series with the borders \[0, 20\]; split this very series$",
        ),
        (np.arange(20), {"input_columns": ["x"]}, DataError, r"^there is no column 'x'; the columns are 0$"),
        (
            np.arange(20),
            {"missing": "mask"},
            ValueError,
            r"^missing is one of error, drop, mask, forward, and 'mask' alone",
        ),
        (
            np.arange(20),
            {"pad_value": 1.0},
            ValueError,
            r"^missing is one of .* takes a pad_value, met 'error' with 1\.0;",
        ),
        (
            np.arange(20),
            {"missing": "fill"},
            ValueError,
            r"^missing is one of error, drop, mask, forward, .*, met 'fill'",
        ),
        (
            np.arange(20),
            {"missing": "mask", "pad_value": np.nan},
            ValueError,
            r"^pad_value must be a finite number, met n",
        ),
        (np.arange(20), {"length": 0}, ValueError, r"^length must be 1 or more steps, met 0; 1 is the least$"),
        (np.arange(20), {"horizon": 0}, ValueError, r"^horizon must be 1 or more steps, met 0; 1 is the least$"),
        (np.arange(20), {"stride": 0}, ValueError, r"^stride must be 1 or more steps, met 0; 1 is the least$"),
        (np.arange(20), {"shift": 0}, ValueError, r"^shift must be 1 or more steps, met 0; 1 is the least$"),
        (
            np.arange(20),
            {"targets": "all"},
            ValueError,
            r"^targets must be 'last' or 'sequence', met 'all'; 'last' is ",
        ),
        (np.arange(20), {"batch_size": 0}, ValueError, r"^batch_size must be 1 or more, met 0; 64 is a common one$"),
        (
            np.arange(20),
            {"shard": (2, 2)},
            ValueError,
            r"^shard must be a number below the number of shards, met \(2, 2\)",
        ),
        (np.arange(20), {"seed": -1}, ValueError, r"^seed must be 0 or more, met -1; 0 is the usual one$"),
        (
            np.arange(20),
            {"epoch": -1},
            ValueError,
            r"^epoch must be 0 or more and start_batch 0 to 5, met -1 and 0; an ",
        ),
        (
            np.arange(20),
            {"start_batch": 6},
            ValueError,
            r"^epoch must be 0 or more and start_batch 0 to 5, met 0 and 6;",
        ),
        (
            np.arange(20),
            {"gather": "tf"},
            ValueError,
            r"^gather must be 'auto', 'numpy' or 'graph', met 'tf'; 'auto' ch",
        ),
        (
            holes(3),
            {"gather": "graph", "missing": "mask", "pad_value": -1.0},
            ValueError,
            r"^gather='graph' fills no missing steps; leave gather out$",
        ),
    ],
)
def test_what_does_not_fit_is_refused(values: Any, options: Any, error: type[Exception], message: str) -> None:
    every: dict[str, Any] = {"length": 2, "batch_size": 4, **options}
    with pytest.raises(error, match=message) as caught:
        windows(values, **every)
    assert "\n" not in str(caught.value)
