"""What the README shows runs, as it stands there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from seqship.pipelines import Sequences, synthetic_heartbeats

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MODULE = """
import tf_keras

def build_model():
    layers = tf_keras.layers
    return tf_keras.Sequential([layers.Input((None, 2)), layers.LSTM(3), layers.Dense(1)])
"""


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def write_csv(path: Path, beats: Sequences) -> None:
    rows = np.zeros((len(beats), 188))
    for row, (values, label) in enumerate(zip(beats.values, beats.labels, strict=True)):
        rows[row, : len(values)] = np.maximum(values[:, 0], 1e-4)
        rows[row, -1] = label
    np.savetxt(path, rows, delimiter=",", fmt="%.4f")


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    (tmp_path / "heartbeats").mkdir()
    write_csv(tmp_path / "heartbeats/train.csv", synthetic_heartbeats(150, seed=1, proportions=(0.2,) * 5))
    write_csv(tmp_path / "heartbeats/test.csv", synthetic_heartbeats(40, seed=2, proportions=(0.2,) * 5))
    package = tmp_path / "my_package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "my_module.py").write_text(MODULE)
    return tmp_path


def test_every_command_of_the_readme_runs(workplace: Path) -> None:
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    commands = [line for block in blocks("sh") for line in block.splitlines() if line]
    assert len(commands) >= 7
    for command in commands:
        done = subprocess.run(command, shell=True, cwd=workplace, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
    for script in blocks("python"):
        done = subprocess.run([sys.executable, "-c", script], cwd=workplace, capture_output=True, text=True)
        assert done.returncode == 0, (script, done.stderr)
        assert done.stdout.startswith("('"), done.stdout


def test_every_link_of_the_documents_leads_somewhere() -> None:
    for document in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", document.read_text(encoding="utf-8")):
            assert (document.parent / target).exists(), f"{document.name}: {target}"


def test_the_documents_name_no_machine_and_no_registry() -> None:
    # An address that stands for the reader's own server names no machine.
    theirs = r"https?://(?:\.\.|`|HOST|host:|localhost|127\.0\.0\.1)"
    locks = [*ROOT.glob("requirements*.lock"), *ROOT.glob("benchmarks/**/*.lock")]
    for document in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*.md"), *locks]:
        text = re.sub(theirs, "", document.read_text(encoding="utf-8"))
        assert not re.search(r"https?://|--index-url|--find-links|/tmp/|/root/", text), document.name
