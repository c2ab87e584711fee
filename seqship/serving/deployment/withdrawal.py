"""Takes versions back: servers fall back to an earlier one."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from seqship.atomic import writing_to
from seqship.errors import DataError
from seqship.progress import Progress, silent
from seqship.serving.deployment.model_root import at, check_root, locked, read_root, sync, withdrawn_path
from seqship.serving.deployment.served_config import labels_of, name_of, present, read_config, stage_config


@dataclass(frozen=True)
class RolledBack:
    """What a rollback did.

    Attributes:
        version: The version that is the newest now.
        path: Its directory.
        model: Name that the model is served under.
        withdrawn: Versions that were withdrawn; empty where there was nothing to do.
        moved: Labels that named one of them, and name `version` now.
        dropped: Labels that were taken away, since the version that they named is not there any more.
        config: The configuration that names model and labels.
    """

    version: int
    path: Path
    model: str
    withdrawn: tuple[int, ...]
    moved: tuple[str, ...]
    dropped: tuple[str, ...]
    config: Path


def rollback(root: str | os.PathLike[str], *, to: int | None = None, progress: Progress = silent) -> RolledBack:
    """Withdraws the newest version, or every one above `to`.

    Withdrawn versions stay as `.withdrawn-N`, which no server looks at; their numbers are never used again. Labels are
    moved before their version goes. The newest version goes last, so that what is served changes once; a process that
    is killed on the way leaves the newest in place, and the same command ends the work.

    Args:
        root: Base path of the model.
        to: The version to go back to; the one before the newest if left out.
        progress: Told how far it is.

    Raises:
        DataError: There is no earlier version, `to` is not there, or the configuration cannot be read.
        OutputError: The root cannot be written to.
    """
    root = Path(root)
    check_root(root)
    read_root(root)
    with locked(root, progress):
        contents, config = read_root(root), read_config(root)
        numbers = list(contents.versions)
        if to is not None:
            at(root, to, contents)
        elif len(numbers) < 2:
            there = f"version {numbers[0]} is all there is" if numbers else "there is no version"
            raise DataError(f"nothing to go back to in {root}: {there}")
        target = numbers[-2] if to is None else to
        going = tuple(number for number in numbers if number > target)
        if taken := [number for number in going if withdrawn_path(root, number).exists()]:
            raise DataError(f"{withdrawn_path(root, taken[0])} is in the way of withdrawing {taken[0]}; remove it")
        before = labels_of(config)
        moved = tuple(label for label, version in before.items() if version > target)
        labels, dropped = present({**before, **dict.fromkeys(moved, target)}, contents.versions)
        with writing_to(root):
            stage_config(root, labels).publish()
            sync(root)
            for number in going:
                contents.versions[number].rename(withdrawn_path(root, number))
            sync(root)
        return RolledBack(
            version=target,
            path=contents.versions[target],
            model=name_of(config, root),
            withdrawn=going,
            moved=moved,
            dropped=dropped,
            config=root / "models.config",
        )
