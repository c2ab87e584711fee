"""How `RunInference` loads a bundle and answers a batch with it.

`OnnxModelHandlerNumpy` stacks equal shapes into the first input and gives the first output, and needs the package onnx
(apache_beam 2.77 `ml/inference/onnx_inference.py`); a bundle has a contract, several inputs, and digests to check.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from apache_beam.metrics import Metrics  # pyright: ignore[reportMissingImports]
from apache_beam.ml.inference.base import ModelHandler  # pyright: ignore[reportMissingImports]

from seqship.serving.predictor import Predictor
from seqship.serving.scoring.scoring_model import ScoringModel, open_predictor
from seqship.serving.server.joining import join, split
from seqship.serving.server.signatures import Feed

NAMESPACE = "seqship.score"
"""Of the metrics: Beam's own of RunInference, and `steps` and `padded_steps` of the batches."""
CLASS, PROBABILITIES = "class", "probabilities"


@dataclass(frozen=True)
class Refused:
    """A sequence that the model does not answer, and why."""

    reason: str


class BundleModelHandler(ModelHandler):  # pyright: ignore[reportUntypedBaseClass]
    """Takes batches of feeds of one row each; gives, for each, its outputs by name or why there are none."""

    def __init__(self, model: ScoringModel) -> None:
        super().__init__()
        self._model = model

    def load_model(self) -> Predictor:
        """Opens the bundle: once in each process, whose threads share it."""
        return open_predictor(self._model.bundle, self._model.manifest_sha256)

    def run_inference(
        self,
        batch: Sequence[Feed],
        model: Predictor,
        inference_args: Mapping[str, Any] | None = None,  # noqa: ARG002  (RunInference gives it)
    ) -> list[dict[str, Any] | Refused]:
        """Returns what `Predictor.predict` gives for each sequence alone; answers to each step are cut to its length.

        Args:
            batch: Feeds that may be joined.
            model: What `load_model` returned.
            inference_args: None are known.
        """
        try:
            return self._answers(batch, model)
        except Exception as error:  # onnxruntime's own types derive from Exception alone.
            if len(batch) == 1:
                return [Refused(f"the model cannot answer it: {' '.join(str(error).split())[:300]}")]
            # One that fails does not take the others of its batch with it.
            return [answer for feed in batch for answer in self.run_inference([feed], model)]

    def get_num_bytes(self, batch: Sequence[Feed]) -> int:
        """Returns the bytes of a batch, without its padding."""
        return sum(array.nbytes for feed in batch for array in feed.values())

    def get_metrics_namespace(self) -> str:
        """Returns where the metrics are counted."""
        return NAMESPACE

    def _answers(self, batch: Sequence[Feed], model: Predictor) -> list[dict[str, Any] | Refused]:
        rule = self._model.rule
        prediction = model.predict_batch(batch[0] if rule is None else join(rule, batch))
        made = [prediction.outputs] if rule is None else split(rule, batch, prediction.outputs)
        self._count_steps(batch)
        answers: list[dict[str, Any] | Refused] = []
        for row, outputs in enumerate(made):
            answer: dict[str, Any] = {}
            if prediction.classes is not None and prediction.probabilities is not None:
                answer = {CLASS: prediction.classes[row], PROBABILITIES: prediction.probabilities[row]}
            names = (field.name for field in self._model.outputs if not (answer and _is_scoring(field.name, model)))
            answers.append(answer | {name: np.array(outputs[name][0]) for name in names})
        return answers

    def _count_steps(self, batch: Sequence[Feed]) -> None:
        name = next((field.name for field in self._model.inputs if field.has_time), None)
        if name is None:
            return
        lengths = [feed[name].shape[1] for feed in batch]
        Metrics.counter(NAMESPACE, "steps").inc(sum(lengths))
        Metrics.counter(NAMESPACE, "padded_steps").inc(len(lengths) * max(lengths))


def _is_scoring(name: str, model: Predictor) -> bool:
    """Whether the output is the one that `class` and `probabilities` are made of."""
    return name == next(field.name for field in model.outputs if field.classes and field.rank == 2)
