"""Copies a bundle into the directory of a version that TensorFlow Serving and `seqship serve` both open."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from seqship.errors import BundleError, TamperedError
from seqship.export.bundle import MANIFEST, SAVED_MODEL, VALIDATION_FILE, Bundle, read_bundle, unnamed_files
from seqship.progress import Progress
from seqship.serving.deployment.blessing import Blessing, manifest_digest, parse_blessing
from seqship.serving.deployment.model_root import sync


@dataclass(frozen=True, eq=False)
class Source:
    """A bundle that is to be pushed, as it was when its digests were checked.

    Attributes:
        bundle: The bundle.
        manifest: Its manifest, byte for byte.
        validation: Its blessing, byte for byte; None where it carries none.
        left_out: Files that the manifest does not name: nothing vouches for them.
    """

    bundle: Bundle
    manifest: bytes
    validation: bytes | None
    left_out: tuple[str, ...]

    @property
    def manifest_sha256(self) -> str:
        """Digest of the manifest."""
        return manifest_digest(self.manifest)

    def blessing(self) -> Blessing | None:
        """Returns the blessing, None where it carries none.

        Raises:
            BundleError: It cannot be read.
        """
        if self.validation is None:
            return None
        return parse_blessing(self.validation, source=self.bundle.path / VALIDATION_FILE)


def open_source(path: Path) -> Source:
    """Opens a bundle and checks its digests.

    Raises:
        BundleError: The path is no bundle, or one without a model.
        TamperedError: A file is missing or changed, or is a link out of the bundle.
    """
    bundle = read_bundle(path)
    if bundle.onnx is None and bundle.saved_model is None:
        raise BundleError(f"{path} holds neither model.onnx nor a SavedModel; export it again")
    validation = path / VALIDATION_FILE
    present = [VALIDATION_FILE] if validation.exists() else []
    _refuse_links_out(bundle, [MANIFEST, *present, *bundle.manifest["files"]])
    taken = {MANIFEST, VALIDATION_FILE, *bundle.manifest["files"]}
    if bundle.saved_model is not None and (twice := sorted(taken & set(_at_the_top(bundle).values()))):
        raise BundleError(f"{path}: {SAVED_MODEL}/{twice[0]} would take the place of {twice[0]} in a version")
    manifest = _read(path, MANIFEST)
    if json.loads(manifest) != bundle.manifest:
        raise _changed(path, MANIFEST)
    linked = set(_at_the_top(bundle).values())  # Of a version that is pushed again.
    left_out = tuple(name for name in unnamed_files(bundle) if name not in linked)
    return Source(bundle, manifest, _read(path, VALIDATION_FILE) if present else None, left_out)


def stage(source: Source, directory: Path, progress: Progress) -> None:
    """Fills a directory with the bundle, and with its SavedModel once more at the top, where TensorFlow Serving looks.

    The second time the files are hard links: no byte is stored twice. All is synced, the manifest last, and the copy is
    compared with the manifest: what is deployed is what was proven.

    Args:
        source: The bundle.
        directory: A new directory, which does not exist yet.
        progress: Told how far it is.

    Raises:
        TamperedError: The bundle changed while it was copied.
        OSError: The disk does not take it.
    """
    path, names = source.bundle.path, sorted(source.bundle.manifest["files"])
    directory.mkdir()
    for done, name in enumerate(names):
        progress("copying", done, len(names) + 2)
        _copy(path, name, directory / name)
    progress("copying", len(names), len(names) + 2)
    if source.bundle.saved_model is not None:
        for name, top in _at_the_top(source.bundle).items():
            _link_or_copy(directory, name, directory / top)
    if source.validation is not None:
        _write(directory / VALIDATION_FILE, source.validation)
    _write(directory / MANIFEST, source.manifest)
    try:
        read_bundle(directory)
    except TamperedError as error:
        # What it says of the copy holds for the bundle, whose name says more than a temporary one.
        reason = str(error).removeprefix(f"{directory}: ")
        raise TamperedError(f"{path} changed while it was copied: {reason}; push it again") from None
    for folder, _, _ in os.walk(directory, topdown=False):
        sync(Path(folder))
    progress("copying", len(names) + 2, len(names) + 2)


def _at_the_top(bundle: Bundle) -> dict[str, str]:
    """Names of the SavedModel's files, and where TensorFlow Serving looks for them."""
    prefix = f"{SAVED_MODEL}/"
    return {name: name.removeprefix(prefix) for name in bundle.manifest["files"] if name.startswith(prefix)}


def _refuse_links_out(bundle: Bundle, names: list[str]) -> None:
    inside = bundle.path.resolve()
    for name in names:
        if not (bundle.path / name).resolve().is_relative_to(inside):
            raise TamperedError(f"{bundle.path}: {name} is a link out of the bundle; put the file itself there")


def _copy(bundle: Path, name: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        reader = (bundle / name).open("rb")
    except OSError:
        raise _changed(bundle, name) from None
    with reader, target.open("wb") as writer:
        shutil.copyfileobj(reader, writer, 1 << 20)
        writer.flush()
        os.fsync(writer.fileno())


def _link_or_copy(directory: Path, name: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        target.hardlink_to(directory / name)
    except OSError:  # A file system without hard links, or that takes no more of them.
        _copy(directory, name, target)


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _read(bundle: Path, name: str) -> bytes:
    try:
        return (bundle / name).read_bytes()
    except OSError:
        raise _changed(bundle, name) from None


def _changed(bundle: Path, name: str) -> TamperedError:
    return TamperedError(f"{bundle} changed while it was read: {name}; push it again")
