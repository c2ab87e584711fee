"""Writes the pages that are made from the code: `python docs/generate.py [--check]`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from seqship.export.coverage import coverage_page

HERE = Path(__file__).parent
COMMANDS = (
    *("", "list", "data", "ship", "train", "export", "verify", "selftest", "inspect", "predict", "score", "validate"),
    *("push", "rollback", "label", "versions", "serve"),
)


def command_page() -> str:
    """Returns the help of every command, as a terminal of 100 columns shows it."""
    environment = os.environ | {"COLUMNS": "100", "NO_COLOR": "1", "TERMINAL_WIDTH": "100"}
    parts = ["# Command line\n\nWritten by `docs/generate.py` from the commands' own help.\n"]
    for command in COMMANDS:
        arguments = [sys.executable, "-m", "seqship", *command.split(), "--help"]
        text = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=True).stdout
        title = f"seqship {command}".strip()
        lines = "\n".join(line.rstrip() for line in text.strip().splitlines())
        parts.append(f"## {title}\n\n```text\n{lines}\n```\n")
    return "\n".join(parts)


PAGES: dict[str, Callable[[], str]] = {"cli.md": command_page, "native.md": coverage_page}


def main() -> None:
    """Writes the pages, or with --check exits with 1 where one is out of date."""
    for name, page in PAGES.items():
        path, current = HERE / name, page()
        if "--check" not in sys.argv[1:]:
            path.write_text(current, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != current:
            sys.exit(f"docs/{name} is out of date; run: make docs")


if __name__ == "__main__":
    main()
