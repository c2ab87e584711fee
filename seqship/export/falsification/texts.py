"""Cases of raw text: the vocabulary is a part of an export too."""

from __future__ import annotations

import numpy as np

from seqship.export.cases import grid
from seqship.export.oracle import Oracle
from seqship.export.recording import RecordedCase, record_cases
from seqship.export.runners import Feed, Outputs, Runner
from seqship.pipelines.signature_contracts import TEXT
from seqship.pipelines.spec import Field
from seqship.pipelines.text_vectorizer import TextVectorizer


def text_runner(vectorizer: TextVectorizer, field: Field, runner: Runner) -> Runner:
    """Returns a runner of raw text.

    Args:
        vectorizer: Makes token ids of it.
        field: Contract of the model's input.
        runner: The model of token ids.
    """

    def run(feed: Feed) -> Outputs:
        return runner({field.name: vectorizer.batch(feed[TEXT.name].tolist()).astype(np.dtype(field.dtype))})

    return run


def record_texts(
    vectorizer: TextVectorizer, field: Field, reference: Runner, oracle: Oracle, *, seed: int
) -> tuple[RecordedCase, ...]:
    """Runs cases of raw text, as `record_cases` does those of token ids.

    Args:
        vectorizer: The right vocabulary.
        field: Contract of the model's input.
        reference: The Keras model of token ids.
        oracle: Its float64 twin.
        seed: Seed of the texts.
    """
    twin = Oracle(text_runner(vectorizer, field, oracle.run), text_runner(vectorizer, field, oracle.jittered))
    return record_cases(grid([TEXT]), [TEXT], text_runner(vectorizer, field, reference), twin, seed=seed)
