"""Files and directories that exist whole or not at all.

What is written goes to a temporary sibling, is synced to the disk, and then gets its name in one rename. A sibling is
locked for as long as its writer lives; what a killed writer left behind is unlocked, and the next writer removes it.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import secrets
import shutil
import sys
from collections.abc import Generator
from pathlib import Path

from seqship.errors import OutputError

_LOCK = ".lock"
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


class _DiskError(OutputError):
    """The disk did not take the output."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"cannot write {path}: {reason}")
        self.reason = reason


def write_file(path: Path, data: bytes) -> None:
    """Writes one file under its name at once, whole and synced.

    Raises:
        OutputError: The disk is full, or the folder cannot be written to.
    """
    sibling = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    with writing_to(path):
        try:
            with sibling.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            sibling.replace(path)
        finally:
            sibling.unlink(missing_ok=True)
        _sync(path.parent)


@contextlib.contextmanager
def writing_to(path: Path) -> Generator[None]:
    """Turns the failures of a disk into one line that names the output.

    Raises:
        OutputError: Anything of the kind happened within the block.
    """
    try:
        yield
    except OSError as error:
        raise _DiskError(path, _reason(error)) from error
    except OutputError as error:
        # A part of the output: its name is a temporary one, which says nothing to who asked for the whole.
        if isinstance(error, _DiskError):
            raise _DiskError(path, error.reason) from error
        if isinstance(error.__cause__, OSError):
            raise _DiskError(path, _reason(error.__cause__)) from error
        raise
    except Exception as error:
        # TensorFlow's file system raises its own types, and says little more than that a write failed.
        if type(error).__module__.startswith("tensorflow") and _is_full(path):
            raise _DiskError(path, _reason(OSError(errno.ENOSPC, ""))) from error
        raise


def check_output(path: Path, *, force: bool) -> None:
    """Refuses an output directory early, before hours of work are lost to it.

    Raises:
        OutputError: It exists and `force` is off, it is a file, or its parent cannot be written to.
    """
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        raise OutputError(f"the output {path} is not a directory; choose another path")
    if path.exists() and not force:
        raise OutputError(f"the output {path} exists; choose another path or add --force")
    if path.exists() and any(path.iterdir()) and not (path / "manifest.json").is_file():
        raise OutputError(f"the output {path} exists and is no bundle; --force replaces bundles only")
    check_parent(path)


def check_parent(path: Path) -> None:
    """Refuses an output that could not be made.

    Raises:
        OutputError: Its parent cannot be written to.
    """
    parent = next(parent for parent in path.absolute().parents if parent.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise OutputError(f"cannot write {path}: {parent} is not a directory that can be written to")


@contextlib.contextmanager
def write_directory(path: Path, *, force: bool = False) -> Generator[Path]:
    """Yields a temporary sibling to fill; when the block ends well, it becomes `path`.

    Args:
        path: The directory to make.
        force: Whether an existing bundle under that name is replaced. On Linux the two are exchanged in one step, so
            that there is a whole one under the name at any time.

    Raises:
        OutputError: `path` exists and `force` is off, or the disk does not take it.
    """
    check_output(path, force=force)
    path = Path(os.path.abspath(path))  # noqa: PTH100  ("." has no name to make a sibling of; links stay as they are)
    with writing_to(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(path)
        sibling = path.with_name(f"{_prefix(path)}{secrets.token_hex(4)}")
        sibling.mkdir()
        lock = os.open(sibling / _LOCK, os.O_CREAT | os.O_RDWR)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield sibling
            (sibling / _LOCK).unlink()
            for folder, _, files in os.walk(sibling):
                for name in files:
                    _sync(Path(folder, name))
                _sync(Path(folder))
            _put(sibling, path)
            _sync(path.parent)
        finally:
            os.close(lock)
            shutil.rmtree(sibling, ignore_errors=True)


def _put(sibling: Path, path: Path) -> None:
    if not path.exists():
        sibling.rename(path)
        return
    if _exchange(sibling, path):
        return  # The old one has the sibling's name now, and is removed with it.
    # Without an exchange (not Linux, or a file system without it) the name is free for a moment, never half taken.
    old = path.with_name(f"{_prefix(path)}{secrets.token_hex(4)}")
    path.rename(old)
    sibling.rename(path)
    shutil.rmtree(old, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    if not sys.platform.startswith("linux"):
        return False
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    done: int = rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE)
    return done == 0


def _prefix(path: Path) -> str:
    return f".{path.name}.seqship-"


def _remove_abandoned(path: Path) -> None:
    for sibling in path.parent.glob(f"{_prefix(path)}*"):
        try:
            lock = os.open(sibling / _LOCK, os.O_RDWR)
        except OSError:
            continue  # Not locked yet, or past it: its writer is at work, or it is nobody's.
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(sibling, ignore_errors=True)
        except OSError:
            pass  # Its writer lives.
        finally:
            os.close(lock)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _reason(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "no space left on the disk; free some, or choose a path on another disk"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "permission denied; choose a path that can be written to"
    if error.errno in (errno.EEXIST, errno.ENOTDIR):
        return "a file is in the way where a directory is needed; choose another path"
    return f"{error.strerror or error}".lower()


def _is_full(path: Path) -> bool:
    parent = next(parent for parent in path.absolute().parents if parent.exists())
    state = os.statvfs(parent)
    return state.f_bavail * state.f_frsize < 1 << 20
