"""Splits that keep every sequence exactly once: by class, or by what the sequences came from."""

from __future__ import annotations

import math

import numpy as np
from sklearn.model_selection import GroupShuffleSplit, StratifiedShuffleSplit

from seqship.errors import DataError
from seqship.pipelines.sequences import Sequences

# Draws of groups among which the one with the best class balance is taken. Rare classes sit in few patients: of the
# MIT-BIH records four hold almost all paced beats, and a single draw often leaves a class out of one side.
_DRAWS = 64


def stratified_split(
    sequences: Sequences, *, fraction: float, seed: int, keep_singletons: bool = False
) -> tuple[Sequences, Sequences]:
    """Splits off a part with the same class proportions as the whole, as near as whole numbers allow.

    Args:
        sequences: What is to be split.
        fraction: Share of the sequences in the part, above 0 and below 1; the number is rounded up.
        seed: Seed of the draw.
        keep_singletons: Whether a class with a single sequence stays in the rest instead of being an error.

    Returns:
        The rest and the part, each in the order of `sequences`.

    Raises:
        DataError: A class has one sequence only, or a side would have fewer sequences than there are classes.
        ValueError: `fraction` is not above 0 and below 1.
    """
    _check_fraction(fraction)
    counts = sequences.class_counts
    single = np.flatnonzero(counts == 1)
    if single.size and not keep_singletons:
        raise DataError(
            f"class {sequences.classes[single[0]]} has 1 sequence, a stratified split needs 2; add more or leave it out"
        )
    splittable = np.flatnonzero(~np.isin(sequences.labels, single))
    part_size = math.ceil(len(splittable) * fraction)
    rest_size = len(splittable) - part_size
    classes = int(np.count_nonzero(counts > 1))
    if min(part_size, rest_size) < max(classes, 1):
        raise DataError(
            f"a split of {len(splittable)} sequences into {rest_size} and {part_size} cannot hold "
            f"{max(classes, 1)} classes on both sides; add sequences or choose another fraction than {fraction}"
        )
    splitter = StratifiedShuffleSplit(n_splits=1, test_size=fraction, random_state=seed)
    _, chosen = next(splitter.split(np.zeros(len(splittable)), sequences.labels[splittable]))
    in_part = np.zeros(len(sequences), dtype=bool)
    in_part[splittable[chosen]] = True
    return sequences.take(np.flatnonzero(~in_part)), sequences.take(np.flatnonzero(in_part))


def group_split(sequences: Sequences, *, fraction: float, seed: int) -> tuple[Sequences, Sequences]:
    """Splits off whole groups, so that no group is on both sides: the honest split where groups are patients.

    Of several random draws that one is taken which has most classes on both sides and, among these, comes nearest to
    `fraction` of each class.

    Args:
        sequences: What is to be split; its `groups` are known.
        fraction: Share of the groups in the part, above 0 and below 1; the number is rounded up.
        seed: Seed of the draws.

    Returns:
        The rest and the part, each in the order of `sequences`.

    Raises:
        DataError: Groups are unknown, there is only one, or none would be left in the rest.
        ValueError: `fraction` is not above 0 and below 1.
    """
    _check_fraction(fraction)
    if sequences.groups is None:
        raise DataError(
            f"a split by group needs the group of each sequence, which {sequences.source or 'this source'} does not "
            "tell; split by beat instead"
        )
    names, codes = np.unique(sequences.groups, return_inverse=True)
    if len(names) < 2:
        met = f"met one, {names[0]}" if len(names) else "met none"
        raise DataError(f"a split by group needs 2 groups, {met}; add another or split by beat instead")
    if math.ceil(len(names) * fraction) == len(names):
        raise DataError(
            f"fraction {fraction} of {len(names)} groups leaves no group in the rest; choose a smaller fraction"
        )
    draws = GroupShuffleSplit(n_splits=_DRAWS, test_size=fraction, random_state=seed)
    counts = sequences.class_counts
    best = np.empty(0, dtype=np.int64)
    best_score = (math.inf, math.inf)
    for _, chosen in draws.split(codes, groups=codes):
        part_counts = np.bincount(sequences.labels[chosen], minlength=len(counts))
        shares = part_counts[counts > 0] / counts[counts > 0]
        score = (np.count_nonzero((shares == 0) | (shares == 1)), float(np.abs(shares - fraction).sum()))
        if score < best_score:
            best, best_score = chosen, score
    in_part = np.zeros(len(sequences), dtype=bool)
    in_part[best] = True
    return sequences.take(np.flatnonzero(~in_part)), sequences.take(np.flatnonzero(in_part))


def _check_fraction(fraction: float) -> None:
    if not 0 < fraction < 1:
        raise ValueError(f"fraction must be above 0 and below 1, met {fraction}; 0.2 splits off a fifth")
