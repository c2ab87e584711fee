"""The REST API as clients of TensorFlow Serving know it."""

from __future__ import annotations

import gzip
import json
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from seqship.serving.server.servable import LoadSettings, call, load_servable
from tests.serving.server.process import Served

PREDICT = "/v1/models/classifier:predict"
ROW = [[0.5, -0.25], [1.0, 2.0]]


@pytest.fixture(scope="module")
def expected(bundles: Mapping[str, Path]) -> list[list[float]]:
    """What the model gives for ROW."""
    signature = load_servable(bundles["classifier"], LoadSettings()).signatures["serving_default"]
    return call(signature, {"signal": np.array([ROW], np.float32)})["scores"].tolist()


def error(response: httpx.Response) -> str:
    assert response.headers["content-type"] == "application/json"
    document = response.json()
    assert list(document) == ["error"]
    return document["error"]


@pytest.mark.parametrize(
    "body",
    [
        {"instances": [ROW]},
        {"instances": [{"signal": ROW}]},
        {"inputs": [ROW]},
        {"inputs": {"signal": [ROW], "ignored": 1}},
        {"signature_name": "serving_default", "instances": [ROW]},
    ],
)
def test_predict_in_every_format(body: Any, server: Served, expected: list[list[float]]) -> None:
    response = server.post(PREDICT, body)
    key = "outputs" if "inputs" in body else "predictions"
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert np.float32(response.json()[key]).tolist() == expected


@pytest.mark.parametrize("path", ["/versions/1", "/labels/stable", "/labels/sta%62le", ""])
def test_a_version_by_number_and_label(path: str, server: Served, expected: list[list[float]]) -> None:
    response = server.post(f"/v1/models/classifier{path}:predict", {"instances": [ROW]})
    assert np.float32(response.json()["predictions"]).tolist() == expected
    assert server.get(f"/v1/models/classifier{path}").json()["model_version_status"][0]["state"] == "AVAILABLE"


def test_curl_speaks_to_it(server: Served, expected: list[list[float]]) -> None:
    """Another client than Python's, with curl's own headers (its body is called a form)."""
    result = subprocess.run(
        ["curl", "-s", "-d", json.dumps({"instances": [ROW]}), server.url + PREDICT],
        capture_output=True,
        check=True,
        timeout=60,
    )
    lines = result.stdout.decode().split("\n")
    assert lines[0] == "{"
    assert lines[1].startswith('    "predictions": [[0.')
    assert lines[2:] == ["    ]", "}"]
    assert np.float32(json.loads(result.stdout)["predictions"]).tolist() == expected


def test_packed_bodies(server: Served, expected: list[list[float]]) -> None:
    body = gzip.compress(json.dumps({"instances": [ROW]}).encode())
    headers = {"content-encoding": "gzip"}
    response = server.post(PREDICT, body, headers=headers)
    assert np.float32(response.json()["predictions"]).tolist() == expected
    assert error(server.post(PREDICT, body[:-9], headers=headers)) == "Failed to uncompress gzip body: it is cut off"
    assert error(server.post(PREDICT, b"no gzip", headers=headers)).startswith("Failed to uncompress gzip body: ")


def test_several_outputs_are_objects(server: Served) -> None:
    path = "/v1/models/two_inputs:predict"
    rows = [{"tokens": [1, 2, 3], "valid": [True, True, False]}, {"tokens": [4, 5, 6], "valid": [True, True, True]}]
    predictions = server.post(path, {"instances": rows}).json()["predictions"]
    assert [sorted(row) for row in predictions] == [["last", "steps"]] * 2
    columns = {name: [row[name] for row in rows] for name in ("tokens", "valid")}
    outputs = server.post(path, {"inputs": columns}).json()["outputs"]
    assert sorted(outputs) == ["last", "steps"]
    assert [row["last"] for row in predictions] == outputs["last"]
    assert np.shape(outputs["steps"]) == (2, 3, 3)


def test_text(server: Served) -> None:
    path = "/v1/models/texts:predict"
    plain = server.post(path, {"signature_name": "serving_text", "instances": ["good film", {"b64": "YmFk"}]})
    named = server.post(path, {"signature_name": "serving_text", "inputs": {"text": ["good film", "bad"]}})
    ids = server.post(path, {"instances": [[4, 3], [5, 0]]})
    assert plain.json()["predictions"] == named.json()["outputs"] == ids.json()["predictions"]


def test_classify(server: Served, expected: list[list[float]]) -> None:
    body = {"signature_name": "tf_example", "examples": [{"signal": [0.5, -0.25, 1.0, 2.0]}]}
    (row,) = server.post("/v1/models/classifier:classify", body).json()["results"]
    assert [label for label, _ in row] == ["calm", "fast", "slow"]
    assert np.array([score for _, score in row], np.float32).tolist() == expected[0]


def test_regress(server: Served) -> None:
    examples = [{"signal": [0.5, -0.25]}, {"signal": [1.0, 2.0]}]
    response = server.post("/v1/models/unmasked:regress", {"signature_name": "tf_example", "examples": examples})
    instances = [[[0.5, -0.25]], [[1.0, 2.0]]]
    predicted = server.post("/v1/models/unmasked:predict", {"instances": instances}).json()["predictions"]
    assert response.json()["results"] == [value for (value,) in predicted]


def test_a_context_is_in_every_example(server: Served) -> None:
    path, name = "/v1/models/unmasked:regress", "tf_example"
    context = server.post(path, {"signature_name": name, "context": {"signal": [0.5, 1.5]}, "examples": [{}, {}]})
    plain = server.post(path, {"signature_name": name, "examples": [{"signal": [0.5, 1.5]}] * 2})
    assert context.json() == plain.json()


def test_status_prints_what_is_empty(server: Served) -> None:
    response = server.get("/v1/models/classifier")
    assert response.text == (
        '{\n "model_version_status": [\n  {\n   "version": "1",\n   "state": "AVAILABLE",\n   "status": {\n'
        '    "error_code": "OK",\n    "error_message": ""\n   }\n  }\n ]\n}'
    )


def test_metadata(server: Served) -> None:
    document = server.get("/v1/models/texts/metadata").json()
    assert document["model_spec"] == {"name": "texts", "version": "1", "signature_name": ""}
    definitions = document["metadata"]["signature_def"]["signature_def"]
    assert sorted(definitions) == ["serving_default", "serving_text", "tf_example"]
    assert definitions["tf_example"]["method_name"] == "tensorflow/serving/classify"
    tokens = definitions["serving_default"]["inputs"]["tokens"]
    assert tokens["dtype"] == "DT_INT32"
    assert tokens["tensor_shape"] == {
        "dim": [{"size": "-1", "name": ""}, {"size": "-1", "name": ""}],
        "unknown_rank": False,
    }
    assert server.get("/v1/models/texts/versions/1/metadata").json() == document


@pytest.mark.parametrize(
    ("method", "path", "status", "text"),
    [
        ("POST", "/v1/models/nobody:predict", 404, "Servable not found for request: Latest(nobody)"),
        (
            "POST",
            "/v1/models/classifier/versions/7:predict",
            404,
            "Servable not found for request: Specific(classifier, 7)",
        ),
        ("GET", "/v1/models/nobody", 404, "Could not find any versions of model nobody"),
        ("GET", "/v1/models/classifier/versions/7", 404, "Could not find version 7 of model classifier"),
        ("GET", "/v1/models/nobody/metadata", 404, "Servable not found for request: Latest(nobody)"),
        ("POST", "/v1/models/classifier/labels/x:predict", 400, "Unrecognized servable version label: x"),
        ("GET", "/v1/models/classifier/labels/x", 400, "Unrecognized servable version label: x"),
        ("GET", "/v1/models", 400, "Missing model name in request."),
        ("GET", "/v1/models/", 400, "Malformed request: GET /v1/models/"),
        ("POST", "/v1/models/classifier", 400, "Malformed request: POST /v1/models/classifier"),
        ("POST", "/v1/models/classifier:explain", 400, "Malformed request: POST /v1/models/classifier:explain"),
        ("POST", "/v1/models/classifier:PREDICT", 400, "Malformed request: POST /v1/models/classifier:PREDICT"),
        ("GET", "/v1/models/classifier:predict", 400, "Malformed request: GET /v1/models/classifier:predict"),
        ("DELETE", "/v1/models/classifier", 400, "Malformed request: DELETE /v1/models/classifier"),
        (
            "POST",
            "/v1/models/classifier/versions/99999999999999999999:predict",
            400,
            "Failed to convert version: 99999999999999999999 to numeric.",
        ),
        ("POST", "/v1/models/%ff:predict", 400, "Failed to decode model name:%ff"),
        ("POST", "/v1/models/..%2f..%2fetc:predict", 404, "Servable not found for request: Latest(../../etc)"),
    ],
)
def test_paths_that_lead_nowhere(method: str, path: str, status: int, text: str, server: Served) -> None:
    response = httpx.request(method, server.url + path, content=b'{"instances": [1]}' if method == "POST" else None)
    assert (response.status_code, error(response)) == (status, text)


def test_outside_of_v1_there_is_nothing(server: Served) -> None:
    for path in ("/", "/v2/health/ready", "/v1", "/metrics"):
        response = server.get(path)
        assert (response.status_code, response.content) == (404, b"")


def test_the_path_may_be_in_any_case_but_the_names(server: Served) -> None:
    assert server.get("/V1/Models/classifier").status_code == 200
    assert server.get("/v1/models/Classifier").status_code == 404


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "JSON Parse error: The document is empty"),
        (b'{"instances": [1, 2', "JSON Parse error: Missing a comma or ] after an array element. at offset: 19"),
        (b"instances = [1, 2]", "JSON Parse error: Invalid value. at offset: 0"),
        (b"[1]", "JSON Value: [\n    1\n] Is not object"),
        (b"{}", "Missing 'inputs' or 'instances' key"),
        (
            b'{"instances": [], "inputs": []}',
            "Not formatted correctly expecting only one of 'inputs' or 'instances' keys",
        ),
        (b'{"instances": 1}', "Excepting 'instances' to be an list/array"),
        (b'{"instances": []}', "No values in 'instances' array"),
        (b'{"signature_name": 5}', "not formatted correctly. 'signature_name' key must be a string value."),
        (
            b'{"signature_name": "s", "instances": [1]}',
            'Serving signature name: "s" not found in signature def',
        ),
        (b'{"inputs": {"x": 1}}', "Missing named input: signal in 'inputs' object."),
        (
            b'{"instances": [{"x": 1}]}',
            "Failed to process element: 0 key: x of 'instances' list. Error: INVALID_ARGUMENT: JSON object: does not "
            "have named input: x",
        ),
        (b'{"instances": [{}]}', "JSON object: {} keys must be equal to: signal"),
        (
            b'{"instances": [[[true, 1.0]]]}',
            "Failed to process element: 0 of 'instances' list. Error: INVALID_ARGUMENT: JSON Value: true Type: True is "
            "not of expected type: float",
        ),
        (b'{"instances": [[[1, 2]], [[1, 2], [3, 4]]]}', "Expecting tensor size: 2 but got: 4"),
        (b'{"instances": [[[1, 2], [3]]]}', "Encountered list at unexpected size: 1 at level: 1 expected size: 2"),
        (b'{"instances": [[[1, 2], 3]]}', "found at incorrect level: 2 in the JSON DOM. Expected at level: 2"),
        (b'{"instances": [[[[1], 2]]]}', "found at incorrect level: 3 in the JSON DOM. Expected at level: 3"),
        (b'{"instances": [[[1, 16777217]]]}', "Cannot convert JSON value: 16777217 to float without loss of precision"),
        (b'{"instances": [[[1, 1e39]]]}', "Cannot convert JSON value: 1e+39 to float without loss of precision."),
        (b'{"instances": [[[1, 1e400]]]}', "JSON Parse error: Number too big to be stored in double."),
        (b'{"instances": [[[1, NaN]]]}', "Input signal holds nan in row 0; values are finite numbers."),
        (b'{"instances": [[1, 2]]}', "Input signal must have shape [-1,-1,2], it has [1,2]."),
        (b'{"inputs": [[]]}', "Input signal must have shape [-1,-1,2], it has [1,0]."),
    ],
)
def test_bodies_that_cannot_be_answered(body: bytes, text: str, server: Served) -> None:
    response = server.post(PREDICT, body)
    assert response.status_code == 400
    assert text in error(response)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({}, "key 'examples' is expected and was not found"),
        ({"examples": 1}, "Expecting 'examples' value to be an list/array"),
        ({"examples": []}, "'examples' value is an empty array"),
        ({"examples": [1]}, "Example must be JSON object but got JSON Number"),
        ({"examples": [{"a": None}]}, "Feature: a has element with unexpected JSON type: Null"),
        ({"examples": [{"a": [[1]]}]}, "Feature: a has element with unexpected JSON type: Array"),
        ({"examples": [{"a": [1, 2.0]}]}, "Unexpected element type in feature: a expecting type: int64"),
        ({"examples": [{"a": [2**63]}]}, "Feature: a has uint64 element. Only int64 is supported."),
        ({"examples": [{"signal": [0.5]}]}, "Expected classification signature method_name to be"),
        (
            {"signature_name": "tf_example", "examples": [{"signal": [1, 2]}]},
            "Data types don't match. Data type: int64 but expected type: float",
        ),
        (
            {"signature_name": "tf_example", "examples": [{"signal": [0.5]}]},
            "Number of float values is not a multiple of stride length.",
        ),
        ({"signature_name": "tf_example", "examples": [{}]}, "feature 'signal' needs at least one step"),
        ({"signature_name": "s", "examples": [{}]}, "No signature was found with the name: s"),
    ],
)
def test_examples_that_cannot_be_answered(body: Any, text: str, server: Served) -> None:
    response = server.post("/v1/models/classifier:classify", body)
    assert response.status_code == 400
    assert text in error(response)


def test_a_regression_is_no_classification(server: Served) -> None:
    body = {"signature_name": "tf_example", "examples": [{"signal": [0.5, 1.5]}]}
    assert error(server.post("/v1/models/classifier:regress", body)) == (
        "Expected regression signature method_name to be tensorflow/serving/regress. Was: tensorflow/serving/classify"
    )


def test_probes(server: Served) -> None:
    assert server.get("/livez").text == server.get("/readyz").text == "ok\n"


def test_metrics_have_tensorflow_servings_names(server: Served) -> None:
    def counted() -> tuple[dict[tuple[str, ...], float], float]:
        page = server.get("/monitoring/prometheus/metrics")
        assert page.headers["content-type"].startswith("text/plain")
        families = list(text_string_to_metric_families(page.text))
        samples = [sample for family in families for sample in family.samples]
        requests = {
            (sample.labels["model_name"], sample.labels["status"]): sample.value
            for sample in samples
            if sample.name.removesuffix("_total") == ":tensorflow:serving:request_count"
        }
        wanted = {"model_name": "classifier", "API": "predict", "entrypoint": "REST"}
        latencies = [
            sample.value
            for sample in samples
            if sample.name == ":tensorflow:serving:request_latency_count" and sample.labels == wanted
        ]
        return requests, sum(latencies)

    requests, latencies = counted()
    assert server.post(PREDICT, {"instances": [ROW]}).status_code == 200
    assert server.post(PREDICT, {"instances": [1]}).status_code == 400
    assert server.post("/v1/models/made-up:predict", {"instances": [1]}).status_code == 404
    after, more = counted()
    text = server.get("/monitoring/prometheus/metrics").text
    assert '\n:tensorflow:serving:request_count{model_name="classifier",status="OK"} ' in text
    assert more == latencies + 1
    assert after["classifier", "OK"] == requests.get(("classifier", "OK"), 0) + 1
    assert after["classifier", "INVALID_ARGUMENT"] == requests.get(("classifier", "INVALID_ARGUMENT"), 0) + 1
    assert all(name != "made-up" for name, _ in after)


VALUE = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 99) | st.floats(width=32) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["signal", "tokens", "b64"]), inner),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    model=st.sampled_from(["classifier", "stepwise", "texts", "two_inputs"]),
    method=st.sampled_from(["predict", "classify", "regress"]),
    body=st.dictionaries(st.sampled_from(["instances", "inputs", "examples", "context"]), VALUE, max_size=2),
    signature=st.sampled_from([None, "tf_example", "serving_text", 5]),
)
def test_nothing_that_a_client_sends_is_the_servers_fault(
    model: str, method: str, body: dict[str, Any], signature: Any, client: httpx.Client
) -> None:
    document = body if signature is None else body | {"signature_name": signature}
    response = client.post(f"/v1/models/{model}:{method}", content=json.dumps(document).encode())
    assert response.status_code in (200, 400)
    answer = response.json()
    assert list(answer) in (["predictions"], ["outputs"], ["results"], ["error"])


@pytest.fixture(scope="module")
def client(server: Served) -> Iterator[httpx.Client]:
    """Keeps one connection."""
    with httpx.Client(base_url=server.url, timeout=60) as one:
        yield one
