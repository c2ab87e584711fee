"""What the tests of the validation share."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.serving.server.conftest import bundles, root, server

__all__ = ["bundles", "root", "server"]

SHELL = "#!/bin/sh\n"
SERVE = f"'{sys.executable}' -m seqship serve"

Program = Callable[[str, str], Path]


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """Puts a shell script on the PATH, in front of all else, and returns the file that its arguments go to."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def make(name: str, script: str) -> Path:
        said = tmp_path / f"{name}.arguments"
        (folder / name).write_text(f'{SHELL}echo "$@" >> {said}\n{script}\n')
        (folder / name).chmod(0o755)
        return said

    return make
