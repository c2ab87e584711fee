"""Time series, and reading them from CSV files."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqship.errors import DataError
from seqship.pipelines.series import Series, as_series
from seqship.pipelines.series_csv import read_series

HOURS = "date,x,y\n2020-01-01 00:00,1,2\n2020-01-01 01:00,3,4\n2020-01-01 02:00,5,6\n2020-01-01 03:00,7,8\n"


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "series.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def fault(folder: Path, text: str | bytes, **options: Any) -> str:
    """Returns the message of the error without the path."""
    path = written(folder, text)
    with pytest.raises(DataError) as caught:
        read_series(path, **options)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    return message.removeprefix(str(path))


def daily(*cells: tuple[str, object]) -> str:
    return "date,x\n" + "".join(f"{date},{value}\n" for date, value in cells)


def dates(series: Series, unit: str = "D") -> list[str]:
    assert series.times is not None
    return [str(time) for time in series.times.astype(f"datetime64[{unit}]")]


@settings(max_examples=40)
@given(
    table=st.lists(st.tuples(*[st.none() | st.floats(-(2.0**99), 2.0**99, width=32)] * 2), min_size=1, max_size=20),
    packed=st.booleans(),
    ending=st.sampled_from(["\n", "\r\n"]),
    mark=st.booleans(),
)
def test_numbers_come_back_exactly(
    tmp_path_factory: pytest.TempPathFactory,
    table: list[tuple[float | None, float | None]],
    packed: bool,
    ending: str,
    mark: bool,
) -> None:
    start = np.datetime64("2020-01-01T00:00")
    rows = [
        f"{start + np.timedelta64(10 * at, 'm')}," + ",".join("NA" if cell is None else repr(cell) for cell in row)
        for at, row in enumerate(table)
    ]
    content = (b"\xef\xbb\xbf" if mark else b"") + ending.join(["Date,x,y", *rows, ""]).encode()
    path = written(tmp_path_factory.mktemp("csv"), gzip.compress(content, mtime=0) if packed else content)
    series = read_series(path)
    expected = np.array([[np.nan if cell is None else cell for cell in row] for row in table], np.float32)
    np.testing.assert_array_equal(series.values, expected)
    assert series.values.dtype == np.float32
    assert series.columns == ("x", "y")
    assert series.source == "time series CSV series.csv"
    assert series.borders.tolist() == [0, len(table)]
    assert series.times is not None
    assert series.times[-1] == start + np.timedelta64(10 * (len(table) - 1), "m")


@pytest.mark.parametrize("word", ["", "NA", "n/a", "NaN", "null", "None", "?", " na "])
def test_words_for_missing_values_become_nan(tmp_path: Path, word: str) -> None:
    series = read_series(written(tmp_path, f"x,y\n1,2\n{word},4\n"))
    np.testing.assert_array_equal(series.values, [[1, 2], [np.nan, 4]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", " is empty; give a header and one row a step"),
        (b" \n\n", " is empty; give a header and one row a step"),
        ("date,x\n", " has a header and no rows; give one row a step"),
        (b"x,y\n1,2\n1,\xff\n", ", line 3: byte 0xff is not UTF-8; save the file as UTF-8 text"),
        ("x\n1\n\0\n", ", line 3: a zero byte is no text; save the file as UTF-8 text"),
        ("x,y\n1,2\n\n3\n", ", line 4: the row has 1 cells, the header 2; make them the same"),
        ("x,y\n1,2\n3,4,5\n", ", line 3: the row has 3 cells, the header 2; make them the same"),
        (
            "x,y\n1,2\n3,abc\n",
            ", line 3: column 'y' is 'abc', which is no finite number; put one there, or NA where it",
        ),
        (
            "x,y\n1,2\n3,inf\n",
            ", line 3: column 'y' is 'inf', which is no finite number; put one there, or NA where it",
        ),
        ("x,y\n1,2\n3,1e39\n", ", line 3: column 'y' is '1e39', which is beyond float32; scale the values down"),
        ("1,2\n3,4\n", ", line 1: '1', ... are numbers; begin with the names of the columns"),
        ("x,x\n3,4\n", ", line 1: 2 columns are named 'x'; name each once"),
        ("x;y\n3;4\n", ", line 1: one column named 'x;y'; the cells seem to be separated by ';', give separator=';'"),
        ("date,w\n2020-01-01,a\n", " has no column of numbers; its columns are date, w"),
        (
            daily(("2020-01-01", 1), ("2020-01-32", 2)),
            ", line 3: '2020-01-32' is no date like '2020-01-01' (ISO8601); c",
        ),
        (daily(("2020-01-02", 1), ("2020-01-01", 2)), ", line 3: 2020-01-01 00:00:00 comes after 2020-01-02 00:00:00;"),
        (daily(("2020-01-02", 1), ("2020-01-02", 2)), ", line 3: 2020-01-02 00:00:00 comes again; keep one of them"),
        (
            daily(*((f"2020-01-{day:02}", 1) for day in (1, 2, 3, 5, 6))),
            ", line 5: 2020-01-05 00:00:00 comes 2 days 00:00:00 after the row before, the others 1 days 00:00:00; "
            "fill the gap, or give gaps='split' or gaps='allow'",
        ),
        (
            daily(*((f"2020-{month:02}", 1) for month in (1, 2, 3, 5))),
            ", line 5: 2020-05-01 00:00:00 comes 2 months after the row before, the others 1 month; fill the gap",
        ),
        (
            daily(*((f"2020-01-{day:02}", 1) for day in (1, 2, 4, 8))),
            ": the dates follow no regular step (the commonest, 1 days 00:00:00, comes 1 times in 3); "
            "give gaps='allow'",
        ),
        (
            daily(("01/02/2020", 1), ("02/02/2020", 2)),
            ": dates like '01/02/2020' may be day and month or month and day;",
        ),
        ("year,month,x\n2020,1,1\n2020,b,2\n", ", line 3: month is 'b'; put a whole number there"),
        (
            "year,month,x\n2020,1,1\n2020,13,2\n",
            ", line 3: '2020-13-01 00:00:00' is no date like '2020-01-01 00:00:00'",
        ),
    ],
)
def test_a_fault_is_named(tmp_path: Path, text: str | bytes, message: str) -> None:
    assert fault(tmp_path, text).startswith(message)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"columns": ["x", "z"]}, " has no column 'z'; its columns are date, x, y"),
        ({"columns": ["x", "x"]}, ": columns are a list of different names, met ['x', 'x']; name each once"),
        ({"date": "when"}, " has no column 'when'; its columns are date, x, y"),
        (
            {"date": ["date", "x"]},
            ": a date of several columns is made of year, month, day, hour, minute, second, met ",
        ),
        ({"group": "g"}, " has no column 'g'; its columns are date, x, y"),
        ({"date_format": "%d.%m.%Y"}, ", line 2: '2020-01-01 00:00' is no date like '2020-01-01 00:00' (%d.%m.%Y); "),
    ],
)
def test_options_that_do_not_fit_the_file_are_named(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    path = written(tmp_path, HOURS)
    with pytest.raises(DataError) as caught:
        read_series(path, **options)
    assert str(caught.value).startswith(f"{path}{message}")


def test_an_unknown_policy_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^gaps must be 'error', 'split' or 'allow', met 'fill'; 'split' begins"):
        read_series(written(tmp_path, HOURS), gaps="fill")  # pyright: ignore[reportArgumentType]


def test_files_that_cannot_be_read_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match=r"none\.csv does not exist; give a CSV file with a header$"):
        read_series(tmp_path / "none.csv")
    with pytest.raises(DataError, match=r" is a folder; give one file$"):
        read_series(tmp_path)
    packed = gzip.compress(HOURS.encode(), mtime=0)
    assert fault(tmp_path, packed[:-9]) == " is a gzip file that ends too early; copy it again"
    assert fault(tmp_path, packed[:-8] + bytes(8)).startswith(" is a damaged gzip file (CRC check failed")

    def forbidden(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", forbidden)
    with pytest.raises(DataError, match=r" cannot be read: Permission denied; check its permissions$"):
        read_series(tmp_path / "series.csv")


def test_a_gap_splits_or_is_allowed(tmp_path: Path) -> None:
    path = written(tmp_path, daily(*((f"2020-01-{day:02}", day) for day in (1, 2, 3, 5, 6, 7, 8))))
    assert read_series(path, gaps="split").borders.tolist() == [0, 3, 7]
    assert read_series(path, gaps="allow").borders.tolist() == [0, 7]


def test_months_are_regular_whatever_their_length(tmp_path: Path) -> None:
    ends = ("2020-01-31", "2020-02-29", "2020-03-31", "2020-04-30")
    assert len(read_series(written(tmp_path, daily(*((end, 1) for end in ends))))) == 4
    quarters = ("2020-01", "2020-04", "2020-07", "2020-10")
    assert len(read_series(written(tmp_path, daily(*((month, 1) for month in quarters))))) == 4


def test_trading_days_have_no_gaps(tmp_path: Path) -> None:
    days = np.arange("2020-01-01", "2020-02-01", dtype="datetime64[D]")
    open_days = [day for day in days[np.is_busday(days)] if str(day) != "2020-01-20"]
    assert len(read_series(written(tmp_path, daily(*((str(day), 1) for day in open_days))))) == 22


@pytest.mark.parametrize(
    ("header", "row", "date"),
    [
        ("Month,x", "1949-01,1", "1949-01-01T00:00"),
        ("Date Time,x", "01.02.2009 00:10:00,1", "2009-02-01T00:10"),
        ("x,Timestamp", "1,2020-01-02T03:04:00Z", "2020-01-02T03:04"),
        ("when,date,x", "a,25/12/2020,1", "2020-12-25T00:00"),
        ("when,date,x", "a,12/25/2020,1", "2020-12-25T00:00"),
        ("No,year,month,day,hour,x", "1,2010,1,2,3,1", "2010-01-02T03:00"),
        ("hour,x,Year,Month", "7,1,2010,2", "2010-02-01T07:00"),
    ],
)
def test_dates_are_found_and_read(tmp_path: Path, header: str, row: str, date: str) -> None:
    series = read_series(written(tmp_path, f"{header}\n{row}\n"))
    assert dates(series, "m") == [date]
    assert series.columns == ("x",)


def test_dates_can_be_told_or_left_out(tmp_path: Path) -> None:
    path = written(tmp_path, daily(("01/02/2020", 1), ("02/02/2020", 2)))
    assert dates(read_series(path, date_format="%d/%m/%Y")) == ["2020-02-01", "2020-02-02"]
    assert dates(read_series(path, date_format="%m/%d/%Y", gaps="allow")) == ["2020-01-02", "2020-02-02"]
    assert read_series(path, date=[]).times is None


def test_columns_come_in_the_order_asked_for_and_words_are_left_out(tmp_path: Path) -> None:
    path = written(tmp_path, "No,x,wind,y\n1,5,NW,7\n2,6,SE,8\n")
    assert read_series(path).columns == ("x", "y")
    series = read_series(path, columns=["y", "No"])
    assert series.columns == ("y", "No")
    assert series.values.tolist() == [[7, 1], [8, 2]]
    assert read_series(written(tmp_path, "No,x\n1,5\n3,6\n")).columns == ("No", "x"), "this one does not count"


def test_mixed_groups_become_series_of_their_own(tmp_path: Path) -> None:
    path = written(tmp_path, "date,shop,x\n2020-01-01,b,1\n2020-01-01,a,2\n2020-01-02,b,3\n2020-01-02,a,4\n")
    series = read_series(path, group="shop")
    assert series.values[:, 0].tolist() == [1, 3, 2, 4]
    assert series.borders.tolist() == [0, 2, 4]
    assert dates(series) == ["2020-01-01", "2020-01-02"] * 2
    assert fault(tmp_path, path.read_text() + "2020-01-02,b,5\n", group="shop").startswith(
        ", line 6: 2020-01-02 00:00:00"
    )


def test_series_are_made_of_arrays() -> None:
    series = as_series(np.arange(5))
    assert series.values.dtype == np.float32
    assert series.values.tolist() == [[0], [1], [2], [3], [4]]
    assert series.columns == ("0",)
    several = as_series(np.zeros((5, 2), np.float32), columns=["a", "b"], lengths=[2, 3])
    assert several.borders.tolist() == [0, 2, 5]
    assert several.lengths.tolist() == [2, 3]
    assert several.column_indices(["b"]) == (1,)
    own = np.zeros((3, 1), np.float32)
    assert as_series(own).values is own, "nothing is copied"


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        (
            np.zeros((2, 2, 2)),
            {},
            r"^a series is an array of numbers shaped \(steps,\) or \(steps, columns\), met float64",
        ),
        (np.array(["a"]), {}, r"^a series is an array of numbers"),
        (np.array([1, 1e39]), {}, r"^step 1 holds 1e\+39, beyond float32; scale the values down first$"),
        (
            np.zeros((2, 2)),
            {"columns": ["a"]},
            r"^2 columns need as many different names, met \('a',\); name each once$",
        ),
        (
            np.zeros(5),
            {"lengths": [2, 2]},
            r"^borders ascend from 0 to the 5 steps, met \[0, 2, 4\]; give all of them$",
        ),
        (
            np.zeros(5),
            {"times": np.zeros(4, "datetime64[s]")},
            r"^each of the 5 steps has one time, met \(4,\); give one",
        ),
        (
            np.zeros(3),
            {"times": np.array([2, 1, 3], "datetime64[D]")},
            r"^times ascend within a series, met 1970-01-02 after 1970-01-03 at step 1; sort the steps$",
        ),
    ],
)
def test_arrays_that_are_no_series_are_refused(values: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        as_series(values, **options)


def test_times_begin_again_at_a_border() -> None:
    times = np.array([1, 2, 1, 2, 1], "datetime64[D]")
    assert as_series(np.zeros(5), times=times, lengths=[2, 0, 2, 1]).borders.tolist() == [0, 2, 2, 4, 5]
    with pytest.raises(DataError, match=r"at step 4; sort the steps$"):
        as_series(np.zeros(5), times=times, lengths=[2, 3])


def test_a_memory_map_of_another_type_is_refused(tmp_path: Path) -> None:
    mapped = np.memmap(tmp_path / "x", np.float64, "w+", shape=(4,))
    with pytest.raises(DataError, match=r"^a memory-mapped series must be float32, met float64, which would be copied"):
        as_series(mapped)


def test_columns_that_are_not_there_are_refused() -> None:
    series = as_series(np.zeros((2, 2)), columns=["a", "b"])
    with pytest.raises(DataError, match=r"^there is no column 'c'; the columns are a, b$"):
        series.column_indices(["c"])
    with pytest.raises(DataError, match=r"^columns are a list of different names, met \['a', 'a'\]; name each once$"):
        series.column_indices(["a", "a"])


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "shape", "first", "last", "missing"),
    [
        ("AAPL.csv", (506, 6), "2015-02-17T00:00", "2017-02-16T00:00", 0),
        ("ETTh1.csv.gz", (17420, 7), "2016-07-01T00:00", "2018-06-26T19:00", 0),
        ("GOOG.csv", (2148, 5), "2004-08-19T00:00", "2013-03-01T00:00", 0),
        ("airline-passengers.csv", (144, 1), "1949-01-01T00:00", "1960-12-01T00:00", 0),
        ("beijing_pm25.csv.gz", (43824, 7), "2010-01-01T00:00", "2014-12-31T23:00", 2067),
        ("jena_climate_jan2009.csv.gz", (4000, 11), "2009-01-01T00:10", "2009-01-28T18:40", 0),
    ],
)
def test_real_files(data: Path, name: str, shape: tuple[int, int], first: str, last: str, missing: int) -> None:
    series = read_series(data / "timeseries" / name)
    assert series.values.shape == shape
    assert [dates(series, "m")[at] for at in (0, -1)] == [first, last]
    assert np.isnan(series.values).sum() == missing
    assert series.borders.tolist() == [0, shape[0]]
