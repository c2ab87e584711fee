"""Commands of bundles: verify, predict."""

from __future__ import annotations

import contextlib
import functools
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from seqship.cli.options import BundlePath, Csv, Json, Runtime
from seqship.cli.printing import compared, report
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
    quick: Annotated[
        bool, typer.Option("--quick", help="A few cases that have each condition once; the bundle stays as it is.")
    ] = False,
    url: Annotated[
        list[str] | None,
        typer.Option(
            "--url", metavar="URL", help="Ask a server instead: http://.../v1/models/NAME, grpc://...; repeatable."
        ),
    ] = None,
    atol: Annotated[float | None, typer.Option("--atol", help="A fixed tolerance instead of the oracle's.")] = None,
    rtol: Annotated[float | None, typer.Option("--rtol", help="Its part in proportion to the value.")] = None,
    as_json: Json = False,
) -> None:
    """Checks every digest and every case again, from the bundle alone, and rewrites its report.

    With --url, the cases are asked of a server, and the bundle stays as it is.

    Example:  seqship verify bundles/ecg-gru
    """
    from seqship.export import read_bundle

    tolerance = _tolerance(atol, rtol)
    if url:
        if data is not None or strict or quick:
            raise DataError("--url asks a server the bundle's cases; leave out --data, --strict and --quick")
        _verify_served(bundle, url, tolerance, as_json)
        return
    if quick and data is not None:
        raise DataError("--quick runs a few cases of the bundle; leave out --data, or --quick")
    opened = read_bundle(bundle)
    quiet_tensorflow()
    from seqship.export import verify
    from seqship.export.verification import verify_quickly

    if quick:
        with progress_bar() as progress:
            _, proof = verify_quickly(bundle, strict=strict, tolerance=tolerance, progress=progress)
        compared(proof, {"bundle": str(bundle)}, as_json)
        return
    rows = None if data is None else _sequences(opened, data)
    with progress_bar() as progress:
        verified, proof = verify(bundle, data=rows, strict=strict, tolerance=tolerance, progress=progress)
    report(verified, as_json, failures=[agreement.sentence() for agreement in proof.failures])


def _tolerance(atol: float | None, rtol: float | None) -> Any:
    if atol is None and rtol is None:
        return None
    from seqship.export import Tolerance

    if min(atol or 0, rtol or 0) < 0 or not (atol or rtol):
        raise DataError(f"--atol and --rtol are 0 or more, and not both 0; got {atol or 0} and {rtol or 0}")
    return Tolerance(atol or 0.0, rtol or 0.0, "given by the user")


def _verify_served(path: Path, urls: list[str], tolerance: Any, as_json: bool) -> None:
    from seqship.export import read_bundle, verify_served
    from seqship.pipelines.signature_contracts import signature_for
    from seqship.serving import Client

    def asking(client: Client) -> Any:
        def run(feed: Any) -> Any:
            return client.predict(dict(feed), signature=signature_for(feed, opened.inputs))

        return run

    with contextlib.ExitStack() as open_clients, progress_bar() as progress:
        # An address of gRPC names no model: the bundle's name is what push and ship call it.
        opened = read_bundle(path, check=False)
        clients = {
            url: open_clients.enter_context(Client(url, model=None if "/v1/models/" in url else opened.name))
            for url in urls
        }
        runners = {url: asking(client) for url, client in clients.items()}
        _, proof = verify_served(path, runners, tolerance=tolerance, progress=progress)
    compared(proof, {"urls": urls}, as_json)


def predict_command(
    bundle: BundlePath,
    source: Annotated[
        Path, typer.Option("--input", "-i", metavar="FILE", help="JSON lines, CSV or npz; texts for a text model.")
    ] = Path("-"),
    runtime: Annotated[Runtime, typer.Option("--runtime", help="onnx needs no TensorFlow.")] = Runtime.ONNX,
    int8: Annotated[bool, typer.Option("--int8", help="Use the bundle's model.int8.onnx.")] = False,
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

    if int8 and runtime is not Runtime.ONNX:
        raise DataError(f"--int8 is an ONNX file, --runtime is {runtime.value}; leave one out")
    predictor = Predictor(bundle, int8=int8) if runtime is Runtime.ONNX else _saved_model_predictor(bundle)
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
    plain = [field for field in opened.inputs if not field.is_state]
    if len(plain) != 1:
        raise DataError(f"{opened.path} takes {len(plain)} inputs; --data gives one")
    import numpy as np

    from seqship.serving.records import read_records
    from seqship.serving.sequence_checks import check_sequences

    field = plain[0]
    values = check_sequences(read_records(data, field), field)
    return Sequences(values, np.zeros(len(values), np.int64), ("",), source=str(data))
