"""LitServe, as its documentation shows it: `python litserve_server.py MODEL.onnx PORT`."""

# pyright: basic, reportMissingImports=false
# FastAPI reads the annotations: they must be classes, not their names.

import sys
from typing import Any

import litserve
import numpy as np
import onnxruntime
from fastapi import Request


class Api(litserve.LitAPI):
    def setup(self, device: str) -> None:  # noqa: ARG002  (LitServe names it)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session: Any = onnxruntime.InferenceSession(sys.argv[1], options)

    def decode_request(self, request: Request) -> Any:
        return np.array(request["inputs"], np.float32)

    def predict(self, x: Any) -> Any:
        return self.session.run(None, {self.session.get_inputs()[0].name: x})[0]

    def encode_response(self, output: Any) -> Any:
        return {"outputs": output.tolist()}


if __name__ == "__main__":
    server = litserve.LitServer(Api(), accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=int(sys.argv[2]), generate_client_file=False, log_level="error")
