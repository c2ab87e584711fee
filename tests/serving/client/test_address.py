"""What an address means."""

from __future__ import annotations

import re
from typing import Any

import pytest

from seqship.errors import DataError
from seqship.serving.client.address import Address, parse_address


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        ("http://127.0.0.1:8501", {"model": "m"}, Address("http", "http://127.0.0.1:8501", "m")),
        ("http://h/", {"model": "m"}, Address("http", "http://h", "m")),
        ("https://h:1/v1/models/m", {}, Address("https", "https://h:1", "m")),
        ("https://h/v1/models/m/versions/7", {}, Address("https", "https://h", "m", 7)),
        ("https://h/v1/models/m/labels/a%20b:predict", {}, Address("https", "https://h", "m", None, "a b")),
        ("http://h/v1/models/m%2Fn", {"version": 2, "model": "m/n"}, Address("http", "http://h", "m/n", 2)),
        ("http://h/behind/a/v1/models/m/", {}, Address("http", "http://h/behind/a", "m")),
        ("http://h/behind/", {"model": "m"}, Address("http", "http://h/behind", "m")),
        ("grpc://h:85", {"model": "m", "label": "s"}, Address("grpc", "h:85", "m", None, "s")),
        ("grpc://h", {"model": "m"}, Address("grpc", "h:8500", "m")),
        ("grpcs://[::1]", {"model": "m"}, Address("grpcs", "[::1]:443", "m")),
        ("unix:/run/s", {"model": "m"}, Address("unix", "unix:/run/s", "m")),
        ("unix:///run/s", {"model": "m"}, Address("unix", "unix:/run/s", "m")),
    ],
)
def test_forms(text: str, options: dict[str, Any], expected: Address) -> None:
    assert parse_address(text, **options) == expected


def test_the_url_of_a_model() -> None:
    assert parse_address("http://h", model="a/b", version=3).url == "http://h/v1/models/a%2Fb/versions/3"
    assert parse_address("http://h/x", model="m", label="é").url == "http://h/x/v1/models/m/labels/%C3%A9"
    assert [parse_address(one, model="m").where for one in ("http://h", "grpc://h", "unix:/s")] == [
        "http://h",
        "grpc://h:8500",
        "unix:/s",
    ]


@pytest.mark.parametrize(
    ("text", "local"),
    [
        ("http://localhost:1", True),
        ("https://127.0.0.9", True),
        ("http://[::1]:1/x", True),
        ("grpc://localhost", True),
        ("unix:/s", True),
        ("http://h", False),
        ("grpc://10.0.0.1", False),
        ("grpcs://localhost.example", False),
    ],
)
def test_which_servers_are_on_this_machine(text: str, local: bool) -> None:
    assert parse_address(text, model="m").is_local is local


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        ("localhost:8501", {"model": "m"}, "'localhost:8501' is no address of a server; give http://HOST:8501,"),
        ("ftp://h", {"model": "m"}, "'ftp://h' is no address of a server; give http://HOST:8501,"),
        ("http://", {"model": "m"}, "'http://' is no address of a server"),
        ("http://h:x", {"model": "m"}, "'http://h:x' is no address of a server: Port could not be cast"),
        ("http://h?a=b", {"model": "m"}, "'http://h?a=b' is no address of a server"),
        ("http://a:b@h", {"model": "m"}, "'http://a:b@h' is no address of a server"),
        ("http://h", {}, "no model is named for http://h; give model=NAME"),
        ("unix:", {"model": "m"}, "'unix:' names no socket; give unix:/PATH"),
        ("grpc://h/m", {}, "'grpc://h/m' has a path, which gRPC has not; give grpc://h and model="),
        ("http://h/v1/model/m", {}, "'http://h/v1/model/m' is no model's URL; give http://h/v1/models/NAME"),
        ("http://h/v1/models/m", {"model": "n"}, "names the model 'm', model= says 'n'; leave one out"),
        ("http://h/v1/models/m/versions/1", {"label": "n"}, "names a version, and so does version= or label="),
        ("http://h", {"model": "m", "version": 1, "label": "n"}, "version 1 and label 'n' are both given"),
        ("http://h", {"model": "m", "version": -1}, "the version is -1; versions are whole numbers from 0"),
        ("http://h", {"model": "m", "label": ""}, "the label is empty; leave it out to ask the newest version"),
    ],
)
def test_mistakes(text: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=re.escape(said)):
        parse_address(text, **options)
