"""SavedModels of seqship beside those of `model.export`: size of the graph, and time until the first answer.

`python -m benchmarks.saved_model`. Each form is loaded in turn in one process: by `tf.saved_model.load`, and into a
session, as TF-Serving does it; the first call counts for both, since TensorFlow does much of its work there.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.architectures import Version, build, by_name
from benchmarks.child import Child, ChildError
from benchmarks.markdown import markdown_table
from benchmarks.ratio import Ratio, ratio_of

MODELS: tuple[tuple[str, Version], ...] = (
    ("ecg-gru", 2),
    ("ecg-gru", 3),
    ("imdb-bilstm", 2),
    ("imdb-bilstm", 3),
    ("series-gru", 2),
    ("series-gru", 3),
    ("bidirectional", 2),
)
FORMS = ("seqship", "Keras export")
WAYS = ("tf.saved_model.load", "session")
LIMIT = 300.0
GRADIENTS = ("__backward_", "__forward_")


@dataclass(frozen=True)
class Form:
    """One SavedModel.

    Attributes:
        path: The directory.
        graph_bytes: Size of saved_model.pb.
        functions: Number of functions in its library.
        gradients: How many of them are there for gradients.
        cudnn: Number of CudnnRNNV3 operations.
    """

    path: str
    graph_bytes: int
    functions: int
    gradients: int
    cudnn: int


@dataclass(frozen=True)
class Row:
    """One model: its forms, and seconds to load each and answer once."""

    model: str
    keras: Version
    forms: dict[str, Form]
    seconds: dict[str, dict[str, float]]
    ratio: dict[str, dict[str, Ratio]]
    error: str = ""


def measure(models: Sequence[tuple[str, Version]], rounds: int, folder: str) -> list[Row]:
    """Writes and loads each model in every form, in turn."""
    rows: list[Row] = []
    for name, version in models:
        print(f"loading {name}, Keras {version}", file=sys.stderr, flush=True)
        child = Child(_loader, (name, version, folder))
        try:
            forms: dict[str, Form] = child.ask("", "", limit=LIMIT)
            taken: dict[str, dict[str, list[float]]] = {way: {form: [] for form in FORMS} for way in WAYS}
            for way in WAYS:
                for form in FORMS:  # To warm up.
                    child.ask(way, form, limit=LIMIT)
                for _ in range(rounds):
                    for form in FORMS:
                        taken[way][form].append(child.ask(way, form, limit=LIMIT))
            seconds = {way: {form: float(np.median(times)) for form, times in taken[way].items()} for way in WAYS}
            ratio = {
                way: {form: ratio_of(np.array(taken[way][form]) / taken[way][FORMS[0]]) for form in FORMS[1:]}
                for way in WAYS
            }
            rows.append(Row(name, version, forms, seconds, ratio))
        except ChildError as error:
            rows.append(Row(name, version, {}, {}, {}, str(error)))
        finally:
            child.end()
    return rows


def _loader(name: str, version: Version, folder: str) -> Callable[[str, str], Any]:
    """Returns what loads a form in one of the ways, and gives the seconds; asked for nothing, it writes the forms."""
    import tensorflow as tf

    from seqship.export import to_saved_model

    architecture = by_name(name)
    model = build(architecture, version)
    values = architecture.inputs(1)
    paths = {form: str(Path(folder) / f"{name}-{version}-{number}") for number, form in enumerate(FORMS)}

    def write() -> dict[str, Form]:
        to_saved_model(model, paths[FORMS[0]])
        model.export(paths[FORMS[1]])
        return {form: _counted(Path(path)) for form, path in paths.items()}

    def python(path: str) -> float:
        began = time.perf_counter()
        loaded = tf.saved_model.load(path)
        function = loaded.signatures["serving_default"]
        (key,) = function.structured_input_signature[1]
        function(**{key: tf.constant(values)})
        return time.perf_counter() - began

    def session(path: str) -> float:
        began = time.perf_counter()
        with tf.Graph().as_default(), tf.compat.v1.Session() as running:
            meta = tf.compat.v1.saved_model.load(running, ["serve"], path)
            signature = meta.signature_def["serving_default"]
            (fed,) = (tensor.name for tensor in signature.inputs.values())
            running.run([tensor.name for tensor in signature.outputs.values()], {fed: values})
        return time.perf_counter() - began

    def load(way: str, form: str) -> Any:
        if not way:
            return write()
        gc.collect()
        return (python if way == WAYS[0] else session)(paths[form])

    return load


def _counted(path: Path) -> Form:
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    data = (path / "saved_model.pb").read_bytes()
    document: Any = SavedModel.FromString(data)
    functions = document.meta_graphs[0].graph_def.library.function
    gradients = sum(any(mark in function.signature.name for mark in GRADIENTS) for function in functions)
    cudnn = sum(node.op == "CudnnRNNV3" for function in functions for node in function.node_def)
    return Form(str(path), len(data), len(functions), gradients, cudnn)


def table(rows: Sequence[Row]) -> str:
    """Returns the figures as Markdown."""
    head = ["model", "Keras", "form", "saved_model.pb", "of export", "functions", "gradient functions", "CudnnRNNV3"]
    head += [f"{way}, ms (ratio)" for way in WAYS]
    lines: list[list[str]] = []
    for row in rows:
        if row.error:
            lines.append([row.model, str(row.keras), f"failed: {row.error}", *[""] * (len(head) - 3)])
        for form, facts in row.forms.items():
            share = facts.graph_bytes / row.forms[FORMS[-1]].graph_bytes
            cells = [row.model, str(row.keras), form, f"{facts.graph_bytes:,}", f"{share:.0%}", str(facts.functions)]
            cells += [str(facts.gradients), str(facts.cudnn)]
            for way in WAYS:
                ratio = row.ratio[way].get(form)
                against = "" if ratio is None else f" ({ratio.median:.2f}x)"
                cells.append(f"{row.seconds[way][form] * 1e3:.0f}{against}")
            lines.append(cells)
    return markdown_table(head, lines)


def main() -> None:
    """Measures all models, or with --quick one."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.saved_model", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one model, two rounds")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(MODELS[:1] if arguments.quick else MODELS, 2 if arguments.quick else 5, folder)
    print(json.dumps([asdict(row) for row in rows], indent=1) if arguments.json else table(rows))


if __name__ == "__main__":
    main()
