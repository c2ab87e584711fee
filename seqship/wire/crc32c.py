"""CRC-32C (Castagnoli), the checksum of TFRecord files.

A CRC without its initial value is linear over bits, and leading zeros do not change it. So a long message is cut into
equal lanes whose checksums NumPy computes side by side, and neighbours are joined: the left one is moved on by the
length of the right one, a linear map of 32 bits, and they are added.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

_POLYNOMIAL = 0x82F63B78
_ALL = 0xFFFFFFFF
_SHORT = 4096  # Below this many bytes the plain loop is faster.


def _table() -> tuple[int, ...]:
    entries: list[int] = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ _POLYNOMIAL * (value & 1)
        entries.append(value)
    return tuple(entries)


_TABLE = _table()
_ARRAY = np.array(_TABLE, np.uint32)


def crc32c(data: bytes) -> int:
    """Returns the CRC-32C of the data."""
    if len(data) >= _SHORT:
        return _by_lanes(data)
    crc = _ALL
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc ^ _ALL


def _by_lanes(data: bytes) -> int:
    # About as many steps as lanes; a step is a power of two, so that doubling it needs one squaring alone.
    doublings = (len(data).bit_length() + 1) // 2
    length = 1 << doublings
    lanes = -(-len(data) // length)
    padded = np.zeros(lanes * length, np.uint8)
    start = padded.size - len(data)
    padded[start:] = np.frombuffer(data, np.uint8)
    padded[start : start + 4] ^= 0xFF  # The initial value, moved into the message.
    crcs = np.zeros(lanes, np.uint32)
    for column in np.ascontiguousarray(padded.reshape(lanes, length).T):
        crcs = crcs >> np.uint32(8) ^ _ARRAY[(crcs ^ column) & np.uint32(0xFF)]
    while crcs.size > 1:
        if crcs.size % 2:
            crcs = np.concatenate([np.zeros(1, np.uint32), crcs])
        crcs = _apply(_zeros(doublings), crcs[0::2]) ^ crcs[1::2]
        doublings += 1
    return int(crcs[0]) ^ _ALL


@cache
def _zeros(doublings: int) -> tuple[int, ...]:
    """What 2 ** `doublings` zero bytes make of each of the 32 bits of a checksum."""
    if doublings == 0:
        return tuple(bit >> 8 ^ _TABLE[bit & 0xFF] for bit in (1 << place for place in range(32)))
    half = _zeros(doublings - 1)
    return tuple(_apply(half, np.array(half, np.uint32)).tolist())


def _apply(images: tuple[int, ...], crcs: NDArray[np.uint32]) -> NDArray[np.uint32]:
    result = np.zeros_like(crcs)
    for place, image in enumerate(images):
        result ^= (crcs >> np.uint32(place) & np.uint32(1)) * np.uint32(image)
    return result
