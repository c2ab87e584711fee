"""Made-up weather of cities: pollution, temperature and wind by day."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CITY_COLUMNS = ("pollution", "temperature", "wind")
"""Pollution index, degC, km/h."""
CITY_MEANS, CITY_DEVIATIONS = (58.0, 18.0, 15.0), (29.0, 7.6, 6.3)
"""About what `synthetic_cities` draws, to the digits that a person would give."""


def synthetic_cities(count: int, days: int, *, seed: int) -> NDArray[np.float32]:
    """Returns cities, (count, days, 3) float32: pollution, temperature and wind.

    A day's pollution is most of the day before's, with what warmth adds and wind takes away; wind of the day itself
    is known when the next day is forecast, so that there is something to learn beside the last value.

    Args:
        count: Number of cities.
        days: Days of each.
        seed: Seed of all noise.
    """
    generator = np.random.default_rng([seed, 43])
    table = np.empty((count, days, len(CITY_COLUMNS)))
    usual = generator.normal(0, 1, (count, 2)) * (6, 3)
    pollution = np.clip(generator.normal(CITY_MEANS[0], CITY_DEVIATIONS[0], count), 5, None)
    temperature, wind = np.zeros(count), np.zeros(count)
    for day in range(days):
        temperature = 0.7 * temperature + generator.normal(0, 4, count)
        wind = 0.5 * wind + generator.normal(0, 5, count)
        warm = CITY_MEANS[1] + usual[:, 0] + temperature
        windy = np.clip(CITY_MEANS[2] + usual[:, 1] + wind, 0, None)
        table[:, day] = np.stack([pollution, warm, windy], axis=1)
        driven = 0.7 * (warm - CITY_MEANS[1]) - 2.2 * (windy - CITY_MEANS[2])
        pollution = CITY_MEANS[0] + 0.75 * (pollution - CITY_MEANS[0]) + driven + generator.normal(0, 5, count)
        pollution = np.clip(pollution, 2, None)
    return table.astype(np.float32)
