"""Labelled texts, in memory."""

from __future__ import annotations

from collections.abc import Sequence as AbstractSequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seqship.errors import DataError
from seqship.pipelines.sequences import Sequences
from seqship.pipelines.text_vectorizer import TextVectorizer


@dataclass(frozen=True)
class Texts:
    """Texts with one label each.

    Attributes:
        texts: The texts, as they were written.
        labels: Class of each text, int64, shaped (n,), within `range(len(classes))`.
        classes: Names of the classes.
        source: Where the texts came from, in words.
    """

    texts: tuple[str, ...]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    source: str = ""

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def class_counts(self) -> NDArray[np.int64]:
        """Number of texts of each class, shaped (classes,)."""
        return np.bincount(self.labels, minlength=len(self.classes))

    def take(self, indices: AbstractSequence[int] | NDArray[np.int64]) -> Texts:
        """Returns the texts at `indices`, in that order."""
        chosen = np.asarray(indices, dtype=np.int64)
        return Texts(tuple(self.texts[i] for i in chosen), self.labels[chosen], self.classes, self.source)


def token_sequences(texts: Texts, vectorizer: TextVectorizer) -> Sequences:
    """Returns the ids of each text, int64, shaped (length,), with the texts' labels: what `training_batches` takes.

    Raises:
        DataError: A text has no word, only punctuation say: a sequence of padding alone has no first step. The text
            is named.
    """
    values: list[NDArray[np.int64]] = []
    for index, text in enumerate(texts.texts):
        ids = vectorizer.ids(text)
        if not len(ids):
            shown = text if len(text) <= 24 else f"{text[:24]}..."
            raise DataError(f"text {index} is {shown!r}, which has no word; leave it out")
        values.append(ids)
    return Sequences(tuple(values), texts.labels, texts.classes, None, texts.source)
