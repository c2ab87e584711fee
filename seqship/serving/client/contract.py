"""What a served model says of itself: its signatures, and the state of its versions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from seqship.errors import DataError
from seqship.pipelines.spec import Field


@dataclass(frozen=True)
class SignatureContract:
    """One signature of a served model.

    Attributes:
        name: Name of the signature.
        method: TensorFlow Serving's method that it is made for, such as "tensorflow/serving/predict".
        inputs: Contract of each input, sorted by name; a free axis has a name instead of a size.
        outputs: Contract of each output, likewise.
        unchecked: Names of the inputs and outputs that may have any shape.
    """

    name: str
    method: str
    inputs: tuple[Field, ...]
    outputs: tuple[Field, ...]
    unchecked: frozenset[str] = frozenset()

    def without_states(self) -> SignatureContract:
        """Returns the signature as it is called where the server keeps the states."""
        inputs, outputs = (tuple(one for one in side if not one.is_state) for side in (self.inputs, self.outputs))
        return replace(self, inputs=inputs, outputs=outputs)


@dataclass(frozen=True)
class ModelMetadata:
    """What a version of a model can be asked.

    Attributes:
        model: Name of the model.
        version: Number of the version that answered.
        signatures: The signatures by name.
    """

    model: str
    version: int
    signatures: Mapping[str, SignatureContract]

    def signature(self, name: str) -> SignatureContract:
        """Returns a signature.

        Raises:
            DataError: The model has none of that name.
        """
        if name not in self.signatures:
            known = ", ".join(sorted(self.signatures)) or "none"
            raise DataError(f"the model {self.model!r} has no signature {name!r}; it has: {known}")
        return self.signatures[name]

    def signature_for(self, method: str, default: str) -> SignatureContract:
        """Returns the signature that is called for a method where the caller names none.

        That is the default one if it is made for the method, else the only one that is, else the default one: the
        server then says what is wrong with it.

        Raises:
            DataError: There is no such signature.
        """
        made_for = [one for one in self.signatures.values() if one.method == method]
        if all(one.name != default for one in made_for) and len(made_for) == 1:
            return made_for[0]
        return self.signature(default)


@dataclass(frozen=True)
class VersionStatus:
    """State of one version.

    Attributes:
        version: Its number.
        state: "START", "LOADING", "AVAILABLE", "UNLOADING" or "END".
        error_code: Name of the error that ended it, "OK" where there is none.
        error_message: What the server says of it.
    """

    version: int
    state: str
    error_code: str = "OK"
    error_message: str = ""
