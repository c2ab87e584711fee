"""Holds the arrays of a request to a signature before a runtime sees them.

A kernel that meets an array of another rank or an empty batch raises, or reads where nothing is: onnxruntime 1.31 ends
the process on the latter. TensorFlow has no words of its own for these cases, so the words here are ours.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqship.pipelines.spec import BATCH, Field
from seqship.serving.server.signatures import Feed, Outputs, Signature
from seqship.serving.server.status import invalid_argument
from seqship.wire.dtypes import DATA_TYPES, data_type_of, tensorflow_name


def checked_feed(signature: Signature, feed: Feed) -> Feed:
    """Returns the inputs as the model takes them.

    Clients of TensorFlow Serving send [n] where a signature says [-1, 1]: the axes of size 1 that end a shape may be
    left out.

    Args:
        signature: The signature that is called.
        feed: An array for each input, by name.

    Raises:
        StatusError: An array has another type or shape, the inputs differ in rows, or a sequence has no step.
    """
    checked = {
        name: _checked(number, feed[name], one, name in signature.unchecked)
        for number, (name, one) in enumerate(signature.inputs_by_name.items())
    }
    rows = batch_size(signature, checked)
    for name, array in checked.items():
        one = signature.inputs_by_name[name]
        if name in signature.unchecked or not one.shape or one.shape[0] != BATCH:
            continue
        if len(array) != rows and not (one.is_state and len(array) == 1):
            raise invalid_argument(f"Input {name} has {len(array)} rows, the batch has {rows}; send one row for each.")
    return checked


def batch_size(signature: Signature, feed: Feed) -> int | None:
    """Returns the number of rows of checked inputs; None where no input has a free number of rows."""
    plain = [one for one in signature.inputs if one.shape[:1] == (BATCH,) and one.name not in signature.unchecked]
    for one in sorted(plain, key=lambda one: one.is_state):
        return len(feed[one.name])
    return None


def refuse_non_finite(feed: Feed) -> None:
    """Refuses NaN and infinities, of which onnxruntime's recurrent kernels make ordinary numbers: TensorFlow gives NaN.

    Raises:
        StatusError: There is one; its input and row are named.
    """
    for name, array in feed.items():
        if array.dtype.kind != "f" or np.isfinite(array).all():
            continue
        at = tuple(np.argwhere(~np.isfinite(array))[0].tolist())
        raise invalid_argument(
            f"Input {name} holds {array[at]} in row {at[0] if at else 0}; values are finite numbers."
        )


def empty_outputs(signature: Signature, feed: Feed) -> Outputs:
    """Returns the outputs of a batch without a row."""
    steps = next((feed[one.name].shape[1] for one in signature.inputs if one.has_time), 0)

    def shape(one: Field) -> tuple[int, ...]:
        free = [steps if axis == 1 else 0 for axis in range(one.rank)]
        return (0, *(size if isinstance(size, int) else free[axis] for axis, size in enumerate(one.shape) if axis))

    return {one.name: np.empty(shape(one), object if one.dtype == "string" else one.dtype) for one in signature.outputs}


def _checked(number: int, array: NDArray[Any], one: Field, unchecked: bool) -> NDArray[Any]:
    given = data_type_of(array.dtype)
    if given != DATA_TYPES[one.dtype]:
        wanted = tensorflow_name(DATA_TYPES[one.dtype])
        raise invalid_argument(f"Expects arg[{number}] to be {wanted} but {tensorflow_name(given)} is provided")
    if unchecked:
        return array
    missing = one.shape[array.ndim :]
    if missing and array.ndim and all(size == 1 for size in missing):
        array = array.reshape(*array.shape, *missing)
    fits = len(array.shape) == one.rank and all(
        isinstance(wanted, str) or size == wanted for size, wanted in zip(array.shape, one.shape, strict=True)
    )
    if not fits:
        shape = ",".join(str(size) if isinstance(size, int) else "-1" for size in one.shape)
        raise invalid_argument(f"Input {one.name} must have shape [{shape}], it has {_listed(array.shape)}.")
    if 0 in array.shape[1:]:
        raise invalid_argument(f"Input {one.name} has shape {_listed(array.shape)}: a sequence has at least one step.")
    return array


def _listed(shape: tuple[int, ...]) -> str:
    return f"[{','.join(map(str, shape))}]"
