"""The commands. Each is one call into the package, and what it prints."""

from __future__ import annotations

import enum
import json
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from seqship import __version__
from seqship.errors import DataError, ModelError
from seqship.terminal import progress_bar, quiet_tensorflow, table

HELP = """Ships recurrent Keras models to production: trains or takes an LSTM, GRU or SimpleRNN model, exports it to
SavedModel and ONNX with native operators, proves that all of them compute the same, and writes a bundle.

Start with:  seqship ship ecg-gru

Exit codes: 0 done and proven, 1 the proof failed, 2 your input, 130 interrupted.
"""

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, help=HELP)


class PaddingChoice(enum.StrEnum):
    """Where masks are off."""

    ANY = "any"
    RIGHT = "right"


class KerasChoice(enum.StrEnum):
    """Which Keras reads a model."""

    AUTO = "auto"
    TWO = "2"
    THREE = "3"

    def version(self) -> Literal[2, 3] | None:
        """Returns 2 or 3, None where the file decides."""
        return {"2": 2, "3": 3}.get(self.value)  # pyright: ignore[reportReturnType]  (a dict of the two literals)


class RecipeKeras(enum.StrEnum):
    """Which Keras trains a recipe: tf-keras is 2, Keras 3 is 3."""

    TWO = "2"
    THREE = "3"

    def version(self) -> Literal[2, 3]:
        """Returns 2 or 3."""
        return 2 if self is RecipeKeras.TWO else 3


class Split(enum.StrEnum):
    """How heartbeats are split."""

    BEAT = "beat"
    PATIENT = "patient"


class Runtime(enum.StrEnum):
    """What predicts."""

    ONNX = "onnx"
    SAVED_MODEL = "saved_model"


class Csv(enum.StrEnum):
    """How a CSV row is laid out."""

    AUTO = "auto"
    PLAIN = "plain"
    HEARTBEAT = "heartbeat"


RecipeName = Annotated[str, typer.Argument(metavar="RECIPE", help="Name of a recipe; seqship list shows them.")]
DataPath = Annotated[
    Path | None, typer.Option("--data", metavar="PATH", help="Real data; the recipe's generated data if left out.")
]
Epochs = Annotated[
    int | None, typer.Option("--epochs", metavar="N", help="Most epochs; early stopping may end sooner.")
]
Seed = Annotated[int, typer.Option("--seed", metavar="N", help="Seed of the data, the weights and the cases.")]
Force = Annotated[bool, typer.Option("--force", help="Replace an existing output.")]
Signature = Annotated[
    list[str] | None,
    typer.Option("--signature", metavar="NAME=SHAPE:DTYPE", help="An input, such as x=?,?,1:float32; repeatable."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
Keras = Annotated[RecipeKeras, typer.Option("--keras", help="2 is tf-keras, 3 is Keras 3.")]
SplitBy = Annotated[Split, typer.Option("--split", help="Split the data by beat, or by patient.")]
BundlePath = Annotated[Path, typer.Argument(metavar="BUNDLE", help="A bundle's directory.")]


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Prints the version, or the help where no command is given."""
    if version:
        print(f"seqship {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())


@app.command("list", short_help="Show the recipes.")
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
        _print_json(rows)
        return
    for row in rows:
        eligible = "yes" if row["cudnn_eligible"] else "no"
        print(row["name"])
        print(f"  task    {row['task']}")
        print(f"  data    {row['data']}")
        print(f"  model   {row['params']:,} parameters, cuDNN-eligible: {eligible}")
        print(f"  run     seqship ship {row['name']}")


@app.command("ship", short_help="Data to proven bundle: train, export, verify.")
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
    checkpoints: Annotated[
        Path | None,
        typer.Option(
            "--checkpoints", metavar="DIR", help="Keep checkpoints here, and go on from those that are there."
        ),
    ] = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """The main job: data, training, export, proof and bundle.

    Exit code 0 says that Keras, the SavedModel and the ONNX file compute the same; 1 that they do not.

    Example:  seqship ship ecg-gru --data heartbeats/ --out bundles/ecg
    """
    from seqship.models.catalogue import recipe as find_recipe

    find_recipe(recipe)  # An unknown name is told before TensorFlow is imported.
    quiet_tensorflow()
    from seqship.export import ship_recipe

    with progress_bar() as progress:
        bundle = ship_recipe(
            recipe,
            out or Path("bundles") / recipe,
            data=data,
            keras=keras.version(),
            epochs=epochs,
            seed=seed,
            split=split.value,
            checkpoints=checkpoints,
            force=force,
            progress=progress,
        )
    _report(bundle, as_json)


@app.command("train", short_help="Train a recipe, no export.")
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
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted training.")] = False,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Only the training: writes DIR/model.keras and DIR/history.json.

    Training that was interrupted goes on with --resume, to the same weights as if it had not been.

    Example:  seqship train ecg-gru --data heartbeats/ --out runs/ecg --resume
    """
    from seqship.models.catalogue import recipe as find_recipe

    find_recipe(recipe)
    quiet_tensorflow()
    from seqship.export.recipe_job import train_to

    with progress_bar() as progress:
        facts = train_to(
            out or Path("runs") / recipe,
            recipe,
            data=data,
            keras=keras.version(),
            epochs=epochs,
            seed=seed,
            split=split.value,
            resume=resume,
            force=force,
            progress=progress,
        )
    if as_json:
        _print_json(facts)
        return
    accuracy, majority = facts["metrics"]["test_accuracy"], facts["metrics"]["majority_accuracy"]
    resumed = f", resumed after {facts['resumed_at']}" if facts["resumed_at"] else ""
    table(
        [
            ("trained", f"{recipe} on {facts['data']}, best epoch {facts['best_epoch']}{resumed}"),
            ("accuracy", f"{accuracy:.3f} on {facts['test_rows']:,} test rows; majority class {majority:.3f}"),
            ("model", facts["model"]),
        ]
    )


@app.command("export", short_help="Export and prove a model of your own.")
def export_command(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A .keras or .h5 file, a SavedModel, or package.module:factory.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="The bundle to make.")],
    keras: Annotated[KerasChoice, typer.Option("--keras", help="Which Keras reads the file.")] = KerasChoice.AUTO,
    signature: Signature = None,
    opset: Annotated[
        int | None, typer.Option("--opset", metavar="N", help="ONNX operator set; default the newest.")
    ] = None,
    padding: Annotated[
        PaddingChoice, typer.Option("--padding", help="right: every mask is off behind the data alone.")
    ] = PaddingChoice.ANY,
    formats: Annotated[
        str, typer.Option("--formats", metavar="LIST", help="What to write, comma-separated.")
    ] = "saved_model,onnx",
    allow_loop: Annotated[
        bool, typer.Option("--allow-loop/--no-loop", help="Whether a layer without an ONNX operator may become a Loop.")
    ] = True,
    require_cudnn: Annotated[
        bool, typer.Option("--require-cudnn", help="Fail unless cuDNN can run every recurrent layer.")
    ] = False,
    classes: Annotated[
        str | None,
        typer.Option("--classes", metavar="LIST", help="Names of the first output's classes, comma-separated."),
    ] = None,
    vocabulary: Annotated[
        Path | None,
        typer.Option("--vocabulary", metavar="FILE", help="One word a line: the export then takes raw text, too."),
    ] = None,
    text_length: Annotated[
        int | None, typer.Option("--text-length", metavar="N", help="Most words of a text; the rest is cut.")
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Name of the model; default the directory's.")
    ] = None,
    seed: Seed = 0,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Exports a model of your own, proves the exports equal, and writes the bundle.

    Example:  seqship export model.keras -o bundles/mine
    """
    from seqship.atomic import check_output

    check_output(out, force=force)
    quiet_tensorflow()
    from seqship.export import ship
    from seqship.export.signature import parse_field
    from seqship.models import load_model
    from seqship.pipelines.text_vectorizer import TextVectorizer

    inputs = [parse_field(text) for text in signature] if signature else None
    if text_length is not None and vocabulary is None:
        raise DataError("--text-length is for texts; give their --vocabulary too")
    vectorizer = None if vocabulary is None else TextVectorizer.load(vocabulary, max_length=text_length)
    loaded = load_model(model, keras=keras.version())
    with progress_bar() as progress:
        bundle = ship(
            loaded.model,
            out,
            name=name or out.absolute().name,
            inputs=inputs,
            formats=[part.strip() for part in formats.split(",") if part.strip()],
            opset=opset,
            padding=padding.value,
            allow_loop=allow_loop,
            require_cudnn=require_cudnn,
            source=loaded.to_json(),
            classes=None if classes is None else [part.strip() for part in classes.split(",")],
            vectorizer=vectorizer,
            seed=seed,
            force=force,
            progress=progress,
        )
    _report(bundle, as_json)


@app.command("verify", short_help="Check a bundle again, from its files alone.")
def verify_command(
    bundle: BundlePath,
    data: Annotated[
        Path | None, typer.Option("--data", metavar="PATH", help="Real data to compare the runtimes on as well.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse files that the manifest does not name.")] = False,
    as_json: Json = False,
) -> None:
    """Checks every digest and every case again, from the bundle alone, and rewrites its report.

    Example:  seqship verify bundles/ecg-gru
    """
    from seqship.export import read_bundle

    opened = read_bundle(bundle)
    quiet_tensorflow()
    from seqship.export import verify

    rows = None if data is None else _sequences(opened, data)
    with progress_bar() as progress:
        verified, proof = verify(bundle, data=rows, strict=strict, progress=progress)
    _report(verified, as_json, failures=[agreement.sentence() for agreement in proof.failures])


@app.command("inspect", short_help="Show each recurrent layer and its operator.")
def inspect_command(
    target: Annotated[str, typer.Argument(metavar="MODEL_OR_BUNDLE", help="A bundle, or what export takes.")],
    keras: Annotated[KerasChoice, typer.Option("--keras", help="Which Keras reads a file.")] = KerasChoice.AUTO,
    signature: Signature = None,
    require_cudnn: Annotated[
        bool, typer.Option("--require-cudnn", help="Exit with 1 unless cuDNN can run every recurrent layer.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Shows each recurrent layer: its ONNX operator or why it has none, and whether cuDNN can run it.

    Example:  seqship inspect model.keras
    """
    from seqship.models.saved import is_saved_model

    rows: list[dict[str, Any]]
    remarks: tuple[str, ...] = ()
    if Path(target).is_dir() and not is_saved_model(Path(target)):
        from seqship.export import read_bundle

        rows = list(read_bundle(target).manifest.get("audit", []))
    else:
        quiet_tensorflow()
        from seqship.export.inspection import inspect_model
        from seqship.export.signature import parse_field
        from seqship.models import load_model

        inputs = [parse_field(text) for text in signature] if signature else None
        model = load_model(target, keras=keras.version()).model
        rows = [row.to_json() for row in inspect_model(model, input_signature=inputs)]
        if is_saved_model(Path(target)):
            from seqship.export.saved_model_lint import lint_saved_model

            remarks = lint_saved_model(Path(target))
    if as_json:
        _print_json(rows)
    elif not rows:
        print("no recurrent layer")
    for row in [] if as_json else rows:
        print(f"{row['layer']}: {row['kind']}({row['units']}), {row['params']:,} parameters")
        print(f"  onnx    {row['onnx']}{_because(row['onnx_reasons'])}")
        masks = [f"for masks {' and '.join(row['cudnn_masks'])}"] if row.get("cudnn_masks") else []
        eligible = "eligible" if row["cudnn_eligible"] else "not eligible"
        print(f"  cudnn   {eligible}{_because(row['reasons'] or masks)}")
    for remark in remarks:  # The JSON is a list of layers.
        print(f"remark: {remark}", file=sys.stderr if as_json else sys.stdout)
    if require_cudnn and not all(row["cudnn_eligible"] for row in rows):
        raise typer.Exit(1)


@app.command("predict", short_help="Answer for sequences, without TensorFlow.")
def predict_command(
    bundle: BundlePath,
    source: Annotated[
        Path, typer.Option("--input", "-i", metavar="FILE", help="JSON lines, CSV or npz; texts for a text model.")
    ] = Path("-"),
    runtime: Annotated[Runtime, typer.Option("--runtime", help="onnx needs no TensorFlow.")] = Runtime.ONNX,
    csv: Annotated[
        Csv,
        typer.Option("--csv", help="heartbeat: 187 samples, zero padded, then the class; auto tells by the bundle."),
    ] = Csv.AUTO,
) -> None:
    """Answers for sequences: one JSON line each.

    Example:  echo '[0.98, 1.0, 0.58, 0.13]' | seqship predict bundles/ecg-gru
    """
    from seqship.serving import Predictor
    from seqship.serving.records import prediction_lines, read_records
    from seqship.serving.text_records import read_texts

    predictor = Predictor(bundle) if runtime is Runtime.ONNX else _saved_model_predictor(bundle)
    inputs = [field for field in predictor.inputs if not field.is_state]
    if len(inputs) != 1:
        raise DataError(f"{bundle} takes {len(inputs)} inputs, predict gives one; use serving.Predictor")
    texts = predictor.vectorizer is not None
    if str(source) == "-" and sys.stdin.isatty():
        what = "texts from the terminal, one" if texts else "sequences from the terminal, a JSON list"
        print(f"reading {what} a line; Ctrl-D ends", file=sys.stderr)
    stream = sys.stdin.buffer if str(source) == "-" else source
    if texts:
        records: Any = read_texts(stream)
    else:
        layout = _csv_layout(bundle) if csv is Csv.AUTO else csv.value
        records = read_records(stream, predictor.inputs[0], layout=layout)
    for line in prediction_lines(predictor.predict(records)):
        print(line)


def _saved_model_predictor(path: Path) -> Any:
    from seqship.export import read_bundle
    from seqship.serving import Predictor

    opened = read_bundle(path)
    if opened.saved_model is None:
        raise ModelError(f"{path} holds no SavedModel; use --runtime onnx")
    quiet_tensorflow()
    from seqship.export.runners import saved_model_runner

    run = saved_model_runner(opened.saved_model)
    return Predictor.from_runner(opened.inputs, opened.outputs, run, vectorizer=opened.vectorizer())


def _csv_layout(path: Path) -> Literal["plain", "heartbeat"]:
    """Heartbeat bundles are given heartbeat files: their padding must not be taken for data."""
    from seqship.export import read_bundle

    if not path.is_dir():
        return "plain"
    source = read_bundle(path, check=False).manifest["source"]
    return "heartbeat" if source.get("name") == "ecg-gru" else "plain"


def _sequences(opened: Any, data: Path) -> Any:
    """Reads what --data names: a recipe's own layout, or what predict takes."""
    from seqship.models.catalogue import recipe as find_recipe
    from seqship.pipelines.sequences import Sequences, merge

    source = opened.manifest["source"]
    if source.get("kind") == "recipe":
        return merge(*find_recipe(source["name"]).load(data, Split.BEAT.value, 0))
    if len(opened.inputs) != 1:
        raise DataError(f"{opened.path} takes {len(opened.inputs)} inputs; --data gives one")
    import numpy as np

    from seqship.serving.records import read_records
    from seqship.serving.sequence_checks import check_sequences

    field = opened.inputs[0]
    values = check_sequences(read_records(data, field), field)
    return Sequences(values, np.zeros(len(values), np.int64), ("",), source=str(data))


def _report(bundle: Any, as_json: bool, failures: list[str] | None = None) -> None:
    """Prints what a bundle is, and exits with 1 where its proof did not hold."""
    from seqship.export.summary import summary, summary_rows

    try:
        if as_json:
            _print_json(summary(bundle))
        else:
            table(summary_rows(bundle))
            for line in failures or []:
                print(f"  {line}")
    except BrokenPipeError:
        if bundle.equivalent:
            raise
    if not bundle.equivalent:
        raise typer.Exit(1)


def _because(reasons: list[str]) -> str:
    return f": {'; '.join(reasons)}" if reasons else ""


def _print_json(document: Any) -> None:
    print(json.dumps(document, indent=1, ensure_ascii=False))
