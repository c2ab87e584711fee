"""Measures padded batches of sequences of unequal length: `python -m benchmarks.padding`.

Prints, for each way to batch them, the share of steps that is padding, and how many times as many sequences a second
come as of shuffled `padded_batch`, with the spread over the rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from benchmarks.ratio import Ratio, ratio_of
from seqship.pipelines.boundaries import choose_boundaries
from seqship.pipelines.bucket import padded_batches
from seqship.pipelines.epochs import epoch, training_batches
from seqship.pipelines.sequences import Sequences

BATCH_SIZE, MAX_TOKENS = 64, 16_384
BASELINE, BUDGET = "padded_batch, shuffled", f"seqship, {MAX_TOKENS} steps"
WASTE_TARGET, SPEED_TARGET = 0.05, 5.0

Make = Callable[[Sequences, int], Any]
"""Takes sequences and the number of the epoch; returns the batches, (ids, labels) each."""


def _padded(sequences: Sequences, number: int) -> Any:
    return epoch(sequences, epoch=number, seed=0).padded_batch(BATCH_SIZE).prefetch(tf.data.AUTOTUNE)


def _ragged(sequences: Sequences, number: int) -> Any:
    ragged: Any = tf.RaggedTensor
    values = ragged.from_row_lengths(np.concatenate(sequences.values), sequences.lengths)
    data: Any = tf.data.Dataset.from_tensor_slices((values, sequences.labels))
    shuffled = data.shuffle(len(sequences), seed=number).ragged_batch(BATCH_SIZE)

    def dense(ids: Any, labels: Any) -> Any:
        return ids.to_tensor(), labels

    return shuffled.map(dense, tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def _bucketed(sequences: Sequences, number: int) -> Any:
    bounds = choose_boundaries(sequences.lengths, 11)[:-1]
    elements = epoch(sequences, epoch=number, seed=0)
    return padded_batches(elements, batch_size=BATCH_SIZE, boundaries=bounds, pad_value=0).prefetch(tf.data.AUTOTUNE)


def _planned(**options: Any) -> Make:
    def make(sequences: Sequences, number: int) -> Any:
        return training_batches(sequences, epoch=number, seed=0, pad_value=0, **options)

    return make


POLICIES: dict[str, Make] = {
    BASELINE: _padded,
    "ragged_batch, shuffled": _ragged,
    "bucket_by_sequence_length, 11 buckets": _bucketed,
    f"seqship, {BATCH_SIZE} shuffled": _planned(batch_size=BATCH_SIZE),
    f"seqship, {BATCH_SIZE} in 8 best buckets": _planned(batch_size=BATCH_SIZE, boundaries="auto"),
    f"seqship, {MAX_TOKENS} steps, pools of 4000": _planned(max_tokens=MAX_TOKENS, pool=4000),
    BUDGET: _planned(max_tokens=MAX_TOKENS),
}


@dataclass(frozen=True)
class Row:
    """What one way to batch gives.

    Attributes:
        policy: Its name.
        waste: Share of the batches' steps that is padding.
        batches: Batches an epoch.
        sequences_per_second: Median over the rounds.
        ratio: Sequences a second by those of shuffled `padded_batch` in the same round.
    """

    policy: str
    waste: float
    batches: int
    sequences_per_second: float
    ratio: Ratio


def token_ids(n: int, *, seed: int = 0) -> Sequences:
    """Returns sequences of random token ids, lengths lognormal: mean about 230, median 175, at most 2500."""
    rng = np.random.default_rng(seed)
    lengths = np.clip(rng.lognormal(np.log(175), np.sqrt(2 * np.log(230 / 175)), n).astype(int), 1, 2500)
    values = tuple(rng.integers(1, 20_000, length) for length in lengths)
    return Sequences(values, rng.integers(0, 2, n), ("negative", "positive"))


def measure(sequences: Sequences, rounds: int) -> list[Row]:
    """Runs an epoch of each policy a round, every second round in the opposite order; the first is not counted."""
    seconds: dict[str, list[float]] = {policy: [] for policy in POLICIES}
    counted: dict[str, tuple[float, int]] = {}
    for number in range(rounds + 1):
        names = list(POLICIES)
        for policy in names if number % 2 else names[::-1]:
            began = time.perf_counter()
            padded = batches = 0
            for ids, _ in POLICIES[policy](sequences, number):
                rows, steps = ids.shape
                padded += rows * steps
                batches += 1
            if number:
                seconds[policy].append(time.perf_counter() - began)
            counted[policy] = (1 - int(sequences.lengths.sum()) / padded, batches)
    base = np.array(seconds[BASELINE])
    return [
        Row(policy, *counted[policy], len(sequences) / float(np.median(times)), ratio_of(base / np.array(times)))
        for policy, times in seconds.items()
    ]


def verdicts(rows: Sequence[Row]) -> list[str]:
    """Returns a line for each target of the token budget."""
    budget = next(row for row in rows if row.policy == BUDGET)

    def line(what: str, met: bool) -> str:
        return f"{'met' if met else 'missed'}: {what}"

    return [
        line(f"waste {budget.waste:.3f}, at most {WASTE_TARGET}", budget.waste <= WASTE_TARGET),
        line(
            f"{budget.ratio.median:.1f} times the sequences a second of {BASELINE}, at least {SPEED_TARGET:.0f}",
            budget.ratio.median >= SPEED_TARGET,
        ),
    ]


def table(rows: Sequence[Row]) -> str:
    """Returns one line for each policy."""
    lines = [f"{'':42}  waste  batches  sequences/s  ratio (middle half)"]
    lines += [
        f"{row.policy:42}  {row.waste:.3f}  {row.batches:7}  {row.sequences_per_second:11,.0f}  "
        f"{row.ratio.median:.2f}x ({row.ratio.low:.2f}-{row.ratio.high:.2f})"
        for row in rows
    ]
    return "\n".join(lines)


def main() -> None:
    """Measures all policies."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.padding", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="2 rounds instead of 7")
    parser.add_argument("--json", action="store_true", help="print one JSON document and nothing else")
    arguments = parser.parse_args()
    sequences = token_ids(25_000)
    load = os.getloadavg()[0]
    rows = measure(sequences, 2 if arguments.quick else 7)
    if arguments.json:
        document = {"settings": _settings(sequences.lengths, load), "rows": [asdict(row) for row in rows]}
        print(json.dumps(document | {"verdicts": verdicts(rows)}, indent=1))
        return
    lengths = sequences.lengths
    print(
        f"{len(sequences)} sequences, {lengths.mean():.0f} steps in the mean, median {np.median(lengths):.0f}, at most "
        f"{lengths.max()}; {os.cpu_count()} cores, load average before: {load:.1f}; "
        f"tensorflow {version('tensorflow')}\n"
    )
    print(table(rows), *verdicts(rows), sep="\n")


def _settings(lengths: NDArray[np.int64], load: float) -> dict[str, Any]:
    return {
        "sequences": len(lengths),
        "mean_length": float(lengths.mean()),
        "median_length": float(np.median(lengths)),
        "longest": int(lengths.max()),
        "cores": os.cpu_count(),
        "load_average_before": load,
        "tensorflow": version("tensorflow"),
    }


if __name__ == "__main__":
    main()
