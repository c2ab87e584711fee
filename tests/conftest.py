"""What every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# Before TensorFlow is imported: its start-up notes would drown the failures.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")


# Tests are the same at every run, and never time anything.
settings.register_profile("seqship", deadline=None, derandomize=True, database=None)
settings.load_profile("seqship")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--data", type=Path, default=None, help="folder with real data, for tests marked data")


@pytest.fixture(scope="session")
def data(request: pytest.FixtureRequest) -> Path:
    """The folder of real data; the test is skipped where none was given."""
    path: Path | None = request.config.getoption("--data")
    if path is None:
        pytest.skip("needs real data: --data PATH")
    return path
