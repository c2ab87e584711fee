"""One sequence to the arrays of one row, held to the bundle's contract as `Predictor.predict` does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqship.errors import DataError
from seqship.pipelines.pad import pad_right
from seqship.pipelines.spec import Field
from seqship.serving.scoring.scoring_model import ScoringModel
from seqship.serving.sequence_checks import checked_sequence, fixed_length

_SUBJECT = "sequence 0 "
"""How a message of `checked_sequence` begins: here the key names the sequence, and the message its input."""


def as_feed(value: Any, model: ScoringModel) -> dict[str, NDArray[Any]]:
    """Returns one row of each input, (1, ...).

    Args:
        value: A sequence, (time,) or (time, features); a text, for a model of texts; or a mapping with one of them for
            each input, by name.
        model: What the bundle takes.

    Raises:
        DataError: An input is missing, or its values break the contract.
    """
    names = [field.name for field in model.inputs]
    if isinstance(value, Mapping):
        if missing := [name for name in names if name not in value]:
            raise DataError(f"there is no {missing[0]!r}; there is: {', '.join(map(str, value)) or 'nothing'}")
        values: Mapping[str, Any] = value
    elif len(names) != 1:
        raise DataError(f"the model takes several inputs ({', '.join(names)}); give an object with each")
    else:
        values = {names[0]: value}
    feed = {field.name: _row(values[field.name], field, model) for field in model.inputs}
    _check_lengths(feed, model)
    return feed


def _row(value: Any, field: Field, model: ScoringModel) -> NDArray[Any]:
    if isinstance(value, str | bytes):
        if model.vectorizer is None:
            raise DataError(f"{field.name!r} is a text, and the bundle has no vocabulary; give numbers")
        text, value = value, model.vectorizer.ids(value)
        if not len(value):
            raise DataError(f"the text has no word: {text[:40]!r}; leave it out")
    if field.rank == 1:  # A number a row: a sequence of one step, without its axis.
        return _checked([value], field).reshape(1)
    rows = _checked(value, field)
    length = fixed_length(field)
    if length is not None and len(rows) < length:
        pad_value = 0.0 if field.pad_value is None else field.pad_value
        rows = pad_right([rows], pad_value=pad_value, length=length, dtype=rows.dtype)[0]
    return rows.reshape(1, len(rows), *field.shape[2:])


def _checked(value: Any, field: Field) -> NDArray[Any]:
    try:
        return checked_sequence(value, 0, field)
    except DataError as error:
        raise DataError(f"{field.name!r} {str(error).removeprefix(_SUBJECT)}") from None


def _check_lengths(feed: Mapping[str, NDArray[Any]], model: ScoringModel) -> None:
    """Inputs that share the name of their free axis are equally long."""
    found: dict[str, tuple[str, int]] = {}
    for field in model.inputs:
        if not field.has_time:
            continue
        axis, steps = str(field.shape[1]), int(np.shape(feed[field.name])[1])
        name, other = found.setdefault(axis, (field.name, steps))
        if other != steps:
            raise DataError(f"{field.name!r} has {steps} steps, {name!r} has {other}; they belong to the same {axis}")
