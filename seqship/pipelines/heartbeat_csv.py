"""Heartbeats from CSV files in the Kaggle "heartbeat" layout, which `heartbeat_layout` describes."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seqship.errors import DataError
from seqship.pipelines.heartbeat_layout import CLASSES, SAMPLES, layout_fault
from seqship.pipelines.packed_file import read_packed
from seqship.pipelines.sequences import Sequences
from seqship.pipelines.split import stratified_split

TRAIN_NAMES = ("train.csv", "train.csv.gz", "mitbih_train.csv", "mitbih_train.csv.gz")
TEST_NAMES = ("test.csv", "test.csv.gz", "mitbih_test.csv", "mitbih_test.csv.gz")

_WANTED = "a heartbeat CSV file or a folder with train and test"
_CONTENT = f"rows of {SAMPLES} samples and the class"


def read_heartbeat_csv(path: str | Path, *, test_fraction: float = 0.2, seed: int = 0) -> tuple[Sequences, Sequences]:
    """Reads heartbeats for training and for testing.

    Args:
        path: One file, which is split by class; or a folder with a train and a test file (the first that exists of
            `TRAIN_NAMES` and of `TEST_NAMES`), which are taken as they are.
        test_fraction: Share of one file that becomes the test data.
        seed: Seed of that split.

    Returns:
        Training and test data, as `read_heartbeat_file` reads them.

    Raises:
        DataError: The folder lacks one of the files, a file breaks the layout, or a class of one file that is to be
            split has a single beat.
    """
    path = Path(path)
    if path.is_dir():
        return (
            read_heartbeat_file(_first(path, TRAIN_NAMES, "train")),
            read_heartbeat_file(_first(path, TEST_NAMES, "test")),
        )
    beats = read_heartbeat_file(path)
    try:
        return stratified_split(beats, fraction=test_fraction, seed=seed)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def read_heartbeat_file(path: str | Path) -> Sequences:
    """Reads one file of heartbeats, plain or gzip (told by its content, not by its name).

    Only the zeros at the end of a row are padding; zeros between samples are samples.

    Args:
        path: The file. Where a file of the same stem and `_beats` lies beside it (`train_beats.csv.gz` beside
            `train.csv.gz`) with as many rows, its column `record` becomes the groups.

    Returns:
        Beats shaped (length, 1), float32 in [0, 1], length 1 to 187; classes N, S, V, F, Q.

    Raises:
        DataError: The file cannot be read or breaks the layout; the message names the row, counted from 1.
    """
    path = Path(path)
    content = read_packed(path, wanted=_WANTED, content=_CONTENT)
    try:
        # All in float64: a sample of 1.00000001 would be a valid 1.0 in float32.
        frame = pd.read_csv(io.BytesIO(content), header=None, dtype=np.float64, quoting=3, skip_blank_lines=False)
        table = frame.to_numpy()
    except (ValueError, OverflowError) as error:  # pandas' parser errors are ValueErrors
        raise layout_fault(path, content, str(error)) from None
    if table.shape[1] != SAMPLES + 1:
        raise layout_fault(path, content, "the rows have not 188 columns")
    samples, labels = table[:, :-1], table[:, -1]
    filled = samples != 0
    lengths = np.where(filled.any(axis=1), SAMPLES - np.argmax(filled[:, ::-1], axis=1), 0)
    valid = np.isin(labels, range(len(CLASSES))).all() and lengths.min() > 0
    if not (valid and ((samples >= 0) & (samples <= 1)).all()):
        raise layout_fault(path, content, "a value is out of range")
    narrow = samples.astype(np.float32)
    values = tuple(narrow[row, :length, np.newaxis] for row, length in enumerate(lengths))
    return Sequences(values, labels.astype(np.int64), CLASSES, _groups(path, len(values)), f"heartbeat CSV {path.name}")


def _first(folder: Path, names: tuple[str, ...], role: str) -> Path:
    """Returns the first of the named files that exists."""
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise DataError(f"{folder} has no {role} file; add one of {', '.join(names)}")


def _groups(path: Path, rows: int) -> NDArray[np.str_] | None:
    """Returns the record of each beat from the file that describes them, None where there is none that fits."""
    stem = path.name.removesuffix(".gz").removesuffix(".csv")
    for name in (f"{stem}_beats.csv", f"{stem}_beats.csv.gz"):
        beats = path.with_name(name)
        if not beats.is_file():
            continue
        try:
            frame = pd.read_csv(
                io.BytesIO(read_packed(beats, wanted=_WANTED, content=_CONTENT)), dtype=str, keep_default_na=False
            )
        except ValueError as error:
            reason = " ".join(str(error).split())
            raise DataError(f"{beats} is no CSV file ({reason}); correct or remove it") from None
        if "record" not in frame.columns:
            raise DataError(f"{beats} has no column 'record'; add it or remove the file")
        if len(frame) == rows:
            return frame["record"].to_numpy(dtype=np.str_)
    return None
