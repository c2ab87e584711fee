"""The contract of one tensor, which travels from the pipeline through the model into the bundle."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

BATCH = "batch"
TIME = "time"
TOKEN_ID = "token id"  # noqa: S105  (a word of a vocabulary, not a secret)
"""Unit of inputs that index a vocabulary: whole numbers, whatever the dtype."""
STATE_PREFIX = "state/"
"""Begins the names of the states of a streaming model: `state/<layer>/h` comes in, `state/<layer>/h_out` goes out."""

STATE_OUT = "_out"
"""Ends the name of a state that goes out."""


@dataclass(frozen=True)
class Field:
    """Contract of one input or output tensor.

    Attributes:
        name: Name of the tensor in every runtime.
        dtype: NumPy name of the element type, such as "float32".
        shape: Sizes; a string names a free axis: "batch" and "time" are those of every sequence.
        unit: Unit or meaning of one element, for people.
        pad_value: What fills the steps that are no data; None where nothing is masked.
        minimum: Smallest value an element may take, None where there is no bound.
        maximum: Largest value an element may take, None where there is no bound.
        sampling_hz: Steps per second, None where time has no unit.
        classes: For an output of class scores, the names along the last axis; two names where that axis has one score,
            which is the probability of the second. For an input of token ids, what each id stands for.
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...]
    unit: str = ""
    pad_value: float | None = None
    minimum: float | None = None
    maximum: float | None = None
    sampling_hz: float | None = None
    classes: tuple[str, ...] | None = None

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def is_state(self) -> bool:
        """Whether the tensor is a state that is handed on from one call to the next."""
        return self.name.startswith(STATE_PREFIX)

    @property
    def has_time(self) -> bool:
        """Whether the tensor is a sequence: its second axis is free."""
        return self.rank >= 2 and isinstance(self.shape[1], str)

    @property
    def step_size(self) -> int:
        """Number of elements in one time step of one row."""
        return math.prod(size for size in self.shape[2:] if isinstance(size, int))

    def to_json(self) -> dict[str, Any]:
        """Returns the JSON form, without what is unset."""
        set_values = {key: value for key, value in asdict(self).items() if value is not None and value != ""}
        return {key: list(value) if isinstance(value, tuple) else value for key, value in set_values.items()}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Field:
        """Reads what `to_json` wrote.

        Raises:
            TypeError: The document has a key that no field has, or lacks one that every field has.
        """
        values: dict[str, Any] = dict(document)
        values |= {key: tuple(values[key]) for key in ("shape", "classes") if values.get(key) is not None}
        return cls(**values)
