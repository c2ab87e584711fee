"""What a difference does to the task, as the report shows it: measures of both, and the decisions that changed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seqship.export.report_cases import runner_name
from seqship.export.report_plots import number, or_infinite, plain, times

MOST_CHANGED = 50
"""Changed decisions on the page; all of them are in `report.json`."""

_MEASURES = {"accuracy": "Accuracy", "auc": "AUC", "f1": "F1", "mae": "Mean absolute error", "rmse": "RMSE"}


@dataclass(frozen=True)
class Changed:
    """A row of data that a runtime puts into another class.

    Attributes:
        runner: The runtime, in words.
        row: Number of the row.
        reference: Keras' class.
        other: The runtime's.
        margin: By how much Keras preferred its class.
    """

    runner: str
    row: int
    reference: str
    other: str
    margin: object


@dataclass(frozen=True)
class Task:
    """One output, in all runtimes.

    Attributes:
        output: Its name.
        runners: The runtimes, in words.
        rows: Label, what Keras has, and what each runtime has.
        changed: Decisions that changed, the widest margin first.
        left_out: How many more there are.
        sentence: What the margins say.
    """

    output: str
    runners: tuple[str, ...]
    rows: tuple[tuple[str, str, tuple[str, ...]], ...]
    changed: tuple[Changed, ...]
    left_out: int
    sentence: str


def tasks(test_split: Sequence[Mapping[str, Any]], outputs: Sequence[Mapping[str, Any]]) -> list[Task]:
    """Returns the tasks of a document, one for each output that has any.

    Args:
        test_split: The document's `test_split`.
        outputs: The contract's outputs: of their classes' names.
    """
    classes = {field["name"]: field.get("classes") or () for field in outputs}
    rows = [row for row in test_split if row.get("task")]
    names = dict.fromkeys(row["output"] for row in rows)
    return [_task(name, [row for row in rows if row["output"] == name], classes.get(name, ())) for name in names]


def _task(output: str, rows: Sequence[Mapping[str, Any]], classes: Sequence[str]) -> Task:
    found = {runner_name(row["runner"]): row["task"] for row in rows}
    every = list(found.values())
    changed = [
        Changed(runner, one["row"], _class(one["reference"], classes), _class(one["other"], classes), one["margin"])
        for runner, task in found.items()
        for one in task["changed"]
    ]
    changed.sort(key=lambda one: -or_infinite(number(one.margin)))
    return Task(
        output=output,
        runners=tuple(found),
        rows=(*_measures(every), *_decisions(every)),
        changed=tuple(changed[:MOST_CHANGED]),
        left_out=max(0, len(changed) - MOST_CHANGED),
        sentence=_sentence(every, len(changed)),
    )


def _measures(every: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, tuple[str, ...]]]:
    names = dict.fromkeys(str(name) for task in every for name in task.get("measures") or ())
    told: list[tuple[str, str, tuple[str, ...]]] = []
    for name in names:
        found = [(task.get("measures") or {}).get(name) or {} for task in every]
        reference = next((one.get("reference") for one in found if one), None)
        if reference is None and not any(one.get("other") is not None for one in found):
            continue  # One class alone has no AUC.
        others = tuple(plain(one.get("other"), 5) for one in found)
        told.append((_MEASURES.get(name, name), plain(reference, 5), others))
    return told


def _decisions(every: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, tuple[str, ...]]]:
    told: list[tuple[str, str, tuple[str, ...]]] = []
    for k in dict.fromkeys(k for task in every for k in task.get("top_k") or ()):
        label = "Same class as Keras" if k == "1" else f"Same {k} best classes as Keras"
        told.append((label, "–", tuple(_share((task.get("top_k") or {}).get(k)) for task in every)))
    if any(task.get("top_k") for task in every):  # A regression decides nothing.
        told.append(("Changed decisions", "–", tuple(f"{len(task['changed']):,}" for task in every)))
    told.append(
        ("Largest difference of a score", "–", tuple(plain(task.get("largest_difference"), 2) for task in every))
    )
    smallest = next((task for task in every if task.get("smallest_margin") is not None), None)
    if smallest is not None:
        label = f"Smallest margin of a decision, in row {smallest['smallest_margin_row']}"
        told.append((label, plain(smallest["smallest_margin"], 3), tuple("–" for _ in every)))
        fitting = tuple(_times(task.get("margin_times")) for task in every)
        told.append(("That margin by the largest difference", "–", fitting))
    return told


def _sentence(every: Sequence[Mapping[str, Any]], changed: int) -> str:
    known = [number(task["margin_times"]) for task in every if task.get("margin_times") is not None]
    if changed or not known:
        return ""
    if min(known) >= 2:  # Two scores may move towards each other.
        return (
            "No decision is near to turning: even the least certain one is preferred by more than the differences of "
            "the scores together could take away."
        )
    return "No decision changed, though the least certain one is preferred by less than the scores differ elsewhere."


def _class(index: int, classes: Sequence[str]) -> str:
    if index < 0:
        return "none (not a number)"
    return classes[index] if index < len(classes) else str(index)


def _share(value: object) -> str:
    if value is None:
        return "–"
    share = number(value)
    # A share that is not quite everything must not be rounded to it.
    return "100\u00a0%" if share == 1 else f"{math.floor(share * 1e5) / 1e3:g}\u00a0%"


def _times(value: object) -> str:
    size = number(value)
    if value is None:
        return "–"
    return "no difference" if math.isinf(size) else times(size)
