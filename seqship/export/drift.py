"""How the error of each runtime grows with the number of steps, measured by the float64 oracle.

A recurrent layer hands its rounding on from step to step. A right export loses its digits as Keras itself does; one
whose error grows faster computes something else at every step, though a short case may still hide it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqship.errors import ModelError
from seqship.export.agreement import json_value
from seqship.export.cases import Case, make_feed
from seqship.export.oracle import Oracle
from seqship.export.runners import Feed, Outputs, Runner
from seqship.pipelines.spec import STATE_PREFIX, Field

REFERENCE = "keras"
"""Name of Keras itself among the runners."""

STEPS = 120
_POINTS = 24
"""Lengths that are asked for; about 20 are left where several are the same whole number."""
_ROWS = 8


@dataclass(frozen=True)
class OutputDrift:
    """The error of one output.

    Attributes:
        scale: Its largest finite value without rounding, over all steps and rows.
        runners: Largest absolute error after each number of steps, by runner, in the unit of the output. Infinite where
            there is a NaN or an infinity in the place of a number.
    """

    scale: float
    runners: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True)
class Drift:
    """Errors by the number of steps.

    Attributes:
        steps: Numbers of steps, rising.
        outputs: By name, those that are floating-point numbers.
    """

    steps: tuple[int, ...]
    outputs: Mapping[str, OutputDrift]

    def to_json(self) -> dict[str, Any]:
        """Returns the JSON form; numbers that JSON lacks are the string "Infinity"."""
        return json_value(asdict(self))


@dataclass(frozen=True, eq=False)
class _Measured:
    """One output after some steps: its largest value, and the error of each runner."""

    scale: float
    errors: Mapping[str, float]


_Part = Callable[[NDArray[Any]], NDArray[Any]]
"""What of an output is compared."""


def error_over_steps(
    inputs: Sequence[Field],
    reference: Runner,
    oracle: Oracle | None,
    runners: Mapping[str, Runner],
    *,
    steps: int = STEPS,
    seed: int = 0,
) -> Drift | None:
    """Measures the error of Keras and of each runner after more and more steps of the same sequences.

    Where the number of steps is free, the first 1, 2, 3 ... `steps` of them are run, and of an output with a value for
    each step its last is compared. Where it is fixed, all of them are run once, and each step of an output is compared.
    Masks are full, and states begin at zero.

    Args:
        inputs: Contract of each input, states included.
        reference: The Keras model.
        oracle: Its float64 twin.
        runners: What is compared, by name.
        steps: Length of the longest sequence, where it is free.
        seed: Seed of the inputs.

    Returns:
        None where there is no oracle, no output by steps, or a runtime that does not take such inputs.
    """
    if oracle is None:
        return None
    # Keras comes first, and whatever runs is told of by name.
    every = {REFERENCE: reference, **runners}
    timed = {field.name for field in inputs if field.has_time and not field.is_state}
    try:
        if timed:
            return _of_prefixes(inputs, timed, oracle.run, every, steps, seed)
        return _of_one_run(inputs, oracle.run, every, seed)
    except ModelError:  # It does not take the batch or a length; the proof stands without it.
        return None


def lengths(longest: int) -> tuple[int, ...]:
    """Returns about 20 whole numbers from 1 to `longest`, evenly spaced by their logarithm."""
    return tuple(sorted({round(float(one)) for one in np.geomspace(1, max(1, longest), _POINTS)}))


def _of_prefixes(
    inputs: Sequence[Field], timed: set[str], oracle: Runner, runners: Mapping[str, Runner], steps: int, seed: int
) -> Drift | None:
    whole, chosen, reference = _feed(inputs, steps, seed), lengths(steps), runners[REFERENCE]
    feeds = [
        {name: np.ascontiguousarray(value[:, :length]) if name in timed else value for name, value in whole.items()}
        for length in chosen
    ]
    # An output that grows with the sequence has a value for each step, or for every second one.
    shortest, longest = reference(feeds[0]), reference(feeds[-1])
    growing = {name for name, value in longest.items() if value.shape[1:2] != shortest[name].shape[1:2]}
    found: list[dict[str, _Measured]] = []
    for feed in feeds:  # One after the other: a language model makes a hundred megabytes of each.
        want, got = oracle(feed), {name: runner(feed) for name, runner in runners.items()}
        parts = {output: _last if output in growing else _whole for output in _floats(want, got)}
        found.append({output: _measure(output, want, got, part) for output, part in parts.items()})
    return _drift(chosen, found)


def _of_one_run(inputs: Sequence[Field], oracle: Runner, runners: Mapping[str, Runner], seed: int) -> Drift | None:
    sizes = [one.shape[1] for one in inputs if one.rank >= 2 and not one.is_state]
    steps = next((size for size in sizes if isinstance(size, int)), 1)
    feed = _feed(inputs, steps, seed)
    true, made = oracle(feed), {name: runner(feed) for name, runner in runners.items()}
    # A row of as many scores as there are steps has two axes.
    by_step = [name for name in _floats(true, made) if true[name].ndim > 2 and true[name].shape[1] == steps]
    chosen = lengths(steps)
    found = [{output: _measure(output, true, made, _step(length - 1)) for output in by_step} for length in chosen]
    return _drift(chosen, found)


def _feed(inputs: Sequence[Field], steps: int, seed: int) -> Feed:
    rows = next((size for one in inputs for size in one.shape[:1] if isinstance(size, int)), _ROWS)
    state = "zero" if any(one.is_state for one in inputs) else None
    return make_feed(Case(rows, steps, "full", state), inputs, seed=seed)


def _floats(true: Outputs, made: Mapping[str, Outputs]) -> list[str]:
    """Outputs that are compared: floating-point numbers, and no states."""
    return [
        name
        for name, value in made[REFERENCE].items()
        if value.dtype.kind == "f" and true[name].dtype == np.float64 and not name.startswith(STATE_PREFIX)
    ]


def _whole(value: NDArray[Any]) -> NDArray[Any]:
    return value


def _last(value: NDArray[Any]) -> NDArray[Any]:
    return value[:, -1:]


def _step(index: int) -> _Part:
    return lambda value: value[:, index : index + 1]


def _measure(output: str, true: Outputs, made: Mapping[str, Outputs], part: _Part) -> _Measured:
    want = true[output]
    with np.errstate(over="ignore"):
        narrow = want.astype(made[REFERENCE][output].dtype)
    # A value beyond the range of float32 is an infinity there, and no error of anybody's.
    want = np.where(np.isfinite(narrow), want, narrow)
    largest = np.abs(part(want)[np.isfinite(part(want))]).max(initial=0.0)
    errors = {name: _largest_error(outputs.get(output), want, part) for name, outputs in made.items()}
    return _Measured(float(largest), errors)


def _largest_error(actual: NDArray[Any] | None, want: NDArray[np.float64], part: _Part) -> float:
    if actual is None or actual.shape != want.shape:
        return math.inf
    got, expected = part(actual).astype(np.float64), part(want)
    same = (got == expected) | (np.isnan(got) & np.isnan(expected))
    with np.errstate(invalid="ignore"):
        difference = np.where(same, 0.0, np.abs(got - expected))
    return float(np.where(np.isnan(difference), np.inf, difference).max(initial=0.0))


def _drift(steps: Sequence[int], found: Sequence[Mapping[str, _Measured]]) -> Drift | None:
    if len(steps) < 2 or not found[0]:
        return None
    return Drift(tuple(steps), {output: _output([one[output] for one in found]) for output in found[0]})


def _output(found: Sequence[_Measured]) -> OutputDrift:
    errors = {name: tuple(one.errors[name] for one in found) for name in found[0].errors}
    return OutputDrift(max(one.scale for one in found), errors)
