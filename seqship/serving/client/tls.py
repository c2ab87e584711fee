"""Who may be trusted, and who asks: certificates of both APIs."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from seqship.errors import DataError


@dataclass(frozen=True)
class Tls:
    """Files in PEM.

    Attributes:
        ca: Certificates of who signed the server's; the system's where None.
        certificate: The caller's own certificate, for servers that ask for one.
        key: Its key.
    """

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    @property
    def is_set(self) -> bool:
        """Whether any file is named."""
        return self != Tls()

    def read(self) -> tuple[bytes | None, bytes | None, bytes | None]:
        """Returns the contents of the three files.

        Raises:
            DataError: One cannot be read, or is not in PEM.
        """
        return _pem(self.ca), _pem(self.certificate), _pem(self.key)


def tls_files(
    ca: str | os.PathLike[str] | None, certificate: str | os.PathLike[str] | None, key: str | os.PathLike[str] | None
) -> Tls:
    """Returns the files as they were named.

    Raises:
        DataError: A certificate is given without its key, or the other way round; or a file cannot be read.
    """
    if (certificate is None) != (key is None):
        raise DataError("certificate= and key= belong together; give both")
    made = Tls(*(None if one is None else Path(one) for one in (ca, certificate, key)))
    made.read()
    return made


def _pem(path: Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from None
    if b"-----BEGIN" not in data:
        raise DataError(f"{path} holds no certificate or key in PEM; convert it with openssl")
    return data
