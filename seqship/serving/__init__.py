"""Bundle to answers, without TensorFlow: numpy and onnxruntime are all it needs. A client asks a server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqship.lazy import lazy_exports

if TYPE_CHECKING:
    from seqship.serving.client.client import Client
    from seqship.serving.predictor import Prediction, Predictor

__all__ = ["Client", "Prediction", "Predictor"]

__getattr__, __dir__ = lazy_exports(
    __name__, {"Client": "client.client", "Prediction": "predictor", "Predictor": "predictor"}
)
