"""The main job: data, training, export, proof and bundle of a recipe."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqship.atomic import check_output, check_parent, write_file, writing_to
from seqship.errors import ModelError, OutputError
from seqship.export.bundle import Bundle
from seqship.export.equivalence import predict_sequences
from seqship.export.runners import keras_runner
from seqship.export.shipping import ship
from seqship.export.streaming import export_signature
from seqship.models.catalogue import recipe as find_recipe
from seqship.models.evaluation import Classification, classification
from seqship.models.flavour import Version, load_flavour
from seqship.models.recipe import Recipe
from seqship.models.training import Trained, train
from seqship.pipelines.sequences import Sequences
from seqship.progress import Progress, silent

EXAMPLES_PER_CLASS = 3
HIGHEST_SEED = 2**32 - 1
"""`keras.utils.set_random_seed` seeds NumPy's legacy generator, which takes 32 bits."""


def ship_recipe(
    name: str,
    directory: str | os.PathLike[str],
    *,
    data: Path | None = None,
    keras: Version = 2,
    epochs: int | None = None,
    seed: int = 0,
    split: str = "beat",
    checkpoints: Path | None = None,
    force: bool = False,
    progress: Progress = silent,
) -> Bundle:
    """Trains a recipe, exports it, proves the exports equal and writes the bundle.

    Args:
        name: The recipe.
        directory: The bundle to make.
        data: What to train on; the recipe's embedded default if left out.
        keras: 2 for tf-keras, 3 for Keras 3.
        epochs: Most epochs; the recipe's own number if left out.
        seed: Seed of everything.
        split: "beat" or "patient".
        checkpoints: Directory to keep checkpoints in, and to resume from.
        force: Whether an existing bundle is replaced.
        progress: Told how far it is.

    Raises:
        SeqshipError: Of the step that went wrong.
    """
    found, training_set, test_set, trained = train_recipe(
        name,
        output=Path(directory),
        data=data,
        keras=keras,
        epochs=epochs,
        seed=seed,
        split=split,
        checkpoints=checkpoints,
        force=force,
        progress=progress,
    )
    result, probabilities = evaluate(found, trained.model, training_set, test_set)
    facts = {
        "metrics": result_metrics(result),
        "classification": result.to_json(),
        "training": training_facts(trained, training_set, test_set, seed=seed, split=split),
        "examples": _examples(test_set, probabilities, seed),
    }
    return ship(
        trained.model,
        directory,
        name=name,
        data=test_set,
        inputs=found.inputs,
        outputs=found.outputs,
        source={"kind": "recipe", "name": name, "seed": seed},
        facts=facts,
        seed=seed,
        force=force,
        progress=progress,
    )


def train_recipe(
    name: str,
    *,
    output: Path | None = None,
    data: Path | None = None,
    keras: Version = 2,
    epochs: int | None = None,
    seed: int = 0,
    split: str = "beat",
    checkpoints: Path | None = None,
    force: bool = False,
    progress: Progress = silent,
) -> tuple[Recipe, Sequences, Sequences, Trained]:
    """Loads a recipe's data and trains it.

    Args:
        name: The recipe.
        output: Where the result will go, checked before the work begins.
        data: What to train on; the recipe's embedded default if left out.
        keras: 2 for tf-keras, 3 for Keras 3.
        epochs: Most epochs; the recipe's own number if left out.
        seed: Seed of everything.
        split: "beat" or "patient".
        checkpoints: Directory to keep checkpoints in, and to resume from.
        force: Whether an existing output is replaced.
        progress: Told how far it is.

    Returns:
        The recipe, its training and test sequences, and the trained model.

    Raises:
        SeqshipError: Of the step that went wrong.
    """
    found = find_recipe(name)
    if epochs is not None and epochs < 1:
        raise ModelError(f"epochs must be 1 or more, got {epochs}")
    if not 0 <= seed <= HIGHEST_SEED:
        raise ModelError(f"the seed must be 0 to {HIGHEST_SEED}, got {seed}")
    if output is not None:
        check_output(output, force=force)
    progress("reading the data", 0, 1)
    training_set, test_set = found.load(data, split, seed)
    settings = found.quick if data is None else found.training
    if epochs is not None:
        settings = replace(settings, epochs=epochs)
    trained = train(
        found,
        load_flavour(keras),
        training_set,
        training=settings,
        seed=seed,
        checkpoints=checkpoints,
        progress=progress,
    )
    return found, training_set, test_set, trained


def train_to(
    directory: Path,
    name: str,
    *,
    data: Path | None = None,
    keras: Version = 2,
    epochs: int | None = None,
    seed: int = 0,
    split: str = "beat",
    resume: bool = False,
    force: bool = False,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Trains a recipe into `DIR/model.keras` and `DIR/history.json`, with checkpoints beside them on the way.

    Args:
        directory: Where to.
        name: The recipe.
        data: What to train on; the recipe's embedded default if left out.
        keras: 2 for tf-keras, 3 for Keras 3.
        epochs: Most epochs; the recipe's own number if left out.
        seed: Seed of everything.
        split: "beat" or "patient".
        resume: Whether to go on with what an interrupted training left in the directory.
        force: Whether to start anew where there is something.
        progress: Told how far it is.

    Returns:
        What was done, as it stands in `history.json`, with the model's path.

    Raises:
        OutputError: The directory holds a training and neither `resume` nor `force` is set.
        SeqshipError: Of the step that went wrong.
    """
    checkpoints = directory / "checkpoints"
    if directory.exists() and not directory.is_dir():
        raise OutputError(f"the output {directory} is not a directory; choose another path")
    if directory.exists() and not resume and any(directory.iterdir()):
        if not force:
            raise OutputError(f"the output {directory} exists; add --resume to go on, --force to start anew")
        if checkpoints.exists():
            shutil.rmtree(checkpoints)
    check_parent(directory / "model.keras")
    found, training_set, test_set, trained = train_recipe(
        name,
        data=data,
        keras=keras,
        epochs=epochs,
        seed=seed,
        split=split,
        checkpoints=checkpoints,
        progress=progress,
    )
    result, _ = evaluate(found, trained.model, training_set, test_set)
    facts = training_facts(trained, training_set, test_set, seed=seed, split=split)
    facts["metrics"] = result_metrics(result)
    with writing_to(directory):
        partial = checkpoints / ".model.keras"
        trained.model.save(str(partial))
        write_file(directory / "model.keras", partial.read_bytes())
        partial.unlink()
        write_file(directory / "history.json", json.dumps(facts, indent=1).encode())
    return facts | {"model": str(directory / "model.keras"), "resumed_at": trained.resumed_at}


def result_metrics(result: Classification) -> dict[str, Any]:
    """Returns the metrics that a manifest holds."""
    return {
        "test_accuracy": result.accuracy,
        "majority_accuracy": result.majority,
        "recall": dict(zip(result.classes, result.recall, strict=True)),
        "test_rows": sum(result.support),
    }


def evaluate(
    recipe: Recipe, model: Any, training_set: Sequences, test_set: Sequences
) -> tuple[Classification, NDArray[np.floating]]:
    """Scores a trained model on its test sequences.

    Returns:
        The score, and the class probabilities (n, classes).
    """
    signature = export_signature(model, inputs=recipe.inputs, outputs=recipe.outputs)
    outputs = predict_sequences(keras_runner(signature), test_set, recipe.inputs[0])
    probabilities = outputs[recipe.outputs[0].name]
    result = classification(test_set.labels, probabilities, recipe.classes, training_set.class_counts)
    return result, probabilities


def training_facts(
    trained: Trained, training_set: Sequences, test_set: Sequences, *, seed: int, split: str
) -> dict[str, Any]:
    """Returns what the report says of the training."""
    return {
        "data": training_set.source,
        "split": split,
        "train_rows": trained.train_rows,
        "validation_rows": trained.validation_rows,
        "test_rows": len(test_set),
        "parameters": int(trained.model.count_params()),
        "seed": seed,
        "seconds": round(trained.seconds, 1),
        "best_epoch": trained.best_epoch,
        "epochs": len(trained.history["loss"]),
        "history": trained.history,
    }


def _examples(test_set: Sequences, probabilities: NDArray[np.floating], seed: int) -> list[dict[str, Any]]:
    """Picks a few sequences of each class, one of them classified wrong where there is one."""
    generator = np.random.default_rng(seed)
    predicted = probabilities.argmax(axis=1)
    chosen: list[int] = []
    for label in range(len(test_set.classes)):
        rows = generator.permutation(np.flatnonzero(test_set.labels == label))
        wrong = [int(row) for row in rows if predicted[row] != label][:1]
        right = [int(row) for row in rows if predicted[row] == label]
        chosen += (right[: EXAMPLES_PER_CLASS - len(wrong)] + wrong)[:EXAMPLES_PER_CLASS]
    return [
        {
            "true": test_set.classes[int(test_set.labels[row])],
            "predicted": test_set.classes[int(predicted[row])],
            "values": np.round(test_set.values[row].squeeze(-1).astype(float), 4).tolist(),
            "probabilities": np.round(probabilities[row].astype(float), 4).tolist(),
        }
        for row in chosen
    ]
