"""What the commands print of a bundle, and as JSON."""

from __future__ import annotations

import json
from typing import Any

import typer

from seqship.terminal import table


def report(bundle: Any, as_json: bool, failures: list[str] | None = None) -> None:
    """Prints what a bundle is, and exits with 1 where its proof, or that of its int8 file, did not hold."""
    from seqship.export.summary import summary, summary_rows

    try:
        if as_json:
            print_json(summary(bundle))
        else:
            table(summary_rows(bundle))
            for line in failures or []:
                print(f"  {line}")
    except BrokenPipeError:
        if bundle.equivalent and bundle.int8_passed:
            raise
    if not (bundle.equivalent and bundle.int8_passed):
        raise typer.Exit(1)


def compared(proof: Any, what: dict[str, str | list[str]], as_json: bool) -> None:
    """Prints what was compared with the cases of a bundle, and exits with 1 where something differs.

    Args:
        proof: The comparison.
        what: What was compared, by what it is called.
        as_json: Whether one document is printed.
    """
    failures, cases = proof.failures, len(proof.recorded)
    if as_json:
        worst = None if proof.worst is None else proof.worst.to_json()
        print_json(what | {"equivalent": bool(proof), "worst": worst, "cases": cases})
    else:
        verdict = f"equivalent over {cases} cases" if proof else f"NOT equivalent: {len(failures)} comparisons differ"
        rows = [(name, value if isinstance(value, str) else ", ".join(value)) for name, value in what.items()]
        table([*rows, ("verdict", verdict)])
        for agreement in failures:
            print(f"  {agreement.sentence()}")
    if not proof:
        raise typer.Exit(1)


def because(reasons: list[str]) -> str:
    """Returns the reasons behind a colon, nothing where there are none."""
    return f": {'; '.join(reasons)}" if reasons else ""


def print_json(document: Any) -> None:
    """Prints one JSON document."""
    print(json.dumps(document, indent=1, ensure_ascii=False))
