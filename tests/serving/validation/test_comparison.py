"""What counts as the same answer."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqship.errors import BundleError
from seqship.export.bundle import Bundle
from seqship.serving.validation.comparison import Tolerance, differences, tolerance_of
from seqship.serving.validation.questions import Arrays, Question

TOLERANCE = Tolerance(atol=0.1, rtol=0.5)


def question(expected: Arrays, **limits: float) -> Question:
    return Question("q", "predict", "s", expected, limits=limits)


@pytest.mark.parametrize(
    ("got", "want", "severity", "text"),
    [
        ([1.0, 2.0], [1.0, 2.0], 0.0, ""),
        ([1.0, 2.55], [1.0, 2.0], 0.5, "y[1] is 2.55, expected 2, 0.5 times what is allowed"),
        ([3.2, 2.0], [1.0, 2.0], 2.2 / 0.6, "y[0] is 3.2, expected 1, 3.67 times what is allowed"),
        ([math.nan, math.inf], [math.nan, math.inf], 0.0, ""),
        ([math.nan, 1.0], [1.0, 1.0], math.inf, "y[0] is nan, expected 1, inf times what is allowed"),
        ([math.inf, 1.0], [-math.inf, 1.0], math.inf, "y[0] is inf, expected -inf, inf times what is allowed"),
        ([1.0, math.inf], [1.0, 3.0], math.inf, "y[1] is inf, expected 3, inf times what is allowed"),
        ([1.0], [1.0, 2.0], math.inf, "y has shape (1,), expected (2,)"),
        ([], [], None, ""),
    ],
)
def test_numbers(got: list[float], want: list[float], severity: float | None, text: str) -> None:
    found = list(differences({"y": np.array(got)}, question({"y": np.array(want)}), TOLERANCE))
    if severity is None:
        assert found == []
        return
    (one,) = found
    assert one.severity == pytest.approx(severity, rel=1e-5)
    if text:
        assert one.text == text


def test_texts_and_outputs_that_are_missing() -> None:
    want = {"labels": np.array([[b"a", b"b"]], object), "scores": np.ones((1, 2))}
    found = list(differences({"labels": np.array([[b"a", b"c"]], object)}, question(want), TOLERANCE))
    assert [one.text for one in found] == ["labels[0, 1] is b'c', expected b'b'", "scores is missing"]
    assert all(math.isinf(one.severity) for one in found)
    assert not list(differences({"labels": want["labels"]}, question({"labels": want["labels"]}), TOLERANCE))


@pytest.mark.parametrize("stated", [{}, {"tolerance": {"atol": 1e-5}}, {"tolerance": {"atol": "x", "rtol": 1}}])
def test_a_proof_without_its_tolerance(stated: dict[str, Any]) -> None:
    with pytest.raises(BundleError, match=r"^b does not state its proof's tolerance; run seqship verify on it$"):
        tolerance_of(Bundle(Path("b"), {"equivalence": stated}), [question({})])


def test_a_limit_of_an_output_wins() -> None:
    expected = {"y": np.zeros(1), "z": np.zeros(1)}
    actual = {"y": np.full(1, 0.05), "z": np.full(1, 0.05)}
    made = list(differences(actual, question(expected, y=0.01), TOLERANCE))
    assert [one.severity for one in made] == pytest.approx([5.0, 0.5])
    bundle = Bundle(Path("b"), {"equivalence": {"tolerance": {"rule": "rounding"}}})
    assert tolerance_of(bundle, [question({}, y=0.01), question({}, y=0.02, z=0.005)]) == Tolerance(0.04, 0.0)
    stated = Bundle(Path("b"), {"equivalence": {"tolerance": {"atol": 1, "rtol": 2}}})
    assert tolerance_of(stated, [question({}, y=0.01)]) == Tolerance(1.0, 2.0)
