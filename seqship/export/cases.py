"""The inputs on which runtimes are compared: every batch size, length and kind of mask."""

from __future__ import annotations

import itertools
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from seqship.pipelines.spec import TOKEN_ID, Field

Padding = Literal["any", "right"]
"""What is known of the masks: nothing, or that they are off behind the data alone."""

MaskKind = Literal["full", "right", "left", "holes", "empty_row"]
"""All steps valid; padding after the data; before it; in between too; and one row without any valid step."""

StateKind = Literal["zero", "random"]
"""Of a stateful model: its state left out, which is zeros, or handed in."""

BATCHES = (1, 3, 32)
TIMES = (1, 7, 187, 250)
HOLE_SHARE = 0.3


@dataclass(frozen=True)
class Case:
    """One shape and mask."""

    batch: int
    time: int
    mask: MaskKind
    state: StateKind | None = None

    @property
    def name(self) -> str:
        state = "" if self.state is None else f" state={self.state}"
        return f"batch={self.batch} time={self.time} mask={self.mask}{state}"


def grid(
    fields: Sequence[Field],
    *,
    batches: Sequence[int] = BATCHES,
    times: Sequence[int] = TIMES,
    padding: Padding = "any",
) -> tuple[Case, ...]:
    """Returns every combination that a model with these inputs takes.

    A model of fixed batch or length gets that one; masks other than "full" need an input with a pad value, or one that
    is a mask itself. Where padding is declared to be on the right, there are no other masks.
    """
    sequences = [field for field in fields if field.rank >= 2 and not field.is_state]
    fixed_batch = next((field.shape[0] for field in fields if isinstance(field.shape[0], int)), None)
    if not any(field.has_time for field in sequences):
        fixed = next((int(field.shape[1]) for field in sequences if isinstance(field.shape[1], int)), 1)
        times = (fixed,)
    masked = any(field.pad_value is not None or _is_mask(field) for field in fields)
    masks: tuple[MaskKind, ...] = get_args(MaskKind) if masked else ("full",)
    if padding == "right":
        masks = tuple(mask for mask in masks if mask not in ("left", "holes"))
    batches = (int(fixed_batch),) if fixed_batch is not None else tuple(batches)
    states: tuple[StateKind | None, ...] = get_args(StateKind) if any(field.is_state for field in fields) else (None,)
    return tuple(Case(*combination) for combination in itertools.product(batches, times, masks, states))


def case_mask(case: Case, generator: np.random.Generator) -> NDArray[np.bool_]:
    """Returns which steps are valid, (batch, time); but for `empty_row`, every row has one."""
    steps = np.arange(case.time)
    if case.mask == "full":
        return np.ones((case.batch, case.time), bool)
    if case.mask == "holes":
        mask = generator.random((case.batch, case.time)) >= HOLE_SHARE
        # A hole is between valid steps; rows with one step have no room for it.
        mask[:, 0] = mask[:, -1] = True
        if case.time > 2:
            mask[:, 1] = False
        return mask
    lengths = generator.integers(1, case.time + 1, (case.batch, 1))
    mask = steps < lengths
    if case.mask == "left":
        return mask[:, ::-1].copy()
    if case.mask == "empty_row":
        mask[generator.integers(case.batch)] = False
    return mask


def make_feed(case: Case, fields: Sequence[Field], *, seed: int) -> dict[str, NDArray[Any]]:
    """Draws the inputs of one case, within the bounds of each field; the same for the same case and seed.

    Values are uniform within the bounds, standard normal where there are none. All inputs share one mask.
    """
    generator = np.random.default_rng([seed, zlib.crc32(case.name.encode())])
    mask = case_mask(case, generator)
    feed: dict[str, NDArray[Any]] = {}
    for field in fields:
        if field.is_state and case.state == "zero":
            continue
        free = {0: case.batch, 1: case.time}
        shape = tuple(size if isinstance(size, int) else free.get(axis, 3) for axis, size in enumerate(field.shape))
        values = _draw(field, shape, generator)
        if _is_mask(field) or (field.pad_value is not None and field.rank >= 2):
            # An input of fixed length beside one of free length has a mask of its own.
            own = mask if shape[1] == case.time else case_mask(replace(case, time=shape[1]), generator)
            if _is_mask(field):
                values = own
            else:
                values[~own] = field.pad_value
        feed[field.name] = values
    return feed


def _is_mask(field: Field) -> bool:
    return field.dtype == "bool" and field.rank == 2


def _draw(field: Field, shape: tuple[int, ...], generator: np.random.Generator) -> NDArray[Any]:
    if field.dtype == "string":
        # Words that vocabularies have, one that none has, and text that is not ASCII.
        words = np.array(["the", "a", "good", "bad", "film", "zyzzyva", "ç", "語"])
        phrases = [" ".join(generator.choice(words, generator.integers(0, 8))) for _ in range(math.prod(shape))]
        return np.array(phrases, dtype=np.str_).reshape(shape)
    dtype = np.dtype(field.dtype)
    low = -math.inf if field.minimum is None else field.minimum
    high = math.inf if field.maximum is None else field.maximum
    if dtype.kind == "b":
        return generator.random(shape) < 0.5
    if dtype.kind in "iu" or field.unit == TOKEN_ID:
        # Without bounds nobody knows the vocabulary: the first few numbers are in all of them.
        lowest, highest = (0 if math.isinf(low) else int(low)), (1 if math.isinf(high) else int(high))
        return generator.integers(lowest, max(lowest, highest) + 1, shape).astype(dtype)
    if math.isinf(low) or math.isinf(high):
        return np.clip(generator.standard_normal(shape), low, high).astype(dtype)
    return generator.uniform(low, high, shape).astype(dtype)
