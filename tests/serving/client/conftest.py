"""What the tests of the client share: the server's own bundles, behind a server in a process of its own."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from seqship.serving import Client
from tests.serving.server.conftest import bundles, root, server
from tests.serving.server.process import Served

__all__ = ["bundles", "root", "server"]


@pytest.fixture(params=["rest", "grpc"])
def address(request: pytest.FixtureRequest, server: Served) -> str:
    """Each API of the server."""
    return server.url if request.param == "rest" else f"grpc://127.0.0.1:{server.grpc_port}"


@pytest.fixture
def client(address: str) -> Generator[Client]:
    """A client of the model "classifier", over each API."""
    with Client(address, model="classifier") as one:
        yield one
