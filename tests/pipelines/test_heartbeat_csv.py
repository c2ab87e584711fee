"""Heartbeats from CSV files."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqship.errors import DataError
from seqship.pipelines.heartbeat_csv import read_heartbeat_csv, read_heartbeat_file

ROW = ["1.0", "0.5", "0.0", "0.25", *["0.0"] * 183, "2"]


def text(*rows: list[str]) -> bytes:
    return "".join(",".join(row) + "\n" for row in rows).encode()


def changed(column: int, cell: str) -> list[str]:
    """Returns the row with another cell; columns count from 1."""
    return [*ROW[: column - 1], cell, *ROW[column:]]


def many(labels: str) -> bytes:
    return text(*(changed(188, label) for label in labels))


@settings(max_examples=30)
@given(
    beats=st.lists(
        st.tuples(st.lists(st.integers(0, 10_000), min_size=1, max_size=187), st.integers(0, 4)), min_size=1, max_size=5
    ),
    packed=st.booleans(),
)
def test_samples_come_back_without_their_padding(
    tmp_path_factory: pytest.TempPathFactory, beats: list[tuple[list[int], int]], packed: bool
) -> None:
    path = tmp_path_factory.mktemp("csv") / "beats.txt"
    expected = [np.array([*samples[:-1], samples[-1] or 1], dtype=np.float64) / 10_000 for samples, _ in beats]
    rows = [
        [*(f"{sample:.4f}" for sample in samples), *["0.0000"] * (187 - len(samples)), f"{label:.1f}"]
        for samples, (_, label) in zip(expected, beats, strict=True)
    ]
    path.write_bytes(gzip.compress(text(*rows), mtime=0) if packed else text(*rows))
    read = read_heartbeat_file(path)
    assert read.labels.tolist() == [label for _, label in beats]
    assert read.classes == ("N", "S", "V", "F", "Q")
    assert read.groups is None
    assert read.source == "heartbeat CSV beats.txt"
    for value, samples in zip(read.values, expected, strict=True):
        assert value.dtype == np.float32
        np.testing.assert_array_equal(value[:, 0], samples.astype(np.float32))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (ROW[1:], "the number of columns is 187; give 188 columns, 187 samples and the class"),
        ([*ROW, "0"], "the number of columns is 189; give 188 columns, 187 samples and the class"),
        ([""], "the row is blank; give 188 columns, 187 samples and the class"),
        (changed(3, "abc"), "column 3 is 'abc'; put a number there"),
        (changed(3, "1_0"), "column 3 is '1_0'; put a number there"),
        (changed(3, "0x1"), "column 3 is '0x1'; put a number there"),
        (changed(3, "\u0661"), "column 3 is '\u0661'; put a number there"),
        (changed(3, '"0.5"'), "column 3 is '\"0.5\"'; put a number there"),
        (changed(3, "0.5\0z"), r"column 3 is '0.5\x00z'; put a number there"),
        (changed(3, "True"), "column 3 is 'True'; put a number there"),
        (changed(3, "nan"), "column 3 is 'nan'; put a finite number there"),
        (changed(3, ""), "column 3 is ''; put a finite number there"),
        (changed(3, "-inf"), "column 3 is '-inf'; put a finite number there"),
        (changed(3, "1e999"), "column 3 is '1e999', outside [0, 1]; scale each beat to [0, 1]"),
        (changed(3, "1.00000001"), "column 3 is '1.00000001', outside [0, 1]; scale each beat to [0, 1]"),
        (changed(187, "-0.001"), "column 187 is '-0.001', outside [0, 1]; scale each beat to [0, 1]"),
        (changed(188, "5"), "the class is '5'; give one of 0, 1, 2, 3, 4"),
        (changed(188, "-1"), "the class is '-1'; give one of 0, 1, 2, 3, 4"),
        (changed(188, "1.5"), "the class is '1.5'; give one of 0, 1, 2, 3, 4"),
        (changed(188, "N"), "column 188 is 'N'; put a number there"),
        (["0.0"] * 188, "all samples are 0, so the beat has no length; remove the row"),
    ],
)
def test_a_row_that_breaks_the_layout_is_named(tmp_path: Path, row: list[str], message: str) -> None:
    path = tmp_path / "beats.csv"
    path.write_bytes(text(ROW, ROW, row, ROW))
    with pytest.raises(DataError) as caught:
        read_heartbeat_file(path)
    assert str(caught.value) == f"{path}, row 3: {message}"


def test_a_first_row_of_another_width_is_named(tmp_path: Path) -> None:
    path = tmp_path / "beats.csv"
    path.write_bytes(text(["0.5"] * 141, ["0.5"] * 141))
    with pytest.raises(DataError, match=r"row 1: the number of columns is 141; give 188 columns, 187 samples and the"):
        read_heartbeat_file(path)


def test_a_first_row_with_one_word_is_no_header(tmp_path: Path) -> None:
    path = tmp_path / "beats.csv"
    path.write_bytes(text(changed(188, "N"), ROW))
    with pytest.raises(DataError, match=r"row 1: column 188 is 'N'; put a number there$"):
        read_heartbeat_file(path)


def test_a_header_is_named(tmp_path: Path) -> None:
    path = tmp_path / "beats.csv"
    path.write_bytes(text([*(f"t{i}" for i in range(187)), "label"], ROW))
    with pytest.raises(DataError, match=r"row 1: met the header 't0', \.\.\.; the layout has none, remove that row$"):
        read_heartbeat_file(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", " is empty; give rows of 187 samples and the class"),
        (b"\n \n", " is empty; give rows of 187 samples and the class"),
        (b"\x89PNG\r\n", ", row 1: byte 0x89 is not UTF-8; save the file as UTF-8 text"),
        (text(ROW) + b"\xff\n", ", row 2: byte 0xff is not UTF-8; save the file as UTF-8 text"),
        (gzip.compress(text(ROW), mtime=0)[:-9], " is a gzip file that ends too early; copy it again"),
        (gzip.compress(text(ROW), mtime=0)[:-8] + bytes(8), " is a damaged gzip file (CRC check failed"),
    ],
)
def test_a_file_that_is_no_text_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "beats.csv"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_heartbeat_file(path)
    assert str(caught.value).startswith(f"{path}{message}")
    assert "\n" not in str(caught.value)


def test_spaces_line_ends_and_a_byte_order_mark_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "beats.csv"
    path.write_bytes(b"\xef\xbb\xbf" + text(ROW, changed(2, " 5e-1 ")).replace(b"\n", b"\r\n"))
    assert [len(value) for value in read_heartbeat_file(path).values] == [4, 4]


def test_a_missing_file_a_folder_and_a_forbidden_file_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError, match=r"nothing\.csv does not exist; give a heartbeat CSV file or a folder with"):
        read_heartbeat_file(tmp_path / "nothing.csv")
    with pytest.raises(DataError, match=r" is a folder; give one file$"):
        read_heartbeat_file(tmp_path)

    def forbidden(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    # Root, whom tests may run as, is forbidden nothing.
    monkeypatch.setattr(Path, "read_bytes", forbidden)
    with pytest.raises(DataError, match=r"beats\.csv cannot be read: Permission denied; check its permissions$"):
        read_heartbeat_file(tmp_path / "beats.csv")


def test_one_file_is_split_by_class(tmp_path: Path) -> None:
    path = tmp_path / "beats.csv"
    path.write_bytes(many("0" * 40 + "1" * 10))
    train, test = read_heartbeat_csv(path, test_fraction=0.2, seed=1)
    assert train.class_counts.tolist() == [32, 8, 0, 0, 0]
    assert test.class_counts.tolist() == [8, 2, 0, 0, 0]


def test_one_beat_of_a_class_cannot_be_split(tmp_path: Path) -> None:
    path = tmp_path / "beats.csv"
    path.write_bytes(many("0000000003"))
    with pytest.raises(DataError, match=r"beats\.csv: class F has 1 sequence, a stratified split needs 2; add more"):
        read_heartbeat_csv(path)


@pytest.mark.parametrize("prefix", ["", "mitbih_"])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_folder_has_its_own_split(tmp_path: Path, prefix: str, suffix: str) -> None:
    (tmp_path / f"{prefix}train.csv{suffix}").write_bytes(many("00012"))
    (tmp_path / f"{prefix}test.csv{suffix}").write_bytes(many("3"))
    (tmp_path / "ecg5000_train.csv").write_bytes(b"something else")
    train, test = read_heartbeat_csv(tmp_path)
    assert train.labels.tolist() == [0, 0, 0, 1, 2]
    assert test.labels.tolist() == [3]
    assert test.source == f"heartbeat CSV {prefix}test.csv{suffix}"


@pytest.mark.parametrize(("there", "missing"), [("test", "train"), ("train", "test")])
def test_a_folder_without_one_of_both_is_refused(tmp_path: Path, there: str, missing: str) -> None:
    (tmp_path / f"{there}.csv").write_bytes(many("0"))
    message = rf" has no {missing} file; add one of {missing}\.csv, {missing}\.csv\.gz, mitbih_{missing}\.csv, "
    with pytest.raises(DataError, match=message):
        read_heartbeat_csv(tmp_path)


def test_records_become_groups_where_the_rows_agree(tmp_path: Path) -> None:
    (tmp_path / "train.csv.gz").write_bytes(gzip.compress(many("012"), mtime=0))
    beats = tmp_path / "train_beats.csv"
    beats.write_text("record,symbol\n007,N\n100,A\n007,V\n")
    groups = read_heartbeat_file(tmp_path / "train.csv.gz").groups
    assert groups is not None
    assert groups.tolist() == ["007", "100", "007"]
    beats.write_text("record,symbol\n007,N\n")
    assert read_heartbeat_file(tmp_path / "train.csv.gz").groups is None
    beats.write_text("patient\n007\n")
    with pytest.raises(DataError, match=r"train_beats\.csv has no column 'record'; add it or remove the file$"):
        read_heartbeat_file(tmp_path / "train.csv.gz")


@pytest.mark.data
def test_real_files(data: Path) -> None:
    train, test = read_heartbeat_csv(data / "ecg")
    assert train.class_counts.tolist() == [8599, 264, 689, 77, 371]
    assert test.class_counts.tolist() == [3440, 105, 276, 31, 148]
    assert (train.lengths.min(), train.lengths.max()) == (51, 187)
    assert train.groups is not None
    assert len(set(train.groups.tolist())) == 46
