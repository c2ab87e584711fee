"""Asks a model: a bundle on this machine, or one behind TensorFlow Serving's API.

    pip install seqship                 python predict.py bundles/ecg-gru
    pip install 'seqship[client]'       python predict.py http://localhost:8501/v1/models/ecg

Each line of standard input is JSON: a sequence ([0.98, 1.0, 0.58]), or a text ("so fine") for a bundle of a text model.
Sequences may be of unequal length; a server needs --pad-value then, which the bundle's contract names.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from seqship.errors import DataError, SeqshipError


def from_bundle(path: str, items: Sequence[Any]) -> list[dict[str, Any]]:
    """Answers with onnxruntime, in this process: the contract is in the bundle."""
    from seqship.serving import Predictor

    prediction = Predictor(path).predict(items)
    if prediction.classes is None or prediction.probabilities is None:
        return rows(prediction.outputs)
    return [
        {"class": name, "probabilities": scores.tolist()}
        for name, scores in zip(prediction.classes, prediction.probabilities, strict=True)
    ]


def from_server(address: str, items: Sequence[Any], pad_value: float | None) -> list[dict[str, Any]]:
    """Answers over REST (http, https) or gRPC (grpc, grpcs): the signature is asked for first."""
    from seqship.serving import Client

    location, _, name = address.partition("/v1/models/")
    with Client(location, model=name) if location.startswith("grpc") else Client(address) as client:
        return rows(client.predict(items, pad_value=pad_value))


def rows(outputs: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns the outputs of each item by name."""
    count = len(next(iter(outputs.values())))
    return [{name: values[row].tolist() for name, values in outputs.items()} for row in range(count)]


def main() -> int:
    """Answers standard input; returns the exit code."""
    parser = argparse.ArgumentParser(description="Asks a bundle, or a served model.")
    parser.add_argument(
        "model", help="a bundle, or http://HOST:8501/v1/models/NAME, or grpc://HOST:8500/v1/models/NAME"
    )
    parser.add_argument("--pad-value", type=float, help="fills shorter sequences, where a server is asked")
    given = parser.parse_args()
    try:
        items = [json.loads(line) for line in sys.stdin if line.strip()]
        if not items:
            raise DataError("standard input is empty; give a JSON line for each sequence")
        served = "://" in given.model
        answers = from_server(given.model, items, given.pad_value) if served else from_bundle(given.model, items)
    except ValueError as error:
        print(f"predict.py: error: standard input is no JSON lines: {error}", file=sys.stderr)
        return 2
    except SeqshipError as error:
        print(f"predict.py: error: {error}", file=sys.stderr)
        return error.exit_code
    for answer in answers:
        print(json.dumps(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main())
