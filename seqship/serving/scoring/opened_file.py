"""Input files on any filesystem of Beam's, unpacked, of which the end is known.

Beam takes a gzip, bzip2 or xz file that is cut off for one that ends there (apache_beam 2.77 `io/filesystem.py`,
`CompressedFile`): its records would be missing, and nobody told. Python's own readers refuse it.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
from collections.abc import Callable, Generator
from typing import Any

from apache_beam.io.filesystem import CompressionTypes  # pyright: ignore[reportMissingImports]
from apache_beam.io.filesystems import FileSystems  # pyright: ignore[reportMissingImports]

DAMAGED = (EOFError, lzma.LZMAError)
"""What is raised on damage, besides OSError without an errno."""

_READERS: dict[str, Callable[[Any], Any]] = {
    CompressionTypes.GZIP: gzip.open,
    CompressionTypes.BZIP2: bz2.open,
    CompressionTypes.LZMA: lzma.open,
}


@contextlib.contextmanager
def opened_file(path: str, *, start: int = 0) -> Generator[Any]:
    """Yields a file with `read` and `readline`, unpacked where its name says that it is packed.

    Args:
        path: The file.
        start: Byte at which to begin, of a file that is not packed.
    """
    found = CompressionTypes.detect_compression_type(path)
    reader = _READERS.get(found)
    kind = CompressionTypes.UNCOMPRESSED if reader is not None else found
    with FileSystems.open(path, compression_type=kind) as file:
        if start:
            file.seek(start)
        if reader is None:
            yield file
            return
        with reader(file) as unpacked:
            yield unpacked
