"""What a server is started with."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

AUTO = -1
"""A port that is chosen where it is free, and printed."""


def _cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class ServerOptions:
    """The flags of `tensorflow_model_server` that mean something here, under their names; then our own.

    Attributes:
        port: Port of the gRPC API; 0 for none, AUTO for a free one.
        grpc_socket_path: A UNIX socket of the gRPC API; empty for none.
        rest_api_port: Port of the REST API; 0 for none, AUTO for a free one.
        rest_api_num_threads: How many REST requests are answered at the same time; 0 goes by the cores.
        rest_api_timeout_in_ms: After which a REST request is given up.
        rest_api_enable_cors_support: Whether any web page may ask.
        model_name: Name of the one model.
        model_base_path: Directory above the versions of the one model.
        model_config_file: A `ModelServerConfig` instead of the two.
        model_config_file_poll_wait_seconds: Time between two looks at that file; 0 looks once.
        file_system_poll_wait_seconds: Time between two looks at the base paths; 0 looks once.
        max_num_load_retries: How often a version that failed is tried again.
        load_retry_interval_micros: Time between two tries.
        num_load_threads: How many versions are loaded at the same time; 0 is one.
        allow_version_labels_for_unavailable_models: Whether a new label may name a version that is not loaded yet.
        enable_batching: Whether concurrent requests are joined.
        batching_parameters_file: A `BatchingParameters`.
        enable_per_model_batching_parameters: Whether a version's own `batching_params.pbtxt` wins.
        monitoring_config_file: A `MonitoringConfig`.
        ssl_config_file: An `SSLConfig` for the gRPC API.
        grpc_channel_arguments: `key=value,...` for the gRPC server.
        grpc_max_threads: How many gRPC requests are answered at the same time; 0 goes by the cores.
        enable_grpc_healthcheck_service: Whether grpc.health is served.
        enable_model_warmup: Whether the requests that a model brings are replayed before it serves.
        num_request_iterations_for_warmup: How often each is replayed.
        enable_serialization_as_tensor_content: Whether gRPC's Predict answers with raw bytes.
        tensorflow_intra_op_parallelism: Threads of one call; 0 is one.
        max_concurrent_requests: How many requests of each API may be under way or wait.
        rest_api_max_body_bytes: Largest body of a REST request, once it is unpacked.
        rest_api_ssl: Whether the SSLConfig is the REST API's, too.
        allow_unproven: Whether bundles are served whose runtimes were not proven to compute the same.
        follow_links_out_of_base_path: Whether links may lead from below a base path to anywhere.
        max_streaming_sessions: How many streaming sessions may be open; 0 for none.
        streaming_session_idle_seconds: After which an unused streaming session is forgotten.
        max_streaming_state_bytes: How many bytes the states of all streaming sessions may take.
        drain_seconds: How long requests that are under way may take once the server is asked to end.
        log_format: "plain" or "json".
    """

    port: int = 8500
    grpc_socket_path: str = ""
    rest_api_port: int = 0
    rest_api_num_threads: int = 0
    rest_api_timeout_in_ms: int = 30000
    rest_api_enable_cors_support: bool = False
    model_name: str = "default"
    model_base_path: str = ""
    model_config_file: str = ""
    model_config_file_poll_wait_seconds: int = 0
    file_system_poll_wait_seconds: float = 1.0
    max_num_load_retries: int = 5
    load_retry_interval_micros: int = 60_000_000
    num_load_threads: int = 0
    allow_version_labels_for_unavailable_models: bool = False
    enable_batching: bool = False
    batching_parameters_file: str = ""
    enable_per_model_batching_parameters: bool = False
    monitoring_config_file: str = ""
    ssl_config_file: str = ""
    grpc_channel_arguments: str = ""
    grpc_max_threads: int = 0
    enable_grpc_healthcheck_service: bool = False
    enable_model_warmup: bool = True
    num_request_iterations_for_warmup: int = 1
    enable_serialization_as_tensor_content: bool = False
    tensorflow_intra_op_parallelism: int = 0
    max_concurrent_requests: int = 4096
    rest_api_max_body_bytes: int = 1 << 28
    rest_api_ssl: bool = False
    allow_unproven: bool = False
    follow_links_out_of_base_path: bool = False
    max_streaming_sessions: int = 0
    streaming_session_idle_seconds: float = 300
    max_streaming_state_bytes: int = 1 << 28
    drain_seconds: float = 30
    log_format: Literal["plain", "json"] = "plain"

    @property
    def threads(self) -> int:
        """How many requests of one API are answered at the same time, unless a flag says otherwise."""
        # A request that waits in a batch holds its thread. Otherwise threads beyond the cores only take the
        # interpreter from each other: measured on two cores, three answer a fifth more requests than eight.
        return 128 if self.enable_batching else _cpus() + 1
