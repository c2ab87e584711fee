"""Commands of models: export, inspect."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from seqship.cli.options import Force, Json, KerasChoice, PaddingChoice, Quantize, Seed, Signature
from seqship.cli.printing import because, print_json, report
from seqship.errors import DataError
from seqship.terminal import progress_bar, quiet_tensorflow


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
    quantize: Quantize = None,
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
            quantize=None if quantize is None else quantize.value,
            source=loaded.to_json(),
            classes=None if classes is None else [part.strip() for part in classes.split(",")],
            vectorizer=vectorizer,
            seed=seed,
            force=force,
            progress=progress,
        )
    report(bundle, as_json)


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
        from seqship.export.int8_summary import with_int8

        manifest = read_bundle(target).manifest
        rows = with_int8(manifest.get("audit", []), manifest.get("int8"))
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
        print_json(rows)
    elif not rows:
        print("no recurrent layer")
    for row in [] if as_json else rows:
        print(f"{row['layer']}: {row['kind']}({row['units']}), {row['params']:,} parameters")
        print(f"  onnx    {row['onnx']}{because(row['onnx_reasons'])}")
        if "int8" in row:
            print(f"  int8    {'int8 weights' if row['int8'] else 'float32'}{because(row['int8_reasons'])}")
        masks = [f"for masks {' and '.join(row['cudnn_masks'])}"] if row.get("cudnn_masks") else []
        eligible = "eligible" if row["cudnn_eligible"] else "not eligible"
        print(f"  cudnn   {eligible}{because(row['reasons'] or masks)}")
    for remark in remarks:  # The JSON is a list of layers.
        print(f"remark: {remark}", file=sys.stderr if as_json else sys.stdout)
    if require_cudnn and not all(row["cudnn_eligible"] for row in rows):
        raise typer.Exit(1)
