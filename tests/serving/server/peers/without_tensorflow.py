"""A plugin of pytest for an environment without TensorFlow: what compares with it is skipped, the rest must pass."""

from __future__ import annotations

from collections.abc import Generator

import pytest

ABSENT = ("tensorflow", "tensorflow_serving", "ml_dtypes")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None]:
    try:
        return (yield)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in ABSENT:
            pytest.skip("compares with TensorFlow")
        raise
