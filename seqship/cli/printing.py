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


def served(proof: Any, urls: list[str], as_json: bool) -> None:
    """Prints what servers answered to the cases of a bundle, and exits with 1 where one answers something else."""
    worst = None if proof.worst is None else proof.worst.to_json()
    if as_json:
        cases = len({agreement.case for agreement in proof.agreements})
        print_json({"urls": urls, "equivalent": bool(proof), "worst": worst, "cases": cases})
    else:
        failures = proof.failures
        cases = len(proof.recorded)
        verdict = f"equivalent over {cases} cases" if proof else f"NOT equivalent: {len(failures)} comparisons differ"
        table([("served", ", ".join(urls)), ("verdict", verdict)])
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
