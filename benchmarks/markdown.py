"""Figures as a Markdown table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def markdown_table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Returns a table, each row on a line of its own.

    Args:
        head: Names of the columns.
        lines: Cells of each row.
    """
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *lines])
