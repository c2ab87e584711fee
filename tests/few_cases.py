"""Exports of this process prove themselves on a few cases: what is tested is what comes after."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Sequence
from unittest.mock import patch

from seqship.export.cases import grid


@contextlib.contextmanager
def few_cases(batches: Sequence[int], times: Sequence[int]) -> Generator[None]:
    """Puts other defaults in the place of the grid's.

    Args:
        batches: Numbers of rows.
        times: Numbers of steps.
    """
    with patch.dict(grid.__kwdefaults__, {"batches": batches, "times": times}):
        yield
