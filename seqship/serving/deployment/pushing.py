"""Pushes a bundle: it becomes the newest version below a base path, whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from seqship.atomic import writing_to
from seqship.errors import DataError, ProofError
from seqship.export.bundle import MANIFEST
from seqship.progress import Progress, silent
from seqship.serving.deployment.blessing import refuse_unblessed
from seqship.serving.deployment.model_root import (
    LARGEST,
    Contents,
    check_root,
    delete,
    locked,
    read_root,
    remove,
    sync,
    temporary,
)
from seqship.serving.deployment.served_config import (
    check_labels,
    check_served_path,
    labels_of,
    name_of,
    present,
    read_config,
    stage_config,
)
from seqship.serving.deployment.staging import Source, open_source, stage


@dataclass(frozen=True)
class Pushed:
    """What a push did.

    Attributes:
        version: The number of the new version.
        path: Its directory.
        model: Name that the model is served under.
        bundle: Name of the bundle.
        proven: Whether its proof holds; `seqship serve` opens another one with --allow_unproven alone.
        onnx: Whether it holds an ONNX file; `seqship serve` needs TensorFlow for another one.
        saved_model: Whether it holds a SavedModel; TensorFlow Serving opens no other.
        labels: Labels that were given to it.
        dropped: Labels that were taken away, since the version that they named is not there any more.
        removed: Versions that were removed, beyond those to keep.
        removed_withdrawn: Withdrawn versions that were removed for good.
        left_out: Files of the bundle that its manifest does not name; they were not pushed.
        config: The configuration that names model and labels.
    """

    version: int
    path: Path
    model: str
    bundle: str
    proven: bool
    onnx: bool
    saved_model: bool
    labels: tuple[str, ...]
    dropped: tuple[str, ...]
    removed: tuple[int, ...]
    removed_withdrawn: tuple[int, ...]
    left_out: tuple[str, ...]
    config: Path


def push(
    bundle: str | os.PathLike[str],
    root: str | os.PathLike[str],
    *,
    version: int | None = None,
    keep: int = 3,
    labels: Sequence[str] = (),
    force: bool = False,
    require_blessing: bool = False,
    name: str | None = None,
    served_path: str | None = None,
    progress: Progress = silent,
) -> Pushed:
    """Makes a bundle the newest version of a model.

    The version is written under a name that no server looks at, synced, and compared with the manifest; then it gets
    its number in one rename. A process that is killed at any moment leaves whole versions alone, and what the next push
    removes. Pushes to one root wait for each other.

    Args:
        bundle: The bundle.
        root: Base path of the model, the directory above its versions; it is made where it is missing.
        version: Number of the version, higher than every one before; the next one if left out.
        keep: How many versions stay, and how many withdrawn ones: the newest, and beside them every one that carries a
            label or carried one before this push. A directory without a manifest was not pushed, and stays.
        labels: Labels to give to the version.
        force: Whether a bundle is pushed whose proof does not hold.
        require_blessing: Whether a bundle is refused that carries no blessing of its manifest.
        name: Name to serve the model under; that of the configuration, or of the root, if left out.
        served_path: The root as the server sees it, in a container for example; that of the configuration, or the
            root's own path, if left out.
        progress: Told how far it is.

    Raises:
        BundleError: `bundle` is none.
        TamperedError: A file of it is missing or changed, or changes while it is copied, or is a link out of it.
        ProofError: Its proof does not hold and `force` is off, or it is not blessed and must be.
        DataError: The number was used before, the root is itself a model, or its configuration cannot be read.
        OutputError: The root cannot be written to; nothing is left of the version.
    """
    root = Path(root)
    _check_arguments(version, keep, labels, name, served_path)
    source = open_source(Path(bundle))
    if not source.bundle.equivalent and not force:
        raise ProofError(
            f"{bundle} is not proven equivalent; see its report.html, or add --force (seqship serve then needs "
            "--allow_unproven=true)"
        )
    if require_blessing:
        refuse_unblessed(source.bundle.path, source.blessing(), source.manifest_sha256)
    check_root(root)
    if root.resolve().is_relative_to(source.bundle.path.resolve()):
        raise DataError(f"{root} lies in the bundle {bundle}; MODEL_ROOT is a directory of its own")
    _make(root)
    with locked(root, progress):
        before = labels_of(read_config(root))
        contents = read_root(root)
        number = _number(root, contents, version)
        kept, dropped = present({label: of for label, of in before.items() if label not in labels}, contents.versions)
        _place(source, root, number, kept | dict.fromkeys(labels, number), name, served_path, progress)
        removed, removed_withdrawn = _prune(root, keep, protected={*kept.values(), *before.values(), number})
        sync(root)
        return Pushed(
            version=number,
            path=root / str(number),
            model=name_of(read_config(root), root),
            bundle=source.bundle.name,
            proven=source.bundle.equivalent,
            onnx=source.bundle.onnx is not None,
            saved_model=source.bundle.saved_model is not None,
            labels=tuple(sorted(set(labels))),
            dropped=dropped,
            removed=removed,
            removed_withdrawn=removed_withdrawn,
            left_out=source.left_out,
            config=root / "models.config",
        )


def _check_arguments(
    version: int | None, keep: int, labels: Collection[str], name: str | None, served_path: str | None
) -> None:
    if keep < 1:
        raise DataError(f"--keep is at least 1, got {keep}: the newest version always stays")
    if version is not None and not 1 <= version <= LARGEST:
        raise DataError(f"--version is a whole number from 1 to 2**63-1, got {version}")
    if name is not None and (not name or not name.isprintable()):
        raise DataError(f"--name is a name that can be printed, got {name!r}")
    check_labels(labels)
    check_served_path(served_path)


def _make(root: Path) -> None:
    missing = [path for path in (root, *root.parents) if not path.exists()]
    with writing_to(root):
        root.mkdir(parents=True, exist_ok=True)
        for path in missing:
            sync(path.parent)


def _number(root: Path, contents: Contents, asked: int | None) -> int:
    if contents.highest >= LARGEST:
        raise DataError(f"{root} has used version {contents.highest}, and there is no higher one; use another root")
    if asked is not None and asked <= contents.highest:
        raise DataError(
            f"--version {asked} is not higher than {contents.highest}, the highest that {root} has used (versions that "
            f"were withdrawn count); leave it out for {contents.highest + 1}"
        )
    return contents.highest + 1 if asked is None else asked


def _place(
    source: Source,
    root: Path,
    number: int,
    labels: dict[str, int],
    name: str | None,
    served_path: str | None,
    progress: Progress,
) -> None:
    """Makes the version, and then names it in the configuration: a server cannot load what is not there yet."""
    staged = temporary(root, str(number))
    with writing_to(root / str(number)):
        config = None
        try:
            stage(source, staged, progress)
            config = stage_config(root, labels, name=name, served_path=served_path)
            sync(root)
            staged.rename(root / str(number))
            sync(root)
            config.publish()
            sync(root)
        finally:
            delete(staged)
            if config is not None and config.sibling is not None:
                delete(config.sibling)


def _prune(root: Path, keep: int, protected: Collection[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Removes the oldest versions, and the oldest withdrawn ones; returns their numbers.

    A version that a label has just left stays until the next push: servers have it on that label until the label's new
    version is loaded.
    """
    contents = read_root(root)
    found: list[tuple[int, ...]] = []
    for directories, spared in ((contents.versions, protected), (contents.withdrawn, ())):
        old = [number for number in list(directories)[:-keep] if number not in spared]
        pushed = [number for number in old if (directories[number] / MANIFEST).is_file()]
        found.append(tuple(number for number in pushed if remove(root, directories[number])))
    return found[0], found[1]
