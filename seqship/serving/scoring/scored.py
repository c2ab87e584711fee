"""What a finished run has answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Scored:
    """Counts of one run, and where its answers are.

    Attributes:
        output: The directory.
        files: Input files.
        read: Sequences and broken lines that the files hold; blank lines are none.
        answered: Sequences with an answer.
        refused: Lines that could not be read, and sequences that break the contract.
        predictions: Paths of the files with the answers.
        errors: Paths of the files with what was refused, and why; empty where nothing was.
        seconds: How long the pipeline ran.
    """

    output: str
    files: int
    read: int
    answered: int
    refused: int
    predictions: tuple[str, ...]
    errors: tuple[str, ...]
    seconds: float

    @property
    def rows_per_s(self) -> float:
        """Lines read a second, the start of the pipeline counted."""
        return self.read / self.seconds if self.seconds else 0.0

    def to_json(self) -> dict[str, Any]:
        """Returns the JSON document of the command."""
        return {
            "output": self.output,
            "files": self.files,
            "read": self.read,
            "answered": self.answered,
            "refused": self.refused,
            "predictions": list(self.predictions),
            "errors": list(self.errors),
            "seconds": round(self.seconds, 3),
            "rows_per_s": round(self.rows_per_s, 1),
        }
