"""Where a model is served, and which version of it is meant."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit

from seqship.errors import DataError

_REST_PATH = re.compile(
    r"(?P<prefix>.*?)/v1/models/(?P<model>[^/:]+)"
    r"(?:/versions/(?P<version>[0-9]+)|/labels/(?P<label>[^/:]+))?(?::(?:predict|classify|regress)|/metadata)?/?",
    re.DOTALL,
)
_LARGEST = 2**63 - 1
_FORMS = "http://HOST:8501, https://HOST, grpc://HOST:8500, grpcs://HOST, unix:/PATH or http://HOST:8501/v1/models/NAME"


@dataclass(frozen=True)
class Address:
    """Where a model is served.

    Attributes:
        scheme: "http", "https", "grpc", "grpcs" or "unix".
        target: What is connected to: the URL in front of `/v1/models` for REST, `host:port` or `unix:path` for gRPC.
        model: Name of the model.
        version: Number of the version; None where the newest, or the label's, is meant.
        label: Label of the version; None where there is none.
    """

    scheme: str
    target: str
    model: str
    version: int | None = None
    label: str | None = None

    @property
    def is_grpc(self) -> bool:
        """Whether gRPC is spoken there, not REST."""
        return self.scheme in ("grpc", "grpcs", "unix")

    @property
    def is_secure(self) -> bool:
        """Whether the connection is TLS."""
        return self.scheme in ("https", "grpcs")

    @property
    def is_local(self) -> bool:
        """Whether the server is on this machine, to which no proxy leads."""
        host = urlsplit(self.target if "://" in self.target else f"//{self.target}").hostname or ""
        return self.scheme == "unix" or host in ("localhost", "::1") or host.startswith("127.")

    @property
    def url(self) -> str:
        """The URL of the model in the REST API."""
        path = f"{self.target}/v1/models/{quote(self.model, safe='')}"
        if self.version is not None:
            return f"{path}/versions/{self.version}"
        return path if self.label is None else f"{path}/labels/{quote(self.label, safe='')}"

    @property
    def where(self) -> str:
        """The server, as an error names it."""
        return self.target if self.scheme in ("http", "https", "unix") else f"{self.scheme}://{self.target}"


def parse_address(
    address: str, *, model: str | None = None, version: int | None = None, label: str | None = None
) -> Address:
    """Reads an address.

    Args:
        address: `http://`, `https://`, `grpc://`, `grpcs://` with a host, or `unix:` with the path of a socket. A REST
            address may go on to the model, `/v1/models/NAME[/versions/N|/labels/L]`; what stands in front of that is
            kept, for a proxy.
        model: Name of the model, where the address has none.
        version: Number of the version.
        label: Label of the version.

    Raises:
        DataError: It is no address, names no model, or says twice what is meant.
    """
    scheme, colon, rest = address.partition(":")
    if not colon or scheme not in ("http", "https", "grpc", "grpcs", "unix"):
        raise DataError(f"{address!r} is no address of a server; give {_FORMS}")
    if scheme == "unix":
        path = rest.removeprefix("//")
        if not path.strip("/"):
            raise DataError(f"{address!r} names no socket; give unix:/PATH")
        return _chosen(scheme, f"unix:{path}", model, version, label)
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise DataError(f"{address!r} is no address of a server: {error}") from None
    if not host or parts.query or parts.fragment or parts.username is not None:
        raise DataError(f"{address!r} is no address of a server; give {_FORMS}")
    if scheme in ("grpc", "grpcs"):
        if parts.path.strip("/"):
            raise DataError(f"{address!r} has a path, which gRPC has not; give {scheme}://{parts.netloc} and model=")
        default = 443 if scheme == "grpcs" else 8500
        return _chosen(scheme, parts.netloc if port else f"{parts.netloc.rstrip(':')}:{default}", model, version, label)
    server, match = f"{scheme}://{parts.netloc}", _REST_PATH.fullmatch(parts.path)
    if match is None:
        if "/v1" in parts.path:
            raise DataError(f"{address!r} is no model's URL; give {server}/v1/models/NAME[/versions/N|/labels/L]")
        return _chosen(scheme, server + parts.path.rstrip("/"), model, version, label)
    named = unquote(match["model"])
    if model not in (None, named):
        raise DataError(f"{address!r} names the model {named!r}, model= says {model!r}; leave one out")
    if (version is not None or label is not None) and (match["version"] or match["label"]):
        raise DataError(f"{address!r} names a version, and so does version= or label=; leave one out")
    version = int(match["version"]) if match["version"] else version
    label = unquote(match["label"]) if match["label"] else label
    return _chosen(scheme, server + match["prefix"], named, version, label)


def _chosen(scheme: str, target: str, model: str | None, version: int | None, label: str | None) -> Address:
    if not model:
        raise DataError(f"no model is named for {target}; give model=NAME")
    if version is not None and label is not None:
        raise DataError(f"version {version} and label {label!r} are both given; a call goes to one of them")
    if version is not None and not 0 <= version <= _LARGEST:
        raise DataError(f"the version is {version}; versions are whole numbers from 0 to 2**63 - 1")
    if label == "":
        raise DataError("the label is empty; leave it out to ask the newest version")
    return Address(scheme, target, model, version, label)
