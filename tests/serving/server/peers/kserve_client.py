"""Asks a server with KServe's REST client, protocol v1; runs where that is installed, and prints one JSON document.

Usage: kserve_client.py REST_PORT SIGNAL, with the input of the model "classifier" as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from kserve.inference_client import (  # pyright: ignore[reportMissingImports]
    InferenceRESTClient,
    RESTConfig,
)


async def asked(url: str, signal: Any) -> dict[str, Any]:
    async with InferenceRESTClient(RESTConfig(protocol="v1")) as client:
        answer = await client.infer(url, {"instances": signal}, model_name="classifier")
        try:
            wrong = str(await client.infer(url, {"instances": [["a"]]}, model_name="classifier"))
        except Exception as error:
            wrong = f"{type(error).__name__}: {error}"
        return {"answer": answer, "wrong": wrong, "ready": await client.is_model_ready(url, "classifier")}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(asked(f"http://127.0.0.1:{sys.argv[1]}", json.loads(sys.argv[2])))))
