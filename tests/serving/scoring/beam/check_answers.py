"""Every answer is that of the sequence alone, whatever it shares a batch with."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apache_beam as beam  # pyright: ignore[reportMissingImports]
import numpy as np
import pytest
from apache_beam.testing.util import assert_that  # pyright: ignore[reportMissingImports]
from numpy.typing import NDArray

from seqship.errors import DataError, ProofError, SeqshipError, TamperedError
from seqship.serving import Predictor
from seqship.serving.scoring import Score, score
from seqship.serving.scoring.handler import BundleModelHandler
from seqship.serving.scoring.scoring_model import open_predictor, scoring_model
from tests.serving.scoring.beam.conftest import documents, lines_of

TOLERANCE = 1e-6
TEXTS = ("the film", "Good, good film!", "bad", "ça the the the the the the bad good", "unheard of")
Alone = Callable[[Path, Any], dict[str, NDArray[Any]]]


def same(answer: dict[str, Any], expected: dict[str, NDArray[Any]]) -> None:
    assert answer.keys() == expected.keys()
    for name, value in expected.items():
        if name == "class":
            assert answer[name] == str(value)
        else:
            assert np.shape(answer[name]) == value.shape
            np.testing.assert_allclose(answer[name], value, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("name", ["classifier", "stepwise", "unmasked", "stateful"])
def check_signals(name: str, bundles: Path, signals: list[Any], alone: Alone, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text(lines_of(signals))
    scored = score(bundles / name, tmp_path / "in.jsonl", tmp_path / "out")
    assert (scored.read, scored.answered, scored.refused, scored.errors) == (150, 150, 0, ())
    answers = documents(scored.output)
    assert sorted(answer.pop("line") for answer in documents(scored.output)) == list(range(1, 151))
    for answer in answers:
        assert answer.pop("file") == str(tmp_path / "in.jsonl")
        same(answer, alone(bundles / name, signals[answer.pop("line") - 1]))


def check_texts(bundles: Path, alone: Alone, tmp_path: Path) -> None:
    records = [TEXTS[0], {"id": "one", "text": TEXTS[1]}, {"id": 2, "input": TEXTS[2]}, {"text": TEXTS[3]}, TEXTS[4]]
    (tmp_path / "in.jsonl").write_text(lines_of(records))
    answers = documents(score(bundles / "texts", tmp_path / "in.jsonl", tmp_path / "out").output)
    assert len(answers) == 5
    for answer in answers:
        index = {"one": 1, 2: 2}[answer.pop("id")] if "id" in answer else answer.pop("line") - 1
        answer.pop("file", None)
        same(answer, alone(bundles / "texts", TEXTS[index]))


def check_texts_of_a_csv_with_lines_in_quotes(bundles: Path, alone: Alone, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text('id,text\na,the film\nb,"good,\ngood"\nc\nd,bad\n')
    scored = score(bundles / "texts", tmp_path / "in.csv", tmp_path / "out")
    answers = {answer.pop("id"): answer for answer in documents(scored.output)}
    assert sorted(answers) == ["a", "b", "d"]
    same(answers["b"], alone(bundles / "texts", "good,\ngood"))
    assert [(one["line"], one["error"]) for one in documents(scored.output, "errors")] == [
        (5, "the row has 1 columns, the header 2; quote commas")
    ]


def check_two_inputs(bundles: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(5)
    predictor = Predictor(bundles / "two_inputs")
    records: list[dict[str, Any]] = []
    for index, steps in enumerate(random.integers(1, 9, 60).tolist()):
        tokens, valid = random.integers(0, 9, steps).tolist(), (random.random(steps) < 0.7).tolist()
        records.append({"id": index, "tokens": tokens, "valid": valid})
    broken = [{"id": "few", "tokens": [1]}, {"id": "short", "tokens": [1, 2], "valid": [True]}, [1, 2]]
    (tmp_path / "in.jsonl").write_text(lines_of([*records, *broken]))
    scored = score(bundles / "two_inputs", tmp_path / "in.jsonl", tmp_path / "out")
    answers = documents(scored.output)
    assert len(answers) == 60
    for answer in answers:
        record = records[answer.pop("id")]
        feed = {"tokens": np.array([record["tokens"]], np.int32), "valid": np.array([record["valid"]])}
        expected = predictor.predict_batch(feed).outputs
        same(answer, {name: value[0] for name, value in expected.items()})
    assert {one.get("id"): one["error"] for one in documents(scored.output, "errors")} == {
        "few": "there is no 'valid'; there is: id, tokens",
        "short": "'valid' has 1 steps, 'tokens' has 2; they belong to the same time",
        None: "the model takes several inputs (tokens, valid); give an object with each",
    }


def _at_its_time(one: Any) -> Any:
    return beam.window.TimestampedValue(one, one[0][0])


def _with_window(one: Any, window: Any = beam.DoFn.WindowParam) -> Any:
    return (*one, int(window.start))


def check_the_transform_in_a_pipeline_of_ones_own(bundles: Path, signals: list[Any], alone: Alone) -> None:
    expected = [alone(bundles / "stepwise", signal) for signal in signals]

    def right(answers: list[Any]) -> None:
        assert sorted(key for key, _, _ in answers) == [(index,) for index in range(150)]
        for (index,), answer, start in answers:
            assert isinstance(answer["steps"], np.ndarray)
            same(answer, expected[index])
            assert start == index // 60 * 60

    with beam.Pipeline("apache_beam.runners.portability.fn_api_runner.FnApiRunner") as pipeline:
        answers = (
            pipeline
            | beam.Create([((index,), signal) for index, signal in enumerate(signals)])
            | beam.Map(_at_its_time)
            | beam.WindowInto(beam.window.FixedWindows(60))
            | Score(bundles / "stepwise")
            | "WithWindow" >> beam.Map(_with_window)
        )
        assert_that(answers, right)


def check_the_transform_refuses_or_hands_over(bundles: Path) -> None:
    given = [("good", [[0.5, 1.0]]), ("bad", [[0.5]])]
    runner = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"
    with (
        pytest.raises(DataError, match=r"^'bad': 'signal' has shape \(1, 1\); the model takes \(time, 2\) \["),
        beam.Pipeline(runner) as pipeline,
    ):
        _ = pipeline | beam.Create(given) | Score(bundles / "classifier")

    def keys(expected: list[str]) -> Callable[[list[Any]], None]:
        def check(found: list[Any]) -> None:
            assert [key for key, _ in found] == expected

        return check

    with beam.Pipeline(runner) as pipeline:
        answers, refused = pipeline | beam.Create(given) | Score(bundles / "classifier").with_exception_handling()
        assert_that(answers, keys(["good"]), "answers")
        assert_that(refused, keys(["bad"]), "refused")


def check_one_that_fails_leaves_the_others_of_its_batch(bundles: Path) -> None:
    model = scoring_model(str(bundles / "two_inputs"))
    handler = BundleModelHandler(model)
    predictor = handler.load_model()
    feeds = [{"tokens": np.array([[token]], np.int32), "valid": np.array([[True]])} for token in (1, 99_999, 2)]
    good, bad, other = handler.run_inference(feeds, predictor)
    assert isinstance(good, dict) and isinstance(other, dict) and not isinstance(bad, dict)
    assert bad.reason.startswith("the model cannot answer it: ")
    assert good["last"].shape == other["last"].shape == (2,)


def check_what_was_not_proven_is_refused(bundles: Path, tmp_path: Path) -> None:
    import shutil

    copy = Path(shutil.copytree(bundles / "unmasked", tmp_path / "copy"))
    (tmp_path / "in.jsonl").write_text("[[0.5, 1.0]]\n")
    manifest = json.loads((copy / "manifest.json").read_text())
    digest = scoring_model(str(copy)).manifest_sha256
    manifest["equivalence"]["equivalent"] = False
    (copy / "manifest.json").write_text(json.dumps(manifest))

    def refused(kind: type[SeqshipError], text: str) -> None:
        with pytest.raises(kind) as caught:
            score(copy, tmp_path / "in.jsonl", tmp_path / "out")
        assert str(caught.value).startswith(f"{copy}{text}")

    refused(ProofError, " is not proven equivalent")
    with pytest.raises(TamperedError, match="is another bundle here than where the pipeline was built"):
        open_predictor(str(copy), digest)
    manifest["equivalence"]["equivalent"] = True
    (copy / "manifest.json").write_text(json.dumps(manifest))
    (copy / "model.onnx").write_bytes(b"no model")
    refused(TamperedError, ": model.onnx has changed")
    assert not (tmp_path / "out").exists()
