"""What the commands print of a bundle, and as JSON."""

from __future__ import annotations

import json
from typing import Any

import typer

from seqship.terminal import table


def report(bundle: Any, as_json: bool, failures: list[str] | None = None) -> None:
    """Prints what a bundle is, and exits with 1 where its proof did not hold."""
    from seqship.export.summary import summary, summary_rows

    try:
        if as_json:
            print_json(summary(bundle))
        else:
            table(summary_rows(bundle))
            for line in failures or []:
                print(f"  {line}")
    except BrokenPipeError:
        if bundle.equivalent:
            raise
    if not bundle.equivalent:
        raise typer.Exit(1)


def because(reasons: list[str]) -> str:
    """Returns the reasons behind a colon, nothing where there are none."""
    return f": {'; '.join(reasons)}" if reasons else ""


def print_json(document: Any) -> None:
    """Prints one JSON document."""
    print(json.dumps(document, indent=1, ensure_ascii=False))
