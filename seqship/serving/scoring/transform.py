"""The transform, for pipelines of one's own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from seqship.errors import DataError
from seqship.serving.scoring.dependency import require_beam

require_beam()

import apache_beam as beam  # noqa: E402  # pyright: ignore[reportMissingImports]
from apache_beam.ml.inference.base import (  # noqa: E402  # pyright: ignore[reportMissingImports]
    KeyedModelHandler,
    RunInference,
)

from seqship.serving.scoring.feeds import as_feed  # noqa: E402
from seqship.serving.scoring.handler import BundleModelHandler, Refused  # noqa: E402
from seqship.serving.scoring.length_batches import LengthBatches  # noqa: E402
from seqship.serving.scoring.scoring_model import ScoringModel, scoring_model  # noqa: E402

REFUSED = "refused"


class Score(beam.PTransform):  # pyright: ignore[reportUntypedBaseClass]
    """Takes (key, sequence), gives (key, prediction).

    ```python
    answers = pipeline | beam.Create([("a", [0.98, 1.0, 0.58]), ("b", [0.9, 1.0])]) | Score("bundles/ecg")
    # ("a", {"class": "N", "probabilities": array([...], float32)}), ...
    ```

    A sequence is what `Predictor.predict` takes one of: (time,) or (time, features), a text for a bundle with a
    vocabulary, or a mapping with an array for each input of a model with several. A prediction has `class` and
    `probabilities` where the model classifies, and every other output by name; answers to each step have as many steps
    as the sequence. Each is that of the sequence alone, whatever it shares a batch with. Keys are any values, which
    need not differ; the order is not kept. Answers have the window of their sequence, and its end for a timestamp, as
    those of `beam.BatchElements` have.

    A sequence that breaks the contract ends the pipeline, unless `with_exception_handling` is called.
    """

    def __init__(self, bundle: str | os.PathLike[str]) -> None:
        """Opens the bundle here, too: one that is changed or not proven is refused before anything runs.

        Args:
            bundle: Its directory, which every worker has to find under the same path, or its URI on a filesystem of
                Beam's, such as `gs://models/ecg/3`.

        Raises:
            BundleError: It is none.
            DataError: An input is of strings, or has a free axis that is not time.
            ProofError: Its runtimes do not compute the same.
            TamperedError: A file is missing or changed.
        """
        super().__init__()
        self.model: ScoringModel = scoring_model(os.fspath(bundle))
        self._handling = False

    def with_exception_handling(self) -> Score:
        """Returns this transform, which now gives a pair: the answers, and (key, reason) of what was refused."""
        self._handling = True
        return self

    def expand(self, pcoll: Any) -> Any:
        """Builds the transform."""
        held = pcoll | "HoldToContract" >> beam.ParDo(_HoldToContract(self.model)).with_outputs(REFUSED, main="feeds")
        handler = KeyedModelHandler(BundleModelHandler(self.model)).with_no_batching()
        answered = (
            held.feeds
            | "Batch" >> beam.ParDo(LengthBatches(self.model))
            | "RunInference" >> RunInference(handler)
            | "Sort" >> beam.FlatMap(_sorted_out).with_outputs(REFUSED, main="answers")
        )
        refused = (held[REFUSED], answered[REFUSED]) | "Refused" >> beam.Flatten()
        if self._handling:
            return answered.answers, refused
        _ = refused | "Refuse" >> beam.Map(_refuse)
        return answered.answers


class _HoldToContract(beam.DoFn):  # pyright: ignore[reportUntypedBaseClass]
    """(key, sequence) to (key, feed)."""

    def __init__(self, model: ScoringModel) -> None:
        super().__init__()
        self._model = model

    def process(self, element: Any) -> Iterator[Any]:
        key, value = element
        try:
            yield key, as_feed(value, self._model)
        except DataError as error:
            yield beam.pvalue.TaggedOutput(REFUSED, (key, str(error)))


def _sorted_out(element: Any) -> Iterator[Any]:
    key, answer = element
    yield beam.pvalue.TaggedOutput(REFUSED, (key, answer.reason)) if isinstance(answer, Refused) else (key, answer)


def _refuse(element: Any) -> None:
    key, reason = element
    raise DataError(f"{key!r}: {reason}")
