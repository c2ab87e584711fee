"""Whatever becomes of a push, no part of a version is ever seen, and the next push finds a clean root."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from seqship.errors import OutputError, TamperedError
from seqship.export.bundle import read_bundle, write_manifest
from seqship.serving.deployment import label, push, rollback, versions
from seqship.serving.deployment.model_root import locked
from tests.serving.deployment.plain_bundle import FILES, names, plain_bundle

SCRIPT = Path(__file__).with_name("push_process.py")
KILLS = 20


def start(end: object, bundle: Path, root: Path) -> subprocess.Popen[str]:
    command = [sys.executable, str(SCRIPT), str(end), str(bundle), str(root)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A bundle with a file that is copied in many pieces."""
    data = random.Random(4).randbytes(8 << 20)
    return plain_bundle(tmp_path / "large", files={**FILES, "saved_model/variables/variables.data": data})


def test_a_push_that_is_killed_leaves_whole_versions(large: Path, root: Path) -> None:
    for _ in range(3):
        push(large, root, keep=2)
    whole = start(0, large, root)
    out, err = whole.communicate(timeout=60)
    assert whole.returncode == 0, err
    lines = int(out)
    chosen = random.Random(9)
    # A few at the very end, where versions come, labels move and versions go; the others anywhere.
    moments = [chosen.randrange(1, lines) for _ in range(KILLS - 8)] + [lines - 25 * step for step in range(8)]
    for moment in moments:
        highest = max(one.number for one in versions(root))
        killed = start(moment, large, root)
        assert killed.wait(60) == -signal.SIGKILL
        found = versions(root)
        assert found[0].number in (highest, highest + 1)
        for one in found:
            assert read_bundle(one.path).equivalent
        assert len([one for one in found if "canary" in one.labels]) == 1
        assert push(large, root, keep=2, labels=["canary"]).version == found[0].number + 1
        assert not [name for name in names(root) if name.startswith(".push-")]
        assert 2 <= len(versions(root)) <= 3


def test_rollbacks_that_are_killed_are_ended_by_the_next(plain: Path, root: Path) -> None:
    for _ in range(4):
        push(plain, root, keep=9)
    label(root, {"canary": 4})
    kill = (
        "import os, pathlib, signal, sys\n"
        "from seqship.serving.deployment import rollback\n"
        "rename, left = pathlib.Path.rename, [int(sys.argv[2])]\n"
        "def die(path, target):\n"
        "    if not left[0]:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    left[0] -= 1\n"
        "    return rename(path, target)\n"
        "pathlib.Path.rename = die\n"
        "rollback(sys.argv[1], to=1)\n"
    )
    for renames, there in ((0, [4, 3, 2, 1]), (1, [4, 3, 1]), (1, [4, 1])):
        killed = subprocess.run([sys.executable, "-c", kill, str(root), str(renames)], check=False)
        assert killed.returncode == -signal.SIGKILL
        left = [one for one in versions(root) if not one.withdrawn]
        assert [one.number for one in left] == there
        assert left[-1].labels == ("canary",)
    assert rollback(root, to=1).withdrawn == (4,)


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Generator[Path]:
    """A disk of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"mount is not permitted: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk(plain: Path, large: Path, tiny_disk: Path) -> None:
    root = tiny_disk / "ecg"
    push(plain, root)
    before = (root / "models.config").read_bytes()
    message = f"cannot write {root}/2: no space left on the disk; free some, or choose a path on another disk"
    with pytest.raises(OutputError) as raised:
        push(large, root, labels=["canary"])
    assert str(raised.value) == message
    assert names(root) == ["1", "models.config"]
    assert (root / "models.config").read_bytes() == before
    assert push(plain, root).version == 2


def test_a_read_only_root(plain: Path, tiny_disk: Path) -> None:
    root = tiny_disk / "ecg"
    push(plain, root)
    push(plain, root)
    subprocess.run(["mount", "-o", "remount,ro", str(tiny_disk)], check=True)
    for attempt in (lambda: push(plain, root), lambda: rollback(root), lambda: label(root, {"stable": 1})):
        with pytest.raises(OutputError, match=f"^cannot write {root}: permission denied; choose a path that can be"):
            attempt()
    assert [one.number for one in versions(root)] == [2, 1]


def test_a_file_that_is_larger_than_allowed(large: Path, root: Path) -> None:
    # The launched process limits itself: Python code between fork and exec (preexec_fn) aborts at times in a process
    # that holds gRPC's or TensorFlow's threads, as this one does when other tests ran before.
    launch = (
        "import os, resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))\n"
        "os.execv(sys.executable, [sys.executable, '-m', 'seqship', *sys.argv[1:]])\n"
    )
    command = [sys.executable, "-c", launch, "push", str(large), str(root)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stderr == f"seqship: error: cannot write {root}/1: file too large\n"
    assert (done.returncode, done.stdout) == (2, "")
    assert names(root) == []


@pytest.mark.parametrize("same_size", [True, False])
def test_a_bundle_that_changes_while_it_is_copied(same_size: bool, plain: Path, root: Path) -> None:
    push(plain, root)

    def change(what: str, done: int, total: int) -> None:
        if (what, done) == ("copying", 0):
            (plain / "model.onnx").write_bytes(FILES["model.onnx"].upper() if same_size else b"")

    with pytest.raises(
        TamperedError, match=rf"^{plain} changed while it was copied: model.onnx has changed \(.*\); pu"
    ):
        push(plain, root, progress=change)
    assert names(root) == ["1", "models.config"]


def test_a_file_that_goes_while_it_is_to_be_copied(plain: Path, root: Path) -> None:
    def remove(what: str, done: int, total: int) -> None:
        (plain / "model.onnx").unlink(missing_ok=True)

    with pytest.raises(TamperedError, match=f"^{plain} changed while it was read: model.onnx; push it again$"):
        push(plain, root, progress=remove)
    assert names(root) == []


def test_a_bundle_that_is_replaced_while_it_is_copied_is_pushed_as_it_was(plain: Path, root: Path) -> None:
    """Its manifest and files were replaced after they were checked: either all is as it was proven, or nothing is."""

    def replace(what: str, done: int, total: int) -> None:
        manifest = json.loads((plain / "manifest.json").read_text())
        (plain / "report.html").write_text("another report")
        write_manifest(plain, {key: value for key, value in manifest.items() if key != "files"} | {"name": "other"})

    with pytest.raises(TamperedError, match=f"^{plain} changed while it was copied: report.html has changed"):
        push(plain, root, progress=replace)
    assert names(root) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("no")])
def test_nothing_is_left_of_a_push_that_is_interrupted(error: BaseException, plain: Path, root: Path) -> None:
    def stop(what: str, done: int, total: int) -> None:
        if done == 3:
            raise error

    with pytest.raises(type(error)):
        push(plain, root, progress=stop)
    assert names(root) == []
    assert push(plain, root).version == 1


def test_two_pushes_at_once_both_land(plain: Path, root: Path) -> None:
    push(plain, root)
    with locked(root):
        both = [start("wait", plain, root) for _ in range(2)]
        for one in both:
            assert one.stdout is not None
            assert one.stdout.readline() == "waiting for another push\n"
        assert [one.number for one in versions(root)] == [1]
    said = [one.communicate(timeout=60) for one in both]
    assert sorted(int(out) for out, _ in said) == [2, 3], said
    assert [one.number for one in versions(root)] == [3, 2, 1]


def test_what_killed_pushes_left_is_removed(plain: Path, root: Path) -> None:
    (root / ".push-1-abc" / "saved_model").mkdir(parents=True)
    (root / ".push-models.config-abc").write_text("half")
    (root / ".push-link").symlink_to(plain)
    (root / ".mine").touch()
    push(plain, root)
    assert names(root) == [".mine", "1", "models.config"]
    assert read_bundle(plain).equivalent


def test_a_version_that_does_not_get_its_number_is_not_named(
    plain: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(plain, root, labels=["canary"])
    before = (root / "models.config").read_bytes()

    def refuse(path: Path, target: Path) -> Path:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(OutputError, match=f"^cannot write {root}/2: input/output error$"):
        push(plain, root, labels=["canary"])
    assert names(root) == ["1", "models.config"]
    assert (root / "models.config").read_bytes() == before
