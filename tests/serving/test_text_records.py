"""Files to texts."""

from __future__ import annotations

import gzip
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqship.errors import DataError
from seqship.serving.text_records import read_texts

REVIEWS = ["A fine film, really.", 'He said "no".', "ça 語"]


def read(text: str) -> list[str]:
    return read_texts(io.BytesIO(text.encode()))


@pytest.mark.parametrize(
    "text",
    [
        "\n".join(map(json.dumps, REVIEWS)),
        "\n".join(json.dumps({"text": review, "label": 1}) for review in REVIEWS) + "\n\n",
        'label,text\n1,"A fine film, really."\n0,"He said ""no""."\n1,ça 語\n',
        "\r\n".join(["text", '"A fine film, really."', '"He said ""no""."', "ça 語"]),
        "\n".join(REVIEWS),
    ],
    ids=["strings", "objects", "csv", "csv-crlf", "lines"],
)
def test_every_form(text: str) -> None:
    assert read(text) == REVIEWS
    assert read_texts(io.BytesIO(gzip.compress(text.encode(), mtime=0))) == REVIEWS


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=1))
def test_json_lines_hold_any_text(texts: list[str]) -> None:
    assert read("\n".join(map(json.dumps, texts))) == texts


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "standard input is empty"),
        ('"a"\n[1, 2]', "standard input line 2 is neither a text nor an object with one, such as"),
        ('{"review": "a"}', "standard input line 1 is neither a text nor an object with one"),
        ('"a"\n"b', "standard input line 2 is no JSON: "),
        ("text,label\na,1\nb, c,0\n", "standard input line 3 has 3 columns, the header 2; put texts that hold commas"),
    ],
)
def test_what_is_wrong_is_named(text: str, problem: str) -> None:
    with pytest.raises(DataError) as caught:
        read(text)
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)
