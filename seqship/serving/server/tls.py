"""TLS of both APIs, as an `SSLConfig` describes it: keys and certificates are in the file itself, as PEM."""

from __future__ import annotations

import os
import ssl
import tempfile
from pathlib import Path
from typing import Any

import grpc

from seqship.errors import DataError
from seqship.wire.config_text import read_text
from seqship.wire.messages import Proto, SSLConfig


def read_ssl_config(path: Path) -> Proto:
    """Reads an `SSLConfig`.

    Raises:
        DataError: It cannot be read, lacks the key or the certificate, or asks for clients' certificates without
            saying who may sign them.
    """
    config = read_text(path, SSLConfig)
    for name in ("server_key", "server_cert"):
        if "-----BEGIN" not in getattr(config, name):
            raise DataError(f"{path} needs a {name} in PEM: the text itself, not the path of a file")
    if config.client_verify and not config.custom_ca:
        raise DataError(f"{path} sets client_verify without custom_ca, which says who may sign clients' certificates")
    return config


def grpc_credentials(config: Proto) -> Any:
    """Returns the credentials of a gRPC server."""
    pair = (config.server_key.encode(), config.server_cert.encode())
    authority = config.custom_ca.encode() or None
    return grpc.ssl_server_credentials([pair], authority, require_client_auth=config.client_verify)


def ssl_context(config: Proto) -> ssl.SSLContext:
    """Returns the context of a REST server.

    Raises:
        DataError: The key and the certificate do not belong together, or are none.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Python reads a key from a file alone; only this user may read this one, and it is removed at once.
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(f"{config.server_cert}\n{config.server_key}\n")
        file.flush()
        try:
            context.load_cert_chain(file.name)
            if config.custom_ca:
                context.load_verify_locations(cadata=config.custom_ca)
        except ssl.SSLError as error:
            raise DataError(f"the SSLConfig's key and certificates cannot be used: {error.reason or error}") from None
    if config.client_verify:
        context.verify_mode = ssl.CERT_REQUIRED
    return context
