"""The pipelines run where Apache Beam is, without TensorFlow; what is asked of them stands in `beam/`."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from seqship.errors import DependencyError
from tests.serving.server.peers.environment import ROOT, peers_python, run_in_peers

CASES = Path(__file__).parent / "beam"


def test_scoring_where_beam_is(bundles: Mapping[str, Path]) -> None:
    """The bundles are made here, and proven; each case says there what it scores."""
    folder = next(iter(bundles.values())).parent
    options = [
        "-o",
        "addopts=--import-mode=importlib",
        "-o",
        "python_files=check_*.py",
        "-o",
        "python_functions=check_*",
        "-p",
        "no:cacheprovider",
    ]
    made = subprocess.run(
        [peers_python(), "-m", "pytest", str(CASES), "-q", *options, "--bundles", str(folder)],
        capture_output=True, text=True, timeout=300, check=False, cwd=ROOT,
    )  # fmt: skip
    assert made.returncode == 0, made.stdout[-8000:] + made.stderr[-2000:]
    found = re.search(r"(\d+) passed in", made.stdout)
    assert found is not None, made.stdout  # Nothing was skipped.
    assert int(found[1]) >= 20


def test_it_needs_neither_tensorflow_nor_the_command_line(bundles: Mapping[str, Path], tmp_path: Path) -> None:
    code = """
import sys
from importlib.abc import MetaPathFinder

class Block(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("tensorflow", "keras", "tf_keras", "onnx", "tf2onnx", "typer", "rich"):
            raise ImportError(f"{name} must not be imported")

sys.meta_path.insert(0, Block())
from seqship.serving.scoring import score
print(score(*sys.argv[1:]).answered)
"""
    source = tmp_path / "in.jsonl"
    source.write_text("[[0.5, 1.0]]\n")
    assert run_in_peers("-c", code, str(bundles["classifier"]), str(source), str(tmp_path / "out")) == "1\n"


@pytest.mark.parametrize("name", ["Score", "score"])
def test_without_beam_the_way_out_is_named(name: str) -> None:
    from seqship.serving import scoring

    said = r"^seqship score needs apache_beam; run: pip install 'seqship\[beam\]'$"
    with pytest.raises(DependencyError, match=said):
        getattr(scoring, name)("bundle", "inputs", "output")


def test_the_face_is_lazy_and_pinned() -> None:
    from seqship.serving import scoring

    assert scoring.__all__ == ["Score", "Scored", "score"]
    assert scoring.Scored.__module__ == "seqship.serving.scoring.scored"
    with pytest.raises(AttributeError, match=r"^module 'seqship.serving.scoring' has no attribute 'nothing'$"):
        getattr(scoring, "nothing")  # noqa: B009
