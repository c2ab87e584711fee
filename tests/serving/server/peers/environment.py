"""The environment of the peers: clients of others, Apache Beam, protobuf 6, and no TensorFlow."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

import seqship

ROOT = Path(seqship.__file__).parents[1]


def peers_python() -> Path:
    """Returns its Python; without one the test is skipped, or fails where `make` named it and in CI."""
    named = os.environ.get("SEQSHIP_PEERS")
    python = ROOT / (named or ".venv-peers") / "bin" / "python"
    if not python.exists():
        reason = f"there is no {python}; make test prepares it"
        if named or os.environ.get("CI", "").lower() in ("1", "true"):
            pytest.fail(reason)
        pytest.skip(reason)
    return python


def run_in_peers(*arguments: str, timeout: float = 300) -> str:
    """Runs the Python of the peers at the root of the project, and returns what it printed; it must end well."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "PYTHONPATH"))}
    made = subprocess.run(
        [peers_python(), *arguments], capture_output=True, text=True, timeout=timeout, check=False, cwd=ROOT,
        env=environment,
    )  # fmt: skip
    assert made.returncode == 0, made.stdout + made.stderr
    return made.stdout
