"""The checksum of long data is that of the plain loop, and the plain loop is the standard's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqship.wire import crc32c as module
from seqship.wire.crc32c import crc32c


@pytest.mark.parametrize(
    ("data", "expected"),
    [  # RFC 3720, appendix B.4, and the check value of the catalogue of CRCs.
        (b"", 0),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
    ],
)
def test_known_values(data: bytes, expected: int) -> None:
    assert crc32c(data) == expected


@settings(max_examples=60, deadline=None)
@given(st.integers(4, 20_000), st.integers(0, 2**32 - 1))
def test_lanes_compute_what_the_loop_computes(size: int, seed: int) -> None:
    data = np.random.default_rng(seed).bytes(size)
    expected = 0xFFFFFFFF
    for byte in data:
        expected = expected >> 8 ^ module._TABLE[(expected ^ byte) & 0xFF]
    assert module._by_lanes(data) == expected ^ 0xFFFFFFFF
    assert crc32c(data) == expected ^ 0xFFFFFFFF
