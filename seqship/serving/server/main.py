"""Runs a server from start to end."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import FrameType

from seqship.errors import DataError, SeqshipError
from seqship.serving.server.endpoints import Endpoint, end_all, rest_socket, start_grpc, start_rest
from seqship.serving.server.flags import parse_flags, usage
from seqship.serving.server.lifecycle import ServedModels
from seqship.serving.server.loading import Loader, batching_of
from seqship.serving.server.logs import start_logging
from seqship.serving.server.metrics import Metrics
from seqship.serving.server.model_config import single_model_config
from seqship.serving.server.options import ServerOptions
from seqship.serving.server.servable import LoadSettings
from seqship.serving.server.service import Service
from seqship.serving.server.sessions import Sessions, SessionSettings
from seqship.serving.server.status import StatusError
from seqship.serving.server.tls import read_ssl_config
from seqship.serving.server.versions import LifecycleSettings
from seqship.wire.config_text import read_text
from seqship.wire.messages import ModelServerConfig, Proto

_log = logging.getLogger("seqship.serving.server")


@dataclass(frozen=True)
class Ports:
    """Where a server can be reached.

    Attributes:
        grpc: Port of the gRPC API, 0 for none.
        rest: Port of the REST API, 0 for none.
    """

    grpc: int
    rest: int


def serve(arguments: Sequence[str]) -> int:
    """Runs a server until it is asked to end; what goes wrong at the start is said in one line.

    Args:
        arguments: Flags of `tensorflow_model_server`.

    Returns:
        The exit code: 0 once it has ended as asked, 1 if a model cannot be served, 2 for the user's mistake.
    """
    if any(argument.lstrip("-") in ("version", "version=true") for argument in arguments):
        print(f"seqship ModelServer: {metadata.version('seqship')}")
        print(f"onnxruntime: {metadata.version('onnxruntime')}")
        return 0
    if any(argument in ("--help", "-h", "-help") for argument in arguments):
        print(usage())
        return 0
    try:
        run_server(parse_flags(arguments))
    except StatusError as error:
        print(f"Failed to start server. Error: {error}", file=sys.stderr)
        return 1
    except SeqshipError as error:
        print(f"seqship: error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def run_server(
    options: ServerOptions, *, stop: threading.Event | None = None, ready: Callable[[Ports], None] | None = None
) -> None:
    """Serves until it is asked to end: by SIGTERM, by SIGINT, or by the event.

    Then it takes no more requests, ends those that are under way, and returns.

    Args:
        options: What is served, and how.
        stop: Ends the server when it is set.
        ready: Told where the server can be reached, once every model answers.

    Raises:
        DataError: The options do not go together, a file of them cannot be read, or a port is taken.
        StatusError: A model cannot be served.
    """
    start_logging(options.log_format)
    stop = stop or threading.Event()
    draining = threading.Event()
    config = _config(options)
    metrics = Metrics()
    models = ServedModels(_loader(options, metrics).load, _lifecycle(options))
    sessions = SessionSettings(
        options.max_streaming_sessions, options.streaming_session_idle_seconds, options.max_streaming_state_bytes
    )
    service = Service(models, metrics, options.enable_serialization_as_tensor_content, Sessions(sessions))
    ssl = read_ssl_config(Path(options.ssl_config_file)) if options.ssl_config_file else None
    with ExitStack() as ended, _signals(stop):
        listener = rest_socket(options)  # A port that is taken is told before minutes of loading.
        if listener is not None:
            ended.enter_context(listener)
        ended.callback(models.stop)
        _start_models(models, config, stop)
        if stop.is_set():
            return
        endpoints: list[Endpoint] = []
        ended.callback(end_all, endpoints)
        if options.port or options.grpc_socket_path:
            endpoints.append(start_grpc(options, service, ssl, draining.is_set))
        if listener is not None:
            endpoints.append(start_rest(options, service, ssl, draining.is_set, listener))
        _poll_config(options, config, models, stop)
        if ready is not None:
            ports = {one.api: one.port for one in endpoints}
            ready(Ports(ports.get("GRPC", 0), ports.get("REST", 0)))
        stop.wait()
        _log.info("Asked to end; requests that are under way have %g s", options.drain_seconds)
        draining.set()


def _config(options: ServerOptions) -> Proto:
    if not options.model_base_path and not options.model_config_file:
        raise DataError("give --model_base_path=DIR with --model_name=NAME, or --model_config_file=FILE")
    if options.batching_parameters_file and not options.enable_batching:
        raise DataError("--batching_parameters_file is set without --enable_batching; add --enable_batching=true")
    if not (options.port or options.rest_api_port or options.grpc_socket_path):
        raise DataError("--port, --rest_api_port and --grpc_socket_path are all off; set one")
    if options.port == options.rest_api_port and options.port > 0:
        raise DataError(f"--rest_api_port cannot be the same as --port, both are {options.port}")
    if options.rest_api_ssl and not options.ssl_config_file:
        raise DataError("--rest_api_ssl needs --ssl_config_file")
    if not options.model_config_file:
        return single_model_config(options.model_name, options.model_base_path)
    return read_text(Path(options.model_config_file), ModelServerConfig)


def _loader(options: ServerOptions, metrics: Metrics) -> Loader:
    batching = batching_of(options.batching_parameters_file, metrics) if options.enable_batching else None
    threads = max(options.tensorflow_intra_op_parallelism, 1)
    return Loader(
        LoadSettings(threads, batching, options.allow_unproven, options.follow_links_out_of_base_path),
        metrics,
        options.enable_model_warmup,
        options.num_request_iterations_for_warmup,
        options.enable_per_model_batching_parameters,
    )


def _lifecycle(options: ServerOptions) -> LifecycleSettings:
    return LifecycleSettings(
        options.file_system_poll_wait_seconds,
        options.max_num_load_retries,
        options.load_retry_interval_micros / 1e6,
        options.allow_version_labels_for_unavailable_models,
        options.num_load_threads,
    )


def _start_models(models: ServedModels, config: Proto, stop: threading.Event) -> None:
    """Loads the models; a signal ends the wait for a model that never comes."""
    failed: list[Exception] = []

    def start() -> None:
        try:
            models.start(config)
        except Exception as error:  # Raised again in the thread that waits.
            failed.append(error)

    thread = threading.Thread(target=start, name="start", daemon=True)
    thread.start()
    while thread.is_alive() and not stop.is_set():
        thread.join(0.05)
    if failed:
        raise failed[0]


def _poll_config(options: ServerOptions, config: Proto, models: ServedModels, stop: threading.Event) -> None:
    """Looks at the configuration file for as long as the server runs; `config` is what is served of it."""
    if not options.model_config_file or options.model_config_file_poll_wait_seconds <= 0:
        return
    path = Path(options.model_config_file)

    def poll() -> None:
        served = config
        while not stop.wait(options.model_config_file_poll_wait_seconds):
            try:
                if (found := read_text(path, ModelServerConfig)) != served:
                    models.reload(found)
                    served = found  # One that was refused is tried again: a label may wait for its version.
                    _log.info("Finished reloading config")
            except (SeqshipError, StatusError) as error:
                _log.warning("Reloading config failed: %s", error)

    threading.Thread(target=poll, name="poll-config", daemon=True).start()


@contextmanager
def _signals(stop: threading.Event) -> Generator[None]:
    """Lets SIGTERM and SIGINT end the server, where this is the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ask(number: int, frame: FrameType | None) -> None:
        del number, frame
        stop.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
