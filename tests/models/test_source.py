"""A model is found where the user says it is, in the flavour that wrote it; what is no model is named."""

from __future__ import annotations

import json
import shutil
import sys
import zipfile
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqship.errors import ModelError
from seqship.models import load_model
from seqship.models.flavour import Flavour, Version, flavour_of, load_flavour
from seqship.models.layers import recurrent_layers
from seqship.models.saved import SavedGraph

FORMS = r"give a \.keras file, an \.h5 file, a SavedModel directory, or package\.module:factory"


def tiny(flavour: Flavour) -> Any:
    keras = flavour.keras
    return keras.Sequential([keras.layers.Input((None, 2), name="signal"), keras.layers.GRU(2, name="memory")])


@pytest.fixture(scope="module")
def saved(flavour: Flavour, tmp_path_factory: pytest.TempPathFactory) -> tuple[Flavour, Any, Path]:
    folder = tmp_path_factory.mktemp("saved")
    model = tiny(flavour)
    for name in ("model.keras", "model.h5", "model.weights.h5"):
        (model.save_weights if "weights" in name else model.save)(str(folder / name))
    return flavour, model, folder


@pytest.fixture
def factories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], str]]:
    """Writes a module into the working directory, which is not on Python's path; gives its name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    written: list[str] = []

    def write(code: str) -> str:
        name = f"seqship_factory_{len(written)}"
        (tmp_path / f"{name}.py").write_text(code)
        written.append(name)
        return name

    yield write
    for name in written:
        sys.modules.pop(name, None)


# --- Files


@pytest.mark.parametrize("name", ["model.keras", "model.h5"])
def test_the_flavour_of_a_file_is_found(saved: tuple[Flavour, Any, Path], name: str) -> None:
    flavour, model, folder = saved
    found = load_model(folder / name)
    assert flavour_of(found.model).version == flavour.version
    assert (found.kind, found.name) == ("file", name)
    assert found.sha256 == sha256((folder / name).read_bytes()).hexdigest()
    assert found.to_json() == {"kind": "file", "name": name, "sha256": found.sha256}
    for got, wanted in zip(found.model.get_weights(), model.get_weights(), strict=True):
        assert np.array_equal(got, wanted)


def test_the_content_and_not_the_ending_says_what_a_file_is(saved: tuple[Flavour, Any, Path], tmp_path: Path) -> None:
    flavour, _, folder = saved
    # A copy under another name of the same ending; the flavour is in the content.
    path = tmp_path / "renamed.v1.keras"
    path.write_bytes((folder / "model.keras").read_bytes())
    assert flavour_of(load_model(str(path)).model).version == flavour.version


def test_the_wrong_keras_is_said_to_be_wrong(saved: tuple[Flavour, Any, Path]) -> None:
    flavour, _, folder = saved
    other = load_flavour(3 if flavour.version == 2 else 2)
    path = folder / "model.keras"
    message = rf"^{path} cannot be loaded with {other.package} .* \(it was written by Keras {flavour.version}\): "
    with pytest.raises(ModelError, match=message) as raised:
        load_model(path, keras=other.version)
    assert "\n" not in str(raised.value)
    assert str(raised.value).endswith("; a model with code of its own is given as package.module:factory")


def test_weights_without_a_model_are_refused(saved: tuple[Flavour, Any, Path]) -> None:
    path = saved[2] / "model.weights.h5"
    with pytest.raises(ModelError, match=rf"^{path} holds weights but no model; {FORMS}$"):
        load_model(path)


def test_a_missing_path(tmp_path: Path) -> None:
    for name in ("none.keras", "none.h5", "none"):
        path = tmp_path / name
        with pytest.raises(ModelError, match=rf"^no model at {path}: the path does not exist; {FORMS}$"):
            load_model(path)


def test_a_directory(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=rf"^{tmp_path} is a directory without saved_model\.pb, not a model; {FORMS}$"):
        load_model(tmp_path)


def write_zip(path: Path, **members: str) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in members.items():
            archive.writestr(name.replace("_json", ".json"), text)


def zipped(path: Path, **members: str) -> bytes:
    write_zip(path, **members)
    return path.read_bytes()


NO_MODELS: dict[str, Callable[[Path], bytes]] = {
    "text": lambda _: b"not a model",
    "empty": lambda _: b"",
    "other zip": lambda path: zipped(path, other="x"),
    "broken metadata": lambda path: zipped(path, metadata_json="{"),
    "no version": lambda path: zipped(path, metadata_json="{}"),
    "metadata is a list": lambda path: zipped(path, metadata_json="[]"),
    "broken hdf5": lambda _: b"\x89HDF\r\n\x1a\n" + b"broken" * 30,
}


@pytest.mark.parametrize("what", NO_MODELS)
def test_a_file_that_is_no_model(tmp_path: Path, what: str) -> None:
    path = tmp_path / "model.keras"
    path.write_bytes(NO_MODELS[what](path))
    with pytest.raises(ModelError, match=rf"^{path} is no Keras model file; {FORMS}$"):
        load_model(path)


@pytest.mark.parametrize("version", [2, 3])
def test_a_file_that_says_it_is_a_model_and_is_not(tmp_path: Path, version: Version) -> None:
    path = tmp_path / "model.keras"
    write_zip(path, metadata_json=json.dumps({"keras_version": f"{version}.1"}))
    with pytest.raises(ModelError, match=rf"^{path} cannot be loaded with {load_flavour(version).package} "):
        load_model(path)


# --- SavedModel directories


@pytest.fixture(scope="module")
def directories(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """One model, as tf-keras saves it with its objects, and as it exports its graph alone."""
    folder = tmp_path_factory.mktemp("directories")
    model = tiny(load_flavour(2))
    model.save(folder / "objects", save_format="tf")
    model.export(str(folder / "graph"))
    return model, folder


def test_a_saved_model_with_its_objects_is_a_keras_model(directories: tuple[Any, Path]) -> None:
    model, folder = directories
    for keras in (None, 2):
        found = load_model(folder / "objects", keras=keras)
        assert flavour_of(found.model).version == 2
        assert [spec.name for spec in recurrent_layers(found.model)] == ["memory"]
        assert (found.kind, found.name) == ("saved_model", "objects")
        for got, wanted in zip(found.model.get_weights(), model.get_weights(), strict=True):
            assert np.array_equal(got, wanted)


def test_a_saved_model_without_objects_is_a_graph(directories: tuple[Any, Path], tmp_path: Path) -> None:
    _, folder = directories
    found = load_model(folder / "graph")
    assert found.model == SavedGraph(folder / "graph", "serving_default")
    assert (found.kind, found.name) == ("saved_model", "graph")
    assert load_model(shutil.copytree(folder / "graph", tmp_path / "copy")).sha256 == found.sha256
    (tmp_path / "copy" / "assets" / "words.txt").write_text("good")
    assert load_model(tmp_path / "copy").sha256 != found.sha256


def test_a_saved_model_whose_code_is_not_there_is_a_graph(tmp_path: Path) -> None:
    keras = load_flavour(2).keras

    class Doubled(keras.layers.Layer):
        def call(self, inputs: Any) -> Any:
            return inputs * 2

    model = keras.Sequential([keras.layers.Input((None, 2)), Doubled(name="own"), keras.layers.GRU(2)])
    model.save(tmp_path / "saved", save_format="tf")
    assert load_model(tmp_path / "saved").model == SavedGraph(tmp_path / "saved")
    message = (
        rf"^{tmp_path}/saved cannot be loaded with tf-keras: its layer 'own' has code of its own; "
        r"leave --keras out to take it as a graph$"
    )
    with pytest.raises(ModelError, match=message):
        load_model(tmp_path / "saved", keras=2)
    (tmp_path / "saved" / "keras_metadata.pb").write_bytes(b"broken")
    assert load_model(tmp_path / "saved").model == SavedGraph(tmp_path / "saved")


def test_the_keras_that_reads_no_saved_model(directories: tuple[Any, Path]) -> None:
    _, folder = directories
    message = rf"^{folder}/graph is a SavedModel, which Keras 3 does not read as a model; leave --keras out$"
    with pytest.raises(ModelError, match=message):
        load_model(folder / "graph", keras=3)
    message = (
        rf"^{folder}/graph cannot be loaded with tf-keras: it has no keras_metadata\.pb; "
        r"leave --keras out to take it as a graph$"
    )
    with pytest.raises(ModelError, match=message):
        load_model(folder / "graph", keras=2)


# --- Factories

MODEL = """
import {package} as keras
def make():
    return keras.Sequential([keras.layers.Input((None, 2)), keras.layers.GRU(2)])
class Box:
    make = staticmethod(make)
    version = 3
ready = make()
def fails():
    raise RuntimeError("no\\n  luck")
def nothing():
    return None
"""


def test_a_factory_is_imported_from_the_working_directory(flavour: Flavour, factories: Callable[[str], str]) -> None:
    name = factories(MODEL.format(package=flavour.keras.__name__))
    for attribute in ("make", "Box.make", "ready"):
        found = load_model(f"{name}:{attribute}")
        assert flavour_of(found.model).version == flavour.version
        assert found.to_json() == {"kind": "factory", "name": f"{name}:{attribute}"}
    assert load_model(f"{name}:make", keras=flavour.version).kind == "factory"


def test_a_factory_that_raises_gives_no_model_or_another_keras(
    flavour: Flavour, factories: Callable[[str], str]
) -> None:
    name = factories(MODEL.format(package=flavour.keras.__name__))
    with pytest.raises(ModelError, match=rf"^{name}:fails raised RuntimeError: no luck$"):
        load_model(f"{name}:fails")
    neither = "expected a tf-keras or Keras 3 model, got builtins"
    with pytest.raises(ModelError, match=rf"^{name}:nothing gave no model: {neither}\.NoneType$"):
        load_model(f"{name}:nothing")
    with pytest.raises(ModelError, match=rf"^{name}:Box\.version gave no model: {neither}\.int$"):
        load_model(f"{name}:Box.version")
    other: Version = 3 if flavour.version == 2 else 2
    message = rf"^{name}:make gave a Keras {flavour.version} model, --keras asks for {other}; leave --keras out$"
    with pytest.raises(ModelError, match=message):
        load_model(f"{name}:make", keras=other)


def test_a_factory_that_is_not_there(factories: Callable[[str], str]) -> None:
    name = factories("import nothing_of_that_name\n")
    absent = "run seqship where it can be imported"
    with pytest.raises(ModelError, match=rf"^no_such_module:make: there is no module 'no_such_module'; {absent}$"):
        load_model("no_such_module:make")
    with pytest.raises(ModelError, match=rf"^{name}:make: there is no module 'nothing_of_that_name'; {absent}$"):
        load_model(f"{name}:make")
    name = factories("x = 1\n")
    with pytest.raises(ModelError, match=rf"^{name}:make\.it: module '{name}' has no 'make\.it'$"):
        load_model(f"{name}:make.it")


def test_a_factory_module_that_raises_on_import(factories: Callable[[str], str]) -> None:
    name = factories("1 / 0\n")
    with pytest.raises(ModelError, match=rf"^{name}:make raised ZeroDivisionError: division by zero$"):
        load_model(f"{name}:make")
