"""A recipe: data, model and training that belong together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from seqship.models.flavour import Flavour
from seqship.pipelines.examples import Examples
from seqship.pipelines.spec import Field
from seqship.pipelines.text_vectorizer import TextVectorizer

Outputs = Mapping[str, NDArray[Any]]
"""Output arrays by name, (n, ...), in the order of the test examples."""


@dataclass(frozen=True)
class Training:
    """How a model is trained.

    Attributes:
        epochs: Most epochs; 0 where nothing is trained.
        batch_size: Examples a step.
        learning_rate: At the first step.
        loss: Keras' name of the loss.
        metrics: Keras' names of metrics that are reported beside it.
        optimizer: "adam" or "rmsprop".
        schedule: "cosine" lets the rate fall to zero along half a cosine over all epochs; "constant" leaves it.
        clip_norm: Largest norm of one gradient.
        patience: Epochs without a better validation loss after which training stops.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    loss: str = "mse"
    metrics: tuple[str, ...] = ()
    optimizer: Literal["adam", "rmsprop"] = "adam"
    schedule: Literal["cosine", "constant"] = "cosine"
    clip_norm: float = 1.0
    patience: int = 10


@dataclass(frozen=True)
class LoadOptions:
    """What the data of a recipe is read by.

    Attributes:
        path: What `--data` names; None is the recipe's own data.
        seed: Seed of the split, and of generated data.
        split: "beat" or "patient", for heartbeats.
        columns: Columns of a CSV file, the target first; empty for the recipe's own choice.
    """

    path: Path | None = None
    seed: int = 0
    split: str = "beat"
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class RecipeData:
    """Data of a recipe, split.

    Attributes:
        train: What the model is trained on.
        validation: What stops the training early.
        test: What is looked at once, at the end.
        options: What the data decides of the model: arguments of the recipe's builder.
        inputs: Contract of the inputs where the data decides it; None is the recipe's.
        outputs: Contract of the outputs where the data decides it; None is the recipe's.
        vectorizer: What makes the token ids of texts; None where there are no texts.
        context: What else the evaluation needs.
    """

    train: Examples
    validation: Examples
    test: Examples
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    inputs: tuple[Field, ...] | None = None
    outputs: tuple[Field, ...] | None = None
    vectorizer: TextVectorizer | None = None
    context: Any = None


@dataclass(frozen=True, eq=False)
class Figure:
    """One figure of the report, as data.

    Attributes:
        kind: "lines", "histogram" or "text".
        title: What it shows.
        content: For lines `x` (list), `lines` (list by name), `marks` (label by x), `x_label` and `y_label`; for a
            histogram `edges`, `counts` and `x_label`; for a text `text`.
    """

    kind: Literal["lines", "histogram", "text"]
    title: str
    content: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Returns the JSON form."""
        return {"kind": self.kind, "title": self.title, **self.content}


@dataclass(frozen=True, eq=False)
class Evaluation:
    """How well a trained model does on the test examples.

    Attributes:
        metrics: Numbers by name, for the manifest; JSON values.
        lines: The same in words: label and text.
        classification: Confusion and recall, where it classifies; JSON values.
        examples: A few examples with their predictions; JSON values.
        figures: Figures of the report.
    """

    metrics: Mapping[str, Any]
    lines: tuple[tuple[str, str], ...] = ()
    classification: Mapping[str, Any] | None = None
    examples: tuple[Mapping[str, Any], ...] = ()
    figures: tuple[Figure, ...] = ()


@dataclass(frozen=True, eq=False)
class Part:
    """A model of its own that belongs to a recipe's: an encoder, say.

    Attributes:
        model: The Keras model.
        inputs: Contract of its inputs; None where the model says it.
        outputs: Contract of its outputs; None where the model says it.
    """

    model: Any
    inputs: tuple[Field, ...] | None = None
    outputs: tuple[Field, ...] | None = None


Evaluate = Callable[["Recipe", RecipeData, Outputs, int], Evaluation]
"""Takes the recipe, its data, what the exported model gives for the test examples, and a seed."""


def as_trained(model: Any, flavour: Flavour, data: RecipeData) -> Any:  # noqa: ARG001
    """Returns the trained model: what most recipes export."""
    return model


def _no_parts(model: Any, flavour: Flavour, data: RecipeData) -> Mapping[str, Part]:  # noqa: ARG001
    return {}


@dataclass(frozen=True, eq=False)
class Recipe:
    """One system that seqship can train and ship.

    Attributes:
        name: What the command line calls it.
        task: What it does, in one line.
        seed_document: Number of the document it comes from.
        data: What it is trained on by default, and what `--data` takes.
        inputs: Contract of the exported model's inputs.
        outputs: Contract of its outputs.
        parameters: Number of the weights of the model that is trained, on the default data.
        cudnn_eligible: Whether cuDNN can run every recurrent layer.
        load: Reads the data.
        build: Takes a Keras flavour and options, and gives the untrained model. `cudnn=False` makes the twin of an
            eligible model that cuDNN cannot run.
        training: How it is trained.
        quick: How it is trained on the embedded default, which is smaller.
        evaluate: Says how well the exported model does.
        finish: Makes the model that is exported of the trained one: with its scaling, say. The trained one by default.
        parts: Models that are exported beside it, by name.
        loops: Why a layer of it becomes a Loop in ONNX; empty where none does.
    """

    name: str
    task: str
    seed_document: str
    data: str
    inputs: tuple[Field, ...]
    outputs: tuple[Field, ...]
    parameters: int
    cudnn_eligible: bool
    load: Callable[[LoadOptions], RecipeData]
    build: Callable[..., Any]
    training: Training
    quick: Training
    evaluate: Evaluate
    finish: Callable[[Any, Flavour, RecipeData], Any] = as_trained
    parts: Callable[[Any, Flavour, RecipeData], Mapping[str, Part]] = _no_parts
    loops: str = ""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, none where it does not classify."""
        return next((field.classes for field in self.outputs if field.classes), ())

    def model(self, flavour: Flavour, **overrides: Any) -> Any:
        """Returns the untrained model in one Keras flavour."""
        return self.build(flavour, **overrides)


def histogram(values: NDArray[Any], *, title: str, x_label: str, bins: int = 40) -> Figure:
    """Returns the histogram of an array's finite values."""
    flat = np.asarray(values, np.float64).ravel()
    counts, edges = np.histogram(flat[np.isfinite(flat)], bins=bins)
    return Figure("histogram", title, {"edges": edges.tolist(), "counts": counts.tolist(), "x_label": x_label})
