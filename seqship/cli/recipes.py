"""Commands of recipes: list, ship, train."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from seqship.cli.options import (
    Checkpoints,
    Columns,
    DataPath,
    Epochs,
    Force,
    Json,
    Keras,
    PrecisionChoice,
    PrecisionOption,
    Quantize,
    RecipeKeras,
    RecipeName,
    Seed,
    Split,
    SplitBy,
    StrategyChoice,
    StrategyOption,
    TensorBoard,
)
from seqship.cli.printing import print_json, report
from seqship.terminal import progress_bar, quiet_tensorflow, table


def list_recipes(as_json: Json = False) -> None:
    """Shows the recipes: data, model and training that belong together.

    Example:  seqship list --json
    """
    from seqship.models import recipes

    rows: list[dict[str, Any]] = [
        {
            "name": recipe.name,
            "task": recipe.task,
            "seed_document": recipe.seed_document,
            "params": recipe.parameters,
            "cudnn_eligible": recipe.cudnn_eligible,
            "data": recipe.data,
        }
        for recipe in recipes().values()
    ]
    if as_json:
        print_json(rows)
        return
    width = max(len(row["name"]) for row in rows)
    print(f"{'recipe':<{width}}  {'parameters':>10}  cuDNN  task")
    for row in rows:
        eligible = "yes" if row["cudnn_eligible"] else "no"
        print(f"{row['name']:<{width}}  {row['params']:>10,}  {eligible:<5}  {row['task']}")
    print("\nseqship ship RECIPE trains one on generated data; --data takes your own (--json says what)")


def ship_command(
    recipe: RecipeName,
    data: DataPath = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="The bundle to make; default bundles/RECIPE.")
    ] = None,
    epochs: Epochs = None,
    seed: Seed = 0,
    keras: Keras = RecipeKeras.TWO,
    split: SplitBy = Split.BEAT,
    column: Columns = None,
    precision: PrecisionOption = PrecisionChoice.FLOAT32,
    strategy: StrategyOption = StrategyChoice.NONE,
    tensorboard: TensorBoard = None,
    checkpoints: Checkpoints = None,
    quantize: Quantize = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """The main job: data, training, export, proof and bundle.

    Exit code 0 says that Keras, the SavedModel and the ONNX file compute the same; 1 that they do not.

    Example:  seqship ship ecg-gru --data heartbeats/ --out bundles/ecg
    """
    job = _job(recipe, data, epochs, seed, keras, split, column, precision, strategy, tensorboard, checkpoints)
    from seqship.export.recipe_job import ship_recipe

    with progress_bar() as progress:
        weights = None if quantize is None else quantize.value
        bundle = ship_recipe(job, out or Path("bundles") / recipe, quantize=weights, force=force, progress=progress)
    report(bundle, as_json)


def train_command(
    recipe: RecipeName,
    data: DataPath = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="Directory to train into; default runs/RECIPE.")
    ] = None,
    epochs: Epochs = None,
    seed: Seed = 0,
    keras: Keras = RecipeKeras.TWO,
    split: SplitBy = Split.BEAT,
    column: Columns = None,
    precision: PrecisionOption = PrecisionChoice.FLOAT32,
    strategy: StrategyOption = StrategyChoice.NONE,
    tensorboard: TensorBoard = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted training.")] = False,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Only the training: writes DIR/model.keras and DIR/history.json.

    Training that was interrupted goes on with --resume, to the same weights as if it had not been.

    Example:  seqship train ecg-gru --data heartbeats/ --out runs/ecg --resume
    """
    job = _job(recipe, data, epochs, seed, keras, split, column, precision, strategy, tensorboard, None)
    from seqship.export.recipe_job import train_to

    with progress_bar() as progress:
        facts = train_to(job, out or Path("runs") / recipe, resume=resume, force=force, progress=progress)
    reached = facts.pop("reached")
    if as_json:
        print_json(facts)
        return
    resumed = f", resumed after {facts['resumed_at']}" if facts["resumed_at"] else ""
    table(
        [
            ("trained", f"{recipe} on {facts['data']}, best epoch {facts['best_epoch']}{resumed}"),
            *((label, text) for label, text in reached),
            ("model", facts["model"]),
        ]
    )


def _job(
    recipe: str,
    data: Path | None,
    epochs: int | None,
    seed: int,
    keras: RecipeKeras,
    split: Split,
    columns: list[str] | None,
    precision: PrecisionChoice,
    strategy: StrategyChoice,
    tensorboard: Path | None,
    checkpoints: Path | None,
) -> Any:
    """Returns the job that the options describe."""
    from seqship.models.catalogue import recipe as find_recipe

    find_recipe(recipe)  # An unknown name is told before TensorFlow is imported.
    quiet_tensorflow()
    from seqship.export.recipe_job import Job

    return Job(
        recipe,
        data=data,
        keras=keras.version(),
        epochs=epochs,
        seed=seed,
        split=split.value,
        columns=tuple(columns or ()),
        precision=precision.value,
        strategy=strategy.chosen(),
        tensorboard=tensorboard,
        checkpoints=checkpoints,
    )
