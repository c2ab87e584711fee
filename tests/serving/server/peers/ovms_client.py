"""Asks a server with ovmsclient, over gRPC and REST; runs where that is installed, and prints one JSON document.

Usage: ovms_client.py GRPC_PORT REST_PORT SIGNAL, with the input of the model "classifier" as JSON.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import ovmsclient  # pyright: ignore[reportMissingImports]


def refusal(call: Callable[[], Any]) -> list[str]:
    try:
        return ["none", str(call())]
    except Exception as error:
        return [type(error).__name__, str(error)]


def asked(client: Any, signal: Any) -> dict[str, Any]:
    predicted = client.predict({"signal": signal}, "classifier", 1)
    status = client.get_model_status("classifier", 1)
    metadata = client.get_model_metadata("classifier", 1)
    return {
        "scores": np.asarray(predicted).tolist(),
        "dtype": np.asarray(predicted).dtype.name,
        "status": {version: one["state"] for version, one in status.items()},
        "metadata": metadata,
        "without a version": refusal(lambda: client.predict({"signal": signal}, "classifier")),
        "status of version 0": refusal(lambda: client.get_model_status("classifier")),
        "unknown": refusal(lambda: client.get_model_status("nobody", 1)),
        "wrong": refusal(lambda: client.predict({"x": signal}, "classifier", 1)),
    }


def main() -> None:
    grpc_port, rest_port, text = sys.argv[1:]
    signal = np.array(json.loads(text), np.float32)
    clients = {
        "grpc": ovmsclient.make_grpc_client(f"localhost:{grpc_port}"),
        "http": ovmsclient.make_http_client(f"localhost:{rest_port}"),
    }
    print(json.dumps({name: asked(client, signal) for name, client in clients.items()}))


if __name__ == "__main__":
    main()
