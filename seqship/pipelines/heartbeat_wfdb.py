"""Heartbeats cut from WFDB records, the format of PhysioNet's databases, at their beat annotations.

The cutting follows Kachuee, Fazeli and Sarrafzadeh, "ECG Heartbeat Classification: A Deep Transferable
Representation", 2018, with the five classes of ANSI/AAMI EC57; the records it is made for are those of Moody and Mark,
"The impact of the MIT-BIH Arrhythmia Database", IEEE Eng. in Med. and Biol. 20(3):45-50, 2001.
"""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import numpy as np
import wfdb
from numpy.typing import NDArray
from scipy import fft

from seqship.errors import DataError
from seqship.pipelines.heartbeat_layout import CLASSES, SAMPLES, SAMPLING_HZ
from seqship.pipelines.sequences import Sequences

CYCLES = 1.2  # a beat's length in heart cycles: reaches past the next R peak
NEIGHBOURHOOD_S = 5.0  # distances of beats whose middle is this near on either side tell the length of the cycle
TAPER_HZ = (50.0, 62.5)  # the cosine taper between these keeps what is above half of 125 Hz from aliasing

_SYMBOLS = ("NLRej", "AaJS", "VE", "F", "/fQ")  # annotation symbols of each class, in the order of CLASSES
_CLASS_OF = {symbol: label for label, symbols in enumerate(_SYMBOLS) for symbol in symbols}
_SUFFIXES = (".hea", ".dat", ".atr")


def read_wfdb_heartbeats(path: str | Path, *, lead: str = "MLII") -> Sequences:
    """Reads the annotated beats of one WFDB record or of a folder of records.

    The lead is brought to 125 Hz in the frequency domain. Each beat starts at its annotation (near the R peak) and
    lasts 1.2 times the median distance of the beats within 5 s on either side, at most 187 samples; it is scaled to
    [0, 1] by its own minimum and maximum. Beats that reach past the end of the record, have missing samples or are
    flat are left out, as are annotations that are no beats.

    Args:
        path: A record, with or without the ending `.hea`, `.dat` or `.atr`; or a folder, of which all records with an
            `.atr` file are read, sorted by name. Nothing is ever fetched from the network.
        lead: Name of the lead. Records of a folder without it are left out.

    Returns:
        Beats shaped (length, 1), float32 in [0, 1]; classes N, S, V, F, Q; the groups are the records' names.

    Raises:
        DataError: A file is missing or cannot be read, no record has the lead, or no beat is annotated.
    """
    path = Path(path)
    records = _records(path)
    values: list[NDArray[np.float32]] = []
    labels: list[int] = []
    groups: list[str] = []
    leads_met: set[str] = set()
    for record in records:
        leads = _leads(record)
        leads_met.update(leads)
        if lead not in leads:
            continue
        for value, label in _beats(record, lead):
            values.append(value)
            labels.append(label)
            groups.append(record.name)
    if lead not in leads_met:
        met = ", ".join(sorted(leads_met)) or "none"
        raise DataError(f"{path} has no lead {lead}, met {met}; choose one of those")
    if not values:
        raise DataError(f"{path} has no annotated beat that can be cut; give a record with beats in its .atr file")
    names = sorted(set(groups))
    source = f"WFDB records {', '.join(names)}" if len(names) <= 5 else f"{len(names)} WFDB records"
    return Sequences(tuple(values), np.array(labels, dtype=np.int64), CLASSES, np.array(groups, dtype=np.str_), source)


def is_record(path: Path) -> bool:
    """Whether the path names a WFDB record, with or without ending."""
    return not path.is_dir() and (path.suffix in _SUFFIXES or path.with_name(f"{path.name}.hea").is_file())


def _records(path: Path) -> list[Path]:
    """Returns the absolute paths of the records without ending; a record's files are known to exist."""
    if path.is_dir():
        headers = [header for header in sorted(path.glob("*.hea")) if header.with_suffix(".atr").is_file()]
        if not headers:
            raise DataError(f"{path} has no WFDB record with annotations; add .hea, .dat and .atr files")
        return [header.resolve().with_suffix("") for header in headers]
    name = path.name.removesuffix(path.suffix) if path.suffix in _SUFFIXES else path.name
    for suffix in (".hea", ".atr"):
        if not path.with_name(name + suffix).is_file():
            raise DataError(f"{path.with_name(name + suffix)} does not exist; a record needs .hea, .dat and .atr files")
    return [path.resolve().with_name(name)]


def _leads(record: Path) -> list[str]:
    """Returns the names of the leads of a record."""
    try:
        header = cast(Any, wfdb.rdheader(str(record), rd_segments=True))
        return [str(name) for name in header.sig_name or ()]
    except Exception as error:  # wfdb has no error of its own: a broken file raises whatever its parser trips over
        raise _unreadable(record, ".hea", error) from None


def _beats(record: Path, lead: str) -> list[tuple[NDArray[np.float32], int]]:
    """Returns the beats of one record, each with its class."""
    try:
        signals = cast(Any, wfdb.rdrecord(str(record), channel_names=[lead]))
        signal = np.asarray(signals.p_signal, dtype=np.float64)[:, 0]
        rate = Fraction(signals.fs).limit_denominator(1000)
    except Exception as error:  # as above
        raise _unreadable(record, ".dat", error) from None
    try:
        annotations = cast(Any, wfdb.rdann(str(record), "atr"))
        symbols: list[str] = list(annotations.symbol)
        samples = np.asarray(annotations.sample, dtype=np.int64)
    except Exception as error:  # as above
        raise _unreadable(record, ".atr", error) from None
    is_beat = np.array([symbol in _CLASS_OF for symbol in symbols], dtype=bool)
    if not is_beat.any() or not len(signal):
        return []
    labels = [_CLASS_OF[symbol] for symbol in symbols if symbol in _CLASS_OF]
    seconds = samples[is_beat] / float(rate)
    return list(_cut(signal, rate, seconds, labels))


def _cut(
    signal: NDArray[np.float64], rate: Fraction, seconds: NDArray[np.float64], labels: list[int]
) -> list[tuple[NDArray[np.float32], int]]:
    """Returns the beats at the given times of a signal, each with its class."""
    missing = np.isnan(signal)
    if missing.all():
        return []
    if missing.any():
        at = np.arange(len(signal))
        signal = np.interp(at, at[~missing], signal[~missing])
    resampled = resample(signal, rate)
    starts = np.rint(seconds * SAMPLING_HZ).astype(np.int64)
    beats: list[tuple[NDArray[np.float32], int]] = []
    for second, start, length, label in zip(seconds, starts, _lengths(seconds), labels, strict=True):
        stop = start + length
        if start < 0 or stop > len(resampled):
            continue
        # Flat and missing are told from the samples as recorded: the transform spreads ripples into what is flat.
        recorded = slice(round(second * float(rate)), math.ceil(stop / SAMPLING_HZ * float(rate)))
        beat = resampled[start:stop]
        low, high = beat.min(), beat.max()
        if not missing[recorded].any() and np.ptp(signal[recorded]) > 0 and high > low:
            beats.append((((beat - low) / (high - low)).astype(np.float32)[:, np.newaxis], label))
    return beats


def _lengths(seconds: NDArray[np.float64]) -> NDArray[np.int64]:
    """Returns the length of each beat in samples at 125 Hz; without a neighbour it is the longest there is."""
    lengths = np.full(len(seconds), SAMPLES, dtype=np.int64)
    distances, middles = np.diff(seconds), (seconds[:-1] + seconds[1:]) / 2
    for index, second in enumerate(seconds):
        first = np.searchsorted(middles, second - NEIGHBOURHOOD_S, side="left")
        last = np.searchsorted(middles, second + NEIGHBOURHOOD_S, side="right")
        if last > first:
            lengths[index] = round(CYCLES * float(np.median(distances[first:last])) * SAMPLING_HZ)
    return np.clip(lengths, 2, SAMPLES)


def resample(signal: NDArray[np.float64], rate: Fraction) -> NDArray[np.float64]:
    """Returns a signal of `rate` Hz at 125 Hz: its spectrum, tapered from 50 to 62.5 Hz by a cosine, transformed back.

    Done by the FFT and not by a polyphase filter because any rate then takes one formula.

    Args:
        signal: Samples, float64, shaped (n,), without NaN.
        rate: Samples per second.
    """
    ratio = Fraction(SAMPLING_HZ) / rate
    # The padded length is a whole number of samples at both rates, so that time does not drift over the record; the
    # last value is held, so that the end does not ring into the start through a jump.
    pad = -len(signal) % ratio.denominator + ratio.denominator
    padded = np.pad(signal, (0, pad), mode="edge")
    size = len(padded) * ratio.numerator // ratio.denominator
    spectrum = np.asarray(fft.rfft(padded))[: size // 2 + 1]
    frequencies = np.arange(len(spectrum)) * float(rate) / len(padded)
    low, high = TAPER_HZ
    spectrum = spectrum * (0.5 + 0.5 * np.cos(np.pi * np.clip((frequencies - low) / (high - low), 0, 1)))
    full = np.asarray(fft.irfft(spectrum, n=size)) * float(ratio)
    return full[: int(len(signal) * ratio)]


def _unreadable(record: Path, suffix: str, error: Exception) -> DataError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return DataError(f"{record}{suffix} cannot be read as WFDB ({reason}); copy the record again")
