"""One connection of the REST API: uvicorn's, held to a patience, and deaf to what it cannot become."""

from __future__ import annotations

import asyncio
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_LARGEST_HEAD = 1 << 16
_LEFT_OUT = (b"upgrade", b"http2-settings")


def connection_class(patience_seconds: float) -> type[HttpToolsProtocol]:
    """Returns the class of the connections.

    uvicorn waits for ever for the rest of a request's head, and for a client that does not read its answer: each takes
    a file descriptor, and memory, until the server has none left. A request's body is the application's to wait for.

    Nor does it mind how long a head is: what it has read of one that does not end stays in memory.

    Args:
        patience_seconds: After which a connection is closed whose request has begun and whose head is not there, or
            whose client has taken nothing of an answer.
    """

    class Connection(HttpToolsProtocol):
        _head_until: float | None = None
        _head_size: int | None = None
        _unread = 0

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self.parser: Any = _WithoutUpgrades(self)
            self._wait_for_head()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self._head_size is not None:
                self._head_size += len(data)
                if self._head_size > _LARGEST_HEAD and not self.transport.is_closing():
                    self.send_400_response(f"The request's head is larger than {_LARGEST_HEAD} bytes.")
            if getattr(self.cycle, "response_complete", True):
                self._wait_for_head()
            else:
                self._head_until = None

        def on_message_begin(self) -> None:
            super().on_message_begin()
            self._head_size = 0

        def on_headers_complete(self) -> None:
            self._head_size = None
            if not self.parser.restarts:
                super().on_headers_complete()

        def on_message_complete(self) -> None:
            if not self.parser.restarts:
                super().on_message_complete()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            self._unread = self.transport.get_write_buffer_size()
            if self._unread:  # Also where it is to be closed: that waits until all is taken.
                self._close_in(patience_seconds)

        def timeout_keep_alive_handler(self) -> None:
            left = self.transport.get_write_buffer_size()
            if not left:
                super().timeout_keep_alive_handler()
            elif left == self._unread:
                self.transport.abort()
            else:
                self._unread = left
                self._close_in(patience_seconds)

        def _wait_for_head(self) -> None:
            if self.transport.is_closing():
                return
            now = self.loop.time()
            self._head_until = self._head_until or now + patience_seconds
            self._close_in(max(self._head_until - now, 0))

        def _close_in(self, seconds: float) -> None:
            self._unset_keepalive_if_required()
            self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    return Connection


class _WithoutUpgrades:
    """Parses requests that ask for another protocol as if they did not, which RFC 9110 (section 7.8) allows.

    httptools ends such a request before its body. Java's `HttpClient` asks for HTTP/2 in this way with its first POST.
    """

    def __init__(self, connection: HttpToolsProtocol) -> None:
        self._connection = connection
        self._parser = self._made()

    @property
    def restarts(self) -> bool:
        """Whether the request is about to be read again, without its wish; CONNECT is none but the wish."""
        return self._parser.should_upgrade() and self._parser.get_method() != b"CONNECT"

    def feed_data(self, data: bytes) -> None:
        """Reads the next part of a connection; raises what httptools raises."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if not self.restarts:
                raise
            head = self._head()
            self._parser = self._made()
            self.feed_data(head + data[upgrade.args[0] :])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._parser, name)

    def _made(self) -> Any:
        parser = httptools.HttpRequestParser(self._connection)
        # As uvicorn sets it: what follows "Connection: close" is no error.
        parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return parser

    def _head(self) -> bytes:
        version = self._parser.get_http_version().encode()
        lines = [self._parser.get_method() + b" " + self._connection.url + b" HTTP/" + version]
        for name, value in self._connection.headers:
            if name in _LEFT_OUT:
                continue
            if name == b"connection":
                kept = [one for one in value.split(b",") if one.strip().lower() not in _LEFT_OUT]
                value = b",".join(kept)
            lines.append(name + b": " + value)
        return b"\r\n".join(lines) + b"\r\n\r\n"
