"""Imports point down, the faces are pinned, and the runtime needs numpy and onnxruntime alone."""

from __future__ import annotations

import ast
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

import seqship

ROOT = Path(seqship.__file__).parent
COMMAND_LINE = {"seqship.cli", "seqship.terminal"}

FACES = {
    "seqship.pipelines": [
        "ArrayExamples",
        "Examples",
        "Field",
        "PaddingStatistics",
        "Scaling",
        "SequenceExamples",
        "Sequences",
        "Series",
        "Span",
        "TextVectorizer",
        "Texts",
        "as_series",
        "choose_boundaries",
        "chronological_split",
        "class_weights",
        "fit_scaling",
        "fit_vocabulary",
        "forward_fill",
        "group_split",
        "load_heartbeats",
        "load_reviews",
        "pad_right",
        "padded_batches",
        "plan_epoch",
        "read_heartbeat_csv",
        "read_heartbeat_file",
        "read_review_csv",
        "read_series",
        "read_wfdb_heartbeats",
        "stratified_split",
        "synthetic_heartbeats",
        "token_sequences",
        "training_batches",
        "windows",
    ],
    "seqship.models": [
        "Activation",
        "LayerEligibility",
        "LoadedModel",
        "Recipe",
        "RecurrentSpec",
        "SavedGraph",
        "Trained",
        "Training",
        "build",
        "cudnn_eligibility",
        "load_model",
        "mask_reasons",
        "recipes",
        "recurrent_layers",
        "run_bidirectional",
        "run_layer",
        "train",
    ],
    "seqship.export": [
        "Agreement",
        "Bundle",
        "Case",
        "EquivalenceReport",
        "Job",
        "OnnxExport",
        "SavedModelExport",
        "Tolerance",
        "check_equivalence",
        "read_bundle",
        "saved_model_to_onnx",
        "ship",
        "ship_recipe",
        "to_onnx",
        "to_saved_model",
        "verify",
        "verify_served",
    ],
    "seqship.serving": ["Client", "Prediction", "Predictor"],
    "seqship.serving.client": ["Client", "ModelMetadata", "SignatureContract", "VersionStatus"],
    "seqship.serving.deployment": [
        "Blessing",
        "DeployedVersion",
        "Labelled",
        "Pushed",
        "RolledBack",
        "label",
        "push",
        "read_blessing",
        "rollback",
        "versions",
        "write_blessing",
    ],
    "seqship.serving.server": ["ServerOptions", "run_server", "serve"],
    "seqship.serving.validation": ["Validation", "validate"],
}


def modules() -> Iterator[tuple[str, ast.Module]]:
    """Every module of the package by name; a package is `name.__init__`."""
    for path in sorted(ROOT.rglob("*.py")):
        name = ".".join(("seqship", *path.relative_to(ROOT).with_suffix("").parts))
        yield name, ast.parse(path.read_text(encoding="utf-8"))


def imported(name: str, tree: ast.Module) -> set[str]:
    """Modules of seqship that a module imports, wherever in its text, `from seqship import x` as seqship.x."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports relatively"
            whole = str(node.module)
            inner = {f"{whole}.{alias.name}" for alias in node.names if is_module(f"{whole}.{alias.name}")}
            found |= inner or {whole}
    return {module for module in found if module.partition(".")[0] == "seqship"}


def is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split(".")[1:])
    return name.startswith("seqship") and (path.is_dir() or path.with_suffix(".py").is_file())


def within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


GRAPH = {name: imported(name, tree) for name, tree in modules()}


def test_the_graph_is_the_package() -> None:
    assert "seqship.export.lowering" in GRAPH
    assert GRAPH["seqship.export.lowering"] >= {"seqship.export.marker", "seqship.models.spec"}
    assert "seqship.export.runners" in GRAPH["seqship.cli.bundles"]  # Imports within functions count.
    assert all(is_module(name) for imports in GRAPH.values() for name in imports)


@pytest.mark.parametrize(
    ("package", "above"),
    [
        ("seqship.wire", ("seqship.pipelines", "seqship.models", "seqship.export", "seqship.serving")),
        ("seqship.pipelines", ("seqship.models", "seqship.export", "seqship.serving")),
        ("seqship.models", ("seqship.export", "seqship.serving")),
        ("seqship.export", ("seqship.serving",)),
    ],
)
def test_imports_point_down(package: str, above: tuple[str, ...]) -> None:
    wrong = [
        f"{name} imports {other}"
        for name, imports in GRAPH.items()
        if within(name, package)
        for other in imports
        if any(within(other, higher) for higher in above)
    ]
    assert wrong == []


def test_serving_takes_the_bundle_from_export_and_no_more() -> None:
    taken = {
        other
        for name, imports in GRAPH.items()
        if within(name, "seqship.serving")
        for other in imports
        if within(other, "seqship.export") or within(other, "seqship.models")
    }
    assert taken == {"seqship.export.bundle"}


def test_only_the_command_imports_the_command_line() -> None:
    importers = {
        name
        for name, imports in GRAPH.items()
        if any(within(other, command) for other in imports for command in COMMAND_LINE)
    }
    assert {name for name in importers if not within(name, "seqship.cli")} == {"seqship.__main__"}


@pytest.mark.parametrize("module", ["seqship.errors", "seqship.lazy", "seqship.progress"])
def test_the_lowest_modules_import_nothing_of_seqship(module: str) -> None:
    assert GRAPH[module] == set()


@pytest.mark.parametrize("face", FACES)
def test_a_face_is_pinned_and_every_name_resolves(face: str) -> None:
    module = import_module(face)
    assert module.__all__ == FACES[face]
    for name in FACES[face]:
        value = getattr(module, name)
        assert value.__name__ == name
        assert value.__module__.startswith(f"{face}.")
        assert name in dir(module)


@pytest.mark.parametrize("face", FACES)
def test_an_unknown_name_is_refused(face: str) -> None:
    with pytest.raises(AttributeError, match=rf"^module '{face}' has no attribute 'nothing'$"):
        getattr(import_module(face), "nothing")  # noqa: B009


BLOCKED = (
    "tensorflow",
    "keras",
    "tf_keras",
    "onnx",
    "tf2onnx",
    "pandas",
    "scipy",
    "sklearn",
    "rich",
    "typer",
    "jinja2",
)


def run_python(code: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False, timeout=60
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_the_runtime_imports_with_numpy_and_onnxruntime_alone() -> None:
    code = f"""
        import sys
        from importlib.abc import MetaPathFinder

        class Block(MetaPathFinder):
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] in {BLOCKED!r}:
                    raise ImportError(f"{{name}} must not be imported")

        sys.meta_path.insert(0, Block())
        try:
            import tensorflow
        except ImportError as error:
            print(error)
        import seqship, seqship.serving, seqship.serving.predictor, seqship.serving.records
        import seqship.export.bundle, seqship.export.summary
        from seqship.serving import Predictor
        from seqship.export import read_bundle
        print(Predictor.__name__, read_bundle.__name__)
    """
    assert run_python(code) == "tensorflow must not be imported\nPredictor read_bundle\n"


def test_importing_the_faces_imports_nothing_heavy() -> None:
    code = f"""
        import sys
        import seqship, seqship.models, seqship.export, seqship.pipelines, seqship.serving
        seqship.models.recipes
        print([name for name in {(*BLOCKED, "onnxruntime", "numpy")!r} if name in sys.modules])
    """
    assert run_python(code) in ("[]\n", "['numpy']\n")
