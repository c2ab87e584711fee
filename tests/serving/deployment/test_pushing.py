"""A push makes one whole version, or none; numbers go up only."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from seqship.errors import BundleError, DataError, OutputError, ProofError, SeqshipError, TamperedError
from seqship.export.bundle import read_bundle, unnamed_files
from seqship.serving.deployment import label, push, rollback, versions
from seqship.serving.server.layout import Kind, find_versions, kind_of
from tests.serving.deployment.plain_bundle import FILES, names, plain_bundle


def test_a_version_holds_the_bundle_and_its_saved_model_once_more(plain: Path, root: Path) -> None:
    pushed = push(plain, root)
    assert (pushed.version, pushed.path, pushed.model, pushed.bundle) == (1, root / "1", "ecg", "ecg")
    assert (pushed.proven, pushed.onnx, pushed.saved_model, pushed.removed, pushed.left_out) == (
        True,
        True,
        True,
        (),
        (),
    )
    assert names(root) == ["1", "models.config"]
    assert read_bundle(root / "1").manifest == read_bundle(plain).manifest
    assert (root / "1" / "manifest.json").read_bytes() == (plain / "manifest.json").read_bytes()
    for name, data in FILES.items():
        assert (root / "1" / name).read_bytes() == data
        top = root / "1" / name.removeprefix("saved_model/")
        assert top.samefile(root / "1" / name)  # No byte is stored twice.
        assert not top.samefile(plain / name)  # What becomes of the bundle is nothing to the version.
    assert kind_of(root / "1") is Kind.BUNDLE
    assert list(find_versions(root)) == [1]


def test_without_hard_links_the_saved_model_is_copied(plain: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    push(plain, root)
    assert (root / "1" / "saved_model.pb").read_bytes() == FILES["saved_model/saved_model.pb"]
    assert (root / "1" / "saved_model.pb").stat().st_nlink == 1


def test_numbers_go_up(plain: Path, root: Path) -> None:
    assert [push(plain, root, keep=9).version for _ in range(2)] == [1, 2]
    assert push(plain, root, keep=9, version=7).version == 7
    rollback(root)
    assert push(plain, root, keep=9).version == 8
    (root / "20").write_text("a file that is in the way")
    (root / "030").mkdir()
    assert push(plain, root, keep=9).version == 31
    assert push(plain, root, version=2**63 - 1).version == 2**63 - 1
    with pytest.raises(DataError, match=rf"^{root} has used version {2**63 - 1}, and there is no higher one; use an"):
        push(plain, root)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"version": 2},
            DataError,
            "--version 2 is not higher than 3, the highest that {root} has used (versions that were withdrawn count); "
            "leave it out for 4",
        ),
        ({"version": 0}, DataError, "--version is a whole number from 1 to 2**63-1, got 0"),
        ({"version": 2**63}, DataError, f"--version is a whole number from 1 to 2**63-1, got {2**63}"),
        ({"keep": 0}, DataError, "--keep is at least 1, got 0: the newest version always stays"),
        ({"labels": ["a", ""]}, DataError, "a label is a name that can be printed, got ''; try stable or canary"),
        ({"labels": ["a\nb"]}, DataError, "a label is a name that can be printed, got 'a\\nb'; try stable or canary"),
        ({"name": ""}, DataError, "--name is a name that can be printed, got ''"),
        (
            {"served_path": "models"},
            DataError,
            "--served-path is absolute, such as /models/ecg, got 'models': it is where the server finds it",
        ),
        (
            {"require_blessing": True},
            ProofError,
            "{bundle} carries no blessing (validation.json); validate it, or drop --require-blessing",
        ),
    ],
)
def test_refused_options(
    options: dict[str, Any], error: type[SeqshipError], message: str, plain: Path, root: Path
) -> None:
    push(plain, root)
    push(plain, root, version=3)
    rollback(root)
    before = names(root)
    with pytest.raises(error) as raised:
        push(plain, root, **options)
    assert str(raised.value) == message.format(root=root, bundle=plain)
    assert names(root) == before


def test_a_bundle_that_is_not_proven(tmp_path: Path, root: Path) -> None:
    bundle = plain_bundle(tmp_path / "bad", equivalent=False)
    with pytest.raises(
        ProofError,
        match=rf"^{bundle} is not proven equivalent; see its report.html, or add --force \(seqship serve then needs "
        r"--allow_unproven=true\)$",
    ) as raised:
        push(bundle, root)
    assert raised.value.exit_code == 1
    assert not root.exists()
    assert not push(bundle, root, force=True).proven


def test_what_is_no_bundle(tmp_path: Path, root: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        BundleError, match=r"is no bundle: it has no manifest.json; make one with seqship ship$"
    ) as raised:
        push(tmp_path / "empty", root)
    assert raised.value.exit_code == 2
    bare = plain_bundle(tmp_path / "bare", files={"report.html": b"a report"})
    with pytest.raises(BundleError, match=r"^.* holds neither model.onnx nor a SavedModel; export it again$"):
        push(bare, root)
    assert not root.exists()


def test_bundles_of_one_format(tmp_path: Path, root: Path) -> None:
    onnx = {name: data for name, data in FILES.items() if not name.startswith("saved_model/")}
    pushed = push(plain_bundle(tmp_path / "onnx", files=onnx), root)
    assert (pushed.onnx, pushed.saved_model) == (True, False)
    saved_model = {name: data for name, data in FILES.items() if name not in onnx}
    pushed = push(plain_bundle(tmp_path / "saved", files=saved_model), root)
    assert (pushed.onnx, pushed.saved_model) == (False, True)
    assert (root / "2" / "saved_model.pb").is_file()


def test_a_changed_file_is_refused(plain: Path, root: Path) -> None:
    (plain / "model.onnx").write_bytes(b"an onnx MODEL")
    with pytest.raises(TamperedError, match=r"model.onnx has changed \(sha256"):
        push(plain, root)
    assert not root.exists()


def test_what_the_manifest_does_not_name_is_left_out(plain: Path, root: Path) -> None:
    (plain / "notes.txt").write_text("mine")
    assert push(plain, root).left_out == ("notes.txt",)
    assert not (root / "1" / "notes.txt").exists()


def test_a_version_can_be_pushed_again(plain: Path, root: Path) -> None:
    push(plain, root)
    again = push(root / "1", root)
    assert (again.version, again.left_out) == (2, ())
    assert (root / "2" / "saved_model.pb").samefile(root / "2" / "saved_model" / "saved_model.pb")
    assert unnamed_files(read_bundle(root / "2")) == unnamed_files(read_bundle(root / "1"))


def test_links(root: Path, tmp_path: Path) -> None:
    """A link within the bundle is followed; one out of it is refused: another's file is not what was proven."""
    bundle = plain_bundle(tmp_path / "linked")
    (bundle / "model.onnx").unlink()
    (bundle / "other.bin").write_bytes(FILES["model.onnx"])
    (bundle / "model.onnx").symlink_to("other.bin")
    push(bundle, root)
    assert not (root / "1" / "model.onnx").is_symlink()
    assert (root / "1" / "model.onnx").read_bytes() == FILES["model.onnx"]
    outside = tmp_path / "outside"
    (bundle / "saved_model").rename(outside)
    (bundle / "saved_model").symlink_to(outside)
    with pytest.raises(TamperedError, match=r"is a link out of the bundle; put the file itself there$"):
        push(bundle, root)
    assert names(root) == ["1", "models.config"]


def test_a_saved_model_that_would_take_a_files_place(tmp_path: Path, root: Path) -> None:
    bundle = plain_bundle(tmp_path / "strange", files={**FILES, "saved_model/model.onnx": b"another"})
    with pytest.raises(BundleError, match=r"saved_model/model.onnx would take the place of model.onnx in a version$"):
        push(bundle, root)


def test_roots_that_are_none(plain: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"is a file; MODEL_ROOT is the directory above a model's versions$"):
        push(plain, tmp_path / "file")
    with pytest.raises(OutputError, match=r"^cannot write .*: a file is in the way where a directory is needed"):
        push(plain, tmp_path / "file" / "ecg")
    with pytest.raises(DataError, match="is itself a bundle or model; MODEL_ROOT is the directory above a model's"):
        push(plain, plain_bundle(tmp_path / "other"))
    with pytest.raises(DataError, match=r"lies in the bundle .*; MODEL_ROOT is a directory of its own$"):
        push(plain, plain / "models")
    assert not (plain / "models").exists()


def test_a_number_that_is_there_twice(plain: Path, root: Path) -> None:
    push(plain, root)
    (root / "01").mkdir()
    with pytest.raises(DataError, match=rf"^{root} holds version 1 twice, 01 and 1; move one$"):
        push(plain, root)


def test_the_oldest_go(plain: Path, root: Path) -> None:
    for _ in range(3):
        assert push(plain, root).removed == ()
    assert push(plain, root).removed == (1,)
    assert push(plain, root, keep=1).removed == (2, 3, 4)
    assert names(root) == ["5", "models.config"]


def test_labelled_versions_stay(plain: Path, root: Path) -> None:
    push(plain, root, labels=["stable", "old"])
    push(plain, root, labels=["canary"], keep=1)
    # A server has 2 on the label canary until it has loaded 3, so that 2 stays for now.
    assert push(plain, root, labels=["canary"], keep=1).removed == ()
    label(root, remove=["old"])
    assert push(plain, root, keep=1).removed == (2,)
    assert names(root) == ["1", "3", "4", "models.config"]


def test_what_was_not_pushed_stays(plain: Path, root: Path) -> None:
    (root / "1").mkdir(parents=True)
    (root / "1" / "saved_model.pb").write_text("somebody's")
    push(plain, root, keep=1)
    assert push(plain, root, keep=1).removed == (2,)
    assert (root / "1" / "saved_model.pb").read_text() == "somebody's"


def test_a_version_that_is_a_link_loses_the_link(plain: Path, root: Path) -> None:
    root.mkdir(parents=True)
    (root / "1").symlink_to(plain)
    push(plain, root, keep=1)
    assert names(root) == ["2", "models.config"]
    assert (plain / "manifest.json").is_file()


def test_withdrawn_versions_have_their_own_limit(plain: Path, root: Path) -> None:
    for _ in range(5):
        push(plain, root, keep=9)
    rollback(root, to=1)
    pushed = push(plain, root, keep=2)
    assert (pushed.version, pushed.removed, pushed.removed_withdrawn) == (6, (), (2, 3))
    assert names(root) == [".withdrawn-4", ".withdrawn-5", "1", "6", "models.config"]


def test_a_version_that_cannot_be_removed_stays(plain: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    push(plain, root, keep=1)
    rename = Path.rename

    def refuse(path: Path, target: Path) -> Path:
        if path.name == "1":
            raise PermissionError(13, "Permission denied")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse)
    assert push(plain, root, keep=1).removed == ()
    monkeypatch.undo()
    assert push(plain, root, keep=1).removed == (1, 2)


def test_the_root_is_found_by_a_relative_path(plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pushed = push("bundle", "models")
    assert str(pushed.path) == "models/1"
    assert f'base_path: "{tmp_path}/models"' in Path("models/models.config").read_text()
    assert [one.number for one in versions("models")] == [1]
