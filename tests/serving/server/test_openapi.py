"""docs/openapi.yaml says what the server does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import seqship
from seqship.serving.server.status import Code, http_status
from tests.serving.server.process import Served

yaml: Any = pytest.importorskip("yaml")
DOCUMENT: Any = yaml.safe_load((Path(seqship.__file__).parent.parent / "docs" / "openapi.yaml").read_text())
ELSEWHERE = {"CANCELLED", "UNAUTHENTICATED", "PERMISSION_DENIED", "ALREADY_EXISTS", "ABORTED"}
"""Codes of TensorFlow's that nothing here gives."""


def resolved(part: Any) -> Any:
    """Returns a part of the document; what it refers to, where it is a reference."""
    while isinstance(part, dict) and "$ref" in part:
        name: str = part["$ref"]
        part = DOCUMENT
        for key in name.removeprefix("#/").split("/"):
            part = part[key]
    return part


def requests() -> Iterator[Any]:
    """Each operation with each of its examples: method, path, body and what it may answer."""
    for template, operations in DOCUMENT["paths"].items():
        path = template
        for parameter in map(resolved, operations.get("parameters", [])):
            path = path.replace(f"{{{parameter['name']}}}", str(parameter["example"]))
        for method in operations.keys() - {"parameters"}:
            operation = operations[method]
            bodies: dict[str, Any] = {"": {"value": None}}
            if "requestBody" in operation:
                bodies = operation["requestBody"]["content"]["application/json"]["examples"]
            for name, example in bodies.items():
                yield pytest.param(method, path, example["value"], operation["responses"], id=f"{method} {path} {name}")


def check(value: Any, schema: Any) -> None:
    """Holds a value to what of JSON Schema the answers' schemas use."""
    schema = resolved(schema)
    if schema is True or not schema:
        return
    if "oneOf" in schema:
        fitting = [one for one in schema["oneOf"] if set(one["required"]) <= set(value)]
        assert len(fitting) == 1, value
        check(value, fitting[0])
    if "enum" in schema:
        assert value in schema["enum"]
    kinds: dict[str, Any] = {"object": dict, "array": list, "string": str, "boolean": bool, "number": (int, float)}
    if "type" in schema:
        named = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        assert isinstance(value, tuple(kinds[one] for one in named)), (value, schema)
    if isinstance(value, dict):
        properties, others = schema.get("properties", {}), schema.get("additionalProperties", True)
        assert set(schema.get("required", ())) <= set(value), (value, schema)
        for key, inner in value.items():
            assert key in properties or others is not False, (key, schema)
            check(inner, properties.get(key, others))
    elif isinstance(value, list):
        for inner in value:
            check(inner, schema.get("items", True))


def hold(response: httpx.Response, responses: Any) -> None:
    """Holds a response to those of its operation."""
    said = resolved(responses[str(response.status_code)])
    kind = response.headers["content-type"].partition(";")[0]
    schema = said["content"][kind]["schema"]
    check(response.json() if kind == "application/json" else response.text, schema)


@pytest.mark.parametrize(("method", "path", "body", "responses"), list(requests()))
def test_every_example_is_answered_as_the_document_says(
    method: str, path: str, body: Any, responses: Any, server: Served
) -> None:
    path = path.replace("classifier", "unmasked") if path.endswith("regress") else path
    if "/labels/" in path and "unmasked" in path:
        pytest.skip("the model of regressions has no label")
    response = httpx.request(method, server.url + path, json=body, timeout=60)
    assert response.status_code == 200, response.text
    hold(response, responses)


def test_errors_are_those_of_the_document(server: Served) -> None:
    predict = DOCUMENT["paths"]["/v1/models/{model}:predict"]["post"]["responses"]
    answers = {
        400: server.post("/v1/models/classifier:predict", b"no JSON"),
        404: server.post("/v1/models/nothing:predict", {"instances": [1]}),
    }
    for status, response in answers.items():
        assert response.status_code == status
        hold(response, predict)
    missing = server.get("/v1/models/nothing")
    hold(missing, DOCUMENT["paths"]["/v1/models/{model}"]["get"]["responses"])
    # Whatever code a request may end with has its status there.
    codes = {http_status(code) for code in Code if code.name not in ELSEWHERE and code not in (Code.OK,)}
    assert {str(status) for status in codes if status != 500} <= set(predict)
    assert "500" not in json.dumps(list(predict))
