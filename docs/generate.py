"""Writes `docs/cli.md` from the commands' own help: `python docs/generate.py [--check]`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).with_name("cli.md")
COMMANDS = ("", "list", "ship", "train", "export", "verify", "inspect", "predict")


def page() -> str:
    """Returns the page: the help of every command, as a terminal of 100 columns shows it."""
    environment = os.environ | {"COLUMNS": "100", "NO_COLOR": "1", "TERMINAL_WIDTH": "100"}
    parts = ["# Command line\n\nWritten by `docs/generate.py` from the commands' own help.\n"]
    for command in COMMANDS:
        arguments = [sys.executable, "-m", "seqship", *command.split(), "--help"]
        text = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=True).stdout
        title = f"seqship {command}".strip()
        lines = "\n".join(line.rstrip() for line in text.strip().splitlines())
        parts.append(f"## {title}\n\n```text\n{lines}\n```\n")
    return "\n".join(parts)


def main() -> None:
    """Writes the page, or with --check exits with 1 where it is out of date."""
    current = page()
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(current, encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != current:
        sys.exit("docs/cli.md is out of date; run: make docs")


if __name__ == "__main__":
    main()
