"""What may join does, and nothing is padded that need not be."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
from apache_beam.transforms.window import GlobalWindow  # pyright: ignore[reportMissingImports]

from seqship.serving.predictor import BATCH_SIZE
from seqship.serving.scoring.length_batches import MOST_WAITING, LengthBatches
from seqship.serving.scoring.scoring_model import scoring_model


def batches(bundle: Path, lengths: list[int]) -> list[list[int]]:
    """Lengths of the members of each batch."""
    batching = pickle.loads(pickle.dumps(LengthBatches(scoring_model(str(bundle)))))
    batching.start_bundle()
    found: list[Any] = []
    for index, steps in enumerate(lengths):
        feed = {"signal": np.zeros((1, steps, 2), np.float32)}
        found += batching.process((index, feed), GlobalWindow())
    found += batching.finish_bundle()
    keys = [key for batch in found for key, _ in batch.value]
    assert sorted(keys) == list(range(len(lengths)))
    return [[feed["signal"].shape[1] for _, feed in batch.value] for batch in found]


def check_similar_lengths_join(bundles: Path) -> None:
    lengths = np.random.default_rng(1).integers(50, 188, 3 * MOST_WAITING).tolist()
    found = batches(bundles / "classifier", lengths)
    padded = sum(len(batch) * max(batch) for batch in found)
    assert max(map(len, found)) == BATCH_SIZE
    assert padded < 1.04 * sum(lengths)
    assert all(max(batch) < 2 * min(batch) for batch in found)


def check_without_a_pad_value_equal_lengths_join(bundles: Path) -> None:
    found = batches(bundles / "unmasked", [5, 7, 5, 7, 5])
    assert sorted(found) == [[5, 5, 5], [7, 7]]


def check_long_sequences_make_small_batches(bundles: Path) -> None:
    found = batches(bundles / "classifier", [1_000_000] * 5)
    assert [len(batch) for batch in found] == [2, 2, 1]
