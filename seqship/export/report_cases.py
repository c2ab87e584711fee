"""Comparisons as the report shows them: the parts of a case's name as columns, the worst first, relations in words."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seqship.export.report_plots import number, or_infinite

_RUNNERS = {
    "keras": "Keras",
    "onnx": "ONNX",
    "onnx_basic": "ONNX, basic optimizations",
    "onnx_off": "ONNX, no optimizations",
    "onnx_1_thread": "ONNX, one thread",
    "onnx_int8": "ONNX, int8",
    "saved_model": "SavedModel",
}
_SIGNATURES = {"tf_example": "tf.Example"}
_RELATIONS = {
    "row-alone": ("a row alone", "A row alone gives what it gives among others."),
    "permuted-rows": ("rows permuted", "Rows in another order give their results in that order."),
    "padded": ("padded", "Padding behind the data changes nothing."),
    "chunked": ("in chunks", "Chunks with the state handed on give what the whole sequence gives."),
    "repeated": ("repeated", "The same call on one thread gives the same bits."),
}
_TEST_DATA, REAL_DATA = "test data", "real test data"
"""The case of the comparison over real data, in the document and on the page."""

MOST_FAILURES = 20
"""Failures of one runner in the table of their own; every one is among the cases."""

_COLUMNS = ("relation", "batch", "time", "mask", "state", "values")
"""Parts of a case's name that have a column; one with others shows its name too."""


@dataclass(frozen=True)
class Comparison:
    """One output of one runtime on one case or on real data, as a row of a table.

    Attributes:
        runner: Name of the runtime in the document.
        output: Name of the output.
        case: The case's name, whole.
        relation: What a runtime is compared with itself in; empty where it is compared with Keras.
        batch: Number of rows, where it is known.
        time: Number of steps, where it is known.
        mask: Kind of mask; empty where it is unknown.
        values: Kind of values.
        state: Kind of states; empty where the model has none.
        max_abs: Largest absolute difference; a number, None, or the word of JSON for what is no number.
        max_rel: Largest relative difference.
        share: Share of what is allowed that is used; NaN where it is unknown.
        limit: What is allowed; NaN where it is not one number.
        position: Index of the worst element.
        expected: The value there that is right.
        actual: The value there that was found.
        passed: Whether it is within the limit.
        note: Why the arrays could not be compared; empty where they could.
        changed: Rows of another class, of real data.
    """

    runner: str
    output: str
    case: str
    relation: str
    batch: object
    time: object
    mask: str
    values: str
    state: str
    max_abs: object
    max_rel: object
    share: float
    limit: float
    position: tuple[int, ...]
    expected: object
    actual: object
    passed: bool
    note: str
    changed: int

    @property
    def named(self) -> bool:
        """Whether the columns do not say everything that the name says."""
        parts = [part.partition("=") for part in self.case.split()]
        return not all(value and key in _COLUMNS for key, _, value in parts)

    @property
    def compared(self) -> bool:
        """Whether there are two arrays of numbers to tell differences of."""
        return not self.note and self.max_abs is not None


@dataclass(frozen=True)
class RelationRow:
    """What one relation gave in each runtime.

    Attributes:
        relation: Its name in the document.
        name: Its name in words.
        sentence: What must hold.
        worst: The worst comparison and the number of cases, by runtime.
    """

    relation: str
    name: str
    sentence: str
    worst: Mapping[str, tuple[Comparison, int]]


def comparison(row: Mapping[str, Any], *, case: str | None = None) -> Comparison:
    """Reads a row of `cases` or `test_split`; what it lacks is unknown.

    Args:
        row: The row.
        case: Name of the case, where the row has none.
    """
    name = row["case"] if case is None else case
    parts = dict(part.split("=", 1) for part in name.split() if "=" in part)
    known = {key: row[key] for key in ("batch", "time", "mask", "values") if row.get(key) is not None}
    return Comparison(
        runner=row["runner"],
        output=row["output"],
        case=name,
        relation=parts.get("relation", ""),
        batch=known.get("batch", parts.get("batch")),
        time=known.get("time", parts.get("time")),
        mask=str(known.get("mask", parts.get("mask", ""))),
        values=str(known.get("values", parts.get("values", "data"))),
        state=parts.get("state", ""),
        max_abs=row.get("max_abs"),
        max_rel=row.get("max_rel"),
        share=number(row.get("severity")),
        limit=number(row.get("limit")),
        position=tuple(row.get("worst_index") or ()),
        expected=row.get("expected"),
        actual=row.get("actual"),
        passed=bool(row["passed"]),
        note=row.get("note") or "",
        changed=row.get("changed_classes") or 0,
    )


def worst_first(rows: Iterable[Comparison]) -> list[Comparison]:
    """Failed rows before passed ones, each from the largest share of its limit down; what is no number is the worst."""

    def badness(row: Comparison) -> tuple[bool, float, float]:
        # Where the share is unknown, the difference itself has to do.
        return row.passed, 0.0 if math.isnan(row.share) else -row.share, -or_infinite(number(row.max_abs))

    return sorted(rows, key=badness)


def worst_of(
    named: Mapping[str, Any] | None, failures: Sequence[Comparison], every: Sequence[Comparison]
) -> Comparison | None:
    """The row of the worst case, whole where it can be found; a failure always goes before what passed."""
    candidates = failures or every
    if named is not None:
        wanted = [named.get(key) for key in ("runner", "output", "case")]
        for row in candidates:
            case = _TEST_DATA if row.case.startswith(REAL_DATA) else row.case
            if [row.runner, row.output, case] == wanted:
                return row
    if failures or named is None:
        return failures[0] if failures else None
    # The worst over real data is named as such, and may come from a document without rows of it.
    return comparison({"passed": True, **named})


def failure_words(failures: Sequence[Comparison]) -> str:
    """How many comparisons failed, and what with."""
    with_itself = sum(bool(row.relation) for row in failures)
    with_keras = len(failures) - with_itself
    found = [(with_keras, "with Keras"), (with_itself, "of a runtime with itself")]
    told = [f"{count:,} comparison{'s' if count > 1 else ''} {what}" for count, what in found if count]
    return f"{' and '.join(told)} failed"


def shown_failures(failures: Sequence[Comparison]) -> list[Comparison]:
    """The worst of each runner, so that one that always fails does not hide the others."""
    found: list[Comparison] = []
    told: Counter[str] = Counter()
    for row in failures:
        told[row.runner] += 1
        found += [row] if told[row.runner] <= MOST_FAILURES else []
    return found


def case_columns(cases: Sequence[Comparison]) -> dict[str, list[str]]:
    """Columns of the case table that this document needs, with the values to choose from."""
    masks, values, states, outputs, checks = (
        sorted({getattr(row, key) for row in cases} - {""}) for key in ("mask", "values", "state", "output", "relation")
    )
    found = {"mask": masks, "values": values, "state": states, "output": outputs, "relation": checks}
    found["name"] = ["named"] if any(row.named for row in cases) else []
    found["limit"] = ["told"] if any(row.limit >= 0 for row in cases) else []
    return found


def relations(rows: Sequence[Comparison]) -> list[RelationRow]:
    """Sums up the comparisons of each runtime with itself: a row for each relation."""
    found: list[RelationRow] = []
    for relation in dict.fromkeys([*_RELATIONS, *(row.relation for row in rows)]):
        own = worst_first(row for row in rows if relation and row.relation == relation)
        by_runner = {row.runner: [one for one in own if one.runner == row.runner] for row in own}
        worst = {runner: (every[0], len({row.case for row in every})) for runner, every in sorted(by_runner.items())}
        sentence = _RELATIONS[relation][1] if relation in _RELATIONS else ""
        found += [RelationRow(relation, relation_name(relation), sentence, worst)] if own else []
    return found


def relation_name(relation: str) -> str:
    """A relation in words."""
    return _RELATIONS[relation][0] if relation in _RELATIONS else relation


def runner_name(name: str) -> str:
    """A runtime in words: "saved_model:tf_example" is "SavedModel, tf.Example"."""
    if name in _RUNNERS:
        return _RUNNERS[name]
    base, colon, signature = name.partition(":")
    return f"{_RUNNERS[base]}, {_SIGNATURES.get(signature, signature)}" if colon and base in _RUNNERS else name


def runtimes(names: Iterable[str]) -> list[str]:
    """The exports behind the runners, in words: "onnx", "onnx_basic" and "onnx:text" are all of one file."""
    found: list[str] = []
    for name in names:
        base = name.partition(":")[0]
        variant = base in ("onnx_basic", "onnx_off", "onnx_1_thread")
        found.append(runner_name("onnx" if variant else base))
    return list(dict.fromkeys(found))
