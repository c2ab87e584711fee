"""Ships every recipe on its generated data, each in a process of its own: `python -m benchmarks.recipes`.

Ends with exit code 1 where a proof fails, or a layer became a Loop that need not have.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.markdown import markdown_table
from seqship.models.catalogue import recipes

LIMIT = 600.0


@dataclass(frozen=True)
class Row:
    """One recipe.

    Attributes:
        recipe: Its name.
        keras: 2 for tf-keras, 3 for Keras 3.
        seconds: From the start of the process to its end.
        equivalent: Whether the proof held.
        operators: Recurrent operators in the ONNX file.
        loops: Number of Loops in it.
        why: Why a Loop cannot be avoided; empty where it could.
        parameters: Number of weights.
        reached: What the evaluation says.
        error: Why there is nothing.
    """

    recipe: str
    keras: int
    seconds: float
    equivalent: bool = False
    operators: str = ""
    loops: int = 0
    why: str = ""
    parameters: int = 0
    reached: tuple[str, ...] = ()
    error: str = ""

    @property
    def right(self) -> bool:
        """Whether all is as it should be."""
        return self.equivalent and not self.error and (not self.loops or bool(self.why))


def ship(name: str, keras: int, folder: Path) -> Row:
    """Ships one recipe as a user would."""
    out, began = folder / name, time.perf_counter()
    command = [sys.executable, "-m", "seqship", "ship", name, "-o", str(out), "--keras", str(keras), "--force"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
    except subprocess.TimeoutExpired:
        return Row(name, keras, LIMIT, error=f"not done after {LIMIT:g} s")
    seconds = time.perf_counter() - began
    if said.returncode not in (0, 1) or not (out / "manifest.json").exists():
        return Row(name, keras, seconds, error=(said.stderr.strip().splitlines() or ["no message"])[-1])
    manifest: dict[str, Any] = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    onnx, recipe = manifest["onnx"], recipes()[name]
    return Row(
        name,
        keras,
        seconds,
        said.returncode == 0,
        ", ".join(f"{count} {operator}" for operator, count in onnx["operators"].items()) or "none",
        onnx["loops"],
        recipe.loops,
        recipe.parameters,
        tuple(f"{label}: {text}" for label, text in manifest.get("reached", ())),
    )


def table(rows: Sequence[Row]) -> str:
    """Returns the figures as Markdown."""
    head = ["recipe", "parameters", "ONNX", "proof", "seconds", "reached on its generated data"]
    lines: list[list[str]] = []
    for row in rows:
        loops = f"{row.operators}, {row.loops or 'no'} Loop" + (f" ({row.why})" if row.loops and row.why else "")
        proof = "equivalent" if row.equivalent else f"failed: {row.error}" if row.error else "NOT equivalent"
        reached = "<br>".join(text.replace("|", "\\|") for text in row.reached)
        lines.append([f"`{row.recipe}`", f"{row.parameters:,}", loops, proof, f"{row.seconds:.0f}", reached])
    return markdown_table(head, lines)


def main() -> None:
    """Ships all recipes, or those that are named."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recipes", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="RECIPE", help="recipes to ship (default: all)")
    parser.add_argument("--keras", type=int, choices=(2, 3), default=2, help="2 is tf-keras, 3 is Keras 3")
    parser.add_argument("--json", type=Path, metavar="PATH", help="JSON file to write")
    parser.add_argument("--page", type=Path, metavar="PATH", help="Markdown file to write the table to")
    arguments = parser.parse_args()
    began, rows = time.perf_counter(), list[Row]()
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.names or recipes():
            row = ship(name, arguments.keras, Path(folder))
            rows.append(row)
            verdict = "right" if row.right else f"WRONG: {row.error or 'not equivalent, or a Loop'}"
            print(f"{name:<24} {row.seconds:4.0f} s  {verdict}", file=sys.stderr, flush=True)
    minutes = (time.perf_counter() - began) / 60
    print(table(rows))
    wrong = [row.recipe for row in rows if not row.right]
    print(f"\n{len(rows)} recipes in {minutes:.1f} min, wrong: {', '.join(wrong) or 'none'}")
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n", encoding="utf-8")
    if arguments.page:
        flavour = "tf-keras" if arguments.keras == 2 else "Keras 3"
        text = (
            "# What every recipe reaches\n\n`make recipes` ships each recipe on its generated data "
            f"({flavour}, two cores, {minutes:.0f} minutes in all). What they reach on real data stands on their own "
            f"pages.\n\n{table(rows)}\n"
        )
        arguments.page.write_text(text, encoding="utf-8")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
