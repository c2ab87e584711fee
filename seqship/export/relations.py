"""Relations that must hold between the results of one runtime, whatever the right numbers are.

A row alone gives what it gives in a batch; rows in another order give their results in that order; padding behind a
masked sequence changes nothing; chunks with the state handed on give what the whole gives; and the same call gives the
same bits. They need no reference (metamorphic testing: Chen, Cheung and Yiu, "Metamorphic testing: a new approach for
generating next test cases", 1998), but not every model has them: a convolution sees padding, a Softmax along the batch
sees the other rows. What does not hold in the reference is not demanded of an export.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqship.errors import ModelError
from seqship.export.agreement import Agreement, compare, failed
from seqship.export.field_kinds import is_mask
from seqship.export.recording import RecordedCase
from seqship.export.runner_failures import run_or_say
from seqship.export.runners import Feed, Outputs, Runner
from seqship.export.tolerance import FLOAT32, Limit, Within
from seqship.pipelines.spec import BATCH, STATE_OUT, STATE_PREFIX, Field

ROW_ALONE, PERMUTED, PADDED, CHUNKED, REPEATED = "row-alone", "permuted-rows", "padded", "chunked", "repeated"

APPENDED = 5
"""Steps of padding behind the data."""

_MASKS = ("holes", "right", "left", "full")
_ROWS = 3
"""Rows of a case that are run alone."""
_LEAST = (2, 4)
"""Rows and steps that a case needs to show anything."""
_BITS = Within(0.0)


@dataclass(frozen=True)
class _Contract:
    inputs: tuple[Field, ...]
    outputs: tuple[Field, ...]

    @property
    def timed(self) -> list[Field]:
        """Inputs with a free number of steps."""
        return [one for one in self.inputs if one.has_time and not one.is_state]

    @property
    def by_row(self) -> bool:
        """Whether the first axis of everything is a batch of any size."""
        return all(one.shape[:1] == (BATCH,) for one in (*self.inputs, *self.outputs))

    def steps(self, feed: Feed) -> int:
        """Number of steps of a feed; 0 where its inputs have none, or different ones."""
        found = {feed[one.name].shape[1] for one in self.timed}
        return found.pop() if len(found) == 1 else 0


@dataclass(frozen=True, eq=False)
class _Pair:
    """What must be equal: of one run, and of another."""

    actual: NDArray[Any] | None
    expected: NDArray[Any]


_Relation = Callable[[Runner, Feed, Outputs, _Contract], dict[str, _Pair]]


def check_relations(
    runner: Runner,
    inputs: Sequence[Field],
    outputs: Sequence[Field],
    recorded: Sequence[RecordedCase],
    *,
    name: str,
    reference: Runner | None = None,
    single: Runner | None = None,
    limit: Limit = FLOAT32,
) -> tuple[Agreement, ...]:
    """Checks a runtime against itself, on a few of the recorded cases.

    Another batch size or length sums in another order: the case's own limit is allowed, and nothing where the same call
    is repeated on one thread.

    Args:
        runner: The runtime.
        inputs: Contract of each input, states included.
        outputs: Contract of each output, states included.
        recorded: Cases; the smallest of each kind of mask that has some rows and steps is taken, and one with states.
        name: Name of the runtime.
        reference: What is known to be right: what does not hold in it is not demanded. Everything is without it.
        single: The same runtime on one thread, whose results must be the same bits at every call; not checked if left
            out.
        limit: What is allowed for outputs that a case has no limit of.

    Returns:
        An agreement for each relation, case and output; `case` is "relation=row-alone batch=7 time=24 mask=holes", the
        expected value what the runtime itself gave the first time, and the index one of the array that was compared.
    """
    contract = _Contract(tuple(inputs), tuple(outputs))
    found: list[Agreement] = []
    for case in chosen_cases(recorded, contract.inputs):
        whole, failure = run_or_say(runner, case.feed)
        if failure:
            at = f"relation={ROW_ALONE} {case.case}"
            found += [failed(failure, runner=name, case=at, output=output) for output in case.expected]
            continue
        for relation, made in _RELATIONS.items():
            at = f"relation={relation} {case.case}"
            theirs = None if reference is None else _of_reference(made, reference, case.feed, contract)
            try:
                pairs = made(runner, case.feed, whole, contract)
            except ModelError as error:  # A row alone, say, or more steps.
                wanted = case.expected if theirs is None else [one for one in case.expected if one in theirs]
                found += [failed(str(error), runner=name, case=at, output=output) for output in wanted]
                continue
            for output, pair in pairs.items():
                allowed = Within(case.limits[output]) if output in case.limits else limit
                if theirs is not None and not _holds(theirs.get(output), allowed):
                    continue
                found.append(compare(pair.actual, pair.expected, allowed, runner=name, case=at, output=output))
        if single is not None:
            at = f"relation={REPEATED} {case.case}"
            once, again = run_or_say(single, case.feed)[0], run_or_say(single, case.feed)[0]
            found += [
                compare(again.get(output), value, _BITS, runner=name, case=at, output=output)
                for output, value in once.items()
            ]
    return tuple(found)


def chosen_cases(recorded: Sequence[RecordedCase], inputs: Sequence[Field]) -> tuple[RecordedCase, ...]:
    """Returns the smallest case of each kind of mask, and of a stateful model one with its states handed in.

    Cases whose values say little (zeros, say) are taken where there is no other.

    Args:
        recorded: The cases.
        inputs: Contract of each input.
    """
    plain = [one.name for one in inputs if one.rank >= 2 and not one.is_state]

    def size(case: RecordedCase) -> tuple[bool, bool, int]:
        shapes = [case.feed[name].shape for name in plain if name in case.feed]
        small = any(shape[0] < _LEAST[0] or shape[1] < _LEAST[1] for shape in shapes)
        return small, "values=" in case.case, sum(shape[0] * shape[1] for shape in shapes)

    def with_state(case: RecordedCase) -> bool:
        return any(name.startswith(STATE_PREFIX) for name in case.feed)

    kinds: list[Callable[[RecordedCase], bool]] = [
        lambda case, mask=mask: f"mask={mask}" in case.case.split() for mask in _MASKS
    ]
    best = [min(filter(kind, recorded), key=size, default=None) for kind in (*kinds, with_state)]
    if not any(best):
        best = [min(recorded, key=size, default=None)]
    return tuple({case.case: case for case in best if case is not None}.values())


def _of_reference(made: _Relation, reference: Runner, feed: Feed, contract: _Contract) -> dict[str, _Pair]:
    try:
        return made(reference, feed, reference(feed), contract)
    except ModelError:  # It does not take the batch or the length.
        return {}


def _holds(pair: _Pair | None, limit: Limit) -> bool:
    if pair is None:
        return False
    return compare(pair.actual, pair.expected, limit, runner="", case="", output="").passed


def _rows_alone(runner: Runner, feed: Feed, whole: Outputs, contract: _Contract) -> dict[str, _Pair]:
    count = _row_count(feed, contract)
    if not contract.by_row or count < 2:
        return {}
    rows = sorted({0, count // 2, count - 1})[:_ROWS]
    alone = [runner(_taken(feed, slice(row, row + 1), count)) for row in rows]
    return {
        name: _by_row(_joined([made.get(name) for made in alone], axis=0), value, np.array(rows), count)
        for name, value in whole.items()
    }


def _permuted(runner: Runner, feed: Feed, whole: Outputs, contract: _Contract) -> dict[str, _Pair]:
    count = _row_count(feed, contract)
    if not contract.by_row or count < 2:
        return {}
    order = np.roll(np.arange(count)[::-1], 1)
    made = runner(_taken(feed, order, count))
    return {name: _by_row(made.get(name), value, order, count) for name, value in whole.items()}


def _by_row(actual: NDArray[Any] | None, whole: NDArray[Any], rows: NDArray[np.int64], count: int) -> _Pair:
    if whole.ndim and len(whole) == count:
        return _Pair(actual, whole[rows])
    return _Pair(whole, np.zeros((count, *whole.shape[1:]), whole.dtype))  # Not a result for each row.


def _padded(runner: Runner, feed: Feed, whole: Outputs, contract: _Contract) -> dict[str, _Pair]:
    steps = contract.steps(feed)
    given = any(is_mask(one) for one in contract.timed)  # Beside a mask any value is padding.
    if not steps or not (given or all(one.pad_value is not None for one in contract.timed)):
        return {}
    longer = dict(feed)
    for one in contract.timed:
        value = feed[one.name]
        behind = np.full((len(value), APPENDED, *value.shape[2:]), one.pad_value or 0, value.dtype)
        longer[one.name] = np.concatenate([value, behind], axis=1)
    made, valid = runner(longer), _valid(feed, contract)
    timed = {one.name for one in contract.outputs if one.has_time}
    pairs: dict[str, _Pair] = {}
    for name, value in whole.items():
        got = made.get(name)
        if name in timed and got is not None and got.shape[1:2] == (steps + APPENDED,):
            got = got[:, :steps]
        pairs[name] = _at_valid_steps(got, value, valid) if name in timed else _Pair(got, value)
    return pairs


def _chunked(runner: Runner, feed: Feed, whole: Outputs, contract: _Contract) -> dict[str, _Pair]:
    states = [one.name for one in contract.inputs if one.is_state]
    steps = contract.steps(feed)
    if steps < 2 or not states or not all(name in feed for name in states):
        return {}
    timed = {one.name for one in contract.timed}
    parts: list[Outputs] = []
    rest = dict(feed)
    for start, stop in _chunks(steps):
        chunk = {name: value[:, start:stop] if name in timed else value for name, value in rest.items()}
        parts.append(runner(chunk))
        rest |= {name: parts[-1][name + STATE_OUT] for name in states if name + STATE_OUT in parts[-1]}
    by_step, valid = {one.name for one in contract.outputs if one.has_time}, _valid(feed, contract)
    return {
        name: _at_valid_steps(_joined([part.get(name) for part in parts], axis=1), value, valid)
        if name in by_step
        else _Pair(parts[-1].get(name), value)
        for name, value in whole.items()
    }


def _valid(feed: Feed, contract: _Contract) -> NDArray[np.bool_]:
    """Returns which steps are data in every input that tells, (rows, steps), or (1, steps) where none does."""
    valid = np.ones((1, contract.steps(feed)), bool)
    for one in contract.timed:
        if one.pad_value is not None or is_mask(one):
            value = feed[one.name]
            valid = valid & (value != (one.pad_value or 0)).reshape(*value.shape[:2], -1).any(axis=2)
    return valid


def _at_valid_steps(actual: NDArray[Any] | None, whole: NDArray[Any], valid: NDArray[np.bool_]) -> _Pair:
    """Blanks the masked steps of both; what is shown there is nobody's."""
    if actual is None or actual.shape != whole.shape or valid.shape[1:] != whole.shape[1:2]:
        return _Pair(actual, whole)
    if len(valid) not in (1, len(whole)):
        return _Pair(actual, whole)
    shown = valid.reshape(*valid.shape, *(1,) * (whole.ndim - 2))
    return _Pair(*(np.where(shown, array, np.zeros_like(array)) for array in (actual, whole)))


def _chunks(steps: int) -> Iterator[tuple[int, int]]:
    """A single step, then chunks of unequal lengths."""
    bounds = sorted({0, 1, 1 + (steps - 1) // 3, steps})
    yield from itertools.pairwise(bounds)


def _row_count(feed: Feed, contract: _Contract) -> int:
    return max((len(feed[one.name]) for one in contract.inputs if one.rank and one.name in feed), default=0)


def _taken(feed: Feed, rows: slice | NDArray[np.int64], count: int) -> Feed:
    """Takes rows of everything but of a state that serves all of them."""
    return {name: value[rows] if value.shape[:1] == (count,) else value for name, value in feed.items()}


def _joined(parts: Sequence[NDArray[Any] | None], *, axis: int) -> NDArray[Any] | None:
    """Joins arrays; None where one is missing, or they do not fit each other."""
    arrays = [part for part in parts if part is not None]
    others = {(part.ndim, *np.delete(part.shape, axis).tolist()) for part in arrays if part.ndim > axis}
    if len(arrays) < len(parts) or len(others) != 1 or any(part.ndim <= axis for part in arrays):
        return None
    return np.concatenate(arrays, axis=axis)


_RELATIONS: Mapping[str, _Relation] = {
    ROW_ALONE: _rows_alone,
    PERMUTED: _permuted,
    PADDED: _padded,
    CHUNKED: _chunked,
}
