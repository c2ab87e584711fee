"""Files to sequences, answers to lines."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from seqship.errors import DataError
from seqship.pipelines.spec import Field
from seqship.serving.predictor import Prediction
from seqship.serving.records import prediction_lines, read_records

FIELD = Field("heartbeat", "float32", ("batch", "time", 1), pad_value=-1.0)
PAIRS = Field("pairs", "float32", ("batch", "time", 2))
TOKENS = Field("tokens", "int32", ("batch", "time"))

Pack = Callable[[bytes], bytes]
Layout = Literal["plain", "heartbeat"]


def plain(data: bytes) -> bytes:
    return data


PACKINGS = pytest.mark.parametrize("pack", [plain, gzip.compress], ids=["plain", "gzip"])


def lists(rows: Any) -> list[Any]:
    return [np.asarray(row).tolist() for row in rows]


def read(data: bytes, field: Field = FIELD, layout: Layout = "plain") -> list[NDArray[Any]] | NDArray[Any]:
    return read_records(io.BytesIO(data), field, layout=layout)


def npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


@PACKINGS
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["", "bom"])
def test_json_lines_of_lists_and_objects(pack: Pack, mark: bytes) -> None:
    text = b'[0.5, 0.25]\n\n  {"id": 7, "heartbeat": [1, 0.125, 0]}\r\n[[0.5], [0.75]]\n'
    rows = read(pack(mark + text))
    assert lists(rows) == [[0.5, 0.25], [1, 0.125, 0], [[0.5], [0.75]]]
    assert {np.asarray(row).dtype for row in rows} == {np.dtype(np.float32)}


@PACKINGS
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["", "bom"])
def test_csv_with_ragged_rows(pack: Pack, mark: bytes) -> None:
    text = b"0.5, 0.25 ,0\r\n1,,,\r\n0,0.125,0.0,,\n"
    assert lists(read(pack(mark + text))) == [[0.5, 0.25, 0], [1], [0, 0.125, 0]]


@PACKINGS
def test_csv_in_the_heartbeat_layout(pack: Pack) -> None:
    rows = [[0.5, 0, 0.25, 0, 0.125], [1.0], [0.5] * 187, [0, 0, 0.75]]
    text = "".join(",".join(map(str, [*row, *[0] * (187 - len(row)), label])) + "\n" for label, row in enumerate(rows))
    found = read(pack(text.encode()), layout="heartbeat")
    assert lists(found) == rows
    assert lists(read(pack(text.encode()), layout="plain"))[1] == [1.0, *[0.0] * 186, 1.0]


@PACKINGS
def test_npz_by_name_or_alone(pack: Pack) -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    for data in (npz(heartbeat=array), npz(anything=array), npz(heartbeat=array, other=np.zeros(1))):
        found = read(pack(data))
        assert isinstance(found, np.ndarray)
        np.testing.assert_array_equal(found, array)
        assert found.dtype == np.float32


def test_a_file_a_stream_and_a_name_that_says_something_else(tmp_path: Path) -> None:
    path = tmp_path / "beats.csv"
    path.write_bytes(gzip.compress(b"[0.5]\n[0.25, 1]\n", mtime=0))
    assert lists(read_records(path, FIELD)) == [[0.5], [0.25, 1]]
    with path.open("rb") as stream:
        assert lists(read_records(stream, FIELD)) == [[0.5], [0.25, 1]]


def test_several_features_and_whole_numbers() -> None:
    assert lists(read(b"[[1, 2], [3, 4]]\n[[5, 6]]", PAIRS)) == [[[1, 2], [3, 4]], [[5, 6]]]
    rows = read(b"[3, 1]\n[2]", TOKENS)
    assert lists(rows) == [[3, 1], [2]]
    # Whether halves are whole is for the predictor to say; they are not cut here.
    assert lists(read(b"[3, 1.5]", TOKENS)) == [[3, 1.5]]
    assert lists(read(b"3,1.5", TOKENS)) == [[3, 1.5]]


def test_line_separators_within_a_text_do_not_end_a_line() -> None:
    text = '{"note": "a\u2028b\x85c", "heartbeat": [0.5]}\n{"heartbeat": [0.25]}'
    assert lists(read(text.encode())) == [[0.5], [0.25]]


@settings(max_examples=60)
@given(
    rows=st.lists(st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=1, max_size=9), min_size=1, max_size=6),
    objects=st.booleans(),
    notes=st.text(),
    packed=st.booleans(),
)
def test_json_lines_come_back(rows: list[list[float]], objects: bool, notes: str, packed: bool) -> None:
    documents = [{"note": notes, "heartbeat": row} if objects else row for row in rows]
    text = "\n".join(json.dumps(document, ensure_ascii=notes.isascii()) for document in documents)
    data = text.encode("utf-8", "surrogatepass") if notes.isascii() else text.encode()
    assert lists(read(gzip.compress(data, mtime=0) if packed else data)) == rows


@settings(max_examples=60)
@given(rows=st.lists(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=9), min_size=1, max_size=6))
def test_csv_comes_back(rows: list[list[float]]) -> None:
    text = "\n".join(",".join(map(repr, row)) for row in rows)
    assert lists(read(text.encode())) == rows


ZIPPED_TEXT = io.BytesIO()
with zipfile.ZipFile(ZIPPED_TEXT, "w") as archive:
    archive.writestr("note.txt", "no array")

BROKEN_NPZ = bytearray(npz(heartbeat=np.arange(99)))
BROKEN_NPZ[200] ^= 255

DEEP = b"[" * 100_000


@pytest.mark.parametrize(
    ("data", "layout", "message"),
    [
        (b"", "plain", "standard input is empty; give JSON lines, CSV or npz"),
        (b" \n\n", "plain", "standard input is empty; give JSON lines, CSV or npz"),
        (gzip.compress(b"", mtime=0), "plain", "standard input is empty; give JSON lines, CSV or npz"),
        (b"\xef\xbb\xbf", "plain", "standard input is empty; give JSON lines, CSV or npz"),
        (b"\xff\xfe[\x000\x00", "plain", "standard input is not UTF-8 text: invalid start byte at byte 0"),
        (b"[0.5]\n[0.5", "plain", "standard input line 2 is no JSON: Expecting ',' delimiter: "),
        (b"[0.5]\n\n0.5;\n", "plain", "standard input line 3 is no JSON: Extra data: "),
        (DEEP, "plain", "standard input line 1 is no JSON: maximum recursion depth exceeded"),
        (b'{"beat": [1], "x": 1}', "plain", "standard input line 1 has no 'heartbeat'; it has: beat, x"),
        (b"[1]\n{}", "plain", "standard input line 2 has no 'heartbeat'; it has: nothing"),
        (b'[1]\n["a"]', "plain", "standard input line 2 is no list of numbers, each step alike"),
        (b"[[1], [2, 3]]", "plain", "standard input line 1 is no list of numbers, each step alike"),
        (b'{"heartbeat": {"a": 1}}', "plain", "standard input line 1 is no list of numbers, each step alike"),
        (f"[{10**400}]".encode(), "plain", "standard input line 1 is no list of numbers, each step alike"),
        (b"0.5\n\n0.5", "plain", "standard input row 2 is empty; a sequence has at least one step"),
        (b"0.5\n, ,\n", "plain", "standard input row 2 is empty; a sequence has at least one step"),
        (b"0.5,1\n0.5,x,1", "plain", "standard input row 2 holds 'x', which is no number"),
        (b"0.5,1\n0.5,,1", "plain", "standard input row 2 holds '', which is no number"),
        (b"0.5;1", "plain", "standard input row 1 holds '0.5;1', which is no number"),
        (b"x" * 99, "plain", f"standard input row 1 holds '{'x' * 40}', which is no number"),
        (b"1" * 200_000, "plain", "standard input is no CSV: field larger than field limit (131072) in line 1"),
        (b"0.5,0.5", "heartbeat", "standard input row 1 has 2 columns; the heartbeat layout has 188"),
        (b"0," * 187 + b"\n", "heartbeat", "standard input row 1 has 187 columns; the heartbeat layout has 188"),
        (npz(a=np.zeros(1), b=np.zeros(1)), "plain", "standard input holds a, b; the input is 'heartbeat'"),
        (npz(), "plain", "standard input holds nothing; the input is 'heartbeat'"),
        (b"PK\x03\x04 and no more", "plain", "standard input is no npz of plain arrays: File is not a zip file"),
        (bytes(BROKEN_NPZ), "plain", "standard input is no npz of plain arrays: Bad CRC-32 for file 'heartbeat.npy'"),
        (ZIPPED_TEXT.getvalue(), "plain", "standard input is no npz of plain arrays: note.txt is none"),
        (npz(heartbeat=np.array([{}])), "plain", "standard input is no npz of plain arrays: Object arrays cannot be"),
        (gzip.compress(b"[0.5]", mtime=0)[:-9], "plain", "cannot read standard input: "),
        (gzip.compress(b"[0.5]", mtime=0)[:10] + b"\xff" * 20, "plain", "cannot read standard input: "),
        (b"\x1f\x8b no gzip", "plain", "cannot read standard input: "),
    ],
)
def test_what_is_broken_is_told_with_its_place(data: bytes, layout: Layout, message: str) -> None:
    with pytest.raises(DataError) as caught:
        read(data, layout=layout)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_paths_that_cannot_be_read(tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "none", "no such file or directory"), (tmp_path, "is a directory")):
        with pytest.raises(DataError) as caught:
            read_records(path, FIELD)
        assert str(caught.value) == f"cannot read {path}: {reason}"


def test_the_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "beats.jsonl"
    path.write_text("[0.5]\nx")
    with pytest.raises(DataError) as caught:
        read_records(path, FIELD)
    assert str(caught.value) == f"{path} line 2 is no JSON: Expecting value: line 1 column 1 (char 0)"


def test_inputs_that_a_row_cannot_hold() -> None:
    with pytest.raises(DataError) as caught:
        read(b"1,2\n", PAIRS)
    assert str(caught.value) == "a CSV row holds one feature a step, the model takes 2; give JSON lines or npz"
    for field in (Field("text", "string", ("batch", 1)), Field("age", "float32", ("batch",))):
        with pytest.raises(DataError) as caught:
            read(b"[1]", field)
        assert str(caught.value) == (
            f"the input {field.name!r} is no sequence of numbers; use serving.Predictor.predict_batch"
        )


def test_answers_with_classes_are_a_class_and_its_probabilities() -> None:
    scores = np.array([[0.25, 0.75], [1, 0]], np.float32)
    lines = list(prediction_lines(Prediction({"p": scores}, ("b", "ä"), scores)))
    assert lines[0] == '{"class": "b", "probabilities": [0.25, 0.75]}'
    assert json.loads(lines[1]) == {"class": "ä", "probabilities": [1, 0]}
    assert len(lines) == 2


def test_answers_without_classes_are_the_outputs_by_name() -> None:
    outputs = {"y": np.array([[1.5], [2]], np.float32), "n": np.array([3, 4])}
    assert list(prediction_lines(Prediction(outputs))) == ['{"y": [1.5], "n": 3}', '{"y": [2.0], "n": 4}']
    assert list(prediction_lines(Prediction({"y": np.zeros((0, 1))}))) == []
