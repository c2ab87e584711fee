"""Configuration files in protobuf's text format: models, batching, monitoring and SSL.

The class says what the file may hold: `ModelServerConfig`, `BatchingParameters`, `MonitoringConfig`, `SSLConfig` of
`seqship.wire.messages`.
"""

from __future__ import annotations

from pathlib import Path

from google.protobuf import text_format

from seqship.errors import DataError
from seqship.wire.messages import POOL, Proto


def parse_text(text: str, message: Proto, *, source: str = "the text") -> Proto:
    """Returns the message that a text describes.

    Args:
        text: In protobuf's text format.
        message: Class of the message.
        source: What to call the text in an error.

    Raises:
        DataError: The text is no such message; the line and column are named.
    """
    try:
        return text_format.Parse(text, message(), descriptor_pool=POOL)
    except text_format.ParseError as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{source} is no {message.DESCRIPTOR.name}: {reason}") from None


def read_text(path: Path, message: Proto) -> Proto:
    """Returns the message that a file describes.

    Raises:
        DataError: The file cannot be read, or holds no such message.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text: {error.reason} at byte {error.start}") from None
    except OSError as error:
        raise DataError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from None
    return parse_text(text, message, source=str(path))
