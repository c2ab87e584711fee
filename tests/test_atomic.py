"""Files and directories exist whole or not at all, whatever becomes of their writer."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Generator
from pathlib import Path

import pytest

from seqship.atomic import check_output, write_directory, write_file
from seqship.errors import ModelError, OutputError

NO_SPACE = r"^cannot write {}: no space left on the disk; free some, or choose a path on another disk$"


def listing(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def make_bundle(path: Path, text: str = "old") -> None:
    path.mkdir()
    (path / "manifest.json").write_text(text)


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Generator[Path]:
    """A disk of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"mount is not permitted: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


# --- write_file


def test_a_file_is_written_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    write_file(path, b"one")
    write_file(path, b"two")
    assert path.read_bytes() == b"two"
    assert listing(tmp_path) == ["model.onnx"]


def test_a_full_disk_leaves_the_file_as_it_was(tiny_disk: Path) -> None:
    path = tiny_disk / "model.onnx"
    write_file(path, b"old")
    with pytest.raises(OutputError, match=NO_SPACE.format(path)):
        write_file(path, bytes(2 << 20))
    assert path.read_bytes() == b"old"
    assert listing(tiny_disk) == ["model.onnx"]


def test_a_file_in_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "folder").write_text("a file")
    path = tmp_path / "folder" / "model.onnx"
    with pytest.raises(
        OutputError,
        match=rf"^cannot write {path}: a file is in the way where a directory is needed; choose another path$",
    ):
        write_file(path, b"data")
    assert listing(tmp_path) == ["folder"]


def test_a_file_in_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "model.onnx"
    with pytest.raises(OutputError, match=rf"^cannot write {path}: no such file or directory$"):
        write_file(path, b"data")
    assert listing(tmp_path) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    path = tmp_path / "model.onnx"
    with pytest.raises(OutputError, match=rf"^cannot write {path}: permission denied; choose a path that can be"):
        write_file(path, b"data")
    with pytest.raises(OutputError, match=r"is not a directory that can be written to$"):
        check_output(tmp_path / "bundle", force=False)


# --- write_directory


def test_a_directory_appears_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "bundle"
    with write_directory(path) as folder:
        (folder / "inner").mkdir()
        (folder / "inner" / "data").write_text("whole")
        assert not path.exists()
        assert folder.parent == path.parent  # The same disk, so that a rename is enough.
    assert listing(tmp_path) == ["deep", "deep/bundle", "deep/bundle/inner", "deep/bundle/inner/data"]


@pytest.mark.parametrize("error", [ModelError("no"), KeyboardInterrupt(), RuntimeError("no")])
def test_nothing_is_left_of_a_block_that_fails(error: BaseException, tmp_path: Path) -> None:
    make_bundle(tmp_path / "bundle")
    before = listing(tmp_path)
    with pytest.raises(type(error)), write_directory(tmp_path / "bundle", force=True) as folder:
        (folder / "manifest.json").write_text("new")
        raise error
    assert listing(tmp_path) == before
    assert (tmp_path / "bundle" / "manifest.json").read_text() == "old"


def test_an_existing_directory_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "bundle"
    make_bundle(path)
    with (
        pytest.raises(OutputError, match=rf"^the output {path} exists; choose another path or add --force$"),
        write_directory(path),
    ):
        pytest.fail("the block must not run")
    assert listing(tmp_path) == ["bundle", "bundle/manifest.json"]


def test_force_replaces_a_bundle_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "bundle"
    make_bundle(path)
    (path / "old-file").write_text("old")
    with write_directory(path, force=True) as folder:
        (folder / "manifest.json").write_text("new")
        assert (path / "manifest.json").read_text() == "old"
    assert (path / "manifest.json").read_text() == "new"
    assert listing(tmp_path) == ["bundle", "bundle/manifest.json"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="renameat2 is Linux's")
def test_a_bundle_is_there_at_any_time_while_it_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "bundle"
    make_bundle(path)
    # A reader in another process looks as fast as it can; a moment without a bundle is one that it misses.
    code = """
        import sys, pathlib
        path, missed, seen = pathlib.Path(sys.argv[1]) / "manifest.json", 0, 0
        print("ready", flush=True)
        while not (path.parent.parent / "stop").exists():
            for _ in range(200):
                seen += 1
                try:
                    path.read_text()
                except FileNotFoundError:
                    missed += 1
        print(seen > 0, missed)
    """
    reader = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), str(path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "ready\n"
        for turn in range(100):
            with write_directory(path, force=True) as folder:
                (folder / "manifest.json").write_text(str(turn))
        (tmp_path / "stop").touch()
        assert reader.communicate(timeout=20)[0] == "True 0\n"
    finally:
        reader.kill()


def test_force_without_an_exchange_replaces_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from seqship import atomic

    monkeypatch.setattr(atomic, "_exchange", lambda *_: False)  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]
    make_bundle(tmp_path / "bundle")
    with write_directory(tmp_path / "bundle", force=True) as folder:
        (folder / "manifest.json").write_text("new")
    assert (tmp_path / "bundle" / "manifest.json").read_text() == "new"
    assert listing(tmp_path) == ["bundle", "bundle/manifest.json"]


def test_force_does_not_replace_what_is_no_bundle(tmp_path: Path) -> None:
    path = tmp_path / "thesis"
    path.mkdir()
    (path / "chapter-1").write_text("years of work")
    message = rf"^the output {path} exists and is no bundle; --force replaces bundles only$"
    with pytest.raises(OutputError, match=message), write_directory(path, force=True):
        pytest.fail("the block must not run")
    assert (path / "chapter-1").read_text() == "years of work"


def test_force_takes_an_empty_directory(tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    with write_directory(tmp_path / "bundle", force=True) as folder:
        (folder / "manifest.json").write_text("new")
    assert listing(tmp_path) == ["bundle", "bundle/manifest.json"]


def test_the_working_directory_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_bundle(tmp_path / "bundle")
    monkeypatch.chdir(tmp_path / "bundle")
    with write_directory(Path(), force=True) as folder:
        (folder / "manifest.json").write_text("new")
    assert (tmp_path / "bundle" / "manifest.json").read_text() == "new"
    assert listing(tmp_path) == ["bundle", "bundle/manifest.json"]


@pytest.mark.parametrize("force", [False, True])
def test_a_file_or_a_link_is_not_replaced(force: bool, tmp_path: Path) -> None:
    make_bundle(tmp_path / "bundle")
    (tmp_path / "file").write_text("kept")
    (tmp_path / "link").symlink_to("bundle")
    for name in ("file", "link"):
        message = rf"^the output {tmp_path / name} is not a directory; choose another path$"
        with pytest.raises(OutputError, match=message):
            check_output(tmp_path / name, force=force)
    check_output(tmp_path / "new" / "deep", force=force)
    assert not (tmp_path / "new").exists()


def test_a_parent_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    path = tmp_path / "file" / "bundle"
    message = rf"^cannot write {path}: {tmp_path / 'file'} is not a directory that can be written to$"
    with pytest.raises(OutputError, match=message):
        check_output(path, force=False)


def test_a_full_disk_leaves_nothing(tiny_disk: Path) -> None:
    path = tiny_disk / "bundle"
    make_bundle(path)
    with pytest.raises(OutputError, match=NO_SPACE.format(path)), write_directory(path, force=True) as folder:
        (folder / "weights").write_bytes(bytes(2 << 20))
    assert listing(tiny_disk) == ["bundle", "bundle/manifest.json"]


# --- Writers that die, and writers that live.

WRITER = """
    import sys, pathlib
    from seqship.atomic import write_directory

    with write_directory(pathlib.Path(sys.argv[1])) as folder:
        (folder / "half").write_text("half")
        print("writing", flush=True)
        sys.stdin.read()
"""


def start_writer(path: Path) -> subprocess.Popen[str]:
    writer = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(WRITER), str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == "writing\n"
    return writer


def test_what_a_killed_writer_left_is_removed_by_the_next(tmp_path: Path) -> None:
    path = tmp_path / "bundle"
    writer = start_writer(path)
    writer.send_signal(signal.SIGKILL)
    writer.communicate()
    assert any("half" in name for name in listing(tmp_path))
    assert not path.exists()
    with write_directory(path) as folder:
        (folder / "manifest.json").write_text("new")
    assert listing(tmp_path) == ["bundle", "bundle/manifest.json"]


def test_what_a_living_writer_writes_stays(tmp_path: Path) -> None:
    path = tmp_path / "bundle"
    writer = start_writer(path)
    try:
        (half,) = [name for name in listing(tmp_path) if name.endswith("half")]
        with write_directory(path) as folder:
            (folder / "manifest.json").write_text("new")
        assert (tmp_path / half).read_text() == "half"
    finally:
        writer.kill()
        writer.communicate()


def test_a_sibling_of_another_output_stays(tmp_path: Path) -> None:
    for name in ("bundle-2", ".bundle.mine", ".bundle.seqship-ours"):
        make_bundle(tmp_path / name)
    with write_directory(tmp_path / "bundle") as folder:
        (folder / "manifest.json").write_text("new")
    assert {path.name for path in tmp_path.iterdir()} == {"bundle", "bundle-2", ".bundle.mine", ".bundle.seqship-ours"}
