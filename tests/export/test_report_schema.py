"""What the report page is made of keeps the published schema, and the schema refuses what is not."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import onnx
import pytest

from seqship.export import ship, verify
from seqship.export.bundle import INT8_FILE, MANIFEST, write_manifest
from seqship.export.divergence import Divergence
from seqship.export.drift import Drift, OutputDrift
from seqship.export.falsification.int8_faults import int8_scale_doubled
from seqship.export.task_agreement import compare_classes, compare_values
from seqship.models.flavour import load_flavour
from seqship.pipelines.sequences import Sequences
from tests.export.report_documents import drift, failing, int8, int8_failing, sample, users_model

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "report.schema.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def checker() -> Any:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    return jsonschema.Draft202012Validator(SCHEMA, format_checker=jsonschema.FormatChecker())


@pytest.mark.parametrize(
    "make",
    [
        sample,
        failing,
        users_model,
        lambda: sample() | {"int8": int8()},
        lambda: sample() | {"int8": int8_failing()},
    ],
    ids=["sample", "failing", "users_model", "int8", "int8_failing"],
)
def test_documents_of_these_tests_are_as_the_package_writes_them(
    make: Callable[[], dict[str, Any]], checker: Any
) -> None:
    checker.validate({"metrics": {}, "test_split": []} | make())


def test_what_the_package_makes_is_described(checker: Any) -> None:
    document = sample()
    infinite = Drift((1, 2), {"y": OutputDrift(0.0, {"keras": (0.0, 1e-8), "onnx": (float("inf"), 1.0)})})
    layer = Divergence(
        "gru", "GRU", "", 0, 2, None, (), 1.0, float("nan"), float("inf"), "unknown", unseen=("masking",)
    )
    checker.validate(document | {"drift": infinite.to_json(), "where": layer.to_json()})
    checker.validate(document | {"drift": None})
    scores, others = [[0.9, 0.1], [0.4, 0.6], [float("nan"), 1.0]], [[0.1, 0.9], [0.4, 0.6], [0.0, 1.0]]
    for task in (compare_classes(scores, others, [0, 1, 1]), compare_classes(scores[:2], scores[:2]),
                 compare_values([1.0, 2.0], [1.0, 2.5], [1.0, 2.0])):  # fmt: skip
        document["test_split"][0]["task"] = task.to_json()
        checker.validate(document)


def without(document: dict[str, Any], *path: Any) -> dict[str, Any]:
    changed = copy.deepcopy(document)
    place: Any = changed
    for key in path[:-1]:
        place = place[key]
    del place[path[-1]]
    return changed


def test_what_is_not_so_is_refused(checker: Any) -> None:
    document = failing()
    output = drift()["outputs"]["probabilities"]
    wrong = [
        without(document, "where", "layer"),
        without(document, "test_split", 0, "task", "changed"),
        without(document, "drift", "steps"),
        without(document, "drift", "outputs", "probabilities", "runners", "keras"),
        document | {"drift": {"steps": [1, 2], "outputs": {"y": output | {"unit": "V"}}}},
        document | {"drift": {"steps": [0, 1], "outputs": {}}},
        document | {"where": document["where"] | {"step": -1}},
        document | {"where": document["where"] | {"times": "many"}},
    ]
    with_int8 = sample() | {"int8": int8()}
    wrong += [without(with_int8, "int8", key) for key in with_int8["int8"]]
    wrong += [without(with_int8, "int8", "weights", 0, key) for key in with_int8["int8"]["weights"][0]]
    wrong += [
        with_int8 | {"int8": with_int8["int8"] | changed}
        for changed in (
            {"passed": "yes"},
            {"data": []},
            {"operators": {"LSTM": 0}},
            {"layers": [{"layer": "gru", "int8": None, "reasons": []}]},
            {"cases": [with_int8["int8"]["cases"][0] | {"runner": "onnx"}]},
            {"drift": [{"time": 0, "output": "y", "max_abs": 0.0, "scale": 1.0}]},
            {"test_split": [with_int8["int8"]["test_split"][0] | {"changed": -1}]},
        )
    ]
    assert [number for number, one in enumerate(wrong) if checker.is_valid(one)] == []


def test_a_shipped_report_keeps_it(shipped: Path, checker: Any) -> None:
    checker.validate(json.loads((shipped / "report.json").read_text(encoding="utf-8")))


def test_a_shipped_report_of_an_int8_file_keeps_it(tmp_path: Path, checker: Any) -> None:
    layers = load_flavour(3).keras.layers
    both = [layers.LSTM(16, return_sequences=True, name="first"), layers.GRU(6, name="second")]
    signal = layers.Input((None, 3), name="signal")
    model = load_flavour(3).keras.Sequential([signal, *both, layers.Dense(2, activation="softmax", name="scores")])
    random = np.random.default_rng(1)
    values = tuple(random.normal(size=(length, 3)).astype(np.float32) for length in random.integers(2, 12, 20))
    data = Sequences(values, random.integers(0, 2, 20), ("a", "b"), source="drawn")
    bundle = tmp_path / "bundle"
    ship(model, bundle, name="int8", formats=["onnx"], quantize="int8", data=data)

    def written() -> dict[str, Any]:
        document = json.loads((bundle / "report.json").read_text(encoding="utf-8"))
        checker.validate(document)
        return document["int8"]

    right = written()
    assert right["passed"] is True
    assert [row["layer"] for row in right["layers"]] == ["first", "second"]
    assert right["test_split"][0]["rows"] == 20
    onnx.save(int8_scale_doubled(onnx.load(bundle / INT8_FILE)), bundle / INT8_FILE)
    manifest = json.loads((bundle / MANIFEST).read_text(encoding="utf-8"))
    write_manifest(bundle, {key: value for key, value in manifest.items() if key != "files"})
    verify(bundle)
    wrong = written()
    assert wrong["passed"] is False
    page = (bundle / "report.html").read_text(encoding="utf-8")
    assert "Equivalent</h2>" in page
    assert "model.int8.onnx is NOT what int8 makes of model.onnx." in page
    assert f"int8 has {wrong['weights'][1]['actual']:.6g} for R" in page
