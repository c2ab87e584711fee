"""Runs the benchmarks: `python -m benchmarks [NAME ...] [--data PATH] [--out DIR]`.

Each prints a table and writes JSON.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from benchmarks import latency

BENCHMARKS = {"latency": latency.run}


def main() -> None:
    """Runs the named benchmarks, or all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(BENCHMARKS)}; all if left out")
    parser.add_argument("--data", type=Path, help="folder with real data, for the benchmarks that take it")
    parser.add_argument("--out", type=Path, default=Path("bundles/benchmarks"), help="folder for the JSON files")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(BENCHMARKS):
        parser.error(f"no benchmark is named {', '.join(sorted(unknown))}")
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in arguments.names or BENCHMARKS:
        rows = BENCHMARKS[name](arguments.data)
        path = arguments.out / f"{name}.json"
        path.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
        print(f"written: {path}")


if __name__ == "__main__":
    main()
