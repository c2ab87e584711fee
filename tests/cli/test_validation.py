"""`seqship validate` from the shell."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Said = subprocess.CompletedProcess[str]
Call = Callable[..., Said]


def test_a_bundle_is_blessed(seqship: Call, bundle: Path) -> None:
    said = seqship("validate", bundle, "--server", "seqship")
    assert said.returncode == 0, said.stdout + said.stderr
    rows = dict(line.split(maxsplit=1) for line in said.stdout.splitlines())
    assert list(rows)[:3] == ["server", "asked", "worst"]
    assert rows["verdict"] == "blessed"
    assert rows["server"].startswith("seqship ")
    assert rows["asked"].endswith(" cases, over REST and gRPC")
    assert json.loads((bundle / "validation.json").read_text())["blessed"] is True
    assert seqship("verify", bundle, "--strict").returncode == 0


def test_a_bundle_is_not_blessed(seqship: Call, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "programs" / "tensorflow_model_server"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\necho "cannot load it"\nexit 4\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    said = seqship("validate", bundle)
    assert (said.returncode, said.stderr) == (1, "")
    assert said.stdout.splitlines()[-2:] == [
        "verdict  not blessed: 1 failure",
        "  the server ended with 4 before it answered: cannot load it",
    ]
    said = seqship("validate", bundle, "--json")
    assert said.returncode == 1
    document = json.loads(said.stdout)
    assert document == json.loads((bundle / "validation.json").read_text())
    assert (document["blessed"], document["failed"], document["worst"]) == (False, 1, None)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--url", "x"], "'x' is no address of a server; give http://HOST:8501"),
        (["--url", "http://127.0.0.1:9"], "failed with UNAVAILABLE: "),
        (["--server", "mine"], "invalid value for '--server': 'mine' is not one of 'auto', 'tensorflow_model_server'"),
        (
            ["--server", "tensorflow_model_server"],
            "there is no tensorflow_model_server on the PATH; install it, or use",
        ),
    ],
)
def test_mistakes_are_one_line(
    seqship: Call, bundle: Path, arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    made = seqship("validate", bundle, *arguments)
    assert (made.returncode, made.stdout, made.stderr.count("\n")) == (2, "", 1)
    assert said in made.stderr
    assert not (bundle / "validation.json").exists()
