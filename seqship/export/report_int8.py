"""The int8 file as the report shows it: its verdict, what it costs, and what of the model is int8."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from seqship.export.bundle import INT8_FILE, ONNX_FILE
from seqship.export.report_cases import Comparison, comparison, worst_first
from seqship.export.report_task import Task, tasks

REFERENCE = "float32"
"""What the int8 file is compared with, in words."""

MOST_FAILURES = 20
"""Failures on the page; all of them are in `report.json`."""

_RUNNERS = {"int8": "int8", "int8_off": "int8, no optimizations", "int8_1_thread": "int8, one thread"}
_OPERATORS = {"LSTM": "LSTM", "MatMul": "matrix product", "Gather": "table"}


@dataclass(frozen=True)
class Int8Layer:
    """A recurrent layer.

    Attributes:
        layer: Its name.
        int8: Whether its weights are int8.
        reasons: Why not; empty where they are.
    """

    layer: str
    int8: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Int8Weight:
    """A tensor of the int8 file against the float32 file.

    Attributes:
        node: The operator.
        weight: Which of its inputs.
        passed: Whether every number is the one next to the float32 file's.
        steps: How far the furthest number is from the float32 file's, in steps of its grid.
        coarse: How many times as wide as 7 bits need be the widest step is.
        position: Where the furthest number is; empty where there is nothing to compare.
        expected: The float32 file's number there.
        actual: The int8 file's.
    """

    node: str
    weight: str
    passed: bool
    steps: object
    coarse: object
    position: tuple[int, ...]
    expected: object
    actual: object


@dataclass(frozen=True)
class Int8Drift:
    """How far the two files are apart after a number of steps.

    Attributes:
        time: Number of steps.
        output: Name of the output.
        max_abs: Largest absolute difference.
        scale: Largest value of the float32 file.
    """

    time: int
    output: str
    max_abs: object
    scale: object


@dataclass(frozen=True)
class Int8Section:
    """What the page says of an int8 file.

    Attributes:
        name: Name of the file.
        passed: Whether it is what int8 makes of the float32 file.
        verdict: The same in words, which go on from "it is".
        sentence: What that was found over.
        failures: What is wrong, a line each.
        left_out: How many more there are.
        size: Size of the file, in words.
        float_size: Size of the float32 file.
        share: Size of the file in proportion to that.
        count: Number of int8 weights, and of all.
        operators: Operators with int8 weights, in words.
        layers: The recurrent layers.
        worst: The comparison nearest to its limit, or furthest beyond it; None where there is none.
        worst_runner: How that was run, in words.
        rule: How far from its own weights the file may be, as the document has it.
        largest: Largest difference from what is expected of the float32 file, over all cases.
        tasks: What changes over real data, for each output.
        rows: Number of rows of real data.
        drift: Both files after more and more steps.
        weights: Each tensor with int8 weights, those that are wrong first.
    """

    name: str
    passed: bool
    verdict: str
    sentence: str
    failures: tuple[str, ...]
    left_out: int
    size: str
    float_size: str
    share: float
    count: str
    operators: str
    layers: tuple[Int8Layer, ...]
    worst: Comparison | None
    worst_runner: str
    rule: Mapping[str, Any]
    largest: object
    tasks: tuple[Task, ...]
    rows: int
    drift: tuple[Int8Drift, ...]
    weights: tuple[Int8Weight, ...]


def int8_section(int8: Mapping[str, Any] | None, outputs: Sequence[Mapping[str, Any]]) -> Int8Section | None:
    """Returns what the page says of a bundle's int8 file, None where there is none.

    The file has passed only where the document says so, something was compared and nothing failed.

    Args:
        int8: The document's `int8`.
        outputs: The contract's outputs: of their classes' names.
    """
    if not int8:
        return None
    cases = worst_first(comparison(row) for row in int8["cases"])
    weights = tuple(sorted(map(_weight, int8["weights"]), key=lambda row: row.passed))
    failed = int8["failures"] or any(not row.passed for row in (*cases, *weights))
    passed = bool(int8["passed"] and cases and weights) and not failed
    return Int8Section(
        name=INT8_FILE,
        passed=passed,
        verdict=f"{'what' if passed else 'NOT what'} int8 makes of {ONNX_FILE}",
        sentence=_sentence(cases, weights),
        failures=tuple(int8["failures"][:MOST_FAILURES]),
        left_out=max(0, len(int8["failures"]) - MOST_FAILURES),
        size=_kilobytes(int8["bytes"]),
        float_size=_kilobytes(int8["float_bytes"]),
        share=int8["bytes"] / int8["float_bytes"],
        count=f"{int8['int8_weights']:,} of {int8['all_weights']:,}",
        operators=", ".join(f"{count} {_OPERATORS.get(name, name)}" for name, count in int8["operators"].items()),
        layers=tuple(Int8Layer(row["layer"], row["int8"], tuple(row["reasons"])) for row in int8["layers"]),
        worst=cases[0] if cases else None,
        worst_runner=_RUNNERS.get(cases[0].runner, cases[0].runner) if cases else "",
        rule=int8["rule"],
        largest=int8["largest"],
        tasks=_tasks(int8["test_split"], outputs),
        rows=max((row["rows"] for row in int8["test_split"]), default=0),
        drift=tuple(Int8Drift(row["time"], row["output"], row["max_abs"], row["scale"]) for row in int8["drift"]),
        weights=weights,
    )


def _weight(row: Mapping[str, Any]) -> Int8Weight:
    return Int8Weight(
        node=row["node"],
        weight=row["weight"],
        passed=bool(row["passed"]),
        steps=row["steps"],
        coarse=row["coarse"],
        position=tuple(row["index"]),
        expected=row["expected"],
        actual=row["actual"],
    )


def _tasks(test_split: Sequence[Mapping[str, Any]], outputs: Sequence[Mapping[str, Any]]) -> tuple[Task, ...]:
    """Returns the tasks, which are told against Keras elsewhere."""
    found = tasks([{**row, "runner": "int8"} for row in test_split], outputs)
    return tuple(
        replace(task, rows=tuple((label.replace("Keras", REFERENCE), *row) for label, *row in task.rows))
        for task in found
    )


def _sentence(cases: Sequence[Comparison], weights: Sequence[Int8Weight]) -> str:
    if not cases or not weights:
        return f"No {'case' if weights else 'weight'} was compared, so nothing is proven of it."
    names, runners = {row.case for row in cases}, {row.runner for row in cases}
    return (
        f"Held to it were {_counted(len(weights), 'tensor')} of int8 weights, and {_counted(len(names), 'case')} in "
        f"{_counted(len(runners), 'setting')} of onnxruntime."
    )


def _counted(count: int, word: str) -> str:
    return f"{count:,} {word}{'s' if count != 1 else ''}"


def _kilobytes(size: int) -> str:
    return f"{size / 1000:,.0f}\u00a0kB"
