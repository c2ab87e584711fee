"""Bundle to answers, without TensorFlow: numpy and onnxruntime are all it needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqship.lazy import lazy_exports

if TYPE_CHECKING:
    from seqship.serving.predictor import Prediction, Predictor

__all__ = ["Prediction", "Predictor"]

__getattr__, __dir__ = lazy_exports(__name__, {"Prediction": "predictor", "Predictor": "predictor"})
