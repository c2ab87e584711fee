"""The directory that a run writes: whole or not at all on a local disk, its manifest last anywhere."""

from __future__ import annotations

import contextlib
import json
import posixpath
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

from apache_beam.io.filesystem import BeamIOError  # pyright: ignore[reportMissingImports]
from apache_beam.io.filesystems import FileSystems  # pyright: ignore[reportMissingImports]

from seqship.atomic import write_directory
from seqship.errors import OutputError

MANIFEST = "manifest.json"
KIND = "scores"
PREDICTIONS, ERRORS = "predictions", "errors"


@contextlib.contextmanager
def scores_directory(output: str, *, force: bool) -> Generator[str]:
    """Yields the directory to write to.

    A local one is a temporary sibling, which becomes `output` when the block ends well; nothing stays otherwise.

    Args:
        output: Path, or URI on a filesystem of Beam's, of a directory that does not exist, or is empty.
        force: Whether the scores of an earlier run are replaced; nothing else ever is.

    Raises:
        OutputError: There is something else, or it cannot be written.
    """
    if "://" not in output:
        path = Path(output)
        _check_local(path, force=force)
        with write_directory(path, force=path.is_dir()) as sibling:
            yield str(sibling)
        return
    paths = _listing(output)
    if paths and not force:
        raise OutputError(f"the output {output} is not empty; choose another path or add --force")
    if paths:
        if posixpath.join(output, MANIFEST) not in paths:
            raise OutputError(f"the output {output} is not empty and holds no scores; --force replaces scores only")
        FileSystems.delete([path for path in paths if _is_ours(path)])
    yield output


def write_manifest(directory: str, manifest: Mapping[str, Any]) -> None:
    """Writes the last file of a run: the scores of a directory without one are not whole."""
    text = json.dumps({"format": 1, "kind": KIND, **manifest}, indent=1, ensure_ascii=False) + "\n"
    with FileSystems.create(FileSystems.join(directory, MANIFEST), "application/json") as file:
        file.write(text.encode())


def files_of(directory: str, prefix: str) -> tuple[str, ...]:
    """Returns the names of the files that begin with the prefix."""
    (match,) = FileSystems.match([FileSystems.join(directory, f"{prefix}-*")])
    return tuple(sorted(posixpath.basename(metadata.path) for metadata in match.metadata_list))


def _check_local(path: Path, *, force: bool) -> None:
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        raise OutputError(f"the output {path} is not a directory; choose another path")
    if not path.is_dir() or not any(path.iterdir()):
        return
    if not force:
        raise OutputError(f"the output {path} is not empty; choose another path or add --force")
    try:
        document: Any = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        document = None
    if not isinstance(document, dict) or document.get("kind") != KIND:
        raise OutputError(f"the output {path} is not empty and holds no scores; --force replaces scores only")


def _listing(output: str) -> list[str]:
    try:
        (match,) = FileSystems.match([FileSystems.join(output, "*")])
    except (BeamIOError, ValueError, OSError) as error:
        raise OutputError(f"cannot write {output}: {' '.join(str(error).split())[:300]}") from None
    return [metadata.path for metadata in match.metadata_list]


def _is_ours(path: str) -> bool:
    name = posixpath.basename(path)
    return name == MANIFEST or name.startswith((f"{PREDICTIONS}-", f"{ERRORS}-"))
