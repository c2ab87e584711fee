"""Compares two results of the same call."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqship.export.tolerance import Limit


@dataclass(frozen=True)
class Agreement:
    """One output of one runtime on one case, against the reference.

    Attributes:
        runner: Name of the runtime.
        case: Name of the case.
        output: Name of the output.
        max_abs: Largest absolute difference; NaN or infinite where the results differ in that.
        max_rel: Largest difference in proportion to the expected value.
        severity: Largest difference in proportion to what the tolerance allows there; above 1 is a failure.
        worst_index: Where `severity` is reached.
        expected: The reference's value there.
        actual: The runtime's value there.
        passed: Whether every element is within the tolerance.
        note: Why the arrays could not be compared, where they could not.
    """

    runner: str
    case: str
    output: str
    max_abs: float
    max_rel: float
    severity: float
    worst_index: tuple[int, ...]
    expected: float
    actual: float
    passed: bool
    note: str = ""

    def sentence(self) -> str:
        """Says in one line what differs where."""
        other = "itself" if self.case.startswith("relation=") else "Keras"
        if self.note:
            return f"{self.runner} differs from {other} at {self.case}: {self.output}: {self.note}"
        place = f"{self.output}[{', '.join(map(str, self.worst_index))}]"
        return (
            f"{self.runner} differs from {other} at {self.case}: {place} is {self.actual:.9g}, expected "
            f"{self.expected:.9g}, {self.severity:.3g} times what is allowed"
        )

    def to_json(self) -> dict[str, Any]:
        """Returns the JSON form; numbers that JSON lacks are the strings "NaN" and "Infinity"."""
        return json_value(asdict(self))


def compare(
    actual: NDArray[Any] | None,
    expected: NDArray[Any],
    limit: Limit,
    *,
    runner: str,
    case: str,
    output: str,
) -> Agreement:
    """Compares one array with the reference, element by element.

    A NaN agrees with a NaN alone, an infinity with the same infinity alone.
    """
    if actual is None or actual.shape != expected.shape:
        found = "is missing" if actual is None else f"has shape {actual.shape}, expected {expected.shape}"
        return failed(f"output {found}", runner=runner, case=case, output=output)
    if expected.dtype.kind in "SUO":
        if np.array_equal(actual, expected):
            return Agreement(runner, case, output, 0.0, 0.0, 0.0, (), 0.0, 0.0, True)
        place = tuple(int(axis) for axis in np.argwhere(actual != expected)[0])
        note = f"{list(place)} is {actual[place]!r}, expected {expected[place]!r}"
        return failed(note, runner=runner, case=case, output=output)
    got, want = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    if not want.size:
        return Agreement(runner, case, output, 0.0, 0.0, 0.0, (), 0.0, 0.0, True)
    same = (got == want) | (np.isnan(got) & np.isnan(want))
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        difference = np.where(same, 0.0, np.abs(got - want))
        relative = np.where(same, 0.0, difference / np.abs(want))
        severity = np.where(same, 0.0, difference / limit.allowed(want))
    # A NaN or an infinity against a number is as wrong as can be, and must not hide behind a comparison with NaN.
    severity = np.where(~same & ~(np.isfinite(got) & np.isfinite(want)), np.inf, severity)
    worst = np.unravel_index(int(np.argmax(severity)), want.shape)
    index = tuple(int(axis) for axis in worst)
    return Agreement(
        runner=runner,
        case=case,
        output=output,
        max_abs=float(np.max(difference)),
        max_rel=float(np.max(relative)),
        severity=float(severity[worst]),
        worst_index=index,
        expected=float(want[worst]),
        actual=float(got[worst]),
        passed=bool(severity[worst] <= 1),
    )


def failed(note: str, *, runner: str, case: str, output: str) -> Agreement:
    """Returns what stands for an output that there is none of.

    Args:
        note: Why.
        runner: Name of the runtime.
        case: Name of the case.
        output: Name of the output.
    """
    return Agreement(runner, case, output, math.inf, math.inf, math.inf, (), math.nan, math.nan, False, note)


def json_value(value: Any) -> Any:
    """Returns a value as JSON has it, all the way down; numbers that JSON lacks are strings."""
    if isinstance(value, dict):
        return {key: json_value(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value
