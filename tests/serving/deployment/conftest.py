"""What the tests of deployments share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.serving.deployment.plain_bundle import plain_bundle


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """A bundle whose files hold nothing."""
    return plain_bundle(tmp_path / "bundle")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where a MODEL_ROOT may be made."""
    return tmp_path / "models" / "ecg"
