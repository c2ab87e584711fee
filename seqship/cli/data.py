"""The command that shows what a recipe would be trained on, before anything is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from seqship.cli.options import Columns, DataPath, Json, RecipeName, Seed, Split, SplitBy
from seqship.cli.printing import print_json
from seqship.terminal import table

BAR = 40
"""Characters of the longest bar."""
SPLITS = ("train", "validation", "test")
SHOWN_CLASSES = 10


def data_command(
    recipe: RecipeName,
    data: DataPath = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE.html", help="Draw it, on a page that opens offline.")
    ] = None,
    seed: Seed = 0,
    split: SplitBy = Split.BEAT,
    column: Columns = None,
    as_json: Json = False,
) -> None:
    """Shows the data of a recipe: how much, how long, how much of a batch is padding, what is missing.

    Example:  seqship data ecg-gru --data heartbeats/ --plot beats.html
    """
    from seqship.errors import OutputError
    from seqship.models.catalogue import recipe as find_recipe
    from seqship.models.recipe import LoadOptions
    from seqship.pipelines.data_facts import facts_of
    from seqship.terminal import quiet_tensorflow

    found = find_recipe(recipe)
    if plot is not None and plot.suffix.lower() not in (".html", ".htm"):
        raise OutputError(f"the plot {plot} is a page; give it a name that ends with .html")
    quiet_tensorflow()
    loaded = found.load(LoadOptions(data, seed, split.value, tuple(column or ())))
    settings = found.quick if data is None else found.training
    parts = {name: getattr(loaded, name) for name in SPLITS}
    facts = {name: facts_of(part, batch_size=settings.batch_size, seed=seed) for name, part in parts.items()}
    if plot is not None:
        from seqship.atomic import check_parent, write_file
        from seqship.cli.data_page import data_page

        check_parent(plot)
        write_file(plot, data_page(recipe, parts, facts, batch_size=settings.batch_size, seed=seed).encode())
    if as_json:
        print_json({"recipe": recipe, "batch_size": settings.batch_size, **facts})
        return
    table([("recipe", f"{recipe}: {found.task}"), ("source", facts["train"]["source"])])
    table([(name, _text(one)) for name, one in facts.items()])
    if rows := _training(facts["train"]):
        table(rows)
    if facts["train"]["kind"] == "sequences":
        _bars(facts["train"]["histogram"])
    if plot is not None:
        print(f"plot  {plot}")


def _text(one: dict[str, Any]) -> str:
    """Returns what one split holds."""
    if one["kind"] == "sequences":
        lengths = one["lengths"]
        steps = f"{lengths['min']} to {lengths['max']} steps, median {lengths['median']:g}"
        text = f"{one['examples']:,} sequences of {steps}"
        shown = list(one["classes"].items())[:SHOWN_CLASSES]
        return text + (f"; {', '.join(f'{name} {count:,}' for name, count in shown)}" if len(shown) > 1 else "")
    if one["kind"] == "windows":
        missing = sum(one["missing"].values())
        series = f" of {one['series']:,} series" if one["series"] > 1 else ""
        return f"{one['examples']:,} windows in {one['steps']:,} steps{series}, {missing:,} values missing"
    inputs = ", ".join(f"{name} {_shape(shape)}" for name, shape in one.get("inputs", {}).items())
    return f"{one['examples']:,} examples" + (f": {inputs}; target {_shape(one['targets'])}" if inputs else "")


def _shape(sizes: list[int]) -> str:
    return "x".join(map(str, sizes)) or "one number"


def _training(one: dict[str, Any]) -> list[tuple[str, str]]:
    """Returns what an epoch of training holds."""
    if one["kind"] == "sequences":
        padding = one["padding"]
        least, most, median = (padding[f"batch_tokens_{name}"] for name in ("min", "max", "median"))
        return [
            (
                "batches",
                f"{one['batches']:,} an epoch, {least:,} to {most:,} steps each (median {median:,.0f}), padding "
                f"counted; {padding['shapes']:,} shapes",
            ),
            (
                "waste",
                f"{100 * padding['waste']:.1f} % of the steps are padding; {100 * one['waste_unsorted']:.1f} % in "
                "batches of any lengths",
            ),
        ]
    rows = [("batches", f"{one['batches']:,} an epoch")]
    if one["kind"] == "windows":
        window = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in one["window"].items())
        rows.append(("window", window + ("; scaled by the training span" if one["scaled"] else "")))
        missing = ", ".join(f"{name} {count:,}" for name, count in one["missing"].items() if count)
        rows.append(("columns", ", ".join(one["columns"])))
        rows += [("missing", missing)] if missing else []
    return rows


def _bars(histogram: list[dict[str, int]]) -> None:
    """Prints the training sequences by length."""
    most = max(bar["sequences"] for bar in histogram)
    ranges = [
        f"{bar['first']}" if bar["first"] == bar["last"] else f"{bar['first']}-{bar['last']}" for bar in histogram
    ]
    width = max(map(len, ranges))
    print("lengths of the training sequences")
    for label, bar in zip(ranges, histogram, strict=True):
        filled = -(-BAR * bar["sequences"] // most)
        print(f"  {label:>{width}}  {'#' * filled:<{BAR}}  {bar['sequences']:,}")
