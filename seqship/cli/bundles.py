"""Commands of bundles: verify, predict."""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from seqship.cli.options import BundlePath, Csv, Json, Runtime
from seqship.cli.printing import report
from seqship.errors import DataError, ModelError
from seqship.terminal import progress_bar, quiet_tensorflow

MOST_ROWS = 20_000
"""Most rows of each side of a recipe's data that `verify --data` compares the runtimes on."""


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
    report(verified, as_json, failures=[agreement.sentence() for agreement in proof.failures])


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
    from seqship.models.recipe import LoadOptions
    from seqship.pipelines.sequences import Sequences, merge

    source = opened.manifest["source"]
    if source.get("kind") == "recipe":
        found = find_recipe(source["name"]).load(LoadOptions(path=data))
        sides = [side.rows(MOST_ROWS) for side in (found.train, found.validation, found.test)]
        rows = [side for side in sides if side is not None]
        if not rows:
            raise DataError(f"the examples of {source['name']} are no single sequences; verify without --data")
        return functools.reduce(merge, rows)
    if len(opened.inputs) != 1:
        raise DataError(f"{opened.path} takes {len(opened.inputs)} inputs; --data gives one")
    import numpy as np

    from seqship.serving.records import read_records
    from seqship.serving.sequence_checks import check_sequences

    field = opened.inputs[0]
    values = check_sequences(read_records(data, field), field)
    return Sequences(values, np.zeros(len(values), np.int64), ("",), source=str(data))
