"""Windows a second beside Keras, tf.data and numpy, and memory by length: `python -m benchmarks.windows`.

All ways are timed in one process, in turn, so that a busy machine slows each of them alike; each round gives one ratio
between each of them and seqship. The empty loop hands out one constant batch of the same shapes again and again: what
is left when reading costs nothing. Memory is that of a process of its own, for a memory-mapped series.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import chain, islice, repeat
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from benchmarks.child import Child, ChildError
from benchmarks.ratio import Ratio, ratio_of

BATCH = 256
SIZES = ((1_000_000, 1, 50), (1_000_000, 1, 168), (100_000, 14, 50), (100_000, 14, 168))
"""Steps, columns and length of the windows."""
SEQSHIP, SHUFFLED, EMPTY, KERAS, NESTED, COPY = (
    "seqship",
    "seqship, shuffled",
    "empty tf.data loop",
    "timeseries_dataset_from_array",
    "window().flat_map",
    "numpy copy",
)
STOCK_TARGET, EMPTY_TARGET = 50.0, 2.0
"""At least so many times as fast as the stock function; at most so many times as slow as the empty loop."""
MEMORY_STEPS = (1_000_000, 100_000_000)
MEMORY_TARGET_MB = 32.0
LIMIT = 300.0

Ways = dict[str, Iterator[Any]]


@dataclass(frozen=True)
class Row:
    """One size.

    Attributes:
        steps: Steps of the series.
        columns: Its columns.
        length: Steps of a window.
        rounds: Rounds measured.
        windows_per_second: Median, by way.
        times_as_fast: How many times as many windows a second seqship hands out, in order, as each other way.
        shuffled_times_as_fast: The same for seqship, shuffled.
    """

    steps: int
    columns: int
    length: int
    rounds: int
    windows_per_second: dict[str, float]
    times_as_fast: dict[str, Ratio]
    shuffled_times_as_fast: dict[str, Ratio]


@dataclass(frozen=True)
class Memory:
    """Memory of a process that has read so many shuffled batches of a memory-mapped series of so many steps.

    Attributes:
        steps: Steps of the series, one float32 each.
        anonymous_mb: Most memory of its own while reading, above what it had before, in MB.
        total_mb: The same with the pages of the file that the kernel keeps mapped and can take back, in MB.
    """

    steps: int
    anonymous_mb: float
    total_mb: float


def main() -> None:
    """Measures speed and memory and prints the ratios."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.windows", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one size, few rounds, 1e7 steps instead of 1e8")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    arguments = parser.parse_args()
    sizes = SIZES[:1] if arguments.quick else SIZES
    rounds, seconds = (3, 0.2) if arguments.quick else (7, 0.4)
    longest = MEMORY_STEPS[1] // 10 if arguments.quick else MEMORY_STEPS[1]
    before = os.getloadavg()[0]
    speed = Child(timer)
    rows = [speed.ask(*size, rounds, seconds, limit=LIMIT) for size in sizes]
    speed.end()
    memory = [_memory(steps) for steps in (MEMORY_STEPS[0], longest)]
    load = (before, os.getloadavg()[0])
    if arguments.json:
        print(json.dumps({"load": load, "rows": [*map(asdict, rows)], "memory": [*map(asdict, memory)]}, indent=1))
        return
    print(f"batch {BATCH}, {os.cpu_count()} cores, load average {load[0]:.1f} before, {load[1]:.1f} after\n")
    for row in rows:
        print(_table(row))
    for one in memory:
        print(
            f"memory-mapped, {one.steps:.0e} steps ({one.steps * 4 / 1e6:.0f} MB): {one.anonymous_mb:.1f} MB more, "
            f"with the file's pages {one.total_mb:.1f} MB"
        )
    growth = memory[1].anonymous_mb - memory[0].anonymous_mb
    print(f"growth {growth:.1f} MB: {_verdict(growth <= MEMORY_TARGET_MB)} (at most {MEMORY_TARGET_MB:.0f})")


def _table(row: Row) -> str:
    lines = [
        f"{row.steps:.0e} steps x {row.columns}, windows of {row.length}, {row.rounds} rounds, median (middle half)"
    ]
    for way, speed in row.windows_per_second.items():
        line = f"  {way:30} {speed / 1e3:10.1f}k windows/s"
        if way in row.times_as_fast:
            plain, mixed = row.times_as_fast[way], row.shuffled_times_as_fast[way]
            line += f"   seqship {_ratio(plain)}, shuffled {_ratio(mixed)} times as fast"
        lines.append(line)
    for name, ratios in ((SEQSHIP, row.times_as_fast), (SHUFFLED, row.shuffled_times_as_fast)):
        stock, empty = ratios[KERAS].median, 1 / ratios[EMPTY].median
        lines.append(
            f"  {name}: {stock:.0f} times the stock function: {_verdict(stock >= STOCK_TARGET)}; "
            f"{empty:.1f} times the empty loop's time: {_verdict(empty <= EMPTY_TARGET)}"
        )
    return "\n".join([*lines, ""])


def _ratio(ratio: Ratio) -> str:
    return f"{ratio.median:.3g} ({ratio.low:.3g} to {ratio.high:.3g})"


def _verdict(reached: bool) -> str:
    return "reached" if reached else "missed"


def timer() -> Callable[[int, int, int, int, float], Row]:
    """Returns what times a size."""

    def time_size(steps: int, columns: int, length: int, rounds: int, seconds: float) -> Row:
        ways = _ways(np.random.default_rng(0).normal(size=(steps, columns)).astype(np.float32), length)
        for batches in ways.values():
            next(batches)
        speeds: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(rounds):
            for way, batches in ways.items():
                speeds[way].append(_speed(batches, seconds))
        arrays = {way: np.array(some) for way, some in speeds.items()}
        others = [way for way in ways if way not in (SEQSHIP, SHUFFLED)]
        return Row(
            steps,
            columns,
            length,
            rounds,
            {way: float(np.median(some)) for way, some in arrays.items()},
            {way: ratio_of(arrays[SEQSHIP] / arrays[way]) for way in others},
            {way: ratio_of(arrays[SHUFFLED] / arrays[way]) for way in others},
        )

    return time_size


def _speed(batches: Iterator[Any], seconds: float) -> float:
    """Returns windows a second; what was read ahead in the pause before is not counted."""
    for _ in islice(batches, 8):
        pass
    count, began = 0, time.perf_counter()
    while (taken := time.perf_counter() - began) < seconds:
        for _ in islice(batches, 4):
            pass
        count += 4
    return count * BATCH / taken


def _ways(values: NDArray[np.float32], length: int) -> Ways:
    """Returns endless iterators over batches of (inputs, the next value of the first column)."""
    import keras
    import tensorflow as tf

    from seqship.pipelines.windowing import windows

    def ours(shuffle: bool) -> Iterator[Any]:
        options: dict[str, Any] = {"length": length, "batch_size": BATCH, "target_columns": ["0"]}
        return iter(windows(values, shuffle=shuffle, **options).repeat())

    columns = values.shape[1]
    empty = tf.data.Dataset.from_tensors((tf.zeros((BATCH, length, columns)), tf.zeros((BATCH, 1)))).repeat()
    stock: Any = keras.utils.timeseries_dataset_from_array(
        values[:-1], values[length:, :1], sequence_length=length, batch_size=BATCH
    )

    def window(nested: Any) -> Any:
        return nested.batch(length + 1, drop_remainder=True)

    def split(window: Any) -> Any:
        return window[:, :-1], window[:, -1, :1]

    nested: Any = tf.data.Dataset.from_tensor_slices(values).window(length + 1, shift=1, drop_remainder=True)
    nested = nested.flat_map(window).batch(BATCH).map(split).prefetch(tf.data.AUTOTUNE)
    return {
        SEQSHIP: ours(False),
        SHUFFLED: ours(True),
        EMPTY: iter(empty),
        KERAS: iter(stock.repeat()),
        NESTED: iter(nested.repeat()),
        COPY: chain.from_iterable(_copies(values, length) for _ in repeat(None)),
    }


def _copies(values: NDArray[np.float32], length: int) -> Iterator[tuple[Any, Any]]:
    """Yields what numpy alone makes, in order: the limit of memory, without a queue or TensorFlow."""
    view = np.moveaxis(sliding_window_view(values, length, axis=0), -1, 1)
    for start in range(0, len(values) - length - BATCH, BATCH):
        yield view[start : start + BATCH].copy(), values[start + length : start + length + BATCH, :1].copy()


def _memory(steps: int) -> Memory:
    child = Child(memory_of)
    try:
        with tempfile.TemporaryDirectory() as folder:
            return child.ask(str(Path(folder) / "series"), steps, limit=LIMIT)
    except ChildError as error:
        raise SystemExit(f"the memory of {steps} steps could not be measured: {error}") from None
    finally:
        child.end()


def memory_of() -> Callable[[str, int], Memory]:
    """Returns what measures the memory of reading a memory-mapped series."""

    def measure(path: str, steps: int) -> Memory:
        from seqship.pipelines.windowing import windows

        with Path(path).open("wb") as file:
            for at in range(0, steps, 1 << 20):
                np.sin(np.arange(at, min(at + (1 << 20), steps), dtype=np.float32)).tofile(file)
        options: dict[str, Any] = {"length": 168, "batch_size": BATCH, "shuffle": True}
        for _ in zip(range(200), windows(np.zeros(10_000, np.float32), **options).repeat(), strict=False):
            pass  # What TensorFlow takes once, whatever the series, is not counted.
        mapped = np.memmap(path, np.float32, "r")
        before = _resident()
        most = before
        for number, _ in enumerate(windows(mapped, **options)):
            if number % 20 == 0:
                most = tuple(map(max, most, _resident()))
            if number == 3000:
                break
        return Memory(steps, most[0] - before[0], most[1] - before[1])

    return measure


def _resident() -> tuple[float, ...]:
    """Returns the memory of this process: its own, and with mapped files; in MB."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    sizes = {
        name: float(rest.split()[0]) / 1e3 for name, rest in (line.split(":", 1) for line in lines) if "kB" in rest
    }
    return sizes["RssAnon"], sizes["VmRSS"]


if __name__ == "__main__":
    main()
