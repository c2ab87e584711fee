"""Made-up hourly air quality: a level that weather drives, with a daily cycle."""

from __future__ import annotations

import numpy as np

from seqship.pipelines.series import Series, as_series

COLUMNS = ("pollution", "temperature", "pressure", "wind")
HOURS_A_DAY = 24


def synthetic_weather(hours: int, *, seed: int) -> Series:
    """Returns hourly pollution (ug/m3), temperature (degC), pressure (hPa) and wind (m/s).

    Weather systems of some days drive wind and pressure. Pollution builds up with the day's traffic and is blown away
    by wind, with a delay of hours: what weather does to it can be learnt.

    Args:
        hours: Number of steps.
        seed: Seed of all noise.
    """
    generator = np.random.default_rng([seed, 2_010])
    hour = np.arange(hours)
    day = 2 * np.pi * hour / HOURS_A_DAY
    front = _slow_noise(generator, hours, days=2.5)
    warmth = _slow_noise(generator, hours, days=4.0)
    gusts = _slow_noise(generator, hours, days=0.2)
    temperature = 14 + 6 * np.sin(day - 2.2) + 5 * warmth
    pressure = 1_015 - 7 * front + generator.normal(0, 0.3, hours)
    wind = np.exp(1.1 + 0.55 * front + 0.25 * gusts)
    traffic = 9 + 5 * np.maximum(0, np.sin(day - 1.2)) + 4 * np.maximum(0, np.sin(day - 4.2))
    noise = np.exp(generator.normal(0, 0.04, hours))
    pollution = np.empty(hours)
    level = 80.0
    for step in range(hours):
        # Wind needs some hours to move the air of a whole city.
        carried = wind[max(0, step - 4)]
        level = max(1.0, level * (1 - 0.022 * carried) + 0.35 * traffic[step]) * noise[step]
        pollution[step] = level
    table = np.stack([pollution, temperature, pressure, wind], axis=1).astype(np.float32)
    times = np.datetime64("2010-01-01T00", "h") + hour
    source = f"{hours:,} generated hours of air quality and weather, seed {seed}"
    return as_series(table, columns=list(COLUMNS), times=times, source=source)


def _slow_noise(
    generator: np.random.Generator, hours: int, *, days: float
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Returns noise of mean 0 and deviation 1 that forgets itself within some days (autoregressive of order 1)."""
    kept = float(np.exp(-1 / (days * HOURS_A_DAY)))
    shocks = generator.normal(0, np.sqrt(1 - kept**2), hours)
    values = np.empty(hours)
    value = generator.normal()
    for step in range(hours):
        value = kept * value + shocks[step]
        values[step] = value
    return values
