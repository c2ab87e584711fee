"""What both APIs of a server can be asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from numpy.typing import NDArray

from seqship.serving.client.contract import ModelMetadata, SignatureContract, VersionStatus
from seqship.serving.client.deadline import Deadline

ExamplesMethod = Literal["classify", "regress"]


@dataclass(frozen=True)
class Asking:
    """What belongs to one call, whatever it asks.

    Attributes:
        deadline: When it ends.
        headers: HTTP headers, or gRPC's metadata, of this call.
    """

    deadline: Deadline
    headers: Mapping[str, str]


class Api(Protocol):
    """One API of a server. Every method makes one request, and raises ServiceError where it is not answered."""

    def predict(
        self, feed: Mapping[str, NDArray[Any]], signature: SignatureContract, outputs: Sequence[str], asking: Asking
    ) -> dict[str, NDArray[Any]]:
        """Returns the outputs by name."""
        ...

    def examples(
        self,
        method: ExamplesMethod,
        examples: Sequence[Mapping[str, Any]],
        context: Mapping[str, Any] | None,
        signature: SignatureContract,
        asking: Asking,
    ) -> Any:
        """Returns label and score of each class of each example; or the value of each, (examples,) of float32."""
        ...

    def metadata(self, asking: Asking) -> ModelMetadata:
        """Returns what the model can be asked."""
        ...

    def status(self, asking: Asking) -> tuple[VersionStatus, ...]:
        """Returns the state of each version that the address means."""
        ...

    def close(self) -> None:
        """Ends the connections."""
        ...
