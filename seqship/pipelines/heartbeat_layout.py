"""The layout of a heartbeat CSV file, and what is wrong with one that breaks it.

The layout is that of Kachuee, Fazeli and Sarrafzadeh, "ECG Heartbeat Classification: A Deep Transferable
Representation", 2018: no header; 187 samples at 125 Hz in [0, 1], padded with zeros at the end; then the class, 0 to 4
for the five of ANSI/AAMI EC57.
"""

from __future__ import annotations

import re
from pathlib import Path

from seqship.errors import DataError

CLASSES = ("N", "S", "V", "F", "Q")
SAMPLES = 187
SAMPLING_HZ = 125

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def layout_fault(path: Path, content: bytes, reason: str) -> DataError:
    """Returns the error of the first row that breaks the layout, found by reading row by row."""
    for row, line in enumerate(content.splitlines(), start=1):
        fault = None if _is_right(line) else _row_fault(line, row)
        if fault is not None:
            return DataError(f"{path}, row {row}: {fault}")
    return DataError(f"{path} is no heartbeat CSV ({' '.join(reason.split())}); give {SAMPLES} samples and the class")


def _is_right(line: bytes) -> bool:
    """Whether a row keeps to the layout: the quick look that most rows pass."""
    try:
        *samples, label = map(float, line.split(b","))
    except ValueError:
        return False
    in_range = len(samples) == SAMPLES and min(samples) >= 0 and max(samples) <= 1 and label in range(len(CLASSES))
    # A sum is not above 0 for NaN, nor for a row of padding alone; Python alone takes 1_0 as a number.
    return in_range and sum(samples) > 0 and b"_" not in line


def _row_fault(line: bytes, row: int) -> str | None:
    """Returns what is wrong with a row, None where it is right."""
    try:
        cells = [cell.strip() for cell in line.decode("utf-8").split(",")]
    except UnicodeDecodeError as error:
        return f"byte 0x{line[error.start]:02x} is not UTF-8; save the file as UTF-8 text"
    numeric = [_NUMBER.fullmatch(cell) is not None for cell in cells]
    words = sum(cell.lstrip("\"'")[:1].isalpha() and not _is_special(cell) for cell in cells)
    if row == 1 and len(cells) > 1 and words > len(cells) / 2:
        return f"met the header {_short(cells[0])}, ...; the layout has none, remove that row"
    if len(cells) != SAMPLES + 1:
        met = "the row is blank" if cells == [""] else f"the number of columns is {len(cells)}"
        return f"{met}; give {SAMPLES + 1} columns, {SAMPLES} samples and the class"
    for column, (cell, is_number) in enumerate(zip(cells, numeric, strict=True), start=1):
        if not is_number:
            hint = "a finite number" if _is_special(cell) or not cell else "a number"
            return f"column {column} is {_short(cell)}; put {hint} there"
    samples, label = [float(cell) for cell in cells[:-1]], float(cells[-1])
    for column, sample in enumerate(samples, start=1):
        if not 0 <= sample <= 1:
            return f"column {column} is {_short(cells[column - 1])}, outside [0, 1]; scale each beat to [0, 1]"
    if label not in range(len(CLASSES)):
        return f"the class is {_short(cells[-1])}; give one of 0, 1, 2, 3, 4"
    if not any(samples):
        return "all samples are 0, so the beat has no length; remove the row"
    return None


def _is_special(cell: str) -> bool:
    """Whether the cell is a word for a number that is none, such as nan."""
    return cell.lower().lstrip("+-") in ("nan", "na", "n/a", "null", "none", "inf", "infinity")


def _short(cell: str) -> str:
    """Returns the cell as it is quoted in a message."""
    return repr(cell if len(cell) <= 24 else f"{cell[:24]}...")
