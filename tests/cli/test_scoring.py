"""`seqship score`, in the environment that has Apache Beam; and what it says where there is none."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seqship.models.flavour import load_flavour
from tests.few_cases import few_cases
from tests.serving.server.models import classifier, weighted
from tests.serving.server.peers.environment import peers_python

Said = subprocess.CompletedProcess[str]

LINES = ['{"id": "a", "signal": [[0.5, 1.0], [2.0, 0.1]]}', "[[0.5, 1.0]]", "", "[[0.5]]", "nothing"]


@pytest.fixture(scope="module")
def classifying(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A proven bundle of a small classifier."""
    from seqship.export import ship

    path = tmp_path_factory.mktemp("bundles") / "classifier"
    with few_cases((2,), (5,)):
        model = weighted(load_flavour(3).keras.Sequential(classifier()))
        assert ship(model, path, name="classifier", classes=["calm", "fast", "slow"]).equivalent
    return path


@pytest.fixture
def score(classifying: Path, tmp_path: Path) -> Callable[..., Said]:
    """Runs `seqship score` there, with some good lines and some bad ones beside it."""
    (tmp_path / "in.jsonl").write_text("\n".join(LINES))

    def call(*options: object, bundle: Path = classifying) -> Said:
        command = [peers_python(), "-m", "seqship", "score", bundle, "--output", "out", *options]
        return subprocess.run(
            list(map(str, command)), capture_output=True, text=True, check=False, timeout=120, cwd=tmp_path
        )

    return call


def test_counts_answers_and_errors(score: Callable[..., Said], tmp_path: Path) -> None:
    said = score("--input", "in.jsonl")
    assert (said.returncode, said.stderr) == (1, "")
    rows = dict(line.split(maxsplit=1) for line in said.stdout.splitlines())
    assert rows.pop("speed").endswith(" s")
    assert rows == {
        "read": "4 of 1 file", "answered": "2", "refused": "2: see errors-00000-of-00001.jsonl", "scores": "out",
    }  # fmt: skip
    answers = [json.loads(line) for line in (tmp_path / "out/predictions-00000-of-00001.jsonl").open()]
    assert {answer["class"] for answer in answers} <= {"calm", "fast", "slow"}
    assert sorted(map(list, answers)) == [
        ["file", "line", "class", "probabilities"],
        ["id", "class", "probabilities"],
    ]
    errors = [json.loads(line) for line in (tmp_path / "out/errors-00000-of-00001.jsonl").open()]
    assert sorted(errors, key=_line) == [
        {"file": "in.jsonl", "line": 4, "error": "'signal' has shape (1, 1); the model takes (time, 2)"},
        {"file": "in.jsonl", "line": 5, "error": "the line is no JSON: Expecting value: line 1 column 1 (char 0)"},
    ]
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert (manifest["kind"], manifest["bundle"]["name"], manifest["refused"]) == ("scores", "classifier", 2)
    again = score("--input", "*.jsonl", "--force", "--allow-errors", "--json", "--", "--direct_num_workers=1")
    assert (again.returncode, again.stderr) == (0, "")
    document = json.loads(again.stdout)
    assert {name: document[name] for name in ("output", "files", "read", "answered", "refused")} == {
        "output": "out", "files": 1, "read": 4, "answered": 2, "refused": 2,
    }  # fmt: skip


def _line(error: dict[str, Any]) -> int:
    return error["line"]


def test_mistakes_are_told_in_one_line(score: Callable[..., Said], tmp_path: Path) -> None:
    (tmp_path / "other.jsonl").write_text("")
    listing = sorted(path.name for path in tmp_path.iterdir())
    for options, code, text in [
        (("-i", "none*"), 2, "no file matches 'none*'; give a path, or a pattern in quotes such as 'part-*.jsonl'"),
        (("-i", "in.jsonl", "other.jsonl"), 2, "unexpected argument 'other.jsonl'; put a pattern of several files in "
         "quotes, as 'part-*.jsonl'"),
        (("-i", "in.jsonl", "--runner", "Nobody"), 2, "Beam has no runner 'Nobody'; DirectRunner, FlinkRunner and "
         "DataflowRunner are some"),
    ]:  # fmt: skip
        said = score(*options)
        assert (said.returncode, said.stdout, said.stderr) == (code, "", f"seqship: error: {text}\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == listing


def test_without_beam(seqship: Callable[..., Said], classifying: Path, tmp_path: Path) -> None:
    said = seqship("score", classifying, "--input", "in.jsonl", "--output", tmp_path / "out")
    assert (said.returncode, said.stdout) == (2, "")
    assert said.stderr == "seqship: error: seqship score needs apache_beam; run: pip install 'seqship[beam]'\n"


def test_help_has_an_example(seqship: Callable[..., Said]) -> None:
    said = seqship("score", "--help")
    assert said.returncode == 0
    assert "seqship score bundles/ecg-gru -i 'beats-*.jsonl' -o scores" in said.stdout
