"""Heartbeats from WFDB records."""

from __future__ import annotations

import socket
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import wfdb

from seqship.errors import DataError
from seqship.pipelines.heartbeat_csv import read_heartbeat_file
from seqship.pipelines.heartbeat_wfdb import read_wfdb_heartbeats, resample

RATE = 360
BEAT_S = 0.8
SYMBOLS = "NLRejAaJSVEF/fQ"
CLASSES = [0] * 5 + [1] * 4 + [2] * 2 + [3] + [4] * 3


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


def write(
    folder: Path,
    name: str = "r1",
    *,
    leads: tuple[str, ...] = ("V5", "MLII"),
    symbols: str = SYMBOLS,
    seconds: Any = None,
    flat_from: float = np.inf,
    missing_from: float = np.inf,
) -> None:
    """Writes a record whose second lead rises from each beat by 1 mV a second; a beat every 0.8 s from 1 s on."""
    times = np.arange(round((2 + BEAT_S * len(symbols)) * RATE)) / RATE
    beats = 1 + BEAT_S * np.arange(len(symbols)) if seconds is None else np.asarray(seconds)
    last = np.searchsorted(beats, times + 1e-9, side="right") - 1
    ramp = np.where(times < flat_from, times - np.where(last < 0, 0, beats[last]), 0.5)
    ramp = np.where(times < missing_from, ramp, np.nan)
    signals = np.stack([np.sin(times), ramp], axis=1)[:, : len(leads)]
    wfdb.wrsamp(
        name, fs=RATE, units=["mV"] * len(leads), sig_name=list(leads), p_signal=signals, fmt=["16"] * len(leads),
        adc_gain=[1000.0] * len(leads), baseline=[0] * len(leads), write_dir=str(folder),
    )  # fmt: skip
    annotated = np.sort(np.concatenate([np.rint(beats * RATE).astype(int), [10]]))
    wfdb.wrann(
        name, "atr", annotated, symbol=["+", *symbols], aux_note=["(N", *[""] * len(symbols)], write_dir=str(folder)
    )


@pytest.mark.parametrize("ending", ["", ".hea", ".dat", ".atr"])
def test_beats_are_cut_at_their_annotations(tmp_path: Path, ending: str) -> None:
    write(tmp_path)
    beats = read_wfdb_heartbeats(tmp_path / f"r1{ending}")
    assert beats.labels.tolist() == CLASSES
    assert beats.classes == ("N", "S", "V", "F", "Q")
    assert beats.groups is not None
    assert set(beats.groups.tolist()) == {"r1"}
    assert beats.source == "WFDB records r1"
    assert set(beats.lengths.tolist()) == {round(1.2 * BEAT_S * 125)}
    for value in beats.values[:-1]:  # the last rises on, as no beat follows
        assert value.dtype == np.float32
        assert value.shape == (120, 1)
        assert (value.min(), value.max()) == (0, 1)
        # The lead rises for 0.8 s, falls at once and rises again: the fall is 100 samples after the beat.
        assert np.abs(np.argmin(np.diff(value[10:-10, 0])) + 10 - 100) <= 1
        slope = np.diff(value[10:90, 0]).mean() * 125
        assert slope == pytest.approx(1 / BEAT_S, rel=0.2)


def test_annotations_that_are_no_beats_are_left_out(tmp_path: Path) -> None:
    write(tmp_path, symbols="N!~xV")
    assert read_wfdb_heartbeats(tmp_path / "r1").labels.tolist() == [0, 2]


def test_the_length_is_the_median_of_the_beats_around(tmp_path: Path) -> None:
    # Beats 0.5 s apart for a while, then 1 s apart: the middle of the two stretches is 5 s and more from the change.
    seconds = np.concatenate([1 + 0.5 * np.arange(20), 11 + np.arange(12)])
    write(tmp_path, symbols="N" * 32, seconds=seconds)
    lengths = read_wfdb_heartbeats(tmp_path / "r1").lengths
    assert set(lengths[:9].tolist()) == {75}
    assert set(lengths[-6:].tolist()) == {150}


def test_slow_beats_stop_at_187_samples(tmp_path: Path) -> None:
    write(tmp_path, symbols="N" * 14, seconds=[*(1.3 * np.arange(1, 7)), *(8 + 0.5 * np.arange(8))])
    assert read_wfdb_heartbeats(tmp_path / "r1").lengths[0] == 187


def test_beats_without_signal_are_left_out(tmp_path: Path) -> None:
    write(tmp_path, symbols="N" * 20, flat_from=5.8)
    # The beats at 1, 1.8, ... 5 s begin before the signal is flat; those at 1, ... 4.2 s end before it is missing.
    assert len(read_wfdb_heartbeats(tmp_path / "r1")) == 6
    write(tmp_path, symbols="N" * 20, missing_from=5.8)
    beats = read_wfdb_heartbeats(tmp_path / "r1")
    assert len(beats) == 5
    assert all(np.isfinite(value).all() for value in beats.values)


def test_a_folder_gives_all_its_annotated_records_with_the_lead(tmp_path: Path) -> None:
    write(tmp_path, "b", symbols="NN")
    write(tmp_path, "a", symbols="VVV")
    write(tmp_path, "c", leads=("V1",), symbols="FF")
    write(tmp_path, "d", symbols="QQ")
    (tmp_path / "d.atr").unlink()
    beats = read_wfdb_heartbeats(tmp_path)
    assert beats.groups is not None
    assert beats.groups.tolist() == ["a", "a", "a", "b", "b"]
    assert beats.labels.tolist() == [2, 2, 2, 0, 0]
    assert beats.source == "WFDB records a, b"


def test_another_lead_can_be_read(tmp_path: Path) -> None:
    write(tmp_path)
    assert len(read_wfdb_heartbeats(tmp_path / "r1", lead="V5")) == len(SYMBOLS)


def test_a_lead_that_is_not_there_is_refused(tmp_path: Path) -> None:
    write(tmp_path, leads=("V5", "V1"))
    with pytest.raises(DataError, match=r"r1 has no lead MLII, met V1, V5; choose one of those$"):
        read_wfdb_heartbeats(tmp_path / "r1")


@pytest.mark.parametrize("suffix", [".hea", ".atr"])
def test_a_missing_file_is_named(tmp_path: Path, suffix: str) -> None:
    write(tmp_path)
    (tmp_path / f"r1{suffix}").unlink()
    with pytest.raises(DataError, match=rf"r1\{suffix} does not exist; a record needs \.hea, \.dat and \.atr files$"):
        read_wfdb_heartbeats(tmp_path / "r1")


@pytest.mark.parametrize(
    ("suffix", "content"),
    [
        (".hea", b""),
        (".hea", b"what is this\n\x00\x01"),
        (".dat", None),
        (".dat", b"\x00\x01\x02"),
        (".atr", b"\x01\x02\x03"),
    ],
)
def test_a_broken_file_is_named_in_one_line(tmp_path: Path, suffix: str, content: bytes | None) -> None:
    write(tmp_path)
    broken = tmp_path / f"r1{suffix}"
    if content is None:
        broken.unlink()
    else:
        broken.write_bytes(content)
    with pytest.raises(
        DataError, match=rf"r1\{suffix} cannot be read as WFDB \(.+\); copy the record again$"
    ) as caught:
        read_wfdb_heartbeats(tmp_path / "r1")
    assert "\n" not in str(caught.value)


def test_no_annotated_beat_is_refused(tmp_path: Path) -> None:
    write(tmp_path, symbols="~~")
    with pytest.raises(DataError, match=r"r1 has no annotated beat that can be cut; give a record with beats in its"):
        read_wfdb_heartbeats(tmp_path / "r1")


def test_a_folder_without_records_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r" has no WFDB record with annotations; add \.hea, \.dat and \.atr files$"):
        read_wfdb_heartbeats(tmp_path)


@pytest.mark.parametrize("rate", [Fraction(360), Fraction(250), Fraction(257), Fraction(128)])
def test_resampling_keeps_slow_waves_and_drops_fast_ones(rate: Fraction) -> None:
    times = np.arange(int(20 * rate)) / float(rate)
    resampled = resample(np.sin(2 * np.pi * 10 * times), rate)
    at = np.arange(len(resampled)) / 125
    assert len(resampled) == 20 * 125
    np.testing.assert_allclose(resampled[250:-250], np.sin(2 * np.pi * 10 * at)[250:-250], atol=2e-3)
    # At 60 Hz the taper from 50 to 62.5 Hz lets (1 + cos(0.8 pi)) / 2 = 0.0955 of a wave through.
    tapered = resample(np.sin(2 * np.pi * 60 * times), rate)[250:-250]
    assert np.sqrt(2) * np.std(tapered) == pytest.approx(0.0955, rel=0.02)
    if rate > 160:
        assert np.abs(resample(np.sin(2 * np.pi * 75 * times), rate)[250:-250]).max() < 2e-3


@pytest.mark.data
def test_record_100_gives_the_beats_of_the_derived_files(data: Path) -> None:
    """The CSV files were cut from the same records by others' code, of which samples are kept to 4 decimals."""
    beats = read_wfdb_heartbeats(data / "ecg" / "wfdb")
    assert beats.class_counts.tolist() == [2237, 33, 1, 0, 0]
    annotations: Any = wfdb.rdann(str(data / "ecg" / "wfdb" / "100"), "atr")
    positions = [
        int(at) for at, symbol in zip(annotations.sample, annotations.symbol, strict=True) if symbol in SYMBOLS
    ]
    table = pd.read_csv(data / "ecg" / "train_beats.csv.gz", dtype={"record": str})
    derived = read_heartbeat_file(data / "ecg" / "train.csv.gz")
    rows = np.flatnonzero(table["record"] == "100")
    samples_at, lengths = table["sample_360hz"].to_list(), table["length"].to_list()
    assert len(rows) == 246
    for row in rows:
        beat = beats.values[positions.index(samples_at[row])]
        assert len(beat) == lengths[row]
        samples = np.zeros_like(beat)
        samples[: derived.lengths[row]] = derived.values[row]
        np.testing.assert_allclose(beat, samples, atol=6e-5)
