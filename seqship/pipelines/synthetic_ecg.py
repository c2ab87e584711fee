"""Synthetic heartbeats of five classes, for when there is no data at hand.

The model is ECGSYN: McSharry, Clifford, Tarassenko and Smith, "A dynamical model for generating synthetic
electrocardiogram signals", IEEE Trans. Biomed. Eng. 50(3):289-294, 2003. Its equations (1), with the angle
theta = atan2(y, x) and alpha = 1 - sqrt(x^2 + y^2), are

    x' = alpha x - omega y
    y' = alpha y + omega x
    z' = -sum_i a_i d_i exp(-d_i^2 / (2 b_i^2)) - (z - z0(t)),    d_i = (theta - theta_i) mod 2 pi

with a baseline z0(t) = A sin(2 pi f2 t) that wanders with the breath (2). The limit cycle of (x, y) is the unit
circle, on which theta' = omega exactly: a trajectory that starts there needs no integration of x and y. What is left,
linear in z, is integrated for all beats at once with fixed-step RK4.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from seqship.pipelines.heartbeat_layout import CLASSES, SAMPLES, SAMPLING_HZ
from seqship.pipelines.sequences import Sequences

# Events P, Q, R, S, T and the pacing spike: angle in degrees, a, and b in radians. N is Table I of the paper.
#
# class  morphology, and why
# N      normal sinus beat, as published.
# S      premature beat of the atria: the ventricles are reached the usual way, so QRS and T are N's; the P wave comes
#        from elsewhere in the atria, hence flat, early or inverted (its a is drawn around -0.3), and the cycle is
#        short (`_PERIOD_FACTOR`).
# V      beat of the ventricles: no P; the impulse creeps from cell to cell, hence a QRS of 2-3 times the width; what
#        depolarises the wrong way repolarises the wrong way, hence T opposite to R.
# F      fusion of N and V, which meet in the ventricles: each parameter between both, by a share drawn per beat.
# Q      paced beat: a spike of the pacemaker's pulse right before a QRS that is wide because it starts at the lead in
#        the right ventricle, and T opposite to R. P is low: the atria go their own way.
_EVENTS: dict[str, tuple[tuple[float, float, float], ...]] = {
    "N": ((-60, 1.2, 0.25), (-15, -5.0, 0.1), (0, 30.0, 0.1), (15, -7.5, 0.1), (90, 0.75, 0.4), (-18, 0.0, 0.03)),
    "S": ((-50, -0.3, 0.22), (-15, -5.0, 0.1), (0, 30.0, 0.1), (15, -7.5, 0.1), (85, 0.7, 0.4), (-18, 0.0, 0.03)),
    "V": ((-60, 0.0, 0.25), (-30, -3.0, 0.15), (0, 6.5, 0.26), (42, -3.5, 0.25), (105, -1.1, 0.45), (-18, 0.0, 0.03)),
    "Q": ((-60, 0.3, 0.25), (-30, 0.0, 0.15), (0, 8.5, 0.2), (30, -5.0, 0.2), (100, -0.7, 0.4), (-20, 170.0, 0.03)),
}
_PERIOD_FACTOR = {"N": (0.96, 1.04), "S": (0.6, 0.88), "V": (0.8, 1.1), "F": (0.9, 1.05), "Q": (0.95, 1.05)}
_PROPORTIONS = (0.70, 0.08, 0.12, 0.03, 0.07)

_STEP_S = 1 / 250  # of RK4, two a sample; the narrowest event, the spike, has a standard deviation of about one step
_LEAD_IN_S = 0.8  # integrated before the R peak, so that the beat does not begin with the jump from z = 0
_CHUNK = 1000  # beats integrated at once, which bounds the memory


def synthetic_heartbeats(n: int, *, seed: int = 0, proportions: Sequence[float] = _PROPORTIONS) -> Sequences:
    """Returns heartbeats of the ECGSYN model, cut as real ones are.

    Heart rate, amplitudes, widths and angles of the events, noise and baseline vary from beat to beat. A beat starts
    at its R peak, lasts 1.2 heart cycles at 125 Hz, at most 187 samples, and is scaled to [0, 1] by its own minimum
    and maximum.

    Args:
        n: Number of beats.
        seed: Seed of everything random.
        proportions: Shares of the classes N, S, V, F, Q, of any sum; less uneven than in the MIT-BIH records, so that
            each class can be learnt from few thousand beats.

    Returns:
        Beats shaped (length, 1), float32 in [0, 1], length 41 to 187, in random order.

    Raises:
        ValueError: `n` is below 1, or `proportions` are not five shares of 0 or more.
    """
    if n < 1:
        raise ValueError(f"n must be 1 or more, met {n}; 4000 beats are enough to train on")
    shares = np.asarray(proportions, dtype=np.float64)
    if shares.shape != (len(CLASSES),) or not (np.isfinite(shares).all() and (shares >= 0).all() and shares.sum() > 0):
        raise ValueError(f"proportions must be five shares of 0 or more, met {tuple(proportions)}; as 7, 1, 1, 1, 1")
    rng = np.random.default_rng(seed)
    labels = rng.permutation(_labels(n, shares / shares.sum()))
    values: list[NDArray[np.float32]] = []
    for start in range(0, n, _CHUNK):
        values += _beats(labels[start : start + _CHUNK], rng)
    return Sequences(tuple(values), labels, CLASSES, None, f"synthetic heartbeats (McSharry et al. 2003), seed {seed}")


def _labels(n: int, shares: NDArray[np.float64]) -> NDArray[np.int64]:
    """Returns `n` labels in the given shares; what rounding leaves goes to the largest remainders."""
    counts = np.floor(n * shares).astype(np.int64)
    largest = np.argsort(counts - n * shares, kind="stable")
    counts[largest[: n - counts.sum()]] += 1
    return np.repeat(np.arange(len(shares)), counts)


def _beats(labels: NDArray[np.int64], rng: np.random.Generator) -> list[NDArray[np.float32]]:
    """Draws the parameters of each beat, integrates them and cuts the beats."""
    n = len(labels)
    # Resting heart rates: 75 per minute, standard deviation 14.
    period = 60 / np.clip(rng.normal(75, 14, n), 45, 130)
    period *= rng.uniform(*np.array([_PERIOD_FACTOR[name] for name in CLASSES])[labels].T)
    # Noise that follows the breath: 12 to 24 a minute, of up to a quarter of the usual height of the R peak.
    wander = (rng.uniform(0, 0.01, n), rng.uniform(0.2, 0.4, n), rng.uniform(0, 2 * np.pi, n))
    signal = integrate(_vary(_parameters(labels, rng), period, rng), 2 * np.pi / period, wander)
    samples = signal[:, :: round(1 / (_STEP_S * SAMPLING_HZ))][:, :SAMPLES]
    spread = samples.max(axis=1) - samples.min(axis=1)
    samples = samples + rng.normal(0, 1, samples.shape) * (rng.uniform(0.002, 0.025, n) * spread)[:, np.newaxis]
    lengths = np.minimum((1.2 * period * SAMPLING_HZ).astype(np.int64), SAMPLES)
    beats = [row[:length] for row, length in zip(samples, lengths, strict=True)]
    return [((beat - beat.min()) / np.ptp(beat)).astype(np.float32)[:, np.newaxis] for beat in beats]


def _parameters(labels: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Returns theta (radians), a and b of each beat's events, shaped (n, events, 3)."""
    tables = {name: np.array(events, dtype=np.float64) for name, events in _EVENTS.items()}
    tables["F"] = np.zeros_like(tables["N"])  # drawn below
    parameters = np.stack([tables[name] for name in CLASSES])[labels]
    fused = labels == CLASSES.index("F")
    share = rng.uniform(0.3, 0.7, (int(fused.sum()), 1, 1))
    parameters[fused] = (1 - share) * tables["N"] + share * tables["V"]
    parameters[:, :, 0] = np.deg2rad(parameters[:, :, 0])
    premature = labels == CLASSES.index("S")
    parameters[premature, 0, 1] += rng.normal(0, 0.35, int(premature.sum()))
    return parameters


def _vary(
    parameters: NDArray[np.float64], period: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Returns the parameters as they differ from person to person and with the heart rate."""
    n, events, _ = parameters.shape
    varied = parameters.copy()
    varied[:, :, 0] += rng.normal(0, 0.05, (n, events)) * (varied[:, :, 0] != 0)  # R stays: the beat is cut there
    varied[:, :, 1] *= rng.lognormal(0, 0.22, (n, events))
    varied[:, :, 2] *= rng.lognormal(0, 0.12, (n, events))
    # At a higher rate the heart contracts faster, but less than in proportion: the factors are those
    # of ECGSYN's code.
    rate = np.sqrt(1 / period)[:, np.newaxis]
    varied[:, :, 2] *= rate
    varied[:, 1:4, 0] *= rate
    varied[:, [0, 4], 0] *= np.sqrt(rate)
    return varied


def integrate(
    parameters: NDArray[np.float64],
    omega: NDArray[np.float64],
    wander: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]],
) -> NDArray[np.float64]:
    """Returns z(t) from the R peak at t = 0 for 187 samples, two steps a sample.

    Args:
        parameters: theta (radians), a and b of each beat's events, shaped (n, events, 3).
        omega: Angular velocity of each beat, radians a second, shaped (n,).
        wander: Amplitude, frequency (Hz) and phase (radians) of each beat's baseline, each shaped (n,).

    Returns:
        z, in the unit of a, shaped (n, 374).
    """
    before = round(_LEAD_IN_S / _STEP_S)
    steps = before + round(SAMPLES / SAMPLING_HZ / _STEP_S)
    half_steps = (np.arange(2 * steps + 1) / 2 - before) * _STEP_S
    forcing = _forcing(half_steps, parameters, omega, wander)
    z = forcing[0] * 0
    trajectory = np.empty((steps, len(omega)))
    for step in range(steps):
        trajectory[step] = z
        first, middle, last = forcing[2 * step : 2 * step + 3]
        k1 = first - z
        k2 = middle - (z + _STEP_S / 2 * k1)
        k3 = middle - (z + _STEP_S / 2 * k2)
        k4 = last - (z + _STEP_S * k3)
        z = z + _STEP_S / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return trajectory[before:].T


def _forcing(
    times: NDArray[np.float64],
    parameters: NDArray[np.float64],
    omega: NDArray[np.float64],
    wander: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]],
) -> NDArray[np.float64]:
    """Returns what drives z at each time, shaped (times, n): the events and the baseline."""
    amplitude, frequency, phase = wander
    forcing = amplitude * np.sin(2 * np.pi * frequency * times[:, np.newaxis] + phase)
    angle = omega * times[:, np.newaxis]
    for theta, a, b in np.moveaxis(parameters, 1, 0).swapaxes(1, 2):
        offset = angle - theta
        offset -= 2 * np.pi * np.rint(offset / (2 * np.pi))
        forcing -= a * offset * np.exp(-(offset**2) / (2 * b**2))
    return forcing
