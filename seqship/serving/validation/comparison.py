"""What a server answered against what it must answer, by the tolerance of the bundle's proof."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqship.errors import BundleError
from seqship.export.bundle import Bundle
from seqship.serving.validation.questions import Arrays, Question


@dataclass(frozen=True)
class Tolerance:
    """An element passes when |actual - expected| <= atol + rtol * |expected|, as in the proof.

    Attributes:
        atol: Absolute part, in the unit of the output.
        rtol: Part in proportion to the expected value.
    """

    atol: float
    rtol: float


@dataclass(frozen=True)
class Difference:
    """How far an output is from what it must be.

    Attributes:
        output: Name of the output.
        max_abs: Largest absolute difference; infinite where the two cannot be compared.
        severity: Largest difference in proportion to what the tolerance allows there; above 1 is a failure.
        text: What differs, in words.
    """

    output: str
    max_abs: float
    severity: float
    text: str = ""


def tolerance_of(bundle: Bundle, cases: Iterable[Question]) -> Tolerance:
    """Returns the tolerance of answers that no case states a limit of.

    That is the proof's own, where it has one for all. A proof that states a limit for each case has none: then two
    runtimes may be apart by twice the largest limit, as each may be off by that.

    Args:
        bundle: The bundle.
        cases: Its cases.

    Raises:
        BundleError: Neither is stated.
    """
    stated = bundle.manifest["equivalence"].get("tolerance")
    try:
        if isinstance(stated, dict) and "atol" in stated:
            return Tolerance(float(stated["atol"]), float(stated["rtol"]))
        return Tolerance(2 * max(limit for case in cases for limit in case.limits.values()), 0.0)
    except (KeyError, TypeError, ValueError):
        raise BundleError(f"{bundle.path} does not state its proof's tolerance; run seqship verify on it") from None


def differences(actual: Arrays, question: Question, tolerance: Tolerance) -> Iterator[Difference]:
    """Yields how far each expected output is from what came. A NaN agrees with a NaN, an infinity with its like.

    Args:
        actual: What came.
        question: Says what must come, and what is allowed.
        tolerance: What is allowed where the question does not say.
    """
    for name, want in question.expected.items():
        got = actual.get(name)
        if got is None or got.shape != want.shape:
            found = "is missing" if got is None else f"has shape {got.shape}, expected {want.shape}"
            yield Difference(name, math.inf, math.inf, f"{name} {found}")
        elif want.dtype == object or got.dtype == object:
            wrong = np.argwhere(got != want)
            if len(wrong):
                at = tuple(wrong[0].tolist())
                yield Difference(name, math.inf, math.inf, f"{_place(name, at)} is {got[at]!r}, expected {want[at]!r}")
        elif want.size:
            limit = question.limits.get(name)
            yield _numbers(name, got, want, tolerance if limit is None else Tolerance(limit, 0.0))


def _numbers(name: str, got: NDArray[Any], want: NDArray[Any], tolerance: Tolerance) -> Difference:
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    same = (got == want) | (np.isnan(got) & np.isnan(want))
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        apart = np.where(same, 0.0, np.abs(got - want))
        apart = np.where(same | (np.isfinite(got) & np.isfinite(want)), apart, np.inf)
        severity = np.where(same, 0.0, apart / (tolerance.atol + tolerance.rtol * np.abs(want)))
    severity = np.where(np.isnan(severity), np.inf, severity)
    at = tuple(int(axis) for axis in np.unravel_index(int(np.argmax(severity)), want.shape))
    text = f"{_place(name, at)} is {got[at]:.9g}, expected {want[at]:.9g}, {severity[at]:.3g} times what is allowed"
    return Difference(name, float(apart.max()), float(severity[at]), text)


def _place(name: str, at: tuple[int, ...]) -> str:
    return f"{name}[{', '.join(map(str, at))}]"
