"""TLS and certificates of both sides, over REST and gRPC, and a socket of the same machine."""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from pathlib import Path

import numpy as np
import pytest

from seqship.errors import DataError, ServiceError
from seqship.serving import Client
from tests.serving.server.process import Served, served
from tests.serving.server.test_main import certificates

SIGNAL = np.array([[[0.5, -0.25]]], np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keys and certificates."""
    made = tmp_path_factory.mktemp("tls")
    certificates(made)
    return made


@pytest.fixture(scope="module", params=[False, True], ids=["tls", "mutual"])
def secure(
    request: pytest.FixtureRequest,
    folder: Path,
    bundles: Mapping[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Generator[tuple[Served, bool]]:
    """A server with TLS, and whether it asks for certificates."""
    own = tmp_path_factory.mktemp("secure")
    (own / "base").mkdir()
    (own / "base" / "1").symlink_to(bundles["classifier"])
    files = {"server_key": "server.key", "server_cert": "server.pem", "custom_ca": "ca.pem"}
    lines = [f"{name}: {json.dumps((folder / file).read_text())}" for name, file in files.items()]
    (own / "ssl.config").write_text("\n".join([*lines, f"client_verify: {str(request.param).lower()}"]))
    arguments = ["--model_name=m", f"--model_base_path={own / 'base'}", f"--ssl_config_file={own / 'ssl.config'}"]
    arguments += ["--rest_api_ssl=true", "--follow_links_out_of_base_path=true", f"--grpc_socket_path={own / 'socket'}"]
    with served(own / "log", arguments) as one:
        yield one, request.param


@pytest.mark.parametrize("scheme", ["https", "grpcs"])
def test_certificates(scheme: str, secure: tuple[Served, bool], folder: Path) -> None:
    one, mutual = secure
    address = f"{scheme}://localhost:{one.rest_port if scheme == 'https' else one.grpc_port}"
    ca, certificate, key = (folder / name for name in ("ca.pem", "client.pem", "client.key"))
    with Client(address, model="m", ca=ca, certificate=certificate, key=key) as client:
        assert client.predict(SIGNAL)["scores"].shape == (1, 3)
        assert client.ready()
    with Client(address, model="m", ca=ca, retries=0) as client:
        if mutual:
            with pytest.raises(ServiceError, match="failed with UNAVAILABLE"):
                client.predict(SIGNAL)
        else:
            assert client.predict(SIGNAL)["scores"].shape == (1, 3)
    with Client(address, model="m", retries=0) as client:  # The machine does not know who signed it.
        with pytest.raises(ServiceError, match="failed with UNAVAILABLE") as caught:
            client.predict(SIGNAL)
        if scheme == "https":
            assert "CERTIFICATE_VERIFY_FAILED" in str(caught.value)
            assert str(caught.value).endswith("and certificate= and key= if it asks for yours")


def test_a_key_of_another_certificate(folder: Path) -> None:
    with pytest.raises(DataError, match=r"^the certificates cannot be used: .*; give files in PEM$"):
        Client("https://h", model="m", certificate=folder / "client.pem", key=folder / "server.key")


def test_a_socket_of_the_machine(root: Path, tmp_path: Path) -> None:
    arguments = [f"--model_config_file={root / 'models.config'}", f"--grpc_socket_path={tmp_path / 'socket'}"]
    arguments.append("--follow_links_out_of_base_path=true")
    with served(tmp_path / "log", arguments), Client(f"unix:{tmp_path / 'socket'}", model="classifier") as client:
        assert client.predict(SIGNAL)["scores"].shape == (1, 3)
