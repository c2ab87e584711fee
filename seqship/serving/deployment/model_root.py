"""What lies in a MODEL_ROOT, the base path of one model: its versions, those withdrawn, and what pushes leave behind.

A version is a directory with a number for a name, as for TensorFlow Serving
(`sources/storage_path/file_system_storage_path_source.cc`); a name that begins with a dot is none.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import shutil
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path

from seqship.atomic import writing_to
from seqship.errors import DataError, OutputError
from seqship.export.bundle import MANIFEST, ONNX_FILE
from seqship.progress import Progress, silent

LARGEST = 2**63 - 1
"""Versions are int64."""
LOCK = ".push.lock"
_TEMPORARY = ".push-"
_WITHDRAWN = re.compile(r"\.withdrawn-([0-9]+)")
_VERSION = re.compile(r"[0-9]+")


@dataclass(frozen=True)
class Contents:
    """What lies in a MODEL_ROOT.

    Attributes:
        versions: Directory of each version, the lowest number first.
        withdrawn: Directory of each withdrawn version, likewise.
        highest: The highest number that was ever used and is still known of; 0 where there is none.
    """

    versions: Mapping[int, Path]
    withdrawn: Mapping[int, Path]
    highest: int

    @property
    def newest(self) -> int:
        """The version that is served where no label is asked for; there must be one."""
        return max(self.versions)


def read_root(root: Path) -> Contents:
    """Lists the versions below a base path.

    Raises:
        DataError: It cannot be read, or one number is there twice.
    """
    versions: dict[int, Path] = {}
    withdrawn: dict[int, Path] = {}
    used = {0}
    try:
        children = sorted(root.iterdir())
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DataError(f"no versions at {root}: {reason}; push a bundle first: seqship push BUNDLE {root}") from None
    for child in children:
        for pattern, found in ((_VERSION, versions), (_WITHDRAWN, withdrawn)):
            match = pattern.fullmatch(child.name)
            if match is None or (number := int(match[match.lastindex or 0])) > LARGEST:
                continue
            used.add(number)
            if not child.is_dir():
                continue
            if number in found:
                raise DataError(f"{root} holds version {number} twice, {found[number].name} and {child.name}; move one")
            found[number] = child
    return Contents(dict(sorted(versions.items())), dict(sorted(withdrawn.items())), max(used))


def check_root(root: Path) -> None:
    """Refuses what cannot be the base path of a model.

    Raises:
        OutputError: It is a file.
        DataError: It is itself a model.
    """
    if root.exists() and not root.is_dir():
        raise OutputError(f"{root} is a file; MODEL_ROOT is the directory above a model's versions")
    if any((root / name).exists() for name in (MANIFEST, ONNX_FILE, "saved_model.pb")):
        raise DataError(
            f"{root} is itself a bundle or model; MODEL_ROOT is the directory above a model's versions: name another"
        )


def at(root: Path, number: int, contents: Contents) -> Path:
    """Returns the directory of a version.

    Raises:
        DataError: It is not there; those that are, are named.
    """
    if number in contents.versions:
        return contents.versions[number]
    there = ", ".join(map(str, contents.versions)) or "none"
    told = (
        f"version {number} of {root} was withdrawn"
        if number in contents.withdrawn
        else f"{root} has no version {number}"
    )
    raise DataError(f"{told}; the versions there are: {there}")


@contextlib.contextmanager
def locked(root: Path, progress: Progress = silent) -> Generator[None]:
    """Holds the lock of a MODEL_ROOT; whoever changes anything in it does.

    Another one that holds it is waited for rather than told: a push takes seconds, its outcome does not depend on the
    other's (each takes a number of its own), and two pipelines that end at the same time shall both land. The system
    gives the lock of a killed process back, so that a wait always ends. What killed ones left behind is removed.

    Raises:
        OutputError: The root cannot be written to.
    """
    with writing_to(root):
        descriptor = os.open(root / LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("waiting for another push", 0, 1)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        _sweep(root)
        yield
    finally:
        os.close(descriptor)


def temporary(root: Path, what: str) -> Path:
    """Returns a path in the root that no server takes for a version, and that the next push removes."""
    return root / f"{_TEMPORARY}{what}-{secrets.token_hex(4)}"


def withdrawn_path(root: Path, number: int) -> Path:
    """Returns where a version goes that is withdrawn."""
    return root / f".withdrawn-{number}"


def remove(root: Path, directory: Path) -> bool:
    """Removes a version; no poller sees a part of it, since it loses its name first.

    Returns:
        Whether it is gone. What cannot be removed stays, and the next push tries again.
    """
    gone = temporary(root, f"removed-{directory.name.removeprefix('.')}")
    try:
        directory.rename(gone)
    except OSError:
        return False
    delete(gone)
    return True


def delete(path: Path) -> None:
    """Deletes what has no name as a version any more; what resists is left to the next push."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def sync(directory: Path) -> None:
    """Makes the names in a directory outlast a loss of power."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sweep(root: Path) -> None:
    for left in root.glob(f"{_TEMPORARY}*"):
        delete(left)
