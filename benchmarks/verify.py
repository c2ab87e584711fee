"""What the proof costs: `python -m benchmarks.verify`.

Ships each recipe with its weights as they are initialised, and times `seqship verify BUNDLE` as a process of its own.
Ends with exit code 1 where a bundle cannot be made or its proof fails: all are right exports.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.architectures import Version
from benchmarks.child import Child, ChildError
from benchmarks.markdown import markdown_table
from seqship.models.catalogue import recipes

ROWS = 1_000
"""Most rows of test data that bundles are made with: the lengths of the cases come from them."""
LIMIT = 600.0
"""Seconds that one bundle, or one run, may take."""
TARGETS = {"full": 120.0, "quick": 10.0}
"""Seconds that each way to verify may take, on two cores."""


@dataclass(frozen=True)
class Run:
    """One process that verified.

    Attributes:
        seconds: From its start to its end.
        cpu_seconds: Time that it held processors, all together; what other work on the machine takes is not in it.
        peak_mb: Most memory that it held at a time, resident, in MB.
        equivalent: Whether the proof held.
    """

    seconds: float
    cpu_seconds: float
    peak_mb: float
    equivalent: bool = True


@dataclass(frozen=True)
class Row:
    """One recipe.

    Attributes:
        recipe: Its name.
        keras: 2 for tf-keras, 3 for Keras 3.
        cases: Number of cases in the bundle.
        comparisons: Number of outputs compared: of every runtime in every case.
        worst: How near to its limit the nearest of them is; above 1 the proof fails.
        where: Runtime and case in which it is.
        runs: "full" and, where there is such an option, "quick".
        error: Why there is nothing.
    """

    recipe: str
    keras: Version
    cases: int = 0
    comparisons: int = 0
    worst: float = float("nan")
    where: str = ""
    runs: dict[str, Run] = field(default_factory=dict[str, Run])
    error: str = ""

    @property
    def right(self) -> bool:
        """Whether every proof held."""
        return not self.error and all(run.equivalent for run in self.runs.values())

    @property
    def verdict(self) -> str:
        """Whether its proofs held, and its runs reach their targets."""
        if self.error:
            return f"failed: {self.error}"
        if not self.right:
            return f"failed: not equivalent, {self.where}"
        late = [f"{way} takes over {TARGETS[way]:g} s" for way, run in self.runs.items() if run.seconds > TARGETS[way]]
        return f"missed: {', '.join(late)}" if late else "met"


class VerifyError(Exception):
    """A bundle was not verified, in one line."""


def writer(folder: str) -> Callable[[str, Version], str]:
    """Returns what writes the bundle of a recipe into a folder, untrained, and gives its path."""
    from seqship.export.shipping import ship
    from seqship.models.flavour import load_flavour
    from seqship.models.recipe import LoadOptions

    def write(name: str, version: Version) -> str:
        recipe, flavour = recipes()[name], load_flavour(version)
        data = recipe.load(LoadOptions())
        flavour.keras.backend.clear_session()
        flavour.keras.utils.set_random_seed(0)
        model = recipe.finish(recipe.model(flavour, **data.options), flavour, data)
        bundle = ship(
            model,
            Path(folder) / f"{name}-{version}",
            name=name,
            data=data.test.rows(ROWS),
            inputs=data.inputs or recipe.inputs or None,
            outputs=data.outputs or recipe.outputs or None,
            vectorizer=data.vectorizer,
        )
        return str(bundle.path)

    return write


def verified(bundle: Path, *options: str) -> Run:
    """Verifies a bundle in a process of its own.

    The memory is that of this process alone (`wait4`), but no less than its parent's when it was forked: Linux counts
    what a process held before it became another program. So nothing here imports TensorFlow.

    Raises:
        VerifyError: There was no proof; with what the command said last.
    """
    with tempfile.TemporaryFile() as said:
        began = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "seqship", "verify", str(bundle), *options],
            stdout=subprocess.DEVNULL,
            stderr=said,
        )
        late = threading.Timer(LIMIT, process.kill)
        late.start()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        late.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)  # It has been waited for.
        if process.returncode not in (0, 1):  # 1 is a proof that failed.
            said.seek(0)
            lines = said.read().decode(errors="replace").strip().splitlines()
            raise VerifyError(f"verify ended with {process.returncode}: {lines[-1] if lines else 'no message'}")
    cpu_seconds, peak_mb = usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e6
    return Run(seconds, cpu_seconds, peak_mb, process.returncode == 0)


def measure(
    names: Sequence[str], version: Version, folder: str, ways: Sequence[str], tell: Callable[[str], None]
) -> list[Row]:
    """Ships each recipe and verifies it in each way.

    Args:
        names: Of the recipes.
        version: Of Keras.
        folder: Where the bundles go.
        ways: Of `TARGETS`.
        tell: Told how far it is.
    """
    rows: list[Row] = []
    child = Child(writer, (folder,))
    try:
        for name in names:
            tell(f"verifying {name}, Keras {version}")
            try:
                bundle = Path(child.ask(name, version, limit=LIMIT))
                rows.append(_row(name, version, bundle, ways))
            except (ChildError, VerifyError) as error:
                rows.append(Row(name, version, error=str(error)))
    finally:
        child.end()
    return rows


def _row(name: str, version: Version, bundle: Path, ways: Sequence[str]) -> Row:
    runs: dict[str, Run] = {}
    proof: dict[str, Any] = {}
    for way in ways:
        runs[way] = verified(bundle, *([] if way == "full" else [f"--{way}"]))
        # The full run comes first; a quick one may leave a report of fewer cases.
        proof = proof or json.loads((bundle / "report.json").read_text(encoding="utf-8"))
    compared = proof["cases"]
    cases = {row["case"] for row in compared}
    worst: dict[str, Any] = proof["worst"]
    where = f"{worst['runner']} at {worst['case']}"
    return Row(name, version, len(cases), len(compared), float(worst["severity"]), where, runs)


def ways_to_verify() -> tuple[str, ...]:
    """Returns "full", and "quick" where `seqship verify` has that option."""
    command = [sys.executable, "-m", "seqship", "verify", "--help"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return tuple(TARGETS) if "--quick" in said else ("full",)


def table(rows: Sequence[Row], ways: Sequence[str]) -> str:
    """Returns the figures as Markdown."""
    head = ["recipe", "Keras", "cases", "comparisons", "nearest to its limit"]
    head += [f"{way}: s (of processors), MB" for way in ways] + ["targets"]
    lines: list[list[str]] = []
    for row in rows:
        cells = [f"`{row.recipe}`", "tf-keras" if row.keras == 2 else "Keras 3"]
        if row.error:
            lines.append([*cells, *[""] * (len(head) - 3), row.verdict.replace("|", "\\|")])
            continue
        cells += [str(row.cases), f"{row.comparisons:,}", f"{row.worst:.2g}"]
        for way in ways:
            run = row.runs[way]
            cells.append(f"{run.seconds:.1f} ({run.cpu_seconds:.1f}), {run.peak_mb:,.0f}")
        lines.append([*cells, row.verdict])
    return markdown_table(head, lines)


def main() -> None:
    """Measures all recipes, or those that are named."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.verify", description=__doc__)
    parser.add_argument("--only", action="append", metavar="NAME", help="measure this recipe; may be repeated")
    parser.add_argument("--keras", type=int, choices=(2, 3), default=2, help="2 is tf-keras, 3 is Keras 3")
    parser.add_argument("--out", type=Path, metavar="PATH", help="JSON file to write")
    arguments = parser.parse_args()
    names: list[str] = arguments.only or list(recipes())
    if unknown := sorted(set(names) - set(recipes())):
        parser.error(f"nothing is named {', '.join(unknown)}; there are {', '.join(recipes())}")
    began, before, ways = time.perf_counter(), os.getloadavg()[0], ways_to_verify()
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(names, arguments.keras, folder, ways, _tell)
    minutes, after = (time.perf_counter() - began) / 60, os.getloadavg()[0]
    print(table(rows, ways))
    wrong = [row.recipe for row in rows if not row.right]
    missed = [row.recipe for row in rows if row.verdict.startswith("missed")]
    targets = ", ".join(f"{way} under {TARGETS[way]:g} s" for way in ways)
    print(
        f"\n{len(rows)} recipes in {minutes:.1f} min; targets: {targets}, missed by {', '.join(missed) or 'none'}; "
        f"failed: {', '.join(wrong) or 'none'}\n"
        f"{os.cpu_count()} cores, load average {before:.1f} before and {after:.1f} after"
    )
    if arguments.out is not None:
        settings = {"cores": os.cpu_count(), "load_average": [before, after], "rows": ROWS, "targets": TARGETS}
        document = {"settings": settings, "rows": [asdict(row) | {"verdict": row.verdict} for row in rows]}
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        print(f"written: {arguments.out}")
    sys.exit(1 if wrong else 0)


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
