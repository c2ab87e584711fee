"""The face of the package: what it offers, and that offering costs nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest

from seqship import pipelines
from tests.test_imports import FACES

NAMES = FACES["seqship.pipelines"]


def test_public_names_are_pinned() -> None:
    assert pipelines.__all__ == NAMES
    assert set(NAMES) <= set(dir(pipelines))


def test_every_name_is_the_function_and_not_a_module() -> None:
    for name in NAMES:
        value = getattr(pipelines, name)
        assert callable(value)
        assert value.__name__ == name
        assert value.__module__.startswith("seqship.pipelines.")


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(AttributeError, match=r"^module 'seqship\.pipelines' has no attribute 'windows_of_glass'$"):
        _ = pipelines.windows_of_glass  # pyright: ignore[reportAttributeAccessIssue] - the error is what is tested


@pytest.mark.parametrize(
    "statement",
    [
        "import seqship.pipelines",
        "from seqship.pipelines import Field, Sequences, pad_right",
        "import seqship.pipelines.pad, seqship.pipelines.spec, seqship.pipelines.sequences, seqship.pipelines.plan",
    ],
)
def test_nothing_heavy_is_imported(statement: str) -> None:
    heavy = "('tensorflow', 'tf_keras', 'keras', 'scipy', 'wfdb', 'sklearn', 'pandas')"
    code = f"import sys; {statement}; print([name for name in {heavy} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
