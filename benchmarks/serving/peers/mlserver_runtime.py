"""A model of MLServer: the class that its model-settings.json names."""

# pyright: basic, reportMissingImports=false

from __future__ import annotations

from typing import Any

import onnxruntime
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse
from mlserver.utils import get_model_uri


class OnnxModel(MLModel):
    async def load(self) -> bool:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session: Any = onnxruntime.InferenceSession(await get_model_uri(self.settings), options)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        x = NumpyCodec.decode_input(payload.inputs[0])
        (scores,) = self.session.run(None, {self.session.get_inputs()[0].name: x})
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("outputs", scores)])
