"""A signature of a SavedModel: what a server calls it by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from seqship.pipelines.spec import Field


@dataclass(frozen=True, eq=False)
class ServingSignature:
    """One signature.

    Attributes:
        name: What callers call it.
        method: The method of TF-Serving that it is made for.
        inputs: Contract of each input.
        outputs: Contract of each output.
        function: The concrete function, as it is to be saved.
    """

    name: str
    method: str
    inputs: tuple[Field, ...]
    outputs: tuple[Field, ...]
    function: Any

    def to_json(self) -> dict[str, Any]:
        """Returns the contract, as it stands in a manifest."""
        return {
            "method": self.method,
            "inputs": [field.to_json() for field in self.inputs],
            "outputs": [field.to_json() for field in self.outputs],
        }
