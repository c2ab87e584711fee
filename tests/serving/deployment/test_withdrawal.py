"""A rollback withdraws versions, and their labels follow."""

from __future__ import annotations

from pathlib import Path

import pytest

from seqship.errors import DataError
from seqship.export.bundle import read_bundle
from seqship.serving.deployment import label, push, rollback, versions
from seqship.serving.server.layout import find_versions
from tests.serving.deployment.plain_bundle import names


@pytest.fixture
def four(plain: Path, root: Path) -> Path:
    for _ in range(4):
        push(plain, root, keep=9)
    return root


def test_the_newest_is_withdrawn(four: Path) -> None:
    rolled = rollback(four)
    assert (rolled.version, rolled.path, rolled.withdrawn, rolled.moved) == (3, four / "3", (4,), ())
    assert names(four) == [".withdrawn-4", "1", "2", "3", "models.config"]
    assert list(find_versions(four)) == [1, 2, 3]
    assert read_bundle(four / ".withdrawn-4").equivalent
    assert rollback(four).withdrawn == (3,)


def test_every_version_above_is_withdrawn_and_labels_follow(four: Path) -> None:
    label(four, {"stable": 1, "canary": 4, "next": 3})
    rolled = rollback(four, to=2)
    assert (rolled.version, rolled.withdrawn, rolled.moved) == (2, (3, 4), ("canary", "next"))
    assert {one.number: one.labels for one in versions(four)} == {4: (), 3: (), 2: ("canary", "next"), 1: ("stable",)}
    again = rollback(four, to=2)
    assert (again.version, again.withdrawn, again.moved) == (2, (), ())


def test_the_newest_goes_last(four: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever polls falls back once: at no time is one of those in between the newest."""
    rename, newest = Path.rename, list[int]()

    def watch(path: Path, target: Path) -> Path:
        moved = rename(path, target)
        newest.append(max(find_versions(four)))
        return moved

    monkeypatch.setattr(Path, "rename", watch)
    rollback(four, to=1)
    assert newest == [4, 4, 1]


def test_labels_leave_before_their_version_goes(four: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    label(four, {"canary": 4})

    def stop(path: Path, target: Path) -> Path:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "rename", stop)
    with pytest.raises(Exception, match=rf"^cannot write {four}: permission denied"):
        rollback(four)
    assert versions(four)[0].number == 4 and not versions(four)[0].withdrawn
    assert versions(four)[1].labels == ("canary",)
    monkeypatch.undo()
    assert rollback(four).withdrawn == (4,)


def test_a_label_of_a_version_that_somebody_removed(four: Path) -> None:
    label(four, {"stable": 1, "canary": 4})
    for number in (1, 4):
        (four / str(number)).rename(four / f"gone-{number}")
    rolled = rollback(four)
    assert (rolled.version, rolled.withdrawn, rolled.moved, rolled.dropped) == (2, (3,), ("canary",), ("stable",))


def test_nothing_to_go_back_to(plain: Path, root: Path) -> None:
    with pytest.raises(DataError, match=f"^no versions at {root}: no such file or directory; push a bundle first"):
        rollback(root)
    assert not root.exists()
    root.mkdir(parents=True)
    with pytest.raises(DataError, match=f"^nothing to go back to in {root}: there is no version$"):
        rollback(root)
    push(plain, root)
    with pytest.raises(DataError, match=f"^nothing to go back to in {root}: version 1 is all there is$"):
        rollback(root)
    with pytest.raises(DataError, match=f"^{root} has no version 2; the versions there are: 1$"):
        rollback(root, to=2)
    push(plain, root)
    rollback(root)
    with pytest.raises(DataError, match=f"^version 2 of {root} was withdrawn; the versions there are: 1$"):
        rollback(root, to=2)
    (root / "2").mkdir()
    with pytest.raises(DataError, match=rf"^{root}/\.withdrawn-2 is in the way of withdrawing 2; remove it$"):
        rollback(root)
    assert names(root) == [".withdrawn-2", "1", "2", "models.config"]
