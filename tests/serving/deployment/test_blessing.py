"""A blessing holds for one manifest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from seqship.errors import BundleError, DataError, ProofError
from seqship.export.bundle import read_bundle, sha256, unnamed_files, write_manifest
from seqship.serving.deployment import push, read_blessing, write_blessing


def test_a_blessing_is_written_read_and_pushed(plain: Path, root: Path) -> None:
    assert read_blessing(plain) is None
    written = write_blessing(plain, {"blessed": True, "slices": {"all": 0.97}})
    assert (written.blessed, written.manifest_sha256) == (True, sha256(plain / "manifest.json"))
    found = read_blessing(read_bundle(plain))
    assert found is not None
    assert found.document == {"blessed": True, "slices": {"all": 0.97}, "manifest_sha256": written.manifest_sha256}
    assert unnamed_files(read_bundle(plain)) == ()
    assert push(plain, root, require_blessing=True).left_out == ()
    assert (root / "1" / "validation.json").read_bytes() == (plain / "validation.json").read_bytes()
    push(root / "1", root, require_blessing=True)


def test_a_blessing_that_does_not_hold(plain: Path, root: Path) -> None:
    write_blessing(plain, {"blessed": False})
    with pytest.raises(ProofError, match=f"^{plain} was validated and not blessed; see its validation.json$"):
        push(plain, root, require_blessing=True)
    write_blessing(plain, {"blessed": True})
    manifest = json.loads((plain / "manifest.json").read_text())
    (plain / "validation.json").rename(plain.parent / "validation.json")
    write_manifest(plain, {key: value for key, value in manifest.items() if key != "files"} | {"name": "other"})
    (plain.parent / "validation.json").rename(plain / "validation.json")
    with pytest.raises(
        ProofError,
        match=rf"^{plain} carries the blessing of another manifest \(sha256 [0-9a-f]{{12}}, its own is "
        r"[0-9a-f]{12}\); validate it again$",
    ) as raised:
        push(plain, root, require_blessing=True)
    assert raised.value.exit_code == 1
    assert not root.exists()
    assert push(plain, root).version == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "Expecting property name.*"),
        ("[]", ".*"),
        ("\xff", ".*"),
        ('{"blessed": true}', "it lacks 'manifest_sha256'"),
        ('{"blessed": 1, "manifest_sha256": "a"}', "blessed must be true or false, and manifest_sha256 a text"),
    ],
)
def test_what_is_no_blessing(text: str, message: str, plain: Path, root: Path) -> None:
    (plain / "validation.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(BundleError, match=f"^{plain}/validation.json is no blessing: {message}$"):
        push(plain, root, require_blessing=True)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, "a blessing needs blessed: true or false, got None"),
        ({"blessed": "yes"}, "a blessing needs blessed: true or false, got 'yes'"),
        ({"blessed": True, "accuracy": float("nan")}, "the blessing of .* cannot be written as JSON: .*"),
    ],
)
def test_documents_that_are_refused(document: dict[str, Any], message: str, plain: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"^{message}$"):
        write_blessing(plain, document)
    assert not (plain / "validation.json").exists()
    with pytest.raises(BundleError, match=r"is no bundle: it has no manifest.json"):
        write_blessing(tmp_path, {"blessed": True})
