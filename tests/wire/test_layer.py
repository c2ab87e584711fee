"""The wire is the lowest layer: it needs NumPy and protobuf, and of seqship the errors alone."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import seqship.wire

FOLDER = Path(seqship.wire.__file__).parent
ALLOWED = {"numpy", "google", "seqship"}


def imported(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(str(node.module))
    return found


def test_imports_point_nowhere_else() -> None:
    files = sorted(FOLDER.rglob("*.py"))
    assert len(files) > 8
    for path in files:
        for module in imported(path):
            root = module.partition(".")[0]
            assert root in ALLOWED or root in sys.stdlib_module_names, f"{path.name} imports {module}"
            if root == "seqship":
                assert module == "seqship.errors" or module.startswith("seqship.wire."), f"{path.name} imports {module}"


def test_importing_all_of_it_imports_nothing_heavy() -> None:
    names = [f"seqship.wire.{path.stem}" for path in sorted(FOLDER.glob("[a-z]*.py"))]
    code = f"""
import importlib, sys
for name in {names!r}:
    importlib.import_module(name)
print([name for name in ("tensorflow", "grpc", "onnxruntime", "keras", "ml_dtypes") if name in sys.modules])
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert result.stdout == "[]\n", result.stderr
