"""Requests that TF-Serving replays before it serves a SavedModel: one for each signature and length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqship.export.cases import Case, grid, make_feed
from seqship.export.serving_signature import ServingSignature
from seqship.pipelines.plan import length_octiles
from seqship.pipelines.sequences import Sequences
from seqship.pipelines.spec import Field
from seqship.pipelines.text_vectorizer import TextVectorizer
from seqship.wire.examples import to_example
from seqship.wire.prediction_log import WARMUP_FILE, classify_log, predict_log, regress_log, write_warmup
from seqship.wire.signature_names import CLASSIFY, REGRESS, SERVING_TEXT, TF_EXAMPLE

Feed = dict[str, NDArray[Any]]


def write_warmup_requests(
    saved_model: Path,
    signatures: Sequence[ServingSignature],
    *,
    name: str,
    data: Sequences | None = None,
    vectorizer: TextVectorizer | None = None,
    seed: int = 0,
) -> int:
    """Writes `assets.extra/tf_serving_warmup_requests` of a SavedModel.

    Each request has one row. Its inputs are real sequences, one of each eighth of the lengths and the longest, where
    there are any; else such as the proof draws, of its lengths.

    Args:
        saved_model: The SavedModel.
        signatures: Its signatures, `serving_default` first.
        name: Name of the model.
        data: Real sequences, for a model with one input.
        vectorizer: What makes a text model's token ids of raw text.
        seed: Seed of the inputs that are drawn.

    Returns:
        The number of requests.

    Raises:
        OutputError: The file cannot be written.
    """
    feeds = list(_feeds(signatures[0].inputs, data, seed))
    logs = [_log(one, feed, name, vectorizer) for one in signatures for feed in feeds]
    path = saved_model / WARMUP_FILE
    path.parent.mkdir(exist_ok=True)
    write_warmup(path, logs)
    return len(logs)


def _feeds(inputs: Sequence[Field], data: Sequences | None, seed: int) -> Iterator[Feed]:
    """Yields the inputs of `serving_default`, one row each, of every length that matters."""
    inputs = [field for field in inputs if not field.is_state]
    if data is not None and len(data) and len(inputs) == 1 and inputs[0].rank >= 2:
        field, lengths = inputs[0], data.lengths
        wanted = [*length_octiles(lengths), int(lengths.max())]
        chosen = dict.fromkeys(int(np.abs(lengths - length).argmin()) for length in wanted)
        for row in (data.values[index] for index in chosen):
            if field.has_time or len(row) == field.shape[1]:
                yield {field.name: row.reshape(1, len(row), *field.shape[2:]).astype(field.dtype)}
        return
    cases = [case for case in grid(inputs) if case.values == "data"]
    batch = min(case.batch for case in cases)
    for time in sorted({case.time for case in cases}):
        yield make_feed(Case(batch, time, "full"), inputs, seed=seed)


def _log(signature: ServingSignature, feed: Feed, name: str, vectorizer: TextVectorizer | None) -> Any:
    called: dict[str, Any] = {"model": name, "signature": signature.name}
    if signature.name == TF_EXAMPLE:
        rows = [{key: value[row] for key, value in feed.items()} for row in range(len(next(iter(feed.values()))))]
        examples = [to_example(row) for row in rows]
        if signature.method in (CLASSIFY, REGRESS):
            return (classify_log if signature.method == CLASSIFY else regress_log)(examples, **called)
        serialized = np.array([example.SerializeToString(deterministic=True) for example in examples], dtype=object)
        return predict_log({signature.inputs[0].name: serialized}, **called)
    if signature.name == SERVING_TEXT and vectorizer is not None:
        texts = [" ".join(vectorizer.vocabulary[i] for i in row if i) for row in next(iter(feed.values()))]
        return predict_log({signature.inputs[0].name: np.array(texts, dtype=object)}, **called)
    rows = next((len(value) for value in feed.values() if value.ndim), 1)
    states = {field.name: _zeros(field, rows) for field in signature.inputs if field.is_state}
    return predict_log(feed | states, **called)


def _zeros(field: Field, rows: int) -> NDArray[Any]:
    return np.zeros([size if isinstance(size, int) else rows for size in field.shape], field.dtype)
