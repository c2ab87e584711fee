"""The main job: data, training, export, proof and bundle of a recipe."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from numpy.typing import NDArray

from seqship.atomic import check_output, check_parent, write_file, writing_to
from seqship.errors import ModelError, OutputError
from seqship.export.bundle import INT8_FILE, ONNX_FILE, Bundle
from seqship.export.data_agreement import answers_to
from seqship.export.onnx import to_onnx
from seqship.export.quantization import check_quantization, write_int8
from seqship.export.runners import keras_runner
from seqship.export.shipping import FORMATS, ship
from seqship.export.streaming import export_signature
from seqship.models.catalogue import recipe as find_recipe
from seqship.models.flavour import Flavour, Version, load_flavour
from seqship.models.recipe import Evaluation, LoadOptions, Recipe, RecipeData
from seqship.models.training import Precision, Trained, train
from seqship.pipelines.spec import STATE_PREFIX
from seqship.progress import Progress, silent

HIGHEST_SEED = 2**32 - 1
"""`keras.utils.set_random_seed` seeds NumPy's legacy generator, which takes 32 bits."""
PROVEN_ROWS = 5_000
"""Most rows of test data that the runtimes are compared on."""
BATCH_SIZE = 256


@dataclass(frozen=True)
class Job:
    """What is trained, and how.

    Attributes:
        recipe: Name of the recipe.
        data: What to train on; the recipe's embedded default if left out.
        keras: 2 for tf-keras, 3 for Keras 3.
        epochs: Most epochs; the recipe's own number if left out.
        seed: Seed of everything.
        split: "beat" or "patient", for heartbeats.
        columns: Columns of a CSV series, the target first; the recipe's own choice if left out.
        precision: Keras' policy while training.
        strategy: "mirrored" trains on all devices of the machine (`tf.distribute.MirroredStrategy`).
        tensorboard: Directory to write TensorBoard's logs to.
        checkpoints: Directory to keep checkpoints in, and to resume from.
    """

    recipe: str
    data: Path | None = None
    keras: Version = 2
    epochs: int | None = None
    seed: int = 0
    split: str = "beat"
    columns: tuple[str, ...] = ()
    precision: Precision = "float32"
    strategy: Literal["mirrored"] | None = None
    tensorboard: Path | None = None
    checkpoints: Path | None = None


@dataclass(frozen=True, eq=False)
class _Done:
    """A job after its training."""

    recipe: Recipe
    flavour: Flavour
    data: RecipeData
    trained: Trained
    model: Any
    evaluation: Evaluation


def ship_recipe(
    job: Job,
    directory: str | os.PathLike[str],
    *,
    quantize: str | None = None,
    force: bool = False,
    progress: Progress = silent,
) -> Bundle:
    """Trains a recipe, exports it, proves the exports equal and writes the bundle.

    Models that belong to the recipe's (an encoder, say) become bundles of their own, in `parts/`.

    Args:
        job: What to train.
        directory: The bundle to make.
        quantize: "int8" writes the ONNX file a second time with int8 weights.
        force: Whether an existing bundle is replaced.
        progress: Told how far it is.

    Raises:
        SeqshipError: Of the step that went wrong.
    """
    check_output(Path(directory), force=force)
    done = _run(job, progress, quantize=quantize)
    recipe, data, evaluation = done.recipe, done.data, done.evaluation
    facts: dict[str, Any] = {
        "metrics": dict(evaluation.metrics),
        "reached": [list(line) for line in evaluation.lines],
        "figures": [figure.to_json() for figure in evaluation.figures],
    }
    if done.trained.history:
        facts["training"] = _training_facts(done, job)
    if evaluation.classification is not None:
        facts["classification"] = dict(evaluation.classification)
    if evaluation.examples:
        facts["examples"] = [dict(example) for example in evaluation.examples]
    return ship(
        done.model,
        directory,
        name=job.recipe,
        data=data.test.rows(PROVEN_ROWS),
        inputs=data.inputs or recipe.inputs or None,
        outputs=data.outputs or recipe.outputs or None,
        parts={
            name: (part.model, part.inputs, part.outputs)
            for name, part in recipe.parts(done.model, done.flavour, data).items()
        },
        source={"kind": "recipe", "name": job.recipe, "seed": job.seed},
        facts=facts,
        vectorizer=data.vectorizer,
        quantize=quantize,
        seed=job.seed,
        force=force,
        progress=progress,
    )


def train_to(
    job: Job, directory: Path, *, resume: bool = False, force: bool = False, progress: Progress = silent
) -> dict[str, Any]:
    """Trains a recipe into `DIR/model.keras` and `DIR/history.json`, with checkpoints beside them on the way.

    Args:
        job: What to train; its checkpoints go into the directory.
        directory: Where to.
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
    done = _run(replace(job, checkpoints=checkpoints), progress)
    facts = _training_facts(done, job) | {"metrics": dict(done.evaluation.metrics)}
    with writing_to(directory):
        checkpoints.mkdir(parents=True, exist_ok=True)
        partial = checkpoints / ".model.keras"
        done.model.save(str(partial))
        write_file(directory / "model.keras", partial.read_bytes())
        partial.unlink()
        write_file(directory / "history.json", json.dumps(facts, indent=1).encode())
    facts |= {"model": str(directory / "model.keras"), "resumed_at": done.trained.resumed_at}
    return facts | {"reached": [list(line) for line in done.evaluation.lines]}


def _run(job: Job, progress: Progress, *, quantize: str | None = None) -> _Done:
    """Loads the data, trains, and looks at the test examples."""
    recipe = find_recipe(job.recipe)
    if job.epochs is not None and job.epochs < 1:
        raise ModelError(f"epochs must be 1 or more, got {job.epochs}")
    if not 0 <= job.seed <= HIGHEST_SEED:
        raise ModelError(f"the seed must be 0 to {HIGHEST_SEED}, got {job.seed}")
    progress("reading the data", 0, 1)
    data = recipe.load(LoadOptions(job.data, job.seed, job.split, job.columns))
    settings = recipe.quick if job.data is None else recipe.training
    if job.epochs is not None and settings.epochs:
        settings = replace(settings, epochs=job.epochs)
    flavour = load_flavour(job.keras)
    if quantize is not None:
        _try_quantization(quantize, recipe, flavour, data)
    trained = train(
        recipe,
        flavour,
        data,
        training=settings,
        seed=job.seed,
        checkpoints=job.checkpoints,
        precision=job.precision,
        strategy=_strategy(job.strategy),
        tensorboard=job.tensorboard,
        progress=progress,
    )
    model = recipe.finish(trained.model, flavour, data)
    outputs = predict_examples(model, recipe, data)
    return _Done(recipe, flavour, data, trained, model, recipe.evaluate(recipe, data, outputs, job.seed))


def _try_quantization(quantize: str, recipe: Recipe, flavour: Flavour, data: RecipeData) -> None:
    """Exports the untrained model, so that one with nothing to quantize is told before hours of training.

    Raises:
        ModelError: Nothing in the model can be quantized.
    """
    check_quantization(quantize, FORMATS)
    model = recipe.finish(recipe.model(flavour, **data.options), flavour, data)
    signature = export_signature(model, inputs=data.inputs or recipe.inputs, outputs=data.outputs or recipe.outputs)
    with tempfile.TemporaryDirectory() as folder:
        onnx = to_onnx(model, Path(folder) / ONNX_FILE, signature=signature)
        write_int8(onnx.path, Path(folder) / INT8_FILE, audit=onnx.audit)
    flavour.keras.backend.clear_session()


def _strategy(name: str | None) -> Any:
    if name is None:
        return None
    import tensorflow as tf

    return tf.distribute.MirroredStrategy()


def predict_examples(model: Any, recipe: Recipe, data: RecipeData) -> dict[str, NDArray[Any]]:
    """Returns what a model gives for the test examples, in their order; states are left out.

    Outputs with an answer for each step hold zeros behind the end of a shorter sequence.
    """
    signature = export_signature(model, inputs=data.inputs or recipe.inputs, outputs=data.outputs or recipe.outputs)
    made = answers_to(keras_runner(signature), data.test.feeds(BATCH_SIZE), len(data.test))
    return {name: values for name, values in made.items() if not name.startswith(STATE_PREFIX)}


def _training_facts(done: _Done, job: Job) -> dict[str, Any]:
    """Returns what the report says of the training."""
    trained, data = done.trained, done.data
    return {
        "data": data.train.source,
        "split": job.split,
        "train_rows": trained.train_rows,
        "validation_rows": trained.validation_rows,
        "test_rows": len(data.test),
        "parameters": int(trained.model.count_params()),
        "seed": job.seed,
        "seconds": round(trained.seconds, 1),
        "best_epoch": trained.best_epoch,
        "epochs": len(trained.history.get("loss", ())),
        "history": trained.history,
    }
