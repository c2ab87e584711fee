"""A model of which nothing is left but its SavedModel: a graph of TensorFlow operations, without Keras objects."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

SAVED_MODEL_FILE = "saved_model.pb"
KERAS_METADATA_FILE = "keras_metadata.pb"
"""What tf-keras writes to make its objects anew (`tf_keras/src/saving/legacy/saved_model/save.py`)."""


@dataclass(frozen=True)
class SavedGraph:
    """One signature of a SavedModel directory, to be exported as the graph it is.

    Attributes:
        directory: The SavedModel.
        signature: Name of the signature.
    """

    directory: Path
    signature: str = "serving_default"

    @property
    def name(self) -> str:
        """Name of the directory, for messages."""
        return self.directory.name


def is_saved_model(path: Path) -> bool:
    """Returns whether a path is a SavedModel directory."""
    return (path / SAVED_MODEL_FILE).is_file()
