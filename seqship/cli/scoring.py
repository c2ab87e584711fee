"""The command that answers for files of sequences with Apache Beam."""

from __future__ import annotations

import contextlib
import enum
import logging
import os
import sys
from collections.abc import Generator
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from seqship.cli.options import Csv, Json
from seqship.cli.printing import print_json
from seqship.terminal import table

PASSED_ON = {"allow_extra_args": True}
"""What stands behind `--` goes to Beam."""


class InputFormatChoice(enum.StrEnum):
    """What input files hold."""

    AUTO = "auto"
    JSONL = "jsonl"
    CSV = "csv"
    TFRECORD = "tfrecord"


def score_command(
    context: typer.Context,
    bundle: Annotated[str, typer.Argument(metavar="BUNDLE", help="A bundle's directory, or its URI.")],
    inputs: Annotated[
        list[str],
        typer.Option("--input", "-i", metavar="PATTERN", help="Files, such as 'part-*.jsonl' in quotes; repeatable."),
    ],
    output: Annotated[str, typer.Option("--output", "-o", metavar="DIR", help="Where the answers go.")],
    input_format: Annotated[
        InputFormatChoice, typer.Option("--format", help="auto tells by each file's name; else JSON lines.")
    ] = InputFormatChoice.AUTO,
    csv: Annotated[
        Csv,
        typer.Option("--csv", help="heartbeat: 187 samples, zero padded, then the class; auto tells by the bundle."),
    ] = Csv.AUTO,
    runner: Annotated[
        str, typer.Option("--runner", metavar="NAME", help="Beam's runner; its own options stand behind --.")
    ] = "DirectRunner",
    workers: Annotated[int, typer.Option("--workers", metavar="N", min=1, help="Processes of the DirectRunner.")] = 1,
    allow_errors: Annotated[
        bool, typer.Option("--allow-errors", help="Exit with 0 even where lines were refused.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the scores of an earlier run.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show Beam's log.")] = False,
    as_json: Json = False,
) -> None:
    """Answers for files of sequences with Apache Beam, here or on a cluster.

    Example:  seqship score bundles/ecg-gru -i 'beats-*.jsonl' -o scores
    """
    from seqship.serving.scoring import score
    from seqship.serving.scoring.dependency import require_beam

    require_beam()
    # A job on a cluster says where it is and how it goes; the local runner has nothing to say but its failures.
    with _beam_log(shown=verbose or runner != "DirectRunner"):
        scored = score(
            bundle,
            inputs,
            output,
            runner=runner,
            input_format=input_format.value,
            csv_layout=csv.value,
            workers=workers,
            options=context.args,
            force=force,
        )
    if as_json:
        print_json(scored.to_json())
    else:
        table(
            [
                ("read", f"{scored.read:,} of {scored.files:,} {'file' if scored.files == 1 else 'files'}"),
                ("answered", f"{scored.answered:,}"),
                ("refused", f"{scored.refused:,}" + (f": see {Path(scored.errors[0]).name}" if scored.errors else "")),
                ("speed", f"{scored.rows_per_s:,.0f} rows/s, {scored.seconds:.1f} s"),
                ("scores", scored.output),
            ]
        )
    if scored.refused and not allow_errors:
        raise typer.Exit(1)


@contextlib.contextmanager
def _beam_log(*, shown: bool) -> Generator[None]:
    """Shows Beam's log, or keeps it from standard error, to which the local runner's processes write of their own."""
    logging.basicConfig(level=logging.CRITICAL, format="%(levelname)s %(name)s: %(message)s")
    import_module("apache_beam")  # Says of packages that nobody asked for that they are missing.
    if shown:
        logging.getLogger().setLevel(logging.INFO)
        yield
        return
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
