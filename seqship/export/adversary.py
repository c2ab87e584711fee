"""Looks for the inputs on which an export is furthest from Keras.

An evolution strategy: each row of a batch is an individual, and its fitness the difference that the exports show there.
The worst rows are kept, the others replaced by changed copies of them: other values, other steps, other masks. Rounding
and faults alike grow on the way, so what is found is judged like every other case, by the float64 oracle and the limit
that Keras' own error sets on those very inputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from seqship.export.cases import LARGE, Case, MaskKind, Padding, StateKind, any_length, grid, make_feed, value_kinds
from seqship.export.field_kinds import is_float
from seqship.export.runner_failures import run_or_say
from seqship.export.runners import Feed, Outputs, Runner
from seqship.pipelines.spec import Field
from seqship.progress import Progress

ROWS, TIME, GENERATIONS = 32, 24, 24
_KEPT = 4
"""One row in so many has descendants."""
_RIGHT: tuple[MaskKind, ...] = ("full", "right", "empty_row")


def search(
    inputs: Sequence[Field],
    reference: Runner,
    runners: Sequence[Runner],
    *,
    outputs: Sequence[Field] = (),
    padding: Padding = "any",
    takes: Callable[[int], bool] = any_length,
    generations: int = GENERATIONS,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[tuple[Case, Feed]]:
    """Returns the worst inputs that were found, rows of all generations together; none where nothing can be searched.

    Inputs on which an export fails end the search: there are no worse ones.

    Args:
        inputs: Contract of each input.
        reference: The Keras model.
        runners: The exports.
        outputs: Contract of each output: what makes very much is given fewer rows.
        padding: "right" if every mask is off behind the data alone.
        takes: Says whether the model takes a number of steps.
        generations: How often rows are replaced.
        seed: Seed of the search.
        progress: Told how far it is.
    """
    if not runners or not all(field.rank for field in inputs):
        return []
    base = grid(inputs, outputs=outputs, batches=(ROWS,), times=(TIME,), padding=padding, takes=takes)[0]
    state: StateKind | None = "zero" if base.state is not None else None
    random = np.random.default_rng([seed, base.batch, base.time])
    feed = _first(base, inputs, state, padding, seed)
    if any(len(value) != base.batch for value in feed.values()):
        return []
    expected, failure = run_or_say(reference, feed)
    if failure:
        return []
    score = _fitness(feed, expected, runners)
    for done in range(1, generations + 1):
        children = _children(feed, score, inputs, padding, random)
        expected, failure = run_or_say(reference, children)
        if failure:  # What Keras does not take is nothing to look for.
            continue
        theirs = _fitness(children, expected, runners)
        better = theirs > score
        feed = {name: _chosen(better, children[name], value) for name, value in feed.items()}
        score = np.where(better, theirs, score)
        if progress:
            progress("looking for worse cases", done, generations)
    return [(Case(base.batch, base.time, "searched", state, "adversary"), feed)]


def _first(
    base: Case, inputs: Sequence[Field], state: StateKind | None, padding: Padding, seed: int
) -> dict[str, NDArray[Any]]:
    """Draws the first rows, of each kind of mask and of values in turn."""
    # Numbers that are none, and subnormal ones, are apart in right runtimes too: they would crowd out all others.
    kinds = [kind for kind in value_kinds(inputs) if kind not in ("nan", "infinite", "tiny")]
    masks = _RIGHT if padding == "right" else get_args(MaskKind)
    drawn = [
        make_feed(Case(base.batch, base.time, mask, state, kind), inputs, seed=seed)
        for kind in kinds
        for mask in (masks if base.batch > 1 else masks[:1])
    ]
    rows = np.arange(base.batch)
    return {name: np.stack([drawn[row % len(drawn)][name][row] for row in rows]) for name in drawn[0]}


def _fitness(feed: Feed, expected: Outputs, runners: Sequence[Runner]) -> NDArray[np.float64]:
    """Returns the largest difference of each row by the size of the output.

    Infinite where only one is a number, and for all rows where an export fails on them.
    """
    rows = len(next(iter(feed.values())))
    found = np.zeros(rows)
    for runner in runners:
        outputs, failure = run_or_say(runner, feed)
        if failure:
            return np.full(rows, math.inf)
        for name, made in outputs.items():
            want = expected.get(name)
            if want is None or want.shape != made.shape or len(want) != rows or want.dtype.kind != "f":
                continue
            scale = max(float(np.abs(want[np.isfinite(want)]).max(initial=0.0)), np.finfo(np.float32).tiny)
            with np.errstate(invalid="ignore", over="ignore"):
                difference = np.abs(made.astype(np.float64) - want) / scale
            difference = np.where((made == want) | (np.isnan(made) & np.isnan(want)), 0.0, difference)
            worst = np.nan_to_num(difference, nan=math.inf).reshape(rows, -1).max(axis=1, initial=0.0)
            found = np.maximum(found, worst)
    return found


def _children(
    feed: Mapping[str, NDArray[Any]],
    score: NDArray[np.float64],
    inputs: Sequence[Field],
    padding: Padding,
    random: np.random.Generator,
) -> dict[str, NDArray[Any]]:
    """Returns a changed copy of one of the worst rows in the place of each row."""
    rows = len(score)
    best = np.argsort(-score, kind="stable")[: max(1, rows // _KEPT)]
    parents, others = random.choice(best, (2, rows))
    changes = random.integers(0, len(_CHANGES) - (padding == "right"), rows)
    # Inputs that share the axis of time share what happens to their steps, so that masks stay alike.
    seeds = random.integers(0, 2**32, rows)
    children: dict[str, NDArray[Any]] = {}
    for field in inputs:
        if (value := feed.get(field.name)) is None:
            continue
        child = value[parents].copy()
        for row in range(rows):
            change = _CHANGES[changes[row]]
            child[row] = change(child[row], value[others[row]], field, np.random.default_rng(seeds[row]))
        children[field.name] = child
    return children


def _chosen(better: NDArray[np.bool_], new: NDArray[Any], old: NDArray[Any]) -> NDArray[Any]:
    return np.where(better.reshape(-1, *(1,) * (old.ndim - 1)), new, old)


def _valid(row: NDArray[Any], field: Field) -> NDArray[np.bool_]:
    """Returns which steps of a row are data."""
    if field.pad_value is None or row.ndim == 0:
        return np.ones(row.shape[:1], bool)
    return (row != field.pad_value).reshape(len(row), -1).any(axis=1)


def _put(row: NDArray[Any], values: NDArray[Any], field: Field) -> NDArray[Any]:
    """Returns values within the bounds of a field, in the steps of a row that are data and stay so."""
    if row.dtype.kind not in "fiu":
        return row
    low, high = field.minimum, field.maximum
    if is_float(field):
        low, high = -LARGE if low is None else low, LARGE if high is None else high
    if low is not None or high is not None:
        values = np.clip(values, low, high)
    if not row.ndim:
        return row
    values = np.asarray(values).astype(row.dtype)
    kept = _valid(row, field) & _valid(values, field)
    return np.where(kept.reshape(-1, *(1,) * (row.ndim - 1)), values, row)


def _crossed(row: NDArray[Any], other: NDArray[Any], field: Field, random: np.random.Generator) -> NDArray[Any]:
    """The head of one row, the tail of another; masks come with them."""
    del field
    if row.ndim == 0:
        return row
    cut = int(random.integers(0, len(row) + 1))
    return np.concatenate([row[:cut], other[cut:]])


def _scaled(row: NDArray[Any], other: NDArray[Any], field: Field, random: np.random.Generator) -> NDArray[Any]:
    del other
    factor = float(random.choice([-1.0, 0.1, 0.5, 1.5, 3.0, 10.0]))
    return _put(row, row * factor, field) if is_float(field) else _redrawn(row, row, field, random)


def _noisy(row: NDArray[Any], other: NDArray[Any], field: Field, random: np.random.Generator) -> NDArray[Any]:
    del other
    noise = random.standard_normal(row.shape) * 10.0 ** random.integers(-3, 1)
    return _put(row, row + noise, field) if is_float(field) else _redrawn(row, row, field, random)


def _redrawn(row: NDArray[Any], other: NDArray[Any], field: Field, random: np.random.Generator) -> NDArray[Any]:
    """Some steps are other values: of token ids any, else within the bounds or what saturates."""
    del other
    if row.dtype.kind not in "fiu":
        return row
    if is_float(field):
        low, high = field.minimum, field.maximum
        drawn = random.uniform(-LARGE if low is None else low, LARGE if high is None else high, row.shape)
    else:  # Without bounds nobody knows the vocabulary: the first few numbers are in all of them.
        most = 1 if field.maximum is None else int(field.maximum)
        drawn = random.integers(int(field.minimum or 0), most + 1, row.shape)
    steps = random.random(row.shape[:1]) < random.choice([0.05, 0.3, 1.0])
    return _put(row, np.where(steps.reshape(-1, *(1,) * (row.ndim - 1)), drawn, row), field)


def _reversed(row: NDArray[Any], other: NDArray[Any], field: Field, random: np.random.Generator) -> NDArray[Any]:
    """The steps that are data in the opposite order; the mask stays."""
    del other, random
    if row.dtype.kind == "b":
        return row
    kept = _valid(row, field)
    made = row.copy()
    made[kept] = row[kept][::-1]
    return made


_CHANGES = (_scaled, _noisy, _redrawn, _reversed, _crossed)
"""The last of them joins masks, too, which may then be off before the data."""
