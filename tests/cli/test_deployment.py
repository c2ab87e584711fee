"""`push`, `rollback`, `label`, `versions` from the shell: what they print, and what they refuse in one line."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seqship.serving.deployment import write_blessing
from tests.serving.deployment.plain_bundle import FILES, plain_bundle

Said = subprocess.CompletedProcess[str]
Call = Callable[..., Said]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: a bundle that is proven, one that is not, and a file."""
    plain_bundle(tmp_path / "good", name="ecg-gru")
    plain_bundle(tmp_path / "bad", equivalent=False)
    (tmp_path / "file").write_text("")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def lines(said: Said) -> dict[str, str]:
    assert (said.returncode, said.stderr) == (0, "")
    return dict(line.split("  ", 1) for line in said.stdout.splitlines())


def told(said: Said) -> dict[str, str]:
    return {label.strip(): text.strip() for label, text in lines(said).items()}


def test_a_life(seqship: Call, here: Path) -> None:
    (here / "good" / "notes.txt").write_text("mine")
    assert told(seqship("push", "good", "models/ecg", "--label", "stable")) == {
        "pushed": "version 1 of ecg: models/ecg/1",
        "bundle": "ecg-gru, proven equivalent",
        "serves": "TensorFlow Serving, seqship serve",
        "labels": "stable",
        "left out": "notes.txt (not named by the manifest)",
        "config": "models/ecg/models.config",
    }
    for _ in range(2):
        seqship("push", "good", "models/ecg")
    pushed = told(seqship("push", "bad", "models/ecg", "--force", "--keep", "1", "--label", "canary"))
    assert pushed["bundle"] == "ecg, NOT proven: seqship serve needs --allow_unproven=true"
    assert pushed["removed"] == "versions 2, 3"
    seqship("push", "good", "models/ecg", "--label", "next")
    assert told(seqship("rollback", "models/ecg")) == {
        "newest": "version 4 of ecg: models/ecg/4",
        "withdrawn": "version 5",
        "moved": "next to version 4",
        "config": "models/ecg/models.config",
    }
    said = seqship("versions", "models/ecg")
    assert (said.returncode, said.stderr) == (0, "")
    rows = [line.split() for line in said.stdout.splitlines()]
    assert rows[0] == ["version", "bundle", "created", "proven", "size", "labels"]
    assert [(row[0], row[1], row[3], row[6:]) for row in rows[1:]] == [
        ("5", "ecg-gru", "yes", ["withdrawn"]),
        ("4", "ecg", "NO", ["canary,", "next"]),
        ("1", "ecg-gru", "yes", ["stable"]),
    ]
    assert told(seqship("label", "models/ecg", "stable=4", "--remove", "next", "--remove", "canary")) == {
        "label": "stable: version 4",
        "removed": "canary, next",
        "config": "models/ecg/models.config",
    }
    assert told(seqship("rollback", "models/ecg", "--to", "4"))["newest"].endswith("models/ecg/4 (it was before)")


def test_one_json_document_each(seqship: Call, here: Path) -> None:
    def document(*arguments: object) -> Any:
        said = seqship(*arguments, "--json")
        assert (said.returncode, said.stderr) == (0, "")
        return json.loads(said.stdout)

    options = ("--label", "a", "--name", "heart", "--served-path", "/models/heart", "--version", "7")
    assert document("push", "good", "models", *options) == {
        "version": 7,
        "path": "models/7",
        "model": "heart",
        "bundle": "ecg-gru",
        "proven": True,
        "onnx": True,
        "saved_model": True,
        "labels": ["a"],
        "dropped": [],
        "removed": [],
        "removed_withdrawn": [],
        "left_out": [],
        "config": "models/models.config",
    }
    document("push", "good", "models", "--label", "b")
    assert document("label", "models", "c=8") == {
        "model": "heart",
        "labels": {"a": 7, "b": 8, "c": 8},
        "removed": [],
        "dropped": [],
        "config": "models/models.config",
    }
    assert document("rollback", "models") == {
        "version": 7,
        "path": "models/7",
        "model": "heart",
        "withdrawn": [8],
        "moved": ["b", "c"],
        "dropped": [],
        "config": "models/models.config",
    }
    listed = document("versions", "models")
    facts = {"name": "ecg-gru", "created": "2026-11-22T00:00:00Z", "proven": True, "size": listed[0]["size"]}
    assert listed == [
        {"version": 8, "labels": [], "withdrawn": True, **facts},
        {"version": 7, "labels": ["a", "b", "c"], "withdrawn": False, **facts},
    ]


@pytest.mark.parametrize(
    ("missing", "serves"),
    [
        ("saved_model/", "seqship serve alone: the bundle holds no SavedModel"),
        (
            "model.onnx",
            "TensorFlow Serving; seqship serve where TensorFlow is installed: the bundle holds no model.onnx",
        ),
    ],
)
def test_it_says_which_servers_take_the_version(seqship: Call, here: Path, missing: str, serves: str) -> None:
    plain_bundle(here / "half", files={name: data for name, data in FILES.items() if not name.startswith(missing)})
    assert told(seqship("push", "half", "models"))["serves"] == serves


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("push", "none", "models"), 2, "no bundle at none: the path does not exist"),
        (("push", "file", "models"), 2, "file is no bundle: it has no manifest.json; make one with seqship ship"),
        (
            ("push", "bad", "models"),
            1,
            "bad is not proven equivalent; see its report.html, or add --force (seqship serve then needs "
            "--allow_unproven=true)",
        ),
        (
            ("push", "good", "models", "--require-blessing"),
            1,
            "good carries no blessing (validation.json); validate it, or drop --require-blessing",
        ),
        (("push", "good", "file"), 2, "file is a file; MODEL_ROOT is the directory above a model's versions"),
        (("push", "good", "models", "--keep", "0"), 2, "--keep is at least 1, got 0: the newest version always stays"),
        (("label", "old", "stable"), 2, "a label is given as NAME=VERSION, such as stable=3, got 'stable'"),
        (("label", "old", "stable=new"), 2, "a label is given as NAME=VERSION, such as stable=3, got 'stable=new'"),
        (("label", "old", "a=1", "a=2"), 2, "label a is given twice, to versions 1 and 2; choose one"),
        (("label", "old", "a=2"), 2, "old has no version 2; the versions there are: 1"),
        (("label", "old"), 2, "no label is given; name some as NAME=VERSION, or --remove NAME"),
        (("rollback", "old"), 2, "nothing to go back to in old: version 1 is all there is"),
        (
            ("rollback", "models"),
            2,
            "no versions at models: no such file or directory; push a bundle first: seqship push BUNDLE models",
        ),
        (
            ("versions", "good"),
            2,
            "good is itself a bundle or model; MODEL_ROOT is the directory above a model's versions: name another",
        ),
    ],
)
def test_mistakes_are_one_line(seqship: Call, here: Path, arguments: tuple[str, ...], code: int, message: str) -> None:
    seqship("push", "good", "old")
    said = seqship(*arguments)
    assert (said.returncode, said.stdout, said.stderr) == (code, "", f"seqship: error: {message}\n")
    assert not (here / "models").exists()


def test_a_blessed_bundle_is_pushed(seqship: Call, here: Path) -> None:
    write_blessing("good", {"blessed": True})
    assert seqship("push", "good", "models", "--require-blessing").returncode == 0


def test_nothing_has_been_pushed_yet(seqship: Call, here: Path) -> None:
    (here / "models").mkdir()
    said = seqship("versions", "models")
    assert said.stdout == "no version in models; push one: seqship push BUNDLE models\n"
    assert json.loads(seqship("versions", "models", "--json").stdout) == []


def test_neither_tensorflow_nor_a_runtime_is_needed(here: Path) -> None:
    code = (
        "import sys\n"
        "from importlib.abc import MetaPathFinder\n"
        "class Block(MetaPathFinder):\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in ('tensorflow', 'keras', 'tf_keras', 'onnx', 'onnxruntime', 'grpc'):\n"
        "            raise ImportError(name)\n"
        "sys.meta_path.insert(0, Block())\n"
        "from seqship.__main__ import run\n"
        "for words in (['push', 'good', 'm'], ['push', 'good', 'm'], ['label', 'm', 'a=1'], ['rollback', 'm'], "
        "['versions', 'm']):\n"
        "    assert run(words) == 0\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=here, capture_output=True)
