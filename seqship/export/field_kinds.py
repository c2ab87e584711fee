"""What an input holds, by its contract: a mask, whole numbers such as token ids, or measurements."""

from __future__ import annotations

import numpy as np

from seqship.pipelines.spec import TOKEN_ID, Field


def is_mask(field: Field) -> bool:
    """Whether an input says of each step whether it is data."""
    return field.dtype == "bool" and field.rank == 2


def is_index(field: Field) -> bool:
    """Whether an input holds whole numbers, be they written as floating-point ones."""
    return field.unit == TOKEN_ID or np.dtype(object if field.dtype == "string" else field.dtype).kind in "iu"


def is_float(field: Field) -> bool:
    """Whether an input holds measurements, which may be any number."""
    return field.dtype.startswith("float") and not is_index(field)


def id_bounds(field: Field) -> tuple[int, int] | None:
    """Returns the smallest and the largest id of a vocabulary, None where it is not known."""
    if field.maximum is None or field.is_state or field.dtype == "string":
        return None
    return int(field.minimum or 0), int(field.maximum)


def first_beyond(field: Field) -> int | None:
    """Returns the first number behind a vocabulary, None where there is none, or the input's dtype has none."""
    bounds = id_bounds(field) if is_index(field) and field.rank >= 2 else None
    if bounds is None:
        return None
    beyond = bounds[1] + 1
    return beyond if np.dtype(field.dtype).kind == "f" or beyond <= np.iinfo(field.dtype).max else None
