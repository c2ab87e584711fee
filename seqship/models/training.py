"""Trains a recipe's model in short runs of steps, so that it can be interrupted and resumed."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np

from seqship.errors import DependencyError
from seqship.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from seqship.models.flavour import Flavour
from seqship.models.randomness import reseed
from seqship.models.recipe import Recipe, RecipeData, Training
from seqship.progress import Progress, silent

Precision = Literal["float32", "mixed_float16", "mixed_bfloat16"]

STEPS = 100
"""Steps between two points at which training can resume; each begins with generators of its own."""
SAVE_SECONDS = 20.0
"""Least time between two checkpoints within an epoch: writing one must not take longer than what it saves."""


@dataclass(frozen=True, eq=False)
class Trained:
    """A trained model and how it came to be.

    Attributes:
        model: The Keras model with the weights of the best epoch, in float32.
        history: Loss and metrics of every epoch, over training and validation ("val_") examples.
        best_epoch: Epoch whose weights were kept, counted from 1; 0 where nothing was trained.
        seconds: Time spent training, over all runs.
        train_rows: Number of examples trained on.
        validation_rows: Number of examples held out for early stopping.
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
    step: int = 0
    sums: dict[str, float] = field(default_factory=dict[str, float])

    @property
    def epoch(self) -> int:
        return len(self.history.get("loss", ()))

    def add(self, logs: Mapping[str, list[float]], steps: int) -> None:
        """Notes the means of so many steps."""
        for name, values in logs.items():
            self.sums[name] = self.sums.get(name, 0.0) + float(values[-1]) * steps
        self.step += steps

    def end_epoch(self, validated: Mapping[str, float]) -> None:
        """Turns the sums of the epoch into its means."""
        found = {name: total / self.step for name, total in self.sums.items()}
        found |= {f"val_{name}": float(value) for name, value in validated.items()}
        for name, value in found.items():
            self.history.setdefault(name, []).append(value)
        self.step, self.sums = 0, {}


def train(
    recipe: Recipe,
    flavour: Flavour,
    data: RecipeData,
    *,
    training: Training | None = None,
    seed: int = 0,
    checkpoints: Path | None = None,
    precision: Precision = "float32",
    strategy: Any = None,
    tensorboard: Path | None = None,
    progress: Progress = silent,
) -> Trained:
    """Trains a recipe's model.

    The order of the batches depends on the seed and the epoch alone, and dropout on the seed and the step. The weights,
    the optimizer and the history are kept on the way, so that a run that was killed goes on where it was, to the same
    weights as if it had not been.

    Args:
        recipe: What to train.
        flavour: The Keras to train it in.
        data: Its examples.
        training: How to train; the recipe's own way if left out.
        seed: Seed of the weights, the order and the dropout.
        checkpoints: Directory to keep checkpoints in, and to resume from; nothing is kept if left out.
        precision: Keras' policy while training; the weights are float32 in each.
        strategy: A `tf.distribute.Strategy` to train under; None trains on one device.
        tensorboard: Directory to write TensorBoard's logs to.
        progress: Told how far it is.

    Raises:
        DependencyError: TensorBoard is to be written to and is not installed.
        ModelError: The checkpoints are of another recipe, seed, data or Keras.
    """
    training = training or recipe.training
    writers = None if tensorboard is None else _writers(tensorboard)
    batching: dict[str, Any] = {"seed": seed, "batch_size": training.batch_size}
    flavour.keras.utils.set_random_seed(seed)
    if not training.epochs:
        model = recipe.model(flavour, **data.options)
        return Trained(model, {}, 0, 0.0, len(data.train), len(data.validation))
    steps = len(data.train.batches(epoch=0, **batching))
    identity = {"recipe": recipe.name, "keras": flavour.version, "seed": seed, "rows": len(data.train)}
    identity |= {"training": asdict(training), "source": data.train.source, "data": data.train.digest()}
    identity |= {"precision": precision}
    scope: Any = contextlib.nullcontext if strategy is None else strategy.scope
    with scope():
        checkpoint = load_checkpoint(checkpoints, identity, flavour) if checkpoints else None
        model = checkpoint.model if checkpoint else None
        if model is None:
            with _policy(flavour, precision):
                model = _compiled(recipe.model(flavour, **data.options), flavour, training, steps)
    state = _Progression() if checkpoint is None else _Progression(**checkpoint.progression)
    best = model.get_weights() if checkpoint is None else checkpoint.best_weights
    resumed_at = state.epoch
    validation = data.validation.batches(epoch=0, shuffle=False, **batching)
    saved = time.perf_counter()

    while state.epoch < training.epochs and state.epoch - state.best_epoch < training.patience:
        epoch, began = state.epoch, time.perf_counter()
        label = f"epoch {epoch + 1}/{training.epochs}"
        here = min(STEPS, steps - state.step)
        # Dropout must not depend on how many steps this process has run.
        reseed(model, int(np.random.SeedSequence([seed, epoch, state.step]).generate_state(1)[0] >> 2))
        batches = data.train.batches(epoch=epoch, start_batch=state.step, **batching).take(here)
        reporter = _reporter(flavour, label, state.step, steps, progress)
        state.add(model.fit(batches, verbose=0, shuffle=False, callbacks=[reporter]).history, here)
        ended = state.step == steps
        if ended:
            state.end_epoch(model.evaluate(validation, verbose=0, return_dict=True))
            loss = state.history["val_loss"][-1]
            if loss < state.best_loss:
                state.best_loss, state.best_epoch, best = loss, epoch + 1, model.get_weights()
            progress(f"{label}  loss {state.history['loss'][-1]:.3f}  val_loss {loss:.3f}", steps, steps)
            if writers is not None:
                _log(writers, state.history, epoch)
        state.seconds += time.perf_counter() - began
        if checkpoints and (ended or time.perf_counter() - saved >= SAVE_SECONDS):
            save_checkpoint(checkpoints, identity, Checkpoint(model, best, asdict(state)))
            saved = time.perf_counter()
    if precision != "float32":
        model = recipe.model(flavour, **data.options)
    model.set_weights(best)
    return Trained(
        model, state.history, state.best_epoch, state.seconds, len(data.train), len(data.validation), resumed_at
    )


@contextlib.contextmanager
def _policy(flavour: Flavour, precision: Precision) -> Any:
    """Builds models of a precision for as long as the block runs."""
    policies = flavour.keras.mixed_precision
    before = policies.global_policy() if flavour.version == 2 else policies.dtype_policy()
    policies.set_global_policy(precision)
    try:
        yield
    finally:
        policies.set_global_policy(before)


def _compiled(model: Any, flavour: Flavour, training: Training, steps: int) -> Any:
    optimizers = flavour.keras.optimizers
    rate: Any = training.learning_rate
    if training.schedule == "cosine":
        rate = optimizers.schedules.CosineDecay(rate, decay_steps=steps * training.epochs)
    optimizer = {"adam": optimizers.Adam, "rmsprop": optimizers.RMSprop}[training.optimizer]
    model.compile(
        optimizer=optimizer(rate, clipnorm=training.clip_norm),
        loss=training.loss,
        metrics=list(training.metrics),
        weighted_metrics=[],
        # Compiling takes longer than all of the training here, once for each of the bucket's lengths.
        jit_compile=False,
    )
    return model


def _reporter(flavour: Flavour, label: str, done: int, steps: int, progress: Progress) -> Any:
    def report(batch: int, logs: Any = None) -> None:
        loss = "" if not logs else f"  loss {float(logs['loss']):.3f}"
        progress(label + loss, done + batch + 1, steps)

    return flavour.keras.callbacks.LambdaCallback(on_train_batch_end=report)


def _writers(directory: Path) -> dict[str, Any]:
    if find_spec("tensorboard") is None:
        raise DependencyError("TensorBoard's logs need the package tensorboard; run: pip install tensorboard")
    import tensorflow as tf

    return {name: tf.summary.create_file_writer(str(directory / name)) for name in ("train", "validation")}


def _log(writers: Mapping[str, Any], history: Mapping[str, list[float]], epoch: int) -> None:
    """Writes one epoch's loss and metrics as Keras' own callback names them."""
    import tensorflow as tf

    for name, values in history.items():
        side = "validation" if name.startswith("val_") else "train"
        with writers[side].as_default():
            tf.summary.scalar(f"epoch_{name.removeprefix('val_')}", values[-1], step=epoch)
    for writer in writers.values():
        writer.flush()
