"""Strings in arrays: objects of type bytes, since NumPy's own byte strings lose the zeros at their end."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqship.errors import DataError


def as_array(values: Any) -> NDArray[Any]:
    """Returns the values as an array; lists of str and bytes become objects, untouched.

    Raises:
        DataError: They are nested lists of unequal length.
    """
    if isinstance(values, (np.ndarray, np.generic)):
        return np.asarray(values)
    try:
        objects = np.asarray(values, object)
        if any(isinstance(value, (str, bytes)) for value in objects.flat):
            return objects
        return np.asarray(values)
    except (ValueError, OverflowError) as error:
        raise DataError(f"the values are no array: {' '.join(str(error).split())}") from None


def encoded(value: Any) -> bytes:
    """Returns the bytes of one string element.

    Raises:
        DataError: It is neither bytes nor str, or no text that UTF-8 can hold.
    """
    if isinstance(value, str):
        try:
            return value.encode()
        except UnicodeEncodeError as error:
            raise DataError(f"a string tensor holds bytes or UTF-8 text, not {value[:40]!r}: {error.reason}") from None
    if not isinstance(value, bytes):
        raise DataError(f"a string tensor holds bytes or str, not {type(value).__name__}; cast the array first")
    return value
