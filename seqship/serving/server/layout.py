"""What the directory of a version holds, and which directories below a base path are versions."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path

from seqship.errors import BundleError
from seqship.export.bundle import MANIFEST, ONNX_FILE, SAVED_MODEL

SAVED_MODEL_FILE = "saved_model.pb"
_LOCK = ".lock"
_LARGEST = 2**63 - 1


class Kind(Enum):
    """What a directory can be served from."""

    BUNDLE = "bundle"
    ONNX = "onnx"
    SAVED_MODEL = "saved_model"


def kind_of(directory: Path) -> Kind | None:
    """Tells what a version's directory holds; None for what is no model, or not whole yet.

    The manifest is written last: a bundle without one is still being copied.
    """
    if (directory / _LOCK).exists():
        return None
    if (directory / MANIFEST).is_file():
        return Kind.BUNDLE
    if (directory / SAVED_MODEL).is_dir() or (directory / "verification").is_dir():
        return None
    if (directory / ONNX_FILE).is_file():
        return Kind.ONNX
    return Kind.SAVED_MODEL if (directory / SAVED_MODEL_FILE).is_file() else None


def find_versions(base_path: Path, *, settle_seconds: float = 0) -> Mapping[int, Path]:
    """Returns the directories of the versions below a base path; what bears no number is none.

    Args:
        base_path: Directory above the versions.
        settle_seconds: For how long nothing may have changed in a version that has no manifest: nothing else tells
            that one is whole.

    Raises:
        BundleError: The base path cannot be read, or is itself a model.
    """
    try:
        children = sorted(base_path.iterdir())
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise BundleError(f"Could not find base path {base_path}: {reason}") from None
    numbered = {
        int(child.name): child
        for child in children
        if child.name.isascii() and child.name.isdigit() and int(child.name) <= _LARGEST and child.is_dir()
    }
    if not numbered:
        refuse_bare_model(base_path)
    return {number: child for number, child in numbered.items() if _is_whole(child, settle_seconds)}


def _is_whole(directory: Path, settle_seconds: float) -> bool:
    try:
        kind = kind_of(directory)
    except OSError:  # It may not be read: to load it fails, and says why, while the other versions serve on.
        return True
    if kind is None or kind is Kind.BUNDLE or not settle_seconds:
        return kind is not None
    try:
        changed = max(path.stat().st_ctime for path in (directory, *directory.rglob("*")))
    except OSError:  # It is being changed right now.
        return False
    return not 0 <= datetime.now(UTC).timestamp() - changed < settle_seconds


def refuse_bare_model(base_path: Path) -> None:
    """Raises BundleError where a base path is itself what should stand in a version's directory below it."""
    if any((base_path / name).exists() for name in (MANIFEST, ONNX_FILE, SAVED_MODEL_FILE)):
        raise BundleError(
            f"{base_path} is itself a model; the base path is the directory above its versions: move it to "
            f"{base_path}/1, or copy it to ROOT/1 and give ROOT"
        )


def refuse_links_out(directory: Path) -> None:
    """Refuses a version that is, or holds, a link to what lies outside of its base path.

    Links within the base path are those that volumes and atomic copies are made of. One that leads out would serve, or
    show in an error, any file that the server may read.

    Args:
        directory: The version's directory; the one above it is the base path, which may itself be reached by links.

    Raises:
        BundleError: There is one; it is named, and where it leads.
    """
    base = directory.parent.resolve()
    for path in (directory, *directory.rglob("*")):
        if path.is_symlink() and not (target := path.resolve()).is_relative_to(base):
            raise BundleError(
                f"{path} is a link to {target}, outside of the base path {base}; copy it there, or add "
                "--follow_links_out_of_base_path=true"
            )


def fingerprint(directory: Path) -> tuple[int, ...]:
    """Returns what changes when a directory is replaced: a version that failed is then tried again."""
    found: list[int] = []
    for path in (directory, directory / MANIFEST, directory / ONNX_FILE, directory / SAVED_MODEL_FILE):
        try:
            state = path.stat()
        except OSError:
            found += [0, 0, 0]
        else:
            found += [state.st_ino, state.st_mtime_ns, state.st_size]
    return tuple(found)
