"""Joins requests into one batch so that each is answered exactly as if it had come alone.

Sequences of unequal length are filled behind the data with the contract's pad value, which the model masks; answers to
each step are cut back. That is right only where the whole model knows the mask, not its recurrent layers alone: a
convolution or a sum over all steps sees the padding. So it is tried out when the model is loaded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqship.pipelines.spec import BATCH, STATE_PREFIX, Field
from seqship.serving.server.signatures import Feed, Outputs
from seqship.serving.server.status import StatusError

_TOLERANCE = 1e-6
_TRIAL_LENGTHS = ((19, 24), (24, 24), (3, 17))


@dataclass(frozen=True)
class JoiningRule:
    """Which requests of a model may be joined.

    Attributes:
        inputs: Contract of each input of the model, states included.
        outputs: Contract of each output.
        pads: Whether sequences of unequal length may be joined; otherwise only those of the same.
    """

    inputs: tuple[Field, ...]
    outputs: tuple[Field, ...]
    pads: bool


def find_joining_rule(
    inputs: tuple[Field, ...], outputs: tuple[Field, ...], compute: Callable[[Feed], Outputs]
) -> JoiningRule | None:
    """Returns how requests of a model may be joined; None where they may not.

    Args:
        inputs: Contract of each input of the model, states included.
        outputs: Contract of each output.
        compute: Runs the model; it is tried out on random inputs.
    """
    if any(one.shape[:1] != (BATCH,) or one.dtype == "string" for one in (*inputs, *outputs)):
        return None
    timed = [one for one in inputs if one.has_time]
    padding = JoiningRule(inputs, outputs, bool(timed) and all(one.pad_value is not None for one in timed))
    if padding.pads and all(_holds(padding, compute, lengths) for lengths in _TRIAL_LENGTHS):
        return padding
    equal = replace(padding, pads=False)
    return equal if _holds(equal, compute, (24, 24)) else None


def bucket(rule: JoiningRule, feed: Feed) -> Hashable:
    """Returns what requests that may be joined have in common; lengths of one bucket differ by less than the half."""
    free = tuple(
        (one.name, axis, feed[one.name].shape[axis])
        for one in rule.inputs
        if one.name in feed
        for axis, size in enumerate(one.shape)
        if isinstance(size, str) and axis > 0 and not (axis == 1 and one.has_time)
    )
    lengths = _lengths(rule, feed)
    if rule.pads and len(set(lengths)) == 1:
        return frozenset(feed), free, math.ceil(2 * math.log2(lengths[0]))
    return frozenset(feed), free, lengths


def row_count(rule: JoiningRule, feed: Feed) -> int:
    """Returns the number of rows of one request; a state may have a single one for all."""
    return max(len(feed[one.name]) for one in rule.inputs if one.name in feed and not one.is_state)


def rows_of(rule: JoiningRule, feed: Feed, start: int, stop: int) -> Feed:
    """Returns some rows of a request."""
    rows = row_count(rule, feed)
    return {name: array[start:stop] if len(array) == rows else array for name, array in feed.items()}


def join(rule: JoiningRule, feeds: Sequence[Feed]) -> Feed:
    """Returns one batch of the requests of one bucket, in their order."""
    if len(feeds) == 1:
        return feeds[0]
    return {one.name: _joined(rule, feeds, one) for one in rule.inputs if one.name in feeds[0]}


def split(rule: JoiningRule, feeds: Sequence[Feed], outputs: Outputs) -> list[Outputs]:
    """Returns what each request is answered with, of what the batch of `join` gave.

    Raises:
        ValueError: The outputs are not those of such a batch.
    """
    if len(feeds) == 1:
        return [outputs]
    rows = [row_count(rule, feed) for feed in feeds]
    stops = list(accumulate(rows))
    lengths = [_lengths(rule, feed)[:1] for feed in feeds]
    longest = max(lengths)
    timed = {one.name for one in rule.outputs if one.has_time}
    answers: list[Outputs] = [{} for _ in feeds]
    for name, array in outputs.items():
        cut = len(set(lengths)) > 1 and name in timed
        if len(array) != stops[-1] or (cut and array.shape[1:2] != longest):
            raise ValueError(f"output {name!r} has the shape {array.shape} for {stops[-1]} rows of {longest} steps")
        for answer, count, stop, length in zip(answers, rows, stops, lengths, strict=True):
            own = array[stop - count : stop]
            answer[name] = own[:, : length[0]] if cut else own
    return answers


def _joined(rule: JoiningRule, feeds: Sequence[Feed], one: Field) -> NDArray[Any]:
    arrays = [feed[one.name] for feed in feeds]
    if one.is_state:
        rows = [row_count(rule, feed) for feed in feeds]
        arrays = [
            array if len(array) == count else np.repeat(array, count, axis=0)
            for array, count in zip(arrays, rows, strict=True)
        ]
    if not one.has_time or len({array.shape[1] for array in arrays}) == 1:
        return np.concatenate(arrays)
    longest = max(array.shape[1] for array in arrays)
    whole = np.full((sum(map(len, arrays)), longest, *arrays[0].shape[2:]), one.pad_value, arrays[0].dtype)
    start = 0
    for array in arrays:
        whole[start : start + len(array), : array.shape[1]] = array
        start += len(array)
    return whole


def _lengths(rule: JoiningRule, feed: Feed) -> tuple[int, ...]:
    return tuple(feed[one.name].shape[1] for one in rule.inputs if one.has_time and one.name in feed)


def _holds(rule: JoiningRule, compute: Callable[[Feed], Outputs], lengths: tuple[int, ...]) -> bool:
    """Whether random requests of these lengths are answered together as they are alone."""
    random = np.random.default_rng(0)
    plain = [one for one in rule.inputs if not one.is_state]
    for fields in (plain, list(rule.inputs)) if len(plain) < len(rule.inputs) else (plain,):
        feeds = [{one.name: _random(one, length, random) for one in fields} for length in lengths]
        try:
            together = split(rule, feeds, compute(join(rule, feeds)))
            alone = [compute(feed) for feed in feeds]
        except (StatusError, ValueError):
            return False
        if not all(map(_same, together, alone)):
            return False
    return True


def _same(one: Outputs, other: Outputs) -> bool:
    return one.keys() == other.keys() and all(
        one[name].shape == other[name].shape
        and np.allclose(one[name], other[name], rtol=_TOLERANCE, atol=_TOLERANCE, equal_nan=True)
        for name in one
    )


def _random(one: Field, length: int, random: np.random.Generator) -> NDArray[Any]:
    sizes = [2, length] if one.has_time else [2]
    shape = tuple(
        sizes[axis] if axis < len(sizes) else size if isinstance(size, int) else 3
        for axis, size in enumerate(one.shape)
    )
    dtype = np.dtype(one.dtype)
    if dtype.kind == "b":
        return random.random(shape) < 0.7
    if dtype.kind in "iu":
        low = max(1, math.ceil(one.minimum or 0))  # 0 is padding where ids are.
        high = max(low, math.floor(one.maximum)) if one.maximum is not None else low
        return random.integers(low, high, shape, endpoint=True).astype(dtype)
    scale = 1.0 if one.name.startswith(STATE_PREFIX) or one.maximum is None else one.maximum
    low = -scale if one.minimum is None else one.minimum
    return random.uniform(low, max(scale, low), shape).astype(dtype)
