"""A recipe: data, model and training that belong together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seqship.models.flavour import Flavour
from seqship.pipelines.sequences import Sequences
from seqship.pipelines.spec import Field


@dataclass(frozen=True)
class Training:
    """How a classifier of sequences is trained.

    Attributes:
        epochs: Most epochs.
        batch_size: Sequences a step.
        learning_rate: Of Adam at the first step; it falls to zero along half a cosine over all epochs.
        clip_norm: Largest norm of one gradient.
        class_power: How far class weights go towards equal shares (`pipelines.class_weights`).
        patience: Epochs without a better validation loss after which training stops.
        validation_fraction: Share of the training sequences that is held out for it.
        boundaries: Longest length of each bucket of similar lengths.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    clip_norm: float
    class_power: float
    patience: int
    validation_fraction: float
    boundaries: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Recipe:
    """One system that seqship can train and ship.

    Attributes:
        name: What the command line calls it.
        task: What it does, in one line.
        seed_document: Number of the document it comes from.
        data: What it is trained on by default, and what `--data` takes.
        inputs: Contract of the model's inputs.
        outputs: Contract of its outputs.
        parameters: Number of the model's weights.
        cudnn_eligible: Whether cuDNN can run every recurrent layer.
        load: Takes a path or None, the way to split and a seed; gives training and test sequences.
        build: Takes a Keras flavour and gives the untrained model.
        training: How it is trained.
        quick: How it is trained on the embedded default, which is smaller.
    """

    name: str
    task: str
    seed_document: str
    data: str
    inputs: tuple[Field, ...]
    outputs: tuple[Field, ...]
    parameters: int
    cudnn_eligible: bool
    load: Callable[[Path | None, str, int], tuple[Sequences, Sequences]]
    build: Callable[..., Any]
    training: Training
    quick: Training

    def __post_init__(self) -> None:
        if len(self.inputs) != 1 or len(self.outputs) != 1 or self.outputs[0].classes is None:
            raise ValueError(f"recipe {self.name!r} must have one input and one output of class scores")

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.outputs[0].classes or ()

    def model(self, flavour: Flavour, **overrides: Any) -> Any:
        """Returns the untrained model in one Keras flavour."""
        return self.build(flavour, **overrides)
