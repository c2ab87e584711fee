"""The inputs on which runtimes are compared: batch sizes, lengths, kinds of masks and of values.

Not every combination, which would be thousands: every pair of a batch size and a length, of a length and a mask, of a
mask and a kind of value and so on is in some case (pairwise testing: most faults need two conditions to show).
"""

from __future__ import annotations

import itertools
import math
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from seqship.export.case_lengths import boundary_times, typical_times
from seqship.export.field_kinds import first_beyond, id_bounds, is_float, is_index, is_mask
from seqship.pipelines.spec import TOKEN_ID, Field

Padding = Literal["any", "right"]
"""What is known of the masks: nothing, or that they are off behind the data alone."""

MaskKind = Literal["full", "right", "left", "holes", "single", "empty_row", "all_empty"]
"""All steps valid; padding after the data; before it; in between too; one valid step a row; one row without any valid
step; no row with one."""

ValueKind = Literal["data", "zeros", "saturating", "tiny", "nan", "infinite", "extreme"]
"""Drawn within the bounds; zeros; the bounds themselves, or what saturates every gate; numbers near the smallest that
float32 has; as data, but for one NaN or one infinity; of token ids the first and the last alone."""

IdKind = Literal["vocabulary", "out-of-vocabulary"]
"""Every token id once; one that is larger than the largest. Of a large vocabulary each case has a part, and says which
of how many: "vocabulary-2/10"."""

StateKind = Literal["zero", "random"]
"""Of a stateful model: its state left out, which is zeros, or handed in."""

BATCHES = (1, 2, 7, 32, 128)
TIMES = (1, 2, 3, 24, 120)
HOLE_SHARE = 0.3
LARGE = 30.0
"""A value that saturates gates where the input has no bounds."""
_TINY = (1e-20, 1e-38, 1e-42)
"""Normal, next to the smallest normal, and subnormal numbers of float32."""
_PAD_SHARE = 0.1
"""Share of the valid steps in which one feature of several has the pad value: that alone makes no step padding."""
_ID_STEPS = 8
"""Steps of a row of the vocabulary: few, so that what the first one did is not forgotten."""
_ID_ROWS, _MOST_ID_ROWS = 4096, 1 << 17
"""Most rows of one part of the vocabulary, and of all: a layer of 512 units makes 67 MB of each step of a part."""
_MOST_NUMBERS = 1 << 22
"""Most numbers that a model makes of a case of several rows: 16 MB, of which there are some fifty, and twice that in
float64. A vocabulary that would give more is gone through in strides."""
LONGEST_NEED = 128
"""The largest number of steps that a model may need at least."""


@dataclass(frozen=True)
class Case:
    """One shape, mask, and kind of values: a `ValueKind`, an `IdKind`, "adversary", or a kind of text."""

    batch: int
    time: int
    mask: MaskKind | Literal["searched", "text"]
    state: StateKind | None = None
    values: str = "data"

    @property
    def name(self) -> str:
        state = "" if self.state is None else f" state={self.state}"
        values = "" if self.values == "data" else f" values={self.values}"
        return f"batch={self.batch} time={self.time} mask={self.mask}{state}{values}"


def any_length(time: int) -> bool:
    """Says that a model takes any number of steps."""
    del time
    return True


def grid(
    fields: Sequence[Field],
    *,
    outputs: Sequence[Field] = (),
    batches: Sequence[int] = BATCHES,
    times: Sequence[int] = TIMES,
    lengths: NDArray[np.int64] | None = None,
    padding: Padding = "any",
    takes: Callable[[int], bool] = any_length,
) -> tuple[Case, ...]:
    """Returns cases that hold every pair of conditions which a model with these inputs takes.

    A model of fixed batch or length gets that one; masks other than "full" need an input with a pad value, or one that
    is a mask itself. Where padding is declared to be on the right, there are no other masks. Behind the pairs come a
    case around each boundary of the data's buckets, and of token ids every one and one too many.

    Args:
        fields: Contract of each input.
        outputs: Contract of each output: how much a model makes of every step. What makes very much is given fewer
            rows.
        batches: Numbers of rows.
        times: Numbers of steps; the typical one of the data and twice that are added.
        lengths: Numbers of steps of real sequences, shaped (n,).
        padding: "right" if every mask is off behind the data alone.
        takes: Says whether the model takes a number of steps; where it does not, the least that it takes stands in.
    """
    sequences = [field for field in fields if field.rank >= 2 and not field.is_state]
    fixed_batch = next((size for field in fields for size in field.shape[:1] if isinstance(size, int)), None)
    around: tuple[int, ...] = ()
    if not any(field.has_time for field in sequences):
        fixed = next((int(field.shape[1]) for field in sequences if isinstance(field.shape[1], int)), 1)
        times = (fixed,)
    else:
        if lengths is not None and len(lengths):
            times = (*times, *typical_times(lengths))
            around = tuple(time for time in boundary_times(lengths) if time not in times and takes(time))
        times = _taken(times, takes)
    masked = any(field.pad_value is not None or is_mask(field) for field in fields)
    masks: tuple[MaskKind, ...] = get_args(MaskKind) if masked else ("full",)
    if padding == "right":
        masks = tuple(mask for mask in masks if mask not in ("left", "holes", "single"))
    batches = (int(fixed_batch),) if fixed_batch is not None else tuple(batches)
    states: tuple[StateKind | None, ...] = get_args(StateKind) if any(field.is_state for field in fields) else (None,)
    chosen = covering(batches, tuple(dict.fromkeys(times)), masks, states, value_kinds(fields))
    cases = [Case(*combination) for combination in chosen]
    for turn, time in enumerate(around):
        cases.append(Case(batches[turn % min(3, len(batches))], time, masks[turn % len(masks)], states[0]))
    if fixed_batch is None:
        cases = list(dict.fromkeys(replace(case, batch=_rows(outputs, case.batch, case.time)) for case in cases))
    return (*cases, *_id_cases(fields, outputs, None if fixed_batch is None else int(fixed_batch), states[0], takes))


def _taken(times: Sequence[int], takes: Callable[[int], bool]) -> tuple[int, ...]:
    """Returns the lengths that a model takes, and the least one where it does not take all."""
    taken = [time for time in times if takes(time)]
    if len(taken) < len(times):
        least = next((time for time in range(1, LONGEST_NEED + 1) if takes(time)), None)
        taken = taken if least is None else [least, *taken]
    return tuple(dict.fromkeys(taken)) or tuple(times)


def _rows(outputs: Sequence[Field], batch: int, time: int) -> int:
    """Returns at most so many rows that what a model makes of them stays within bounds."""
    made = sum(math.prod(size if isinstance(size, int) else time for size in one.shape[1:]) for one in outputs)
    return max(1, min(batch, _MOST_NUMBERS // max(1, made)))


def _id_cases(
    fields: Sequence[Field],
    outputs: Sequence[Field],
    batch: int | None,
    state: StateKind | None,
    takes: Callable[[int], bool],
) -> Iterator[Case]:
    """Yields the cases of token ids: all of them, and one that none of a vocabulary has."""
    bounds = [id_bounds(field) for field in fields if is_index(field) and field.rank >= 2]
    ids = max((high - low + 1 for low, high in filter(None, bounds)), default=0)
    if not ids:
        return
    times = [field.shape[1] for field in fields if field.rank >= 2 and not field.is_state]
    time = next((size for size in times if isinstance(size, int)), None)
    if time is None:
        wanted = min(_ID_STEPS, ids)
        time = next((steps for steps in range(wanted, LONGEST_NEED + 1) if takes(steps)), wanted)
    rows = _rows(outputs, min(-(-ids // time), _MOST_ID_ROWS), time)
    parts = 1 if batch is not None else -(-rows // _ID_ROWS)
    for part in range(1, parts + 1):
        kind = "vocabulary" if parts == 1 else f"vocabulary-{part}/{parts}"
        yield Case(batch or -(-rows // parts), time, "full", state, kind)
    if any(first_beyond(field) is not None for field in fields):
        yield Case(batch or 2, time, "full", state, "out-of-vocabulary")


def relation_cases(
    fields: Sequence[Field], *, padding: Padding = "any", takes: Callable[[int], bool] = any_length
) -> tuple[Case, ...]:
    """Returns a few cases in which the rows differ in their masks, for relations within one runtime.

    Args:
        fields: Contract of each input.
        padding: "right" if every mask is off behind the data alone.
        takes: Says whether the model takes a number of steps.
    """
    made = grid(fields, batches=(3,), times=(9,), padding=padding, takes=takes)
    plain = [case for case in made if "vocabulary" not in case.values]
    wanted = [replace(case, values="data") for case in plain if case.mask in ("full", "right", "left", "holes")]
    return tuple(dict.fromkeys(wanted))


def value_kinds(fields: Sequence[Field]) -> tuple[ValueKind, ...]:
    """Returns the kinds of values that make a difference to these inputs."""
    plain = [field for field in fields if not field.is_state and not is_mask(field)]
    kinds: list[ValueKind] = ["data"]
    if any(is_float(field) for field in plain):
        kinds.extend(("zeros", "saturating", "tiny", "nan", "infinite"))
    if any(is_index(field) for field in plain):
        kinds.append("extreme")
    return tuple(kinds)


def covering(*axes: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Returns combinations in which every pair of values of two axes is together at least once.

    Greedy, and the same at every call: each combination is the one that brings most pairs which are still missing, of
    those that begin with a missing pair.
    """
    places = list(itertools.combinations(range(len(axes)), 2))
    missing = {(first, second, one, other) for first, second in places for one in axes[first] for other in axes[second]}
    order = {pair: number for number, pair in enumerate(sorted(missing, key=repr))}
    if not places:
        return [(value,) for value in axes[0]]
    chosen: list[tuple[Any, ...]] = []
    while missing:
        first, second, one, other = min(missing, key=order.__getitem__)
        row: dict[int, Any] = {first: one, second: other}
        for axis in (number for number in range(len(axes)) if number not in row):
            row[axis] = max(axes[axis], key=lambda value: _brought(row, axis, value, missing))
        chosen.append(tuple(row[axis] for axis in range(len(axes))))
        missing -= {(a, b, row[a], row[b]) for a, b in places}
    return chosen


def _brought(row: dict[int, Any], axis: int, value: Any, missing: set[tuple[int, int, Any, Any]]) -> int:
    pairs = ((a, axis, row[a], value) if a < axis else (axis, a, value, row[a]) for a in row)
    return sum(pair in missing for pair in pairs)


def case_mask(case: Case, generator: np.random.Generator) -> NDArray[np.bool_]:
    """Returns which steps are valid, (batch, time); but for `empty_row` and `all_empty`, every row has one."""
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
    if case.mask == "all_empty":
        return np.zeros((case.batch, case.time), bool)
    if case.mask == "single":
        return steps == generator.integers(0, case.time, (case.batch, 1))
    lengths = generator.integers(1, case.time + 1, (case.batch, 1))
    mask = steps < lengths
    if case.mask == "left":
        return mask[:, ::-1].copy()
    if case.mask == "empty_row":
        mask[generator.integers(case.batch)] = False
    return mask


def make_feed(case: Case, fields: Sequence[Field], *, seed: int) -> dict[str, NDArray[Any]]:
    """Draws the inputs of one case, within the bounds of each field; the same for the same case and seed.

    One feature of several has the pad value in some valid steps, where the bounds let data have it.

    Values as data are uniform within the bounds, standard normal where there are none. All inputs share one mask.
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
        if case.values != "data" and not field.is_state:
            values = _of_kind(case.values, values, field, generator)
        if is_mask(field) or (field.pad_value is not None and field.rank >= 2):
            # An input of fixed length beside one of free length has a mask of its own.
            own = mask if shape[1] == case.time else case_mask(replace(case, time=shape[1]), generator)
            if is_mask(field):
                values = own
            else:
                if case.values != "zeros":
                    _tell_apart(values, own, field)
                _pad(values, own, field, generator)
        else:
            own = np.ones(shape[:2], bool)
        if case.values in ("nan", "infinite") and field.rank and is_float(field) and not field.is_state:
            _spoil(values, own, math.nan if case.values == "nan" else math.inf, generator)
        feed[field.name] = np.asarray(values)  # A field without axes too.
    return feed


def finite_rows(feed: Mapping[str, NDArray[Any]]) -> NDArray[np.bool_] | None:
    """Returns which rows hold no NaN and no infinity, (batch,); None where all do not."""
    rows = max((len(value) for value in feed.values() if value.ndim), default=0)
    finite = np.ones(rows, bool)
    for value in feed.values():
        if value.dtype.kind == "f" and value.shape[:1] == (rows,):
            finite &= np.isfinite(value).reshape(rows, -1).all(axis=1)
    return None if finite.all() else finite


def _tell_apart(values: NDArray[Any], own: NDArray[np.bool_], field: Field) -> None:
    """Makes another value of valid steps that happen to be all padding, where the bounds let data have its value."""
    pad = field.pad_value or 0.0
    alike = own & (values == pad).reshape(*values.shape[:2], -1).all(axis=2)
    others = [bound for bound in (field.maximum, field.minimum) if bound is not None and bound != pad]
    values[alike] = others[0] if others else pad + 1


def _pad(values: NDArray[Any], own: NDArray[np.bool_], field: Field, generator: np.random.Generator) -> None:
    """Puts the pad value where nothing is, and into some single features where something is."""
    pad = field.pad_value or 0.0
    within = (field.minimum is None or pad >= field.minimum) and (field.maximum is None or pad <= field.maximum)
    features = math.prod(values.shape[2:])
    if features > 1 and within:
        flat = values.reshape(*values.shape[:2], features)
        rows, steps = np.nonzero(own & (generator.random(own.shape) < _PAD_SHARE))
        flat[rows, steps, generator.integers(0, features, len(rows))] = pad
    values[~own] = pad


def _spoil(values: NDArray[Any], own: NDArray[np.bool_], value: float, generator: np.random.Generator) -> None:
    """Puts one number that is none into one valid step."""
    places = np.argwhere(own)
    if not len(places):
        return
    place = tuple(generator.choice(places))
    inner = values[place[: values.ndim]]
    if values.ndim <= len(place):
        values[place[: values.ndim]] = value
    else:
        inner.reshape(-1)[generator.integers(inner.size)] = value if generator.random() < 0.5 else -value


def _of_kind(kind: str, values: NDArray[Any], field: Field, generator: np.random.Generator) -> NDArray[Any]:
    low = -math.inf if field.minimum is None else field.minimum
    high = math.inf if field.maximum is None else field.maximum
    shape = values.shape
    if is_index(field) and field.dtype != "string":
        if kind == "extreme":
            lowest, highest = (0 if math.isinf(low) else low), (1 if math.isinf(high) else high)
            return np.where(generator.random(shape) < 0.5, lowest, highest).astype(values.dtype)
        if (bounds := id_bounds(field)) is not None and kind.startswith("vocabulary"):
            ids = bounds[1] - bounds[0] + 1
            part, _, parts = kind.removeprefix("vocabulary").removeprefix("-").partition("/")
            total = values.size * int(parts or 1)
            places = values.size * (int(part or 1) - 1) + np.arange(values.size)
            every = places % ids if total >= ids else places * (ids - 1) // max(1, total - 1)
            return (bounds[0] + every).reshape(shape).astype(values.dtype)
        if kind == "out-of-vocabulary" and (beyond := first_beyond(field)) is not None:
            values.reshape(-1)[-1] = beyond
            return values
    if not is_float(field) or kind not in ("zeros", "saturating", "tiny"):
        return values
    if kind == "zeros":
        wanted = np.zeros(shape)
    elif kind == "saturating":
        wanted = np.where(generator.random(shape) < 0.5, max(low, -LARGE), min(high, LARGE))
    else:
        wanted = generator.choice(_TINY, shape) * generator.choice((-1.0, 1.0), shape)
    return np.clip(wanted, low, high).astype(values.dtype)


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
