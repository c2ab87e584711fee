"""A signature of a SavedModel: what a server calls it by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from seqship.pipelines.spec import Field

SERVING_DEFAULT = "serving_default"
"""The signature that TF-Serving calls unless told otherwise (`tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY`)."""
STREAM = "stream"
"""The signature of a stateful model that takes and gives its states; `serving_default` then begins with zeros."""
TF_EXAMPLE = "tf_example"
"""The signature that takes serialized `tf.Example` messages, which Classify and Regress send."""
SERVING_TEXT = "serving_text"
"""The signature of a text model that takes raw text."""

PREDICT = "tensorflow/serving/predict"
CLASSIFY = "tensorflow/serving/classify"
REGRESS = "tensorflow/serving/regress"
"""Methods of TF-Serving, as `tensorflow/python/saved_model/signature_constants.py` names them."""


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
