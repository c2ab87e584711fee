"""Gives labels to versions, moves them, and takes them away."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from seqship.atomic import writing_to
from seqship.errors import DataError
from seqship.progress import Progress, silent
from seqship.serving.deployment.model_root import at, check_root, locked, read_root, sync
from seqship.serving.deployment.served_config import (
    check_labels,
    labels_of,
    name_of,
    present,
    read_config,
    stage_config,
)


@dataclass(frozen=True)
class Labelled:
    """What became of the labels.

    Attributes:
        model: Name that the model is served under.
        labels: The version of every label there is now.
        removed: Labels that were taken away as asked.
        dropped: Labels that were taken away, since the version that they named is not there any more.
        config: The configuration that names model and labels.
    """

    model: str
    labels: Mapping[str, int]
    removed: tuple[str, ...]
    dropped: tuple[str, ...]
    config: Path


def label(
    root: str | os.PathLike[str],
    assign: Mapping[str, int] | None = None,
    *,
    remove: Sequence[str] = (),
    progress: Progress = silent,
) -> Labelled:
    """Gives labels to versions, all of them in one step.

    Args:
        root: Base path of the model.
        assign: The version of each label to give or to move.
        remove: Labels to take away.
        progress: Told how far it is.

    Raises:
        DataError: A version or a label to remove is not there, or the configuration cannot be read.
        OutputError: The root cannot be written to.
    """
    root, wanted = Path(root), dict(assign or {})
    if not wanted and not remove:
        raise DataError("no label is given; name some as NAME=VERSION, or --remove NAME")
    if both := sorted({*wanted} & {*remove}):
        raise DataError(f"label {both[0]} is both given and removed; choose one")
    check_labels(wanted)
    check_root(root)
    read_root(root)
    with locked(root, progress):
        contents, config = read_root(root), read_config(root)
        before = labels_of(config)
        for version in wanted.values():
            at(root, version, contents)
        if unknown := [one for one in remove if one not in before]:
            there = ", ".join(before) or "none"
            raise DataError(f"{root} has no label {unknown[0]}; the labels there are: {there}")
        rest = {one: version for one, version in before.items() if one not in remove and one not in wanted}
        kept, dropped = present(rest, contents.versions)
        with writing_to(root / "models.config"):
            stage_config(root, kept | wanted).publish()
            sync(root)
        labels = dict(sorted((kept | wanted).items()))
        return Labelled(name_of(config, root), labels, tuple(sorted(set(remove))), dropped, root / "models.config")
