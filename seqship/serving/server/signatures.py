"""What a loaded model is called by: its signatures, and the messages that describe them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from seqship.pipelines.spec import Field
from seqship.wire.dtypes import DATA_TYPES
from seqship.wire.messages import Proto, SignatureDef

Feed = Mapping[str, NDArray[Any]]
Outputs = dict[str, NDArray[Any]]

Run = Callable[[Feed, float | None], Outputs]
"""Takes arrays by input name, and the time on `time.monotonic`'s clock at which nobody waits any more."""


@dataclass(frozen=True, eq=False)
class Signature:
    """One signature of a model.

    Attributes:
        name: What callers call it.
        method: The method of TensorFlow Serving that it is made for.
        inputs: Contract of each input.
        outputs: Contract of each output.
        run: Computes the outputs of inputs that keep the contract.
        unchecked: Names of inputs that may have any shape.
        definition: The `SignatureDef` where the model brings its own.
    """

    name: str
    method: str
    inputs: tuple[Field, ...]
    outputs: tuple[Field, ...]
    run: Run
    unchecked: frozenset[str] = frozenset()
    definition: Proto | None = None
    inputs_by_name: Mapping[str, Field] = field(init=False)
    outputs_by_name: Mapping[str, Field] = field(init=False)

    def __post_init__(self) -> None:
        # Sorted, as the names of a protobuf map are where TensorFlow Serving lists them.
        object.__setattr__(self, "inputs_by_name", {one.name: one for one in sorted(self.inputs, key=_name)})
        object.__setattr__(self, "outputs_by_name", {one.name: one for one in sorted(self.outputs, key=_name)})


def signature_def(signature: Signature) -> Proto:
    """Returns the `SignatureDef` of a signature; free axes are -1."""
    if signature.definition is not None:
        return signature.definition
    definition = SignatureDef(method_name=signature.method)
    for one in signature.inputs:
        _fill_info(definition.inputs[one.name], one, f"{signature.name}_{one.name}:0")
    for number, one in enumerate(signature.outputs):
        _fill_info(definition.outputs[one.name], one, f"StatefulPartitionedCall:{number}")
    return definition


def named(signatures: Sequence[Signature]) -> dict[str, Signature]:
    """Returns the signatures by name."""
    return {one.name: one for one in signatures}


def _fill_info(info: Proto, contract: Field, name: str) -> None:
    info.name = name
    info.dtype = DATA_TYPES[contract.dtype]
    info.tensor_shape.SetInParent()
    for size in contract.shape:
        info.tensor_shape.dim.add(size=size if isinstance(size, int) else -1)


def _name(one: Field) -> str:
    return one.name
