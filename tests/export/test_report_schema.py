"""What the report page is made of keeps the published schema, and the schema refuses what is not."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from seqship.export.divergence import Divergence
from seqship.export.drift import Drift, OutputDrift
from seqship.export.task_agreement import compare_classes, compare_values
from tests.export.report_documents import drift, failing, sample, users_model

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "report.schema.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def checker() -> Any:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    return jsonschema.Draft202012Validator(SCHEMA, format_checker=jsonschema.FormatChecker())


@pytest.mark.parametrize("make", [sample, failing, users_model])
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
    assert not any(checker.is_valid(one) for one in wrong)


def test_a_shipped_report_keeps_it(shipped: Path, checker: Any) -> None:
    checker.validate(json.loads((shipped / "report.json").read_text(encoding="utf-8")))
