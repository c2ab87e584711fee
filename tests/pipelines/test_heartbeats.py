"""Heartbeats from wherever they are."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import wfdb

from seqship.errors import DataError
from seqship.pipelines.heartbeats import load_heartbeats


def rows(labels: str) -> str:
    """Returns beats of which the second sample tells the class."""
    return "".join(f"1.0,0.{label}{index % 9 + 1}," + "0," * 185 + f"{label}\n" for index, label in enumerate(labels))


def write_record(folder: Path, name: str, symbols: str) -> None:
    times = np.arange(360 * (2 + len(symbols))) / 360
    wfdb.wrsamp(name, fs=360, units=["mV"], sig_name=["MLII"], p_signal=np.sin(times)[:, None], fmt=["16"],
                write_dir=str(folder))  # fmt: skip
    wfdb.wrann(name, "atr", 360 * (1 + np.arange(len(symbols))), symbol=list(symbols), write_dir=str(folder))


def test_no_path_gives_synthetic_beats_of_two_seeds() -> None:
    train, test = load_heartbeats(size=40, seed=3)
    assert (len(train), len(test)) == (40, 10)
    assert train.source == "synthetic heartbeats (McSharry et al. 2003), seed 3"
    again, _ = load_heartbeats(size=40, seed=3)
    assert all(np.array_equal(a, b) for a, b in zip(train.values, again.values, strict=True))
    train, test = load_heartbeats(size=40, seed=3, test_fraction=0.5)  # of one size, one seed would give the same beats
    assert not any(np.array_equal(a, b) for a in train.values for b in test.values)


def test_a_file_is_split_by_beat(tmp_path: Path) -> None:
    (tmp_path / "some.csv").write_text(rows("0" * 30 + "2" * 10))
    train, test = load_heartbeats(tmp_path / "some.csv", test_fraction=0.5)
    assert train.class_counts.tolist() == test.class_counts.tolist() == [15, 0, 5, 0, 0]


def test_a_folder_of_files_keeps_its_split_and_is_split_by_patient_as_a_whole(tmp_path: Path) -> None:
    for name, labels in (("train", "0" * 8), ("test", "1" * 4)):
        (tmp_path / f"{name}.csv").write_text(rows(labels))
        records = [f"p{index % 4}" for index in range(len(labels))]
        (tmp_path / f"{name}_beats.csv").write_text("record\n" + "\n".join(records) + "\n")
    train, test = load_heartbeats(tmp_path)
    assert (len(train), len(test)) == (8, 4)
    train, test = load_heartbeats(tmp_path, split="patient", test_fraction=0.25)
    assert train.groups is not None
    assert test.groups is not None
    assert (len(train), len(test)) == (9, 3)
    assert not set(train.groups.tolist()) & set(test.groups.tolist())
    assert train.source == "heartbeat CSV train.csv and test.csv"
    for part in (train, test):
        assert [int(value[1, 0] * 10) for value in part.values] == part.labels.tolist()


def test_a_file_with_records_is_split_by_patient(tmp_path: Path) -> None:
    (tmp_path / "all.csv").write_text(rows("0000"))
    (tmp_path / "all_beats.csv").write_text("record\na\na\na\nb\n")
    parts = load_heartbeats(tmp_path / "all.csv", split="patient")
    assert {tuple(sorted(set(part.groups.tolist()))) for part in parts if part.groups is not None} == {("a",), ("b",)}


@pytest.mark.parametrize("ending", ["", ".hea"])
def test_a_record_is_split_by_beat_and_a_lone_class_is_trained_on(tmp_path: Path, ending: str) -> None:
    write_record(tmp_path, "100", "N" * 9 + "V")
    train, test = load_heartbeats(tmp_path / f"100{ending}", test_fraction=1 / 3)
    assert train.class_counts.tolist() == [6, 0, 1, 0, 0]
    assert test.class_counts.tolist() == [3, 0, 0, 0, 0]


def test_records_are_split_by_patient(tmp_path: Path) -> None:
    write_record(tmp_path, "a", "NNN")
    write_record(tmp_path, "b", "NNNN")
    train, test = load_heartbeats(tmp_path, split="patient")
    assert {len(train), len(test)} == {3, 4}
    assert train.source == "WFDB records a, b"


def test_one_record_cannot_be_split_by_patient(tmp_path: Path) -> None:
    write_record(tmp_path, "100", "NNN")
    with pytest.raises(
        DataError, match=r"^a split by group needs 2 groups, met one, 100; add another or split by beat"
    ):
        load_heartbeats(tmp_path, split="patient")


@pytest.mark.parametrize("name", ["train.csv", None])
def test_beats_of_unknown_patients_cannot_be_split_by_patient(tmp_path: Path, name: str | None) -> None:
    if name is None:
        with pytest.raises(DataError, match=r"^synthetic heartbeats have no patients to split by; split by beat or"):
            load_heartbeats(split="patient")
        return
    (tmp_path / name).write_text(rows("00"))
    with pytest.raises(DataError, match=r"which heartbeat CSV train\.csv does not tell; split by beat instead$"):
        load_heartbeats(tmp_path / name, split="patient")


@pytest.mark.parametrize(("name", "problem"), [("", "holds no heartbeats"), ("nothing", "does not exist")])
def test_a_path_of_another_kind_is_told_the_three_layouts(tmp_path: Path, name: str, problem: str) -> None:
    with pytest.raises(DataError) as caught:
        load_heartbeats(tmp_path / name)
    assert str(caught.value) == (
        f"{tmp_path / name} {problem}; give a heartbeat CSV file, a folder with train.csv and test.csv (.gz or mitbih_ "
        "names too), or a WFDB record or folder of records (.hea, .dat, .atr)"
    )


def test_a_path_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        DataError, match=r"train\.csv cannot be read: Not a directory; check the path and its permissions$"
    ):
        load_heartbeats(tmp_path / "file" / "train.csv")

    def forbid(path: Path, mode: int) -> bool:
        return False

    # Root, whom tests may run as, is forbidden nothing.
    monkeypatch.setattr(os, "access", forbid)
    with pytest.raises(DataError, match=r" cannot be read: Permission denied; check its permissions$"):
        load_heartbeats(tmp_path)


def test_unknown_options_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^split must be 'beat' or 'patient', met 'record'$"):
        load_heartbeats(split="record")  # pyright: ignore[reportArgumentType] - the error is what is tested
    with pytest.raises(ValueError, match=r"^test_fraction must be above 0 and below 1, met 1; 0\.2 is a fifth$"):
        load_heartbeats(test_fraction=1)


@pytest.mark.data
def test_real_patients_are_kept_apart(data: Path) -> None:
    train, test = load_heartbeats(data / "ecg", split="patient")
    assert train.groups is not None
    assert test.groups is not None
    assert len(train) + len(test) == 14_000
    assert not set(train.groups.tolist()) & set(test.groups.tolist())
    assert (train.class_counts > 0).all()
    assert (test.class_counts > 0).all()


@pytest.mark.data
def test_the_real_record_is_split_by_beat(data: Path) -> None:
    train, test = load_heartbeats(data / "ecg" / "wfdb")
    assert train.class_counts.tolist() == [1790, 26, 1, 0, 0]
    assert test.class_counts.tolist() == [447, 7, 0, 0, 0]
