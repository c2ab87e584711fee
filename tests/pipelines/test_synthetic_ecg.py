"""Synthetic heartbeats of McSharry et al. 2003."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.integrate import solve_ivp

from seqship.pipelines.synthetic_ecg import integrate, synthetic_heartbeats


def test_the_trajectory_is_that_of_the_published_equations() -> None:
    """All three equations, integrated by scipy from the unit circle, with Table I of the paper."""
    table = np.array([(-60, 1.2, 0.25), (-15, -5, 0.1), (0, 30, 0.1), (15, -7.5, 0.1), (90, 0.75, 0.4)])
    table[:, 0] = np.deg2rad(table[:, 0])
    omega, start = 2 * np.pi / 0.9, -0.8
    amplitude, frequency, phase = 0.005, 0.25, 0.7

    def equations(t: float, state: NDArray[np.float64]) -> list[float]:
        x, y, z = state
        alpha = 1 - np.hypot(x, y)
        offset = np.arctan2(y, x) - table[:, 0]
        offset -= 2 * np.pi * np.rint(offset / (2 * np.pi))
        baseline = amplitude * np.sin(2 * np.pi * frequency * t + phase)
        events = np.sum(table[:, 1] * offset * np.exp(-(offset**2) / (2 * table[:, 2] ** 2)))
        return [alpha * x - omega * y, alpha * y + omega * x, -events - (z - baseline)]

    times = np.arange(374) / 250
    first = [np.cos(omega * start), np.sin(omega * start), 0.0]
    expected = solve_ivp(
        equations, (start, times[-1] + 1e-9), first, t_eval=times, rtol=1e-9, atol=1e-12, max_step=1e-3
    )
    wander = (np.array([amplitude]), np.array([frequency]), np.array([phase]))
    trajectory = integrate(table[np.newaxis], np.array([omega]), wander)
    assert trajectory.shape == (1, 374)
    np.testing.assert_allclose(trajectory[0], expected.y[2], atol=1e-3 * np.ptp(expected.y[2]))


def test_beats_are_cut_and_scaled_as_real_ones() -> None:
    beats = synthetic_heartbeats(600, seed=1)
    assert len(beats) == 600
    assert beats.classes == ("N", "S", "V", "F", "Q")
    assert beats.groups is None
    assert beats.source == "synthetic heartbeats (McSharry et al. 2003), seed 1"
    assert beats.lengths.min() >= 41
    assert beats.lengths.max() == 187
    assert np.std(beats.lengths) > 15
    for value in beats.values:
        assert value.dtype == np.float32
        assert value.shape[1:] == (1,)
        assert (value.min(), value.max()) == (0, 1)


def test_classes_have_their_shares_in_random_order() -> None:
    assert synthetic_heartbeats(1000).class_counts.tolist() == [700, 80, 120, 30, 70]
    beats = synthetic_heartbeats(7, proportions=(1, 0, 2, 0, 0))
    assert beats.class_counts.tolist() == [2, 0, 5, 0, 0]
    assert (np.diff(synthetic_heartbeats(100).labels) < 0).any()


def test_the_seed_decides() -> None:
    first, again, other = (synthetic_heartbeats(20, seed=seed) for seed in (4, 4, 5))
    assert all(np.array_equal(a, b) for a, b in zip(first.values, again.values, strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(first.values, other.values, strict=True))


def of_class(name: str) -> list[NDArray[np.float32]]:
    shares = [float(name == other) for other in "NSVFQ"]
    return [value[:, 0] for value in synthetic_heartbeats(200, seed=2, proportions=shares).values]


def test_classes_look_as_cardiology_says() -> None:
    """Medians over many beats, since single beats vary."""

    def width(name: str) -> float:  # samples from the R peak down to half its height
        return float(np.median([np.argmax(beat < 0.5) for beat in of_class(name)]))

    def late(name: str) -> float:  # level of the T wave, above the level half-way between T and the next P
        levels = [np.mean(beat[int(len(beat) * 0.15) : int(len(beat) * 0.25)]) for beat in of_class(name)]
        rest = [np.mean(beat[int(len(beat) * 0.42) : int(len(beat) * 0.55)]) for beat in of_class(name)]
        return float(np.median(np.array(levels) - np.array(rest)))

    def length(name: str) -> float:
        return float(np.median([len(beat) for beat in of_class(name)]))

    assert width("V") > 2 * width("N")
    assert width("N") < width("F") < width("V")
    assert width("Q") > 1.5 * width("N")
    assert late("N") > 0 > late("V")
    assert length("S") < 0.85 * length("N")


@pytest.mark.parametrize("proportions", [(1, 1), (1, 1, 1, 1, -1), (0,) * 5, (1, 1, 1, 1, float("nan"))])
def test_shares_that_are_none_are_refused(proportions: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=r"^proportions must be five shares of 0 or more, met \("):
        synthetic_heartbeats(5, proportions=proportions)


def test_no_beats_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^n must be 1 or more, met 0; 4000 beats are enough to train on$"):
        synthetic_heartbeats(0)
