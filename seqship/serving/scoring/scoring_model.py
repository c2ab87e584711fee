"""The bundle that a pipeline answers with: opened where the pipeline is built, and again by each worker."""

from __future__ import annotations

import contextlib
import posixpath
import shutil
import tempfile
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from apache_beam.io.filesystems import FileSystems  # pyright: ignore[reportMissingImports]
from numpy.typing import NDArray

from seqship.errors import BundleError, DataError, SeqshipError, TamperedError
from seqship.export.bundle import MANIFEST, read_bundle, sha256
from seqship.pipelines.signature_contracts import is_feature
from seqship.pipelines.spec import Field
from seqship.pipelines.text_vectorizer import TextVectorizer
from seqship.serving.predictor import Predictor
from seqship.serving.server.joining import JoiningRule, find_joining_rule
from seqship.serving.server.signatures import Feed

HEARTBEAT_RECIPE = "ecg-gru"


@dataclass(frozen=True, eq=False)
class ScoringModel:
    """What a pipeline needs to know of a bundle; it is pickled, a session never is.

    Attributes:
        bundle: Path or URI of the bundle, as the workers open it.
        name: The bundle's name.
        manifest_sha256: Digest of its manifest, which holds those of every other file.
        inputs: Contract of each input that is no state.
        outputs: Contract of each output that is no state.
        rule: Which sequences may be joined to a batch; None where each is answered alone.
        vectorizer: What makes token ids of texts, for a text model.
        heartbeats: Whether it is of the recipe whose CSV files are in the heartbeat layout.
    """

    bundle: str
    name: str
    manifest_sha256: str
    inputs: tuple[Field, ...]
    outputs: tuple[Field, ...]
    rule: JoiningRule | None
    vectorizer: TextVectorizer | None
    heartbeats: bool


def scoring_model(bundle: str) -> ScoringModel:
    """Opens a bundle, and finds out which of its sequences may be joined.

    Args:
        bundle: Its directory, or the URI of one on a filesystem of Beam's, such as `gs://models/ecg/3`.

    Raises:
        BundleError: It is none, or has no ONNX file.
        DataError: An input is of strings, or has a free axis that is not time.
        ProofError: Its runtimes do not compute the same.
        TamperedError: A file is missing or changed.
    """
    with _on_this_machine(bundle) as path:
        manifest = read_bundle(path, check=False).manifest
        digest = sha256(path / MANIFEST)
        predictor = Predictor(path, threads=1)
    inputs = tuple(field for field in predictor.inputs if not field.is_state)
    for field in inputs:
        if field.dtype == "string" or not is_feature(field):
            raise DataError(f"the input {field.name!r} is no sequence of numbers; use serving.Predictor.predict_batch")

    def compute(feed: Feed) -> dict[str, NDArray[Any]]:
        try:
            return predictor.predict_batch(feed).outputs
        except Exception as error:  # onnxruntime's own types derive from Exception alone.
            raise ValueError(str(error)) from error

    rule = find_joining_rule(predictor.inputs, predictor.outputs, compute)
    outputs = tuple(field for field in predictor.outputs if not field.is_state)
    heartbeats = manifest["source"].get("name") == HEARTBEAT_RECIPE
    return ScoringModel(bundle, str(manifest["name"]), digest, inputs, outputs, rule, predictor.vectorizer, heartbeats)


def open_predictor(bundle: str, manifest_sha256: str) -> Predictor:
    """Opens a bundle where it answers, with one thread: a runner has as many sessions as it has workers.

    Args:
        bundle: Its directory or URI.
        manifest_sha256: Digest of the manifest that the pipeline was built with.

    Raises:
        SeqshipError: As `scoring_model`; and TamperedError where the worker finds another bundle there.
    """
    with _on_this_machine(bundle) as path:
        if path.is_dir() and (path / MANIFEST).is_file() and (digest := sha256(path / MANIFEST)) != manifest_sha256:
            raise TamperedError(
                f"{bundle} is another bundle here than where the pipeline was built (manifest {digest[:12]}, there "
                f"{manifest_sha256[:12]}); give the workers the same"
            )
        return Predictor(path, threads=1)


@contextlib.contextmanager
def _on_this_machine(bundle: str) -> Generator[Path]:
    """Yields a local directory with the bundle; one that lies elsewhere is copied for as long as it is opened."""
    if "://" not in bundle:
        yield Path(bundle)
        return
    folder = tempfile.mkdtemp(prefix="seqship-bundle-")
    try:
        _fetch(bundle, MANIFEST, Path(folder))
        files: Mapping[str, Any] = read_bundle(folder, check=False).manifest["files"]
        for name in files:
            _fetch(bundle, name, Path(folder))
        yield Path(folder)
    except SeqshipError as error:
        raise type(error)(str(error).replace(folder, bundle)) from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _fetch(bundle: str, name: str, folder: Path) -> None:
    if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
        raise TamperedError(f"{bundle}: the manifest names {name!r}, which lies outside of the bundle")
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with (
            FileSystems.open(posixpath.join(bundle, name), compression_type="uncompressed") as source,
            target.open("wb") as file,
        ):
            shutil.copyfileobj(source, file)
    except Exception as error:  # Each filesystem has types of its own.
        text = " ".join(str(error).split())[:300]
        raise BundleError(f"{bundle}: {name} cannot be read: {text or type(error).__name__}") from error
