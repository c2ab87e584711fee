"""What a recipe's examples are, in numbers: how many, how long, how much of a batch is padding, what is missing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqship.pipelines.examples import ArrayExamples, Examples, SequenceExamples
from seqship.pipelines.padding_statistics import padding_statistics
from seqship.pipelines.plan import BatchPlan
from seqship.pipelines.planning import plan_epoch
from seqship.pipelines.window_examples import WindowExamples

BARS = 12
"""Most bars of a histogram of lengths."""


def facts_of(examples: Examples, *, batch_size: int, seed: int = 0) -> dict[str, Any]:
    """Returns what examples are; JSON values.

    Args:
        examples: Sequences, windows of a series, or rows of arrays.
        batch_size: Examples a batch, where they have no budget of steps.
        seed: Seed of the first epoch's plan.

    Returns:
        `kind` ("sequences", "windows" or "arrays"), `examples`, `source`, `batches`, and by kind: for sequences
        `lengths`, `classes`, `padding` and `waste_unsorted`; for windows `steps`, `columns`, `missing` and `window`;
        for arrays `inputs` and `targets`.
    """
    common = {"examples": len(examples), "source": examples.source}
    if isinstance(examples, SequenceExamples):
        return common | _sequences(examples, batch_size, seed)
    common["batches"] = -(-len(examples) // batch_size)
    if isinstance(examples, WindowExamples):
        return common | _windows(examples)
    if isinstance(examples, ArrayExamples):
        shapes: dict[str, list[int]] = {name: list(array.shape[1:]) for name, array in examples.inputs.items()}
        return common | {"kind": "arrays", "inputs": shapes, "targets": list(examples.targets.shape[1:])}
    return common | {"kind": type(examples).__name__}


def epoch_plan(examples: SequenceExamples, *, batch_size: int, seed: int = 0) -> BatchPlan:
    """Returns the batches of the first epoch that `examples.batches` gives."""
    return plan_epoch(examples.sequences.lengths, epoch=0, seed=seed, **examples.layout(batch_size))


def length_bars(lengths: NDArray[np.int64], *, most: int = BARS) -> list[tuple[int, int, int]]:
    """Returns the number of sequences by length: first and last length of each bar, both counted in, and the number.

    Args:
        lengths: Steps of each sequence, (n,), n at least 1.
        most: Most bars; all are equally wide.
    """
    low, high = int(lengths.min()), int(lengths.max())
    width = -(-(high - low + 1) // most)
    counts = np.bincount((lengths - low) // width)
    return [(low + k * width, min(low + (k + 1) * width - 1, high), int(count)) for k, count in enumerate(counts)]


def _sequences(examples: SequenceExamples, batch_size: int, seed: int) -> dict[str, Any]:
    sequences = examples.sequences
    lengths = sequences.lengths
    plan = epoch_plan(examples, batch_size=batch_size, seed=seed)
    padding = padding_statistics(lengths, plan).to_json()
    # What the same number of sequences a batch would pad, drawn at random and padded to the longest of the batch.
    usual = max(round(len(lengths) / len(plan)), 1) if examples.max_tokens is not None else batch_size
    unsorted = padding_statistics(lengths, plan_epoch(lengths, epoch=0, seed=seed, batch_size=usual))
    counts = dict(zip(sequences.classes, sequences.class_counts.tolist(), strict=True))
    return {
        "kind": "sequences",
        "batches": len(plan),
        "lengths": {"min": int(lengths.min()), "median": float(np.median(lengths)), "max": int(lengths.max())},
        "histogram": [{"first": a, "last": b, "sequences": n} for a, b, n in length_bars(lengths)],
        "classes": counts if any(counts) else {},
        "padding": {key: value for key, value in padding.items() if key not in ("histogram", "sequences", "batches")},
        "waste_unsorted": unsorted.waste,
    }


def _windows(examples: WindowExamples) -> dict[str, Any]:
    values = examples.span.values_of(examples.series)
    missing = np.isnan(values).sum(axis=0).tolist()
    options: Mapping[str, Any] = examples.options
    return {
        "kind": "windows",
        "steps": examples.span.steps,
        "series": len(examples.series.borders) - 1,
        "columns": list(examples.series.columns),
        "missing": dict(zip(examples.series.columns, missing, strict=True)),
        "window": {key: value for key, value in sorted(options.items()) if isinstance(value, int | str)},
        "scaled": examples.scaling is not None,
    }
