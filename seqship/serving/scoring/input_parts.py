"""Input files cut into parts that workers read side by side, with the number of each part's first line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from apache_beam.io.filesystem import (  # pyright: ignore[reportMissingImports]
    BeamIOError,
    CompressionTypes,
)
from apache_beam.io.filesystems import FileSystems  # pyright: ignore[reportMissingImports]

from seqship.errors import DataError

PART_BYTES = 4 << 20
"""Bytes of one part: a minute of work at most, and enough parts of one large file for all workers."""

FormatChoice = Literal["auto", "jsonl", "csv", "tfrecord"]
Format = Literal["jsonl", "csv", "tfrecord"]

_HERE = "./"
_SUFFIX = re.compile(r"\.(csv|tfrecords?|tfr)(-\d+-of-\d+)?$", re.IGNORECASE)


@dataclass(frozen=True)
class Part:
    """Some lines of a file, or all of it.

    Attributes:
        path: The file.
        start: Byte at which the first line begins.
        stop: Byte behind the last line; None is the end of the file.
        first: Number of the first line, from 1.
    """

    path: str
    start: int = 0
    stop: int | None = None
    first: int = 1


def match_files(patterns: Sequence[str]) -> tuple[str, ...]:
    """Returns the files that patterns name, each once, in order.

    Args:
        patterns: Paths on any filesystem of Beam's; `*` stands for any part of a name.

    Raises:
        DataError: A pattern names no file, or cannot be looked up.
    """
    found: dict[str, None] = {}
    for pattern in patterns:
        try:
            (match,) = FileSystems.match([_with_folder(pattern)])
        except (BeamIOError, ValueError, OSError) as error:
            raise DataError(f"cannot look up {pattern!r}: {' '.join(str(error).split())[:300]}") from None
        if not match.metadata_list:
            raise DataError(f"no file matches {pattern!r}; give a path, or a pattern in quotes such as 'part-*.jsonl'")
        paths = (
            metadata.path.removeprefix("" if pattern.startswith(_HERE) else _HERE) for metadata in match.metadata_list
        )
        found |= dict.fromkeys(sorted(paths))
    return tuple(found)


def format_of(path: str, chosen: FormatChoice) -> Format:
    """Returns the format of a file; "auto" tells it by the name, which is JSON lines where it does not say."""
    if chosen != "auto":
        return chosen
    if is_compressed(path):
        path = path.rpartition(".")[0]
    suffix = _SUFFIX.search(path)
    return "jsonl" if suffix is None else "csv" if suffix[1].lower() == "csv" else "tfrecord"


def is_compressed(path: str) -> bool:
    """Whether the file's name ends as those of compressed ones do: .gz, .bz2, .zst, .deflate, .xz."""
    return bool(CompressionTypes.detect_compression_type(path) != CompressionTypes.UNCOMPRESSED)


def parts_of(path: str, *, lines: bool) -> Iterator[Part]:
    """Yields the parts of a file.

    Args:
        path: The file.
        lines: Whether a line end always ends a record, so that the file can be cut there. It is read once for this,
            which takes far less time than its answers.
    """
    if not lines or is_compressed(path):
        yield Part(path)
        return
    with FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
        start, first, position, counted = 0, 1, 0, 0
        while block := _block(file):
            end = block.rfind(b"\n") + 1
            if end:
                counted += block.count(b"\n")
                yield Part(path, start, position + end, first)
                start, first = position + end, 1 + counted
            position += len(block)
        if start < position:
            yield Part(path, start, position, first)


def _with_folder(pattern: str) -> str:
    """Beam finds nothing for a local pattern without a folder (apache_beam 2.77 `io/filesystem.py`, `match`)."""
    return pattern if "/" in pattern else _HERE + pattern


def _block(file: Any) -> bytes:
    """Returns the next bytes, fewer than asked for at the end alone."""
    found: list[bytes] = []
    left = PART_BYTES
    while left and (data := file.read(left)):
        found.append(data)
        left -= len(data)
    return b"".join(found)
