"""Servers that are not there, not there yet, busy, silent, or something else."""

from __future__ import annotations

import pickle
import re
import socket
import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqship.errors import DeadlineError, RejectedError, ServiceError, UnavailableError
from seqship.serving import Client
from seqship.serving.client import deadline
from seqship.serving.client.deadline import Deadline, with_retries
from seqship.serving.server import ServerOptions, run_server
from seqship.serving.server.main import Ports

SIGNAL = np.array([[[0.5, -0.25]]], np.float32)
STATUS = b'{"model_version_status": [{"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK"}}]}'


def free_port() -> int:
    with closing(socket.socket()) as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@contextmanager
def http_server(answer: Callable[[BaseHTTPRequestHandler, int], None]) -> Generator[str]:
    """A server that answers as it is told, by the number of the request."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            asked.append(self.path)
            answer(self, len(asked))

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (its name in the base class)
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def say(
    handler: BaseHTTPRequestHandler, status: int, body: bytes, kind: str = "application/json", *, after: str = ""
) -> None:
    handler.send_response(status)
    handler.send_header("content-type", kind)
    handler.send_header("content-length", str(len(body)))
    if after:
        handler.send_header("retry-after", after)
    handler.end_headers()
    handler.wfile.write(body)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the client would have paused; it goes on at once."""
    made: list[float] = []
    monkeypatch.setattr(deadline.time, "sleep", made.append)
    return made


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_a_server_that_comes_up_late(
    scheme: str, bundles: Mapping[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = tmp_path / "base"
    base.mkdir()
    (base / "1").symlink_to(bundles["classifier"])
    port, other, stop = free_port(), free_port(), threading.Event()
    grpc_port, rest_port = (port, other) if scheme == "grpc" else (other, port)
    options = ServerOptions(
        port=grpc_port, rest_api_port=rest_port, model_name="m", model_base_path=str(base),
        follow_links_out_of_base_path=True,
    )  # fmt: skip
    up, sleep = threading.Event(), time.sleep

    def ready(_: Ports) -> None:
        up.set()

    thread = threading.Thread(target=run_server, args=(options,), kwargs={"stop": stop, "ready": ready})

    def pause(seconds: float) -> None:
        if not thread.is_alive():  # The first try has failed: nobody listens.
            thread.start()
            assert up.wait(60)
        sleep(seconds)

    with Client(f"{scheme}://127.0.0.1:{port}", model="m", retries=0) as client:
        assert not client.ready()
        with pytest.raises(
            UnavailableError, match=r"failed with UNAVAILABLE: .*; is a server running there, on this po"
        ):
            client.predict(SIGNAL)
    monkeypatch.setattr(deadline.time, "sleep", pause)
    try:
        with Client(f"{scheme}://127.0.0.1:{port}", model="m", retries=20, timeout=60) as client:
            assert client.predict(SIGNAL)["scores"].shape == (1, 3)
    finally:
        stop.set()
        thread.join(60)


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_a_server_that_never_answers(scheme: str) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        address = f"{scheme}://127.0.0.1:{silent.getsockname()[1]}"
        with Client(address, model="m", timeout=0.3, retries=5) as client:
            for call in (client.status, client.metadata, lambda: client.predict(SIGNAL)):
                with pytest.raises(
                    DeadlineError, match=r"DEADLINE_EXCEEDED: no answer within 0.3 s; give a longer tim"
                ):
                    call()
            assert not client.ready()
            with pytest.raises(DeadlineError, match=r"no answer within 0.1 s"):
                client.status(timeout=0.1)


def test_an_answer_that_trickles() -> None:
    """Each part comes in time, the whole does not."""
    ended = threading.Event()

    def answer(handler: BaseHTTPRequestHandler, _: int) -> None:
        handler.send_response(200)
        handler.send_header("content-length", "1000000")
        handler.end_headers()
        try:
            for _ in range(500):  # Not for ever, should the client wait for all of it.
                if ended.wait(0.02):
                    break
                handler.wfile.write(b" ")
                handler.wfile.flush()
        except OSError:
            pass

    with http_server(answer) as url, Client(url, model="m", timeout=0.3, retries=0) as client:
        try:
            with pytest.raises(DeadlineError, match=r"no answer within 0.3 s"):
                client.status()
        finally:
            ended.set()


def test_a_busy_server_is_asked_again(pauses: list[float]) -> None:
    def answer(handler: BaseHTTPRequestHandler, number: int) -> None:
        if number == 1:
            say(handler, 503, b'{"error": "no room"}')
        elif number == 2:
            say(handler, 429, b'{"error": "too many"}', after="7")
        elif number == 3:
            handler.connection.shutdown(socket.SHUT_RDWR)  # Nothing at all.
        else:
            say(handler, 200, STATUS)

    with http_server(answer) as url, Client(url, model="m", retries=3) as client:
        assert client.status()[0].state == "AVAILABLE"
    first, second, third = pauses
    assert 0.05 <= first <= 0.1
    assert second == 7
    assert 0.2 <= third <= 0.4


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (503, "UNAVAILABLE", UnavailableError),
        (502, "UNAVAILABLE", UnavailableError),
        (429, "RESOURCE_EXHAUSTED", UnavailableError),
        (504, "DEADLINE_EXCEEDED", DeadlineError),
        (400, "INVALID_ARGUMENT", RejectedError),
        (401, "UNAUTHENTICATED", RejectedError),
        (500, "INTERNAL", ServiceError),
        (418, "UNKNOWN", ServiceError),
    ],
)
def test_which_failures_are_asked_again(status: int, code: str, kind: type[ServiceError], pauses: list[float]) -> None:
    def answer(handler: BaseHTTPRequestHandler, _: int) -> None:
        say(handler, status, b'{"error": "what\\nthe server says."}')

    with (
        http_server(answer) as url,
        Client(url, model="m", retries=2) as client,
        pytest.raises(ServiceError, match=f"^status of 'm' at {url} failed with {code}: what the server") as caught,
    ):
        client.status()
    assert (type(caught.value), caught.value.code, caught.value.http_status) == (kind, code, status)
    assert len(pauses) == (2 if kind is UnavailableError else 0)


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_a_wait_beyond_the_deadline_is_not_begun(form: str, pauses: list[float]) -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(hours=2), usegmt=True)

    def answer(handler: BaseHTTPRequestHandler, _: int) -> None:
        say(handler, 503, b'{"error": "later"}', after="3600" if form == "seconds" else later)

    with (
        http_server(answer) as url,
        Client(url, model="m", retries=5) as client,
        pytest.raises(UnavailableError, match="UNAVAILABLE: later") as caught,
    ):
        client.status()
    assert pauses == []
    assert caught.value.retry_after is not None
    assert caught.value.retry_after > 3000


PAGE = b"<!doctype html><title>hello</title>"


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (
            200,
            "UNKNOWN",
            "failed with UNKNOWN: the answer is no JSON, it begins with '<!doctype html><title>hello</title>' "
            "(text/html); is it TensorFlow Serving's API that answers?",
        ),
        (
            404,
            "NOT_FOUND",
            "failed with NOT_FOUND: HTTP 404 Not Found without an error of TensorFlow Serving's (text/html); is it "
            "TensorFlow Serving's REST port?",
        ),
        (
            503,
            "UNAVAILABLE",
            "failed with UNAVAILABLE: HTTP 503 Service Unavailable without an error of TensorFlow Serving's "
            "(text/html); is a server running there, on this port?",
        ),
    ],
)
def test_a_server_of_another_kind(status: int, code: str, said: str) -> None:
    def answer(handler: BaseHTTPRequestHandler, _: int) -> None:
        say(handler, status, PAGE, "text/html; charset=utf-8")

    with http_server(answer) as url, Client(url, model="m", retries=0) as client:
        for call in (client.metadata, client.status, lambda: client.predict(SIGNAL)):
            with pytest.raises(ServiceError, match=re.escape(said)) as caught:
                call()
            assert (caught.value.code, caught.value.http_status) == (code, status)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{}", "metadata of 'm' at {url} failed with UNKNOWN: the answer has no metadata with a signature_def"),
        (b'{"model_spec": {"name": 3}, "metadata": {"signature_def": 3}}', "the answer is no SignatureDefMap"),
        (b'{"model_spec": {"version": "x"}, "metadata": {"signature_def": {}}}', "the answer is no ModelSpec"),
    ],
)
def test_metadata_of_another_kind(body: bytes, said: str) -> None:
    def answer(handler: BaseHTTPRequestHandler, _: int) -> None:
        say(handler, 200, body)

    with http_server(answer) as url, Client(url, model="m") as client:
        expected = re.escape(said.format(url=url))
        with pytest.raises(ServiceError, match=expected):
            client.metadata()


def test_each_api_on_the_port_of_the_other(server: Any) -> None:
    for address in (f"http://127.0.0.1:{server.grpc_port}", f"grpc://127.0.0.1:{server.rest_port}"):
        with (
            Client(address, model="classifier", retries=0) as client,
            pytest.raises(UnavailableError, match=r"is a server running there, on this port\?"),
        ):
            client.status()


def test_pauses_grow_to_a_limit(pauses: list[float]) -> None:
    def fail() -> None:
        raise UnavailableError("no")

    with pytest.raises(UnavailableError):
        with_retries(fail, retries=9, deadline=Deadline.after(1000))
    limits = [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5, 5, 5]
    assert all(limit / 2 <= pause <= limit for pause, limit in zip(pauses, limits, strict=True))
    assert len(set(pauses)) == 9


def test_errors_survive_a_trip_between_processes() -> None:
    error = UnavailableError("no", code="RESOURCE_EXHAUSTED", http_status=429, retry_after=3.0)
    copied: Any = pickle.loads(pickle.dumps(error))
    assert (type(copied), str(copied), copied.code, copied.http_status, copied.retry_after) == (
        UnavailableError, "no", "RESOURCE_EXHAUSTED", 429, 3.0,
    )  # fmt: skip
