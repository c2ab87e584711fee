"""Files of text, gzipped or not: one clear line where one cannot be read."""

from __future__ import annotations

import codecs
import gzip
import zlib
from pathlib import Path

from seqship.errors import DataError

_GZIP = b"\x1f\x8b"


def read_packed(path: Path, *, wanted: str, content: str) -> bytes:
    """Returns the content of a file, unpacked and without a byte order mark.

    Args:
        path: The file.
        wanted: What to give where there is no such file, such as "one CSV file".
        content: What to give where it is empty, such as "a header and one row a step".

    Raises:
        DataError: The file cannot be read, is a damaged gzip file, or is empty.
    """
    try:
        data = path.read_bytes()
        if data.startswith(_GZIP):
            data = gzip.decompress(data)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist; give {wanted}") from None
    except IsADirectoryError:
        raise DataError(f"{path} is a folder; give one file") from None
    except EOFError:
        raise DataError(f"{path} is a gzip file that ends too early; copy it again") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path} is a damaged gzip file ({error}); copy it again") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}; check its permissions") from None
    data = data.removeprefix(codecs.BOM_UTF8)
    if not data.strip():
        raise DataError(f"{path} is empty; give {content}")
    return data
