"""TFRecord files: records of bytes, each with its length and two checksums.

A record is its length as a little-endian uint64, the masked CRC-32C of that length, the data, and the masked CRC-32C of
the data. Source: TensorFlow's `lib/io/record_writer.h`; the mask is that of `lib/hash/crc32c.h`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

from seqship.errors import DataError, OutputError
from seqship.wire.crc32c import crc32c

_HEADER = struct.Struct("<QI")
_FOOTER = struct.Struct("<I")


def masked_crc(data: bytes) -> int:
    """Returns the CRC-32C of the data, masked: a checksum of data that holds checksums itself is weak."""
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def write_records(path: Path, records: Iterable[bytes]) -> None:
    """Writes a TFRecord file without compression.

    Raises:
        OutputError: The file cannot be written.
    """
    try:
        with path.open("wb") as file:
            for record in records:
                length = struct.pack("<Q", len(record))
                file.write(length + _FOOTER.pack(masked_crc(length)))
                file.write(record)
                file.write(_FOOTER.pack(masked_crc(record)))
    except OSError as error:
        raise OutputError(f"cannot write {path}: {(error.strerror or str(error)).lower()}") from error


def read_records(path: Path) -> Iterator[bytes]:
    """Yields the records of an uncompressed TFRecord file, each checked.

    Raises:
        DataError: The file is missing, cut off or damaged, or is no TFRecord file; the record is named, from 0.
    """
    try:
        with path.open("rb") as file:
            left = path.stat().st_size
            number = 0
            while header := file.read(_HEADER.size):
                place = f"record {number} of {path}"
                left -= len(header)
                if len(header) < _HEADER.size:
                    raise DataError(f"{place} is cut off within its header; write the file again")
                length, crc = _HEADER.unpack(header)
                if crc != masked_crc(header[:8]):
                    raise DataError(f"{place} has a wrong checksum of its length; the file is damaged or no TFRecord")
                # Before the data is read: a length is a claim, the file's size is a fact.
                if length + _FOOTER.size > left:
                    raise DataError(f"{place} is cut off: {length} bytes are announced, {left} follow")
                data = file.read(length)
                (crc,) = _FOOTER.unpack(file.read(_FOOTER.size))
                if crc != masked_crc(data):
                    raise DataError(f"{place} has a wrong checksum of its data; the file is damaged")
                left -= length + _FOOTER.size
                number += 1
                yield data
    except (OSError, struct.error) as error:
        raise DataError(f"cannot read {path}: {(getattr(error, 'strerror', None) or str(error)).lower()}") from None
