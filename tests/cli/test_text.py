"""A text model from the shell: a vocabulary goes in, raw reviews are answered."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pytest

from seqship.models.flavour import load_flavour

Call = Callable[..., CompletedProcess[str]]
WORDS = ["", "[UNK]", "the", "film", "good", "bad"]


@pytest.fixture(scope="module")
def reviews(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A model of token ids, and its vocabulary."""
    keras = load_flavour(2).keras
    layers = keras.layers
    model: Any = keras.Sequential(
        [
            layers.Input((None,), dtype="int32", name="tokens"),
            layers.Embedding(len(WORDS), 3, mask_zero=True),
            layers.LSTM(4, name="memory"),
            layers.Dense(1, activation="sigmoid", name="score"),
        ]
    )
    folder = tmp_path_factory.mktemp("reviews")
    model.save(folder / "model.keras")
    (folder / "words.txt").write_text("\n".join(WORDS) + "\n")
    return folder / "model.keras", folder / "words.txt"


@pytest.mark.usefixtures("few_cases")
def test_raw_reviews_are_answered(seqship: Call, reviews: tuple[Path, Path], tmp_path: Path) -> None:
    model, words = reviews
    out = tmp_path / "bundle"
    said = seqship(
        "export", model, "-o", out, "--vocabulary", words, "--text-length", 12, "--classes", "negative, positive"
    )
    assert (said.returncode, said.stderr) == (0, "")
    manifest = json.loads((out / "manifest.json").read_text())
    assert [*manifest["signatures"]] == ["serving_default", "tf_example", "serving_text"]
    assert manifest["signatures"]["tf_example"]["method"] == "tensorflow/serving/classify"
    assert manifest["contract"]["outputs"][0]["classes"] == ["negative", "positive"]
    assert (out / "saved_model" / "assets" / "vocabulary.txt").is_file()
    said = seqship("predict", out, stdin=b'"The film: good!"\n{"text": "bad"}\n')
    assert (said.returncode, said.stderr) == (0, "")
    answers = [json.loads(line) for line in said.stdout.splitlines()]
    assert {answer["class"] for answer in answers} <= {"negative", "positive"}
    again = seqship("predict", out, "--runtime", "saved_model", stdin=b"The film: good!\nbad\n")
    for one, other in zip(answers, map(json.loads, again.stdout.splitlines()), strict=True):
        np.testing.assert_allclose(one["probabilities"], other["probabilities"], atol=1e-6)
    said = seqship("predict", out, stdin=b"good\n!!\n")
    assert said.stderr == "seqship: error: text 1 has no word: '!!'; leave it out\n"
    said = seqship("inspect", out)
    assert "cudnn   eligible: for masks off behind the data alone (right padding) and on at one step" in said.stdout


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--text-length", 5], "--text-length is for texts; give their --vocabulary too"),
        (["--vocabulary", "missing.txt"], "missing.txt does not exist; give a vocabulary file"),
        (["--classes", "a,b,c"], "output 'score' has the shape ['batch', 1], 3 classes were named: a, b, c; name one"),
    ],
)
def test_what_is_wrong_is_named(
    seqship: Call, reviews: tuple[Path, Path], tmp_path: Path, options: list[Any], text: str
) -> None:
    said = seqship("export", reviews[0], "-o", tmp_path / "bundle", *options)
    assert (said.returncode, said.stdout) == (2, "")
    assert said.stderr.startswith(f"seqship: error: {text}")
    assert said.stderr.count("\n") == 1
    assert not (tmp_path / "bundle").exists()
