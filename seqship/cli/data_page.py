"""A page with the figures of a recipe's data; it opens offline, with nothing beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from seqship.export.report_figures import drawings
from seqship.models.recipe import Figure, histogram
from seqship.pipelines.data_facts import epoch_plan
from seqship.pipelines.examples import ArrayExamples, Examples, SequenceExamples
from seqship.pipelines.window_examples import WindowExamples

MOST_POINTS = 1_500
"""Most points of a series that are drawn: more than the page has pixels for."""
MOST_COLUMNS = 6

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{{ name }}: data</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
figure { margin: 2rem 0; } svg { width: 100%; height: auto; } h2 { font-size: 1rem; margin: 0; }
svg text { font-size: 10px; fill: currentColor; } .grid path { stroke: currentColor; opacity: .15; }
rect { fill: #3b6ea8; } path.line { fill: none; stroke: #3b6ea8; stroke-width: 1; }
path.mark { stroke: #b3541e; stroke-dasharray: 4 3; } table { border-collapse: collapse; }
th, td { text-align: left; padding: .2rem 1rem .2rem 0; font-variant-numeric: tabular-nums; }
</style>
<h1>{{ name }}: data</h1>
<p>{{ source }}</p>
<table><tr><th>split</th><th>examples</th><th>batches</th></tr>
{% for split, one in facts.items() %}<tr><td>{{ split }}</td><td>{{ "{:,}".format(one.examples) }}</td>
<td>{{ "{:,}".format(one.batches) }}</td></tr>{% endfor %}</table>
{% for one in drawings %}<figure>
<h2>{{ one.title }}</h2>
<svg viewBox="0 0 400 226" role="img" aria-label="{{ one.description }}.">
<g class="grid">{% for at, _ in one.y_ticks %}<path d="M46 {{ at }}H388"/>{% endfor %}</g>
{% for at, label in one.y_ticks %}<text x="40" y="{{ at + 4 }}" text-anchor="end">{{ label }}</text>{% endfor %}
{% for at, label in one.x_ticks %}<text x="{{ at }}" y="207" text-anchor="middle">{{ label }}</text>{% endfor %}
{% for x, y, wide, high in one.bars %}<rect x="{{ x }}" y="{{ y }}" width="{{ wide }}" height="{{ high }}"/>{% endfor %}
{% for _, path in one.lines %}<path class="line" d="{{ path }}"/>{% endfor %}
{% for at, label in one.marks %}<path class="mark" d="M{{ at }} 14V190"/>
<text x="{{ at + 3 }}" y="22">{{ label }}</text>{% endfor %}
<text x="388" y="221" text-anchor="end">{{ one.x_label }}</text>
</svg></figure>
{% endfor %}
</html>
"""


def data_page(
    name: str, parts: Mapping[str, Examples], facts: Mapping[str, Mapping[str, Any]], *, batch_size: int, seed: int
) -> str:
    """Returns the page.

    Args:
        name: The recipe's name.
        parts: Examples by split.
        facts: What `facts_of` says of each.
        batch_size: Examples a batch.
        seed: Seed of the plan.
    """
    from jinja2 import Environment

    train = parts["train"]
    figures: list[Figure] = []
    if isinstance(train, SequenceExamples):
        plan = epoch_plan(train, batch_size=batch_size, seed=seed)
        tokens = np.diff(plan.offsets) * plan.steps
        figures = [
            histogram(train.sequences.lengths, title="Training sequences by length", x_label="steps"),
            histogram(tokens, title="Batches by steps, padding counted", x_label="steps of a batch"),
        ]
    elif isinstance(train, WindowExamples):
        figures = _series(parts)
    elif isinstance(train, ArrayExamples):
        figures = [
            histogram(array, title=f"Values of {key}", x_label=key)
            for key, array in train.inputs.items()
            if array.dtype.kind in "fiu"
        ]
    template = Environment(autoescape=True).from_string(_PAGE)
    shown = drawings([figure.to_json() for figure in figures])
    return template.render(name=name, source=facts["train"]["source"], facts=facts, drawings=shown)


def _series(parts: Mapping[str, Examples]) -> list[Figure]:
    """Returns a figure of each column, with the places at which the spans of the other splits begin."""
    train = parts["train"]
    if not isinstance(train, WindowExamples):
        return []
    series = train.series
    shown = np.unique(np.linspace(0, len(series) - 1, min(len(series), MOST_POINTS)).astype(int))
    marks: dict[str, float] = {}
    if len(series.borders) == 2:
        others = (
            (split, part) for split, part in parts.items() if isinstance(part, WindowExamples) and part is not train
        )
        marks = {f"{split} begins": float(part.span.starts[0]) for split, part in others}
    figures: list[Figure] = []
    for column, title in enumerate(series.columns[:MOST_COLUMNS]):
        values = [float(value) if np.isfinite(value) else None for value in series.values[shown, column]]
        content = {"x": shown.tolist(), "lines": {title: values}, "marks": marks, "x_label": "step"}
        figures.append(Figure("lines", title, content))
    return figures
