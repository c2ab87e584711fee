"""The command that tests the proof."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from seqship.cli.options import Json
from seqship.cli.printing import print_json
from seqship.terminal import progress_bar, quiet_tensorflow

if TYPE_CHECKING:
    from seqship.export.falsification.selftest import SelfTest

_WIDE = 150
"""Columns where the output is no terminal, which would have its own: no row is to be broken."""


def selftest_command(
    quick: Annotated[bool, typer.Option("--quick", help="Draw 20 right exports in the place of 300.")] = False,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Seed of the weights, cases and models.")] = 0,
    as_json: Json = False,
) -> None:
    """Tests the proof: every wrong export of a set must be convicted, and no right one.

    Example:  seqship selftest --quick
    """
    from seqship.export.falsification.selftest import QUICK_RIGHT_EXPORTS, RIGHT_EXPORTS, selftest

    with progress_bar() as progress:
        found = selftest(
            right_exports=QUICK_RIGHT_EXPORTS if quick else RIGHT_EXPORTS,
            seed=seed,
            prepare=quiet_tensorflow,
            progress=progress,
        )
    if as_json:
        print_json(found.to_json())
    else:
        print_selftest(found)
    if not found:
        raise typer.Exit(1)


def print_selftest(found: SelfTest) -> None:
    """Prints what became of every wrong export, then of the right ones."""
    from rich.console import Console
    from rich.table import Table

    rows = Table("falsification", "subject", "convicted", "times the limit", "case", box=None, pad_edge=False)
    rows.columns[3].justify = "right"
    for one in found.falsifications:
        rows.add_row(one.name, one.subject, "yes" if one.convicted else "NO", f"{one.times:,.3g}", one.case)
    Console(width=None if sys.stdout.isatty() else _WIDE, highlight=False).print(rows)
    missed = [one for one in found.falsifications if not one.convicted]
    print()
    print(f"convicted     {len(found.falsifications) - len(missed)} of {len(found.falsifications)}")
    print(f"false alarms  {len(found.false_alarms)} of {len(found.right)}")
    if found.nearest is not None:
        print(f"nearest       {found.nearest.times:.2g} times the limit: {found.nearest.architecture}")
    for one in found.subjects:
        if not one.passed:
            print(f"  {one.subject}, the right export itself: {one.times:.3g} times the limit at {one.case}")
    for one in found.false_alarms:
        print(f"  right export {one.number}: {one.architecture}: {one.times:.3g} times the limit at {one.case}")
