"""Where a model comes from: a file, or a function that makes it."""

from __future__ import annotations

import importlib
import json
import os
import re
import sys
import zipfile
from dataclasses import dataclass
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

from seqship.errors import ModelError, SeqshipError
from seqship.models.flavour import Version, flavour_of, load_flavour
from seqship.models.saved import KERAS_METADATA_FILE, SAVED_MODEL_FILE, SavedGraph, is_saved_model

_FACTORY = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
_FORMS = "a .keras file, an .h5 file, a SavedModel directory, or package.module:factory"
_HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model and where it came from.

    Attributes:
        model: The Keras model, or the `SavedGraph` of a SavedModel that says nothing of its Keras objects.
        kind: "file", "saved_model" or "factory".
        name: Name of the file or directory, or the factory's path.
        sha256: Digest of the file, or of the names and contents of all files; empty for a factory.
    """

    model: Any
    kind: str
    name: str
    sha256: str = ""

    def to_json(self) -> dict[str, Any]:
        """Returns the JSON form, as it stands in a manifest."""
        return {"kind": self.kind, "name": self.name} | ({"sha256": self.sha256} if self.sha256 else {})


def load_model(source: str | os.PathLike[str], *, keras: Version | None = None) -> LoadedModel:
    """Loads a model of either flavour.

    Args:
        source: A `.keras` or `.h5` file, a SavedModel directory, or `package.module:factory`, a function (or model)
            that is imported, from the working directory too, and called without arguments. A SavedModel that tf-keras
            can read back is a Keras model; any other is the graph it is, called by its signature `serving_default`.
        keras: 2 or 3 to read a file with that Keras; the one that wrote it if left out. Of SavedModels, 2 alone reads
            any.

    Raises:
        ModelError: There is no such file or function, or it gives no model.
        DependencyError: The Keras it needs is not installed.
    """
    text = os.fspath(source)
    path = Path(text)
    if path.is_dir():
        return _load_directory(path, keras)
    if path.is_file():
        return _load_file(path, keras)
    if _FACTORY.fullmatch(text) and not text.endswith((".keras", ".h5")):
        return _call_factory(text, keras)
    raise ModelError(f"no model at {text}: the path does not exist; give {_FORMS}")


def _load_file(path: Path, keras: Version | None) -> LoadedModel:
    written_by = _written_by(path)
    flavour = load_flavour(keras or written_by)
    try:
        model = flavour.keras.models.load_model(path, compile=False)
    except Exception as error:  # Deserializing runs the code of any layer, which may raise anything.
        text = " ".join(str(error).split())
        hint = "" if keras in (None, written_by) else f" (it was written by Keras {written_by})"
        raise ModelError(
            f"{path} cannot be loaded with {flavour.package} {flavour.package_version}{hint}: {text[:200]}; "
            "a model with code of its own is given as package.module:factory"
        ) from error
    with path.open("rb") as file:
        return LoadedModel(model, "file", path.name, file_digest(file, "sha256").hexdigest())


def _load_directory(path: Path, keras: Version | None) -> LoadedModel:
    if not is_saved_model(path):
        raise ModelError(f"{path} is a directory without {SAVED_MODEL_FILE}, not a model; give {_FORMS}")
    if keras == 3:
        raise ModelError(f"{path} is a SavedModel, which Keras 3 does not read as a model; leave --keras out")
    model = _keras_model(path, required=keras == 2)
    return LoadedModel(SavedGraph(path) if model is None else model, "saved_model", path.resolve().name, _digest(path))


def _keras_model(path: Path, *, required: bool) -> Any:
    """Returns the tf-keras model that a SavedModel was made from, None where it can only be had as a graph."""
    why = f"it has no {KERAS_METADATA_FILE}"
    if (path / KERAS_METADATA_FILE).is_file():
        flavour = load_flavour(2)
        try:
            model: Any = flavour.keras.models.load_model(path, compile=False)
            if made_up := _made_up(model):
                why = f"its layer {made_up!r} has code of its own"
            else:
                return model
        except Exception as error:  # Deserializing runs the code of any layer, which may raise anything.
            why = " ".join(str(error).split())[:200]
    if required:
        raise ModelError(f"{path} cannot be loaded with tf-keras: {why}; leave --keras out to take it as a graph")
    return None


def _made_up(model: Any) -> str:
    """Returns the name of a layer whose class tf-keras made up around its functions, its own not being there."""
    # tf_keras/src/saving/legacy/saved_model/load.py: RevivedLayer, RevivedNetwork and what derives from them.
    for part in (model, *model._flatten_layers(include_self=False, recursive=True)):
        if any(base.__name__ in ("RevivedLayer", "RevivedNetwork") for base in type(part).__mro__):
            return str(part.name)
    return ""


def _digest(path: Path) -> str:
    digest = sha256()
    for file in sorted(entry for entry in path.rglob("*") if entry.is_file()):
        digest.update(f"{file.relative_to(path).as_posix()}\0{file.stat().st_size}\0".encode())
        with file.open("rb") as stream:
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()


def _written_by(path: Path) -> Version:
    """Tells the flavour that wrote a file, by its content.

    Raises:
        ModelError: It is no Keras model file.
    """
    version = ""
    try:
        with path.open("rb") as file:
            magic = file.read(8)
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                version = str(json.loads(archive.read("metadata.json"))["keras_version"])
        elif magic == _HDF5_MAGIC:
            version = _hdf5_version(path)
    except (OSError, KeyError, TypeError, ValueError, zipfile.BadZipFile):
        version = ""
    if not version:
        raise ModelError(f"{path} is no Keras model file; give {_FORMS}")
    return 3 if version.startswith("3") else 2


def _hdf5_version(path: Path) -> str:
    import h5py

    with h5py.File(path, "r") as file:
        if "model_config" not in file.attrs:
            raise ModelError(f"{path} holds weights but no model; give {_FORMS}")
        version = file.attrs.get("keras_version", "2")
        return version.decode() if isinstance(version, bytes) else str(version)


def _call_factory(text: str, keras: Version | None) -> LoadedModel:
    module_name, _, attribute = text.partition(":")
    # The user's package is where the user stands; an installed script has no working directory on its path.
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        made: Any = importlib.import_module(module_name)
        try:
            for part in attribute.split("."):
                made = getattr(made, part)
        except AttributeError as error:
            raise ModelError(f"{text}: module {module_name!r} has no {attribute!r}") from error
        if callable(made) and not hasattr(made, "get_weights"):
            made = made()
    except ModuleNotFoundError as error:
        raise ModelError(f"{text}: there is no module {error.name!r}; run seqship where it can be imported") from error
    except SeqshipError:
        raise
    except Exception as error:  # The user's own code.
        raise ModelError(f"{text} raised {type(error).__name__}: {' '.join(str(error).split())[:200]}") from error
    try:
        flavour = flavour_of(made)
    except ModelError as error:
        raise ModelError(f"{text} gave no model: {error}") from None
    if keras is not None and flavour.version != keras:
        raise ModelError(f"{text} gave a Keras {flavour.version} model, --keras asks for {keras}; leave --keras out")
    return LoadedModel(made, "factory", text)
