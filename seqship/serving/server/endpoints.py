"""Where a server listens: its gRPC and its REST API, and how they end."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn

from seqship.errors import DataError
from seqship.serving.server.grpc_server import make_server
from seqship.serving.server.http_connection import connection_class
from seqship.serving.server.options import AUTO, ServerOptions
from seqship.serving.server.rest import METRICS_PATH, RestSettings, make_app
from seqship.serving.server.service import Entrypoint, Service
from seqship.serving.server.tls import grpc_credentials, ssl_context
from seqship.wire.config_text import read_text
from seqship.wire.messages import MonitoringConfig, Proto

_log = logging.getLogger("seqship.serving.server")


@dataclass(frozen=True, eq=False)
class Endpoint:
    """One API that takes requests.

    Attributes:
        api: Which one.
        port: Its port; 0 for a UNIX socket.
        end: Takes no more requests; what it returns waits for those that are under way.
    """

    api: Entrypoint
    port: int
    end: Callable[[], Callable[[], object]]


def end_all(endpoints: Sequence[Endpoint]) -> None:
    """Lets all take no more requests at once, then waits for what is under way."""
    for wait in [endpoint.end() for endpoint in endpoints]:
        wait()


def start_grpc(options: ServerOptions, service: Service, ssl: Proto | None, draining: Callable[[], bool]) -> Endpoint:
    """Starts the gRPC API.

    Args:
        options: Where and how it listens.
        service: What answers.
        ssl: The `SSLConfig`; None for a plain connection.
        draining: Whether the server is about to end, for grpc.health.

    Raises:
        DataError: It cannot listen there.
    """
    server = make_server(
        service,
        threads=options.grpc_max_threads or options.threads,
        max_concurrent_rpcs=options.max_concurrent_requests,
        channel_arguments=tuple(_channel_arguments(options.grpc_channel_arguments)),
        serving=(lambda: not draining()) if options.enable_grpc_healthcheck_service else None,
    )
    bound = 0
    if options.port:
        bound = _bind(server, f"0.0.0.0:{0 if options.port == AUTO else options.port}", ssl)
        _log.info("Running gRPC ModelServer at 0.0.0.0:%d ...", bound)
    if options.grpc_socket_path:
        _bind(server, f"unix:{options.grpc_socket_path}", ssl)
        _log.info("Running gRPC ModelServer at UNIX socket %s ...", options.grpc_socket_path)
    server.start()
    return Endpoint("GRPC", bound, lambda: server.stop(options.drain_seconds).wait)


def rest_socket(options: ServerOptions) -> socket.socket | None:
    """Returns the socket of the REST API, bound; None where it is off.

    Raises:
        DataError: The port is taken, or not allowed.
    """
    if not options.rest_api_port:
        return None
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    port = 0 if options.rest_api_port == AUTO else options.rest_api_port
    try:
        listener.bind(("0.0.0.0", port))  # noqa: S104  (as TensorFlow Serving; a server is there to be reached)
    except OSError as error:
        listener.close()
        reason = (error.strerror or str(error)).lower()
        raise DataError(f"cannot listen on port {port}: {reason}; choose another --rest_api_port") from None
    return listener


def start_rest(
    options: ServerOptions,
    service: Service,
    ssl: Proto | None,
    draining: Callable[[], bool],
    listener: socket.socket,
) -> Endpoint:
    """Starts the REST API.

    Args:
        options: How it answers.
        service: What answers.
        ssl: The `SSLConfig`; used where --rest_api_ssl asks for it.
        draining: Whether the server is about to end, for /readyz.
        listener: What `rest_socket` returned.

    Raises:
        DataError: It does not start, or a file of the options cannot be read.
    """
    settings = RestSettings(
        options.rest_api_num_threads or options.threads,
        options.rest_api_timeout_in_ms / 1000,
        options.rest_api_max_body_bytes,
        options.max_concurrent_requests,
        options.rest_api_enable_cors_support,
        _metrics_path(options),
        options.enable_batching,
    )
    config = uvicorn.Config(
        make_app(service, settings, draining=draining),
        lifespan="off",
        access_log=False,
        log_config=None,
        ws="none",
        server_header=False,
        http=connection_class(options.rest_api_timeout_in_ms / 1000),
        timeout_keep_alive=60,  # Clients keep connections; one that is closed under a request costs them a retry.
        timeout_graceful_shutdown=max(1, round(options.drain_seconds)),
    )
    config.load()
    if options.rest_api_ssl and ssl is not None:
        config.ssl = ssl_context(ssl)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="rest", daemon=True)
    thread.start()
    while not server.started:
        if not thread.is_alive():
            raise DataError("the REST server did not start; see the log")
        time.sleep(0.005)

    def end() -> Callable[[], object]:
        server.should_exit = True
        return thread.join

    port = int(listener.getsockname()[1])
    _log.info("Exporting HTTP/REST API at:localhost:%d ...", port)
    return Endpoint("REST", port, end)


def _bind(server: Any, address: str, ssl: Proto | None) -> int:
    try:
        if ssl is None:
            return int(server.add_insecure_port(address))
        return int(server.add_secure_port(address, grpc_credentials(ssl)))
    except RuntimeError:
        raise DataError(f"cannot listen on {address}: it is taken, or not allowed; choose another") from None


def _channel_arguments(text: str) -> Iterator[tuple[str, int | str]]:
    for part in filter(None, text.split(",")):
        key, equals, value = part.partition("=")
        if not equals:
            raise DataError(f"--grpc_channel_arguments takes key=value,..., got {part!r}")
        yield key, int(value) if value.lstrip("-").isdigit() else value


def _metrics_path(options: ServerOptions) -> str | None:
    if not options.monitoring_config_file:
        return None
    config = read_text(Path(options.monitoring_config_file), MonitoringConfig).prometheus_config
    return (config.path or METRICS_PATH) if config.enable else None
