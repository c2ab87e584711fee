"""Commands of a deployment: push, rollback, label, versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from seqship.cli.options import BundlePath, Json
from seqship.cli.printing import print_json
from seqship.errors import DataError
from seqship.terminal import progress_bar, table

RootPath = Annotated[
    Path, typer.Argument(metavar="MODEL_ROOT", help="Directory above the versions of one model, its base path.")
]


def push_command(
    bundle: BundlePath,
    root: RootPath,
    version: Annotated[
        int | None, typer.Option("--version", metavar="N", help="Higher than every one before; the next if left out.")
    ] = None,
    keep: Annotated[
        int, typer.Option("--keep", metavar="K", help="How many versions stay, beside those with a label.")
    ] = 3,
    labels: Annotated[
        list[str] | None, typer.Option("--label", metavar="NAME", help="Label to give to the version; repeatable.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Push a bundle whose proof does not hold.")] = False,
    require_blessing: Annotated[
        bool, typer.Option("--require-blessing", help="Refuse a bundle that was not validated.")
    ] = False,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Name to serve the model under; MODEL_ROOT's at first.")
    ] = None,
    served_path: Annotated[
        str | None,
        typer.Option("--served-path", metavar="PATH", help="MODEL_ROOT as the server sees it, in a container say."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Makes a bundle the newest version of a model, for TensorFlow Serving and seqship serve, whole or not at all.

    Example:  seqship push bundles/ecg-gru models/ecg --label canary
    """
    from seqship.serving.deployment import push

    with progress_bar() as progress:
        pushed = push(
            bundle,
            root,
            version=version,
            keep=keep,
            labels=labels or (),
            force=force,
            require_blessing=require_blessing,
            name=name,
            served_path=served_path,
            progress=progress,
        )
    if as_json:
        print_json(_document(pushed))
        return
    proof = "proven equivalent" if pushed.proven else "NOT proven: seqship serve needs --allow_unproven=true"
    rows = [
        ("pushed", f"version {pushed.version} of {pushed.model}: {pushed.path}"),
        ("bundle", f"{pushed.bundle}, {proof}"),
        ("serves", _servers(pushed)),
        ("labels", ", ".join(pushed.labels)),
        ("dropped", _dropped(pushed.dropped)),
        ("removed", _numbers("version", pushed.removed)),
        ("", _numbers("withdrawn version", pushed.removed_withdrawn)),
        ("left out", ", ".join(pushed.left_out) and f"{', '.join(pushed.left_out)} (not named by the manifest)"),
        ("config", str(pushed.config)),
    ]
    table([row for row in rows if row[1]])


def rollback_command(
    root: RootPath,
    to: Annotated[
        int | None, typer.Option("--to", metavar="N", help="Version to go back to; the one before the newest.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Withdraws the newest version, or all above N: servers fall back, labels move, the numbers are never used again.

    Example:  seqship rollback models/ecg
    """
    from seqship.serving.deployment import rollback

    with progress_bar() as progress:
        rolled = rollback(root, to=to, progress=progress)
    if as_json:
        print_json(_document(rolled))
        return
    newest = f"version {rolled.version} of {rolled.model}: {rolled.path}"
    rows = [
        ("newest", newest if rolled.withdrawn else f"{newest} (it was before)"),
        ("withdrawn", _numbers("version", rolled.withdrawn)),
        ("moved", f"{', '.join(rolled.moved)} to version {rolled.version}" if rolled.moved else ""),
        ("dropped", _dropped(rolled.dropped)),
        ("config", str(rolled.config)),
    ]
    table([row for row in rows if row[1]])


def label_command(
    root: RootPath,
    assign: Annotated[
        list[str] | None, typer.Argument(metavar="NAME=VERSION", help="A label and its version; repeatable.")
    ] = None,
    remove: Annotated[
        list[str] | None, typer.Option("--remove", metavar="NAME", help="Label to take away; repeatable.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Gives labels to versions, moves them, and takes them away, all in one step.

    Example:  seqship label models/ecg stable=3 canary=4
    """
    from seqship.serving.deployment import label

    with progress_bar() as progress:
        labelled = label(root, _assignments(assign or []), remove=remove or (), progress=progress)
    if as_json:
        print_json(_document(labelled))
        return
    rows = [("label", f"{name}: version {version}") for name, version in labelled.labels.items()]
    rows += [("removed", ", ".join(labelled.removed)), ("dropped", _dropped(labelled.dropped))]
    table([row for row in [*rows, ("config", str(labelled.config))] if row[1]])


def versions_command(root: RootPath, as_json: Json = False) -> None:
    """Shows the versions of a model, the newest first: its bundle, its proof, its labels, its size.

    Example:  seqship versions models/ecg
    """
    from seqship.serving.deployment import versions

    found = versions(root)
    if as_json:
        keys = ("version", "name", "created", "proven", "labels", "withdrawn", "size")
        rows = [asdict(one) | {"version": one.number, "labels": list(one.labels)} for one in found]
        print_json([{key: row[key] for key in keys} for row in rows])
        return
    if not found:
        print(f"no version in {root}; push one: seqship push BUNDLE {root}")
        return
    lines = [("version", "bundle", "created", "proven", "size", "labels")]
    for one in found:
        proven = {True: "yes", False: "NO", None: "-"}[one.proven]
        state = "withdrawn" if one.withdrawn else ", ".join(one.labels)
        lines.append((str(one.number), one.name or "-", one.created or "-", proven, _size(one.size), state))
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _assignments(words: Sequence[str]) -> Mapping[str, int]:
    found: dict[str, int] = {}
    for word in words:
        name, equals, number = word.rpartition("=")
        if not equals or not (number.isascii() and number.isdigit()):
            raise DataError(f"a label is given as NAME=VERSION, such as stable=3, got {word!r}")
        if name in found:
            raise DataError(f"label {name} is given twice, to versions {found[name]} and {number}; choose one")
        found[name] = int(number)
    return found


def _servers(pushed: Any) -> str:
    if not pushed.saved_model:
        return "seqship serve alone: the bundle holds no SavedModel"
    if not pushed.onnx:
        return "TensorFlow Serving; seqship serve where TensorFlow is installed: the bundle holds no model.onnx"
    return "TensorFlow Serving, seqship serve"


def _numbers(what: str, numbers: Sequence[int]) -> str:
    return f"{what}{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}" if numbers else ""


def _dropped(labels: Sequence[str]) -> str:
    return f"{', '.join(labels)}: the version is not there any more" if labels else ""


def _size(size: int) -> str:
    return f"{size / 1000:,.0f} kB" if size < 1_000_000 else f"{size / 1_000_000:,.1f} MB"


def _document(result: Any) -> dict[str, Any]:
    return {key: str(value) if isinstance(value, Path) else value for key, value in asdict(result).items()}
