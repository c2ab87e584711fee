"""Trains a recipe's classifier, epoch by epoch, so that it can be interrupted and resumed."""

from __future__ import annotations

import hashlib
import math
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from seqship.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from seqship.models.flavour import Flavour
from seqship.models.randomness import reseed
from seqship.models.recipe import Recipe, Training
from seqship.pipelines import class_weights, stratified_split, training_batches
from seqship.pipelines.sequences import Sequences
from seqship.progress import Progress, silent


@dataclass(frozen=True, eq=False)
class Trained:
    """A trained model and how it came to be.

    Attributes:
        model: The Keras model with the weights of the best epoch.
        history: Loss and accuracy of every epoch, over training and validation ("val_") sequences.
        best_epoch: Epoch whose weights were kept, counted from 1.
        seconds: Time spent training, over all runs.
        train_rows: Number of sequences trained on.
        validation_rows: Number of sequences held out for early stopping.
        resumed_at: Number of epochs that an earlier run had done.
    """

    model: Any
    history: dict[str, list[float]]
    best_epoch: int
    seconds: float
    train_rows: int
    validation_rows: int
    resumed_at: int = 0


@dataclass(eq=False)
class _Progression:
    """Where training stands; what a checkpoint holds beside the weights."""

    history: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    best_epoch: int = 0
    best_loss: float = math.inf
    seconds: float = 0.0

    @property
    def epoch(self) -> int:
        return len(self.history.get("loss", ()))


def train(
    recipe: Recipe,
    flavour: Flavour,
    sequences: Sequences,
    *,
    training: Training | None = None,
    seed: int = 0,
    checkpoints: Path | None = None,
    progress: Progress = silent,
) -> Trained:
    """Trains a recipe's model.

    The order of the batches depends on the seed and the epoch alone, and the weights, the optimizer and the history are
    kept after every epoch, so that a run that was killed goes on where it was.

    Args:
        recipe: What to train.
        flavour: The Keras to train it in.
        sequences: Labelled sequences; a share is held out for early stopping.
        training: How to train; the recipe's own way if left out.
        seed: Seed of the weights, the order and the dropout.
        checkpoints: Directory to keep checkpoints in, and to resume from; nothing is kept if left out.
        progress: Told how far it is.

    Raises:
        ModelError: The checkpoints are of another recipe, seed, data or Keras.
        DataError: The sequences cannot be split.
    """
    training = training or recipe.training
    # By sequence even where the test is by patient: a handful of patients stops training on the first lucky epoch.
    rest, held_out = stratified_split(sequences, fraction=training.validation_fraction, seed=seed)
    weights = class_weights(rest.labels, classes=len(rest.classes), power=training.class_power)
    field_ = recipe.inputs[0]
    pad_value = 0.0 if field_.pad_value is None else field_.pad_value
    batching: dict[str, Any] = {"seed": seed, "batch_size": training.batch_size, "boundaries": training.boundaries}
    batching |= {"pad_value": pad_value, "pad_to_boundary": True}
    validation = training_batches(held_out, epoch=0, shuffle=False, **batching)
    steps = len(training_batches(rest, epoch=0, class_weight=weights, **batching))

    flavour.keras.utils.set_random_seed(seed)
    identity = {"recipe": recipe.name, "keras": flavour.version, "seed": seed, "rows": len(sequences)}
    identity |= {"training": asdict(training), "source": sequences.source, "data": fingerprint(sequences)}
    checkpoint = load_checkpoint(checkpoints, identity, flavour) if checkpoints else None
    model = _compiled(recipe.model(flavour), flavour, training, steps) if checkpoint is None else checkpoint.model
    state = _Progression() if checkpoint is None else _Progression(**checkpoint.progression)
    best = model.get_weights() if checkpoint is None else checkpoint.best_weights
    resumed_at = state.epoch

    while state.epoch < training.epochs and state.epoch - state.best_epoch < training.patience:
        epoch, began = state.epoch, time.perf_counter()
        label = f"epoch {epoch + 1}/{training.epochs}"
        # Dropout must not depend on how many epochs this process has run.
        reseed(model, (seed * 1_000 + epoch) * 1_000 % 2**31)
        logs = model.fit(
            training_batches(rest, epoch=epoch, class_weight=weights, **batching),
            validation_data=validation,
            verbose=0,
            shuffle=False,
            callbacks=[_reporter(flavour, label, steps, progress)],
        ).history
        for name, values in logs.items():
            state.history.setdefault(name, []).append(float(values[-1]))
        loss = state.history["val_loss"][-1]
        if loss < state.best_loss:
            state.best_loss, state.best_epoch, best = loss, epoch + 1, model.get_weights()
        state.seconds += time.perf_counter() - began
        if checkpoints:
            save_checkpoint(checkpoints, identity, Checkpoint(model, best, asdict(state)))
        progress(f"{label}  loss {state.history['loss'][-1]:.3f}  val_loss {loss:.3f}", steps, steps)
    model.set_weights(best)
    return Trained(
        model, state.history, state.best_epoch, state.seconds, len(rest), len(held_out), resumed_at=resumed_at
    )


def fingerprint(sequences: Sequences) -> str:
    """Returns a digest of the lengths and labels in their order: another split of the same files has another."""
    digest = hashlib.sha256(sequences.lengths.tobytes())
    digest.update(sequences.labels.tobytes())
    return digest.hexdigest()[:16]


def _compiled(model: Any, flavour: Flavour, training: Training, steps: int) -> Any:
    optimizers = flavour.keras.optimizers
    rate = optimizers.schedules.CosineDecay(training.learning_rate, decay_steps=steps * training.epochs)
    model.compile(
        optimizer=optimizers.Adam(rate, clipnorm=training.clip_norm),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
        weighted_metrics=[],
        # Compiling takes longer than all of the training here, once for each of the bucket's lengths.
        jit_compile=False,
    )
    return model


def _reporter(flavour: Flavour, label: str, steps: int, progress: Progress) -> Any:
    def report(batch: int, logs: Any = None) -> None:
        loss = "" if not logs else f"  loss {float(logs['loss']):.3f}"
        progress(label + loss, batch + 1, steps)

    return flavour.keras.callbacks.LambdaCallback(on_train_batch_end=report)
