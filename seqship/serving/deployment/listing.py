"""What has been pushed to a base path."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from seqship.errors import SeqshipError
from seqship.export.bundle import read_bundle
from seqship.serving.deployment.model_root import check_root, read_root
from seqship.serving.deployment.served_config import labels_of, read_config


@dataclass(frozen=True)
class DeployedVersion:
    """One version of a model.

    Attributes:
        number: Its number.
        path: Its directory.
        name: Name of its bundle; None where it holds none that can be read.
        created: When the bundle was made (ISO 8601, UTC); None likewise.
        proven: Whether its proof holds; None likewise.
        labels: Its labels.
        withdrawn: Whether it was withdrawn, and is not served any more.
        size: What it takes on the disk, in bytes; a file that is there twice as a hard link counts once.
    """

    number: int
    path: Path
    name: str | None
    created: str | None
    proven: bool | None
    labels: tuple[str, ...]
    withdrawn: bool
    size: int


def versions(root: str | os.PathLike[str]) -> tuple[DeployedVersion, ...]:
    """Lists the versions below a base path, withdrawn ones too, the newest first; digests are not checked.

    Raises:
        DataError: The root or its configuration cannot be read.
        OutputError: The root is a file.
    """
    root = Path(root)
    check_root(root)
    contents, labels = read_root(root), labels_of(read_config(root))
    found = [
        _describe(path, number, tuple(name for name, of in labels.items() if of == number and not gone), withdrawn=gone)
        for gone, directories in ((False, contents.versions), (True, contents.withdrawn))
        for number, path in directories.items()
    ]
    return tuple(sorted(found, key=lambda one: (one.number, one.withdrawn), reverse=True))


def _describe(path: Path, number: int, labels: tuple[str, ...], *, withdrawn: bool) -> DeployedVersion:
    try:
        bundle = read_bundle(path, check=False)
        told = (bundle.name, str(bundle.manifest["created"]), bundle.equivalent)
    except SeqshipError:
        told = (None, None, None)
    return DeployedVersion(number, path, *told, labels, withdrawn, _size(path))


def _size(directory: Path) -> int:
    sizes: dict[tuple[int, int], int] = {}
    for folder, _, files in os.walk(directory):
        for name in files:
            try:
                state = Path(folder, name).stat()
            except OSError:  # It is being removed right now.
                continue
            sizes[state.st_dev, state.st_ino] = state.st_size
    return sum(sizes.values())
