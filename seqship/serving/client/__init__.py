"""Asks TensorFlow Serving's API, whoever speaks it: `tensorflow_model_server` or `seqship serve`; no TensorFlow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqship.lazy import lazy_exports

if TYPE_CHECKING:
    from seqship.serving.client.client import Client
    from seqship.serving.client.contract import ModelMetadata, SignatureContract, VersionStatus

__all__ = ["Client", "ModelMetadata", "SignatureContract", "VersionStatus"]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "Client": "client",
        "ModelMetadata": "contract",
        "SignatureContract": "contract",
        "VersionStatus": "contract",
    },
)
