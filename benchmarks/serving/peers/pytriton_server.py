"""PyTriton, as its documentation shows it: `python pytriton_server.py MODEL.onnx HTTP_PORT GRPC_PORT METRICS_PORT`."""

# pyright: basic, reportMissingImports=false

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import onnxruntime
from pytriton.decorators import batch
from pytriton.model_config import ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

if __name__ == "__main__":
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session: Any = onnxruntime.InferenceSession(sys.argv[1], options)
    name, outputs = session.get_inputs()[0].name, session.get_outputs()[0].shape[1:]

    @batch
    def infer(**inputs: Any) -> Any:
        return {"outputs": session.run(None, {name: inputs[name]})[0]}

    http, grpc, metrics = map(int, sys.argv[2:])
    config = TritonConfig(http_port=http, grpc_port=grpc, metrics_port=metrics, http_address="127.0.0.1")
    with Triton(config=config) as triton:
        triton.bind(
            model_name="ecg",
            infer_func=infer,
            inputs=[Tensor(name=name, dtype=np.float32, shape=(-1, 1))],
            outputs=[Tensor(name="outputs", dtype=np.float32, shape=tuple(outputs))],
            config=ModelConfig(max_batch_size=64),
        )
        triton.serve()
