"""The bundle's format: a directory whose manifest names, and digests, every file in it.

Imports neither TensorFlow nor Keras: this module is all that `seqship.serving` takes from `seqship.export`.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seqship.errors import BundleError, DataError, TamperedError
from seqship.pipelines.spec import Field
from seqship.pipelines.text_vectorizer import TextVectorizer

FORMAT = 1
MANIFEST = "manifest.json"
ONNX_FILE = "model.onnx"
INT8_FILE = "model.int8.onnx"
SAVED_MODEL = "saved_model"
CASES_FILE = "verification/cases.npz"
PARTS = "parts"
"""Folder of the bundles that belong to a bundle."""
VOCABULARY_FILE = "preprocessing/vocabulary.txt"
REPORT_FILES = ("report.html", "report.json")
VALIDATION_FILE = "validation.json"
"""Blesses the manifest by its digest, so that the manifest cannot name it."""
CONTRACT_KEY = "seqship.contract"
"""Key of the ONNX file's `metadata_props` that holds the contract as JSON."""

_OBJECTS = ("versions", "source", "contract", "equivalence", "files")
_OPTIONAL = ("onnx", "metrics", "training", "preprocessing", "signatures", "parts", "int8")
REQUIRED = ("name", "created", "versions", "source", "contract", "equivalence", "files")


@dataclass(frozen=True, eq=False)
class Bundle:
    """A bundle on disk.

    Attributes:
        path: The directory.
        manifest: Content of its manifest.
    """

    path: Path
    manifest: Mapping[str, Any]

    @property
    def name(self) -> str:
        return str(self.manifest["name"])

    @property
    def inputs(self) -> tuple[Field, ...]:
        """Contract of each input."""
        return tuple(Field.from_json(document) for document in self.manifest["contract"]["inputs"])

    @property
    def outputs(self) -> tuple[Field, ...]:
        """Contract of each output."""
        return tuple(Field.from_json(document) for document in self.manifest["contract"]["outputs"])

    @property
    def equivalent(self) -> bool:
        """Whether the last proof held, and those of its parts."""
        proofs = [self.manifest["equivalence"], *self.manifest.get("parts", {}).values()]
        return all(proof.get("equivalent") is True for proof in proofs)

    def vectorizer(self) -> TextVectorizer | None:
        """Reads what makes token ids of raw text, None where the model takes no text.

        Raises:
            BundleError: The vocabulary, or what the manifest says of it, cannot be read.
        """
        text = self.manifest.get("preprocessing", {}).get("text")
        if text is None:
            return None
        try:
            file = self.path / text["vocabulary"]
            return TextVectorizer.load(file, max_length=text["max_length"], truncate=text["truncate"])
        except (DataError, KeyError, TypeError, ValueError) as error:
            raise BundleError(f"{self.path} holds a vocabulary that cannot be read: {error}") from None

    @property
    def onnx(self) -> Path | None:
        """The ONNX file, None where the bundle has none."""
        return self.path / ONNX_FILE if ONNX_FILE in self.manifest["files"] else None

    @property
    def int8(self) -> Path | None:
        """The ONNX file with int8 weights, None where the bundle has none."""
        return self.path / INT8_FILE if INT8_FILE in self.manifest["files"] else None

    @property
    def int8_passed(self) -> bool:
        """Whether the int8 file is what int8 makes of the model; so where there is none."""
        return self.int8 is None or (self.manifest.get("int8") or {}).get("passed") is True

    @property
    def saved_model(self) -> Path | None:
        """The SavedModel directory, None where the bundle has none."""
        return self.path / SAVED_MODEL if f"{SAVED_MODEL}/saved_model.pb" in self.manifest["files"] else None


def read_bundle(path: str | os.PathLike[str], *, check: bool = True) -> Bundle:
    """Opens a bundle.

    Args:
        path: The directory.
        check: Whether every file's digest is compared with the manifest.

    Raises:
        BundleError: The path is no bundle, or of a format that this version does not know.
        TamperedError: A file is missing or changed; it is named.
    """
    directory = Path(path)
    if not directory.exists():
        raise BundleError(f"no bundle at {directory}: the path does not exist")
    try:
        manifest: Any = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise BundleError(f"{directory} is no bundle: it has no {MANIFEST}; make one with seqship ship") from None
    except (OSError, ValueError) as error:
        raise BundleError(f"{directory / MANIFEST} cannot be read: {error}") from None
    missing = [key for key in REQUIRED if not isinstance(manifest, dict) or key not in manifest]
    if missing:
        raise BundleError(f"{directory / MANIFEST} is no manifest: it lacks {', '.join(missing)}")
    if manifest.get("format") != FORMAT:
        raise BundleError(f"{directory} has bundle format {manifest.get('format')}, this seqship reads {FORMAT}")
    bundle = Bundle(directory, manifest)
    try:
        optional = {key: manifest[key] for key in _OPTIONAL if manifest.get(key) is not None}
        objects = {key: manifest[key] for key in _OBJECTS} | optional
        if wrong := [key for key, value in objects.items() if not isinstance(value, dict)]:
            raise TypeError(f"{wrong[0]} is no object")
        _ = (bundle.inputs, bundle.outputs, bundle.equivalent)
        _ = [(row["layer"], row["onnx"], row["cudnn_eligible"]) for row in manifest.get("audit", [])]
        _ = [(facts["size"], facts["sha256"]) for facts in bundle.manifest["files"].values()]
    except (TypeError, KeyError, AttributeError) as error:
        raise BundleError(f"{directory / MANIFEST} has an entry that cannot be read: {error}") from None
    if check:
        check_files(bundle)
    return bundle


def read_contract(
    metadata: Mapping[str, str], model: Path, *, instead: str
) -> tuple[tuple[Field, ...], tuple[Field, ...]]:
    """Returns the contract that an ONNX file of seqship carries: its inputs and its outputs.

    Args:
        metadata: The file's `metadata_props`.
        model: The file, for errors.
        instead: What to do where the file carries none.

    Raises:
        BundleError: It carries none, or one that cannot be read.
    """
    text = metadata.get(CONTRACT_KEY)
    if text is None:
        raise BundleError(f"{model} carries no contract: seqship did not write it; {instead}")
    try:
        document = json.loads(text)
        inputs, outputs = (tuple(Field.from_json(field) for field in document[side]) for side in ("inputs", "outputs"))
    except (TypeError, KeyError, ValueError) as error:
        raise BundleError(f"{model} carries a contract that cannot be read: {error}") from None
    return inputs, outputs


def check_files(bundle: Bundle) -> None:
    """Compares every file with the manifest.

    Raises:
        TamperedError: A file is missing or changed, or lies outside of the bundle; it is named.
    """
    for name, facts in bundle.manifest["files"].items():
        file = bundle.path / name
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise TamperedError(f"{bundle.path}: the manifest names {name!r}, which lies outside of the bundle")
        if not file.is_file():
            raise TamperedError(f"{bundle.path}: {name} is missing; the bundle is not the one that was proven")
        size = file.stat().st_size
        if size != facts["size"]:
            raise TamperedError(f"{bundle.path}: {name} has changed ({size} bytes, manifest says {facts['size']})")
        if (digest := sha256(file)) != facts["sha256"]:
            expected = str(facts["sha256"])[:12]
            raise TamperedError(f"{bundle.path}: {name} has changed (sha256 {digest[:12]}, manifest says {expected})")


def unnamed_files(bundle: Bundle) -> tuple[str, ...]:
    """Returns the files in the directory that the manifest does not name; the blessing, written later, is none."""
    return tuple(sorted(set(_files(bundle.path)) - set(bundle.manifest["files"]) - {VALIDATION_FILE}))


def write_manifest(directory: Path, manifest: Mapping[str, Any]) -> Bundle:
    """Writes the manifest, with the digest and size of every other file; it is the last file of a bundle."""
    files = {
        name: {"sha256": sha256(directory / name), "size": (directory / name).stat().st_size}
        for name in _files(directory)
    }
    document = {"format": FORMAT, **manifest, "files": files}
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    (directory / MANIFEST).write_text(text, encoding="utf-8")
    return Bundle(directory, document)


def sha256(path: Path) -> str:
    """Returns the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _files(directory: Path) -> list[str]:
    """Names of the files in a bundle, but the manifest; names that begin with a dot belong to a writer at work."""
    found = (path.relative_to(directory) for path in directory.rglob("*") if path.is_file())
    return sorted(path.as_posix() for path in found if path.as_posix() != MANIFEST and not path.name.startswith("."))
