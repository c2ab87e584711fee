"""A shuffled order of any length that is computed where it is asked for, so that it takes no memory.

A keyed Feistel network over pairs (row, column) of a table with at least n cells: each round adds to one half a hash
of the other, which can be undone, so that no two cells meet. Cells beyond n are sent on until they are within (cycle
walking, as in Black and Rogaway, "Ciphers with Arbitrary Finite Domains", 2002); the table has hardly any.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

_ROUNDS = 8
_MIXING = ((np.uint32(16), np.uint32(0x85EBCA6B)), (np.uint32(13), np.uint32(0xC2B2AE35)))
_MOST = 1 << 60
"""Most elements: twice a half must fit in 32 bits."""


def shuffled(positions: NDArray[np.int64], n: int, *, seed: int, epoch: int) -> NDArray[np.int64]:
    """Returns which of n elements stand at the positions of a shuffled order.

    Over all positions it is a permutation; it depends on `n`, `seed` and `epoch` alone.

    Args:
        positions: Positions in `range(n)`, any shape.
        n: Number of elements, 1 to 2**60.
        seed: Seed of all epochs, 0 or more.
        epoch: Number of the epoch, 0 or more; each has an order of its own.

    Returns:
        Elements in `range(n)`, int64, in the shape of `positions`.

    Raises:
        ValueError: A position is outside `range(n)`, or `seed` or `epoch` is negative.
    """
    if epoch < 0 or seed < 0:
        raise ValueError(f"epoch and seed must be 0 or more, met {epoch} and {seed}; count epochs from 0")
    if not 1 <= n <= _MOST or (positions.size and (positions.min() < 0 or positions.max() >= n)):
        raise ValueError(f"positions lie in a range of 1 to 2**60 elements, met a range of {n}; give others")
    rows = math.isqrt(n - 1) + 1
    columns = -(-n // rows)
    keys = np.random.SeedSequence([seed, epoch]).generate_state(_ROUNDS).astype(np.uint32)
    cells = _network(positions.astype(np.uint64), rows, columns, keys)
    while (outside := cells >= n).any():
        cells[outside] = _network(cells[outside], rows, columns, keys)
    return cells.astype(np.int64)


def _network(cells: NDArray[np.uint64], rows: int, columns: int, keys: NDArray[np.uint32]) -> NDArray[np.uint64]:
    """Returns where the cells of the table go."""
    row, column = (half.astype(np.uint32) for half in np.divmod(cells, np.uint64(columns)))
    for number, key in enumerate(keys):
        if number % 2:
            column = _added(column, _hashed(row, key, columns), columns)
        else:
            row = _added(row, _hashed(column, key, rows), rows)
    return row * np.uint64(columns) + column


def _hashed(half: NDArray[np.uint32], key: np.uint32, size: int) -> NDArray[np.uint32]:
    """Returns a hash of each number, below `size`; the mixing is MurmurHash3's, in 32 bits, which vectorize."""
    mixed = half ^ key
    for shift, factor in _MIXING:
        mixed ^= mixed >> shift
        mixed *= factor
    mixed ^= mixed >> _MIXING[0][0]
    # The upper half of a product with a 32-bit fraction: a remainder without a division.
    product = mixed * np.uint64(size)
    product >>= np.uint64(32)
    return product.astype(np.uint32)


def _added(half: NDArray[np.uint32], shift: NDArray[np.uint32], size: int) -> NDArray[np.uint32]:
    """Returns the sums, wrapped around at `size`; both are below it, so that no sum overflows."""
    total = half + shift
    # Below zero a difference wraps to a number larger than any sum.
    return np.minimum(total, total - np.uint32(size))
