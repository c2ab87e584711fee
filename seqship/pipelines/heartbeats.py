"""Heartbeats from wherever they are: a CSV file or folder, WFDB records, or none at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from seqship.errors import DataError
from seqship.pipelines.heartbeat_csv import TEST_NAMES, TRAIN_NAMES, read_heartbeat_csv, read_heartbeat_file
from seqship.pipelines.heartbeat_wfdb import is_record, read_wfdb_heartbeats
from seqship.pipelines.sequences import Sequences, merge
from seqship.pipelines.split import group_split, stratified_split
from seqship.pipelines.synthetic_ecg import synthetic_heartbeats

# Added to the seed for the synthetic test beats: far from seeds that people choose, so that no run tests on the beats
# that another trained on.
_TEST_SEED = 2**31


def load_heartbeats(
    path: str | Path | None = None,
    *,
    split: Literal["beat", "patient"] = "beat",
    test_fraction: float = 0.2,
    seed: int = 0,
    size: int = 4000,
) -> tuple[Sequences, Sequences]:
    """Returns heartbeats for training and for testing.

    Args:
        path: A heartbeat CSV file or a folder with a train and a test file (see `read_heartbeat_csv`), a WFDB record
            or a folder of records (see `read_wfdb_heartbeats`), or None for synthetic beats.
        split: "beat" keeps the proportions of the classes, with beats of one patient on both sides, and takes a
            folder's train and test files as they are; "patient" keeps each patient on one side, which shows how the
            model does on people it has not seen.
        test_fraction: Share of the test data: of the beats, or of the patients.
        seed: Seed of the split and of the synthetic beats.
        size: Number of synthetic training beats; the test beats are as many more as `test_fraction` asks for.

    Returns:
        Training and test data.

    Raises:
        DataError: The path has none of the three layouts, a file breaks its layout, or the split cannot be made.
        ValueError: `split` is neither of the two, or `test_fraction` is not above 0 and below 1.
    """
    if split not in ("beat", "patient"):
        raise ValueError(f"split must be 'beat' or 'patient', met {split!r}")
    if not 0 < test_fraction < 1:
        raise ValueError(f"test_fraction must be above 0 and below 1, met {test_fraction}; 0.2 is a fifth")
    if path is None:
        if split == "patient":
            raise DataError("synthetic heartbeats have no patients to split by; split by beat or give data")
        test_size = max(1, round(size * test_fraction / (1 - test_fraction)))
        return synthetic_heartbeats(size, seed=seed), synthetic_heartbeats(test_size, seed=seed + _TEST_SEED)
    path = Path(path)
    _check_access(path)
    by_patient = split == "patient"
    if _is_csv_folder(path):
        train, test = read_heartbeat_csv(path)
        return group_split(merge(train, test), fraction=test_fraction, seed=seed) if by_patient else (train, test)
    if is_record(path) or _is_record_folder(path):
        beats = read_wfdb_heartbeats(path)
        if by_patient:
            return group_split(beats, fraction=test_fraction, seed=seed)
        # A record is as it is: its one beat of a rare class is trained on.
        return stratified_split(beats, fraction=test_fraction, seed=seed, keep_singletons=True)
    if path.is_file() and by_patient:
        return group_split(read_heartbeat_file(path), fraction=test_fraction, seed=seed)
    if path.is_file():
        return read_heartbeat_csv(path, test_fraction=test_fraction, seed=seed)
    problem = "holds no heartbeats" if path.is_dir() else "does not exist"
    raise DataError(
        f"{path} {problem}; give a heartbeat CSV file, a folder with {TRAIN_NAMES[0]} and {TEST_NAMES[0]} "
        "(.gz or mitbih_ names too), or a WFDB record or folder of records (.hea, .dat, .atr)"
    )


def _check_access(path: Path) -> None:
    """Raises a DataError where what the path names is there but may not be read."""
    try:
        path.stat()
    except FileNotFoundError:  # may be the name of a record without ending
        return
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}; check the path and its permissions") from None
    if not os.access(path, os.R_OK | os.X_OK if path.is_dir() else os.R_OK):
        raise DataError(f"{path} cannot be read: Permission denied; check its permissions")


def _is_csv_folder(path: Path) -> bool:
    return any((path / name).is_file() for name in (*TRAIN_NAMES, *TEST_NAMES))


def _is_record_folder(path: Path) -> bool:
    return path.is_dir() and any(path.glob("*.hea"))
