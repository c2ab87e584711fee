"""What `versions` tells of a base path."""

from __future__ import annotations

from pathlib import Path

import pytest

from seqship.errors import DataError, OutputError
from seqship.serving.deployment import label, push, rollback, versions
from tests.serving.deployment.plain_bundle import plain_bundle


def test_every_version_is_listed(plain: Path, root: Path, tmp_path: Path) -> None:
    push(plain, root)
    push(plain_bundle(tmp_path / "bad", name="worse", equivalent=False), root, force=True)
    push(plain, root)
    rollback(root)
    label(root, {"stable": 1, "old": 1})
    (root / "10").mkdir()
    (root / "10" / "saved_model.pb").write_bytes(bytes(70))
    (root / "notes").mkdir()
    found = versions(root)
    assert [(one.number, one.name, one.proven, one.labels, one.withdrawn) for one in found] == [
        (10, None, None, (), False),
        (3, "ecg", True, (), True),
        (2, "worse", False, (), False),
        (1, "ecg", True, ("old", "stable"), False),
    ]
    assert [one.created for one in found] == [None, *["2026-11-22T00:00:00Z"] * 3]
    assert found[0].size == 70
    # Hard links take no space.
    assert found[3].size == sum(path.stat().st_size for path in plain.rglob("*") if path.is_file())
    assert found[1].path == root / ".withdrawn-3"


def test_there_may_be_none(root: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"^no versions at {root}: no such file or directory; push a bundle first: seq"):
        versions(root)
    root.mkdir(parents=True)
    assert versions(root) == ()
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="is a file; MODEL_ROOT is"):
        versions(tmp_path / "file")


def test_a_manifest_that_cannot_be_read(plain: Path, root: Path) -> None:
    push(plain, root)
    (root / "1" / "manifest.json").write_text("{")
    assert [(one.number, one.name, one.proven) for one in versions(root)] == [(1, None, None)]
