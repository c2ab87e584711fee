"""Right graphs with wrong files beside them: variables of another step of training, another vocabulary."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from seqship.export.falsification.model_faults import step_before
from seqship.export.falsification.right_export import RightExport
from seqship.export.saved_model import to_saved_model
from seqship.pipelines.text_vectorizer import TextVectorizer

_RESERVED = 2


def saved_model_of_the_step_before(right: RightExport) -> Path:
    """The SavedModel has the weights of one step of training earlier: it was not written again."""
    path = right.folder / "stale_saved_model"
    return to_saved_model(step_before(right), path).path


def vocabulary_shifted(right: RightExport) -> TextVectorizer:
    """Each word has the id of the next: the entry for unknown words was counted twice."""
    words = _vocabulary(right).vocabulary
    return TextVectorizer((*words[:_RESERVED], "<unk>", *words[_RESERVED:-1]))


def vocabulary_sorted(right: RightExport) -> TextVectorizer:
    """The words are in alphabetical order, in the place of that of their frequency."""
    words = _vocabulary(right).vocabulary
    return TextVectorizer((*words[:_RESERVED], *sorted(words[_RESERVED:])))


def texts_cut(right: RightExport) -> TextVectorizer:
    """Long texts are cut, as those of training were; the model is given whole ones."""
    return replace(_vocabulary(right), max_length=32)


def _vocabulary(right: RightExport) -> TextVectorizer:
    if right.vectorizer is None:
        raise LookupError("the model has no vocabulary")
    return right.vectorizer
