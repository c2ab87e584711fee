"""Drawn digits, for when there is no data at hand: strokes on a slanted, stretched sheet, with a shaking pen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SIDE = 28
"""Pixels of each side."""

_BOX = 20
"""Pixels of the height that a digit is drawn in, before it is stretched."""


def _arc(x: float, y: float, across: float, up: float, first: float, last: float) -> list[tuple[float, float]]:
    """Returns points of an ellipse around (x, y), from one angle to another in degrees; 0 is right, 90 is down."""
    angles = np.radians(np.linspace(first, last, 9))
    return [(float(x + across * np.cos(a)), float(y + up * np.sin(a))) for a in angles]


# Strokes of each digit within the unit square, x to the right and y down.
_STROKES: tuple[tuple[list[tuple[float, float]], ...], ...] = (
    (_arc(0.5, 0.5, 0.32, 0.48, -90, 270),),
    ([(0.35, 0.2), (0.52, 0.03), (0.52, 0.97)],),
    ([*_arc(0.5, 0.28, 0.32, 0.25, -170, 50), (0.18, 0.95), (0.85, 0.95)],),
    ([*_arc(0.47, 0.26, 0.3, 0.23, -160, 90), *_arc(0.47, 0.73, 0.34, 0.25, -90, 150)],),
    ([(0.62, 0.03), (0.15, 0.65), (0.88, 0.65)], [(0.66, 0.35), (0.66, 0.98)]),
    ([(0.8, 0.05), (0.27, 0.05), (0.23, 0.45), *_arc(0.47, 0.68, 0.33, 0.28, -120, 140)],),
    ([(0.68, 0.03), (0.3, 0.42), *_arc(0.5, 0.7, 0.3, 0.27, -170, 190)],),
    ([(0.15, 0.06), (0.85, 0.06), (0.4, 0.97)],),
    (_arc(0.5, 0.26, 0.26, 0.23, 90, 450), _arc(0.5, 0.73, 0.32, 0.25, -90, 270)),
    (_arc(0.5, 0.3, 0.3, 0.27, 0, 360), [(0.8, 0.32), (0.74, 0.7), (0.55, 0.98)]),
)


def synthetic_digits(n: int, *, seed: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Returns pictures of digits, as many of each as the number allows.

    Args:
        n: Number of pictures.
        seed: Seed of everything random.

    Returns:
        Pictures uint8 (n, 28, 28), 0 is paper and 255 ink, and the digits int64 (n,), in random order.

    Raises:
        ValueError: `n` is below 1.
    """
    if n < 1:
        raise ValueError(f"n must be 1 or more, met {n}; 2000 digits are enough to train on")
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n) % len(_STROKES)).astype(np.int64)
    return np.stack([_draw(_STROKES[label], rng) for label in labels]), labels


def _draw(strokes: tuple[list[tuple[float, float]], ...], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Returns one picture: ink within the pen's width of a stroke, grey at its edge."""
    turn, slant = rng.normal(0, 0.12), rng.normal(0, 0.15)
    wide, high = _BOX * rng.uniform(0.65, 1.0), _BOX * rng.uniform(0.85, 1.05)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    sheet = rotation @ np.array([[wide, -slant * high], [0, high]])
    middle = SIDE / 2 - 0.5 + rng.normal(0, 0.8, 2)
    pen = rng.uniform(0.8, 1.7)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    pixels = np.stack([columns, rows], axis=-1).reshape(-1, 1, 2)
    distance = np.full(SIDE * SIDE, np.inf)
    for stroke in strokes:
        points = (np.array(stroke) - 0.5 + rng.normal(0, 0.018, (len(stroke), 2))) @ sheet.T + middle
        start, step = points[:-1], np.diff(points, axis=0)
        along = ((pixels - start) * step).sum(-1) / np.maximum((step**2).sum(-1), 1e-9)
        nearest = start + np.clip(along, 0, 1)[..., None] * step
        distance = np.minimum(distance, np.linalg.norm(pixels - nearest, axis=-1).min(axis=1))
    ink = np.clip(pen + 0.5 - distance, 0, 1)
    return np.round(255 * ink).astype(np.uint8).reshape(SIDE, SIDE)
