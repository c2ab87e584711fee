"""The figures as text."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks import conversion, latency
from benchmarks.forms import KERAS, KERAS_EXPORT, SAVED_MODEL, SEQSHIP, STOCK
from benchmarks.latency import AGAIN
from benchmarks.ratio import Ratio
from benchmarks.targets import TARGETS, Judged, judge, judge_conversion

FLAVOURS = {2: "tf-keras", 3: "Keras 3"}


def latency_table(rows: Sequence[latency.Row]) -> str:
    """Returns one line for each model and batch size."""
    others = [STOCK, KERAS_EXPORT, SAVED_MODEL, *([KERAS] if any(KERAS in row.ratio for row in rows) else [])]
    head = ["model", "Keras", "batch", "steps", "seqship", *others, "noise", "differs by", "Loops", "targets"]
    lines: list[list[str]] = []
    for row in rows:
        ours = row.median_ms.get(SEQSHIP)
        differences = [value for form, value in row.difference.items() if form != SEQSHIP]
        lines.append(
            [
                row.model,
                FLAVOURS[row.keras],
                str(row.batch),
                str(row.steps),
                "failed" if ours is None else f"{ours:.3f} ms",
                *(_cell(row, form) for form in (*others, AGAIN)),
                f"{max(differences):.0e}" if differences else "",
                "" if row.stock_loops is None else str(row.stock_loops),
                ", ".join(f"{judged.target} {judged.verdict}" for judged in judge(row)),
            ]
        )
    return _aligned([head, *lines])


def conversion_table(rows: Sequence[conversion.Row]) -> str:
    """Returns one line for each model."""
    head = ["model", "Keras", "seqship", STOCK, "ratio", "nodes", "Loops", "bytes", "targets"]
    lines: list[list[str]] = []
    for row in rows:
        files = [row.files.get(tool) for tool in conversion.TOOLS]
        lines.append(
            [
                row.model,
                FLAVOURS[row.keras],
                *(f"{row.seconds[tool]:.2f} s" if tool in row.seconds else "failed" for tool in conversion.TOOLS),
                "" if row.ratio is None else shown(row.ratio),
                *(
                    " : ".join("-" if file is None else f"{getattr(file, what):,}" for file in files)
                    for what in ("nodes", "loops", "size")
                ),
                ", ".join(f"{judged.target} {judged.verdict}" for judged in judge_conversion(row)),
            ]
        )
    return _aligned([head, *lines])


def failures(rows: Sequence[latency.Row | conversion.Row]) -> str:
    """Returns a line for each thing that failed; the same failure at every batch size is one."""
    lines = [
        f"{row.model}, {FLAVOURS[row.keras]}, {what}: {text}"
        for row in rows
        for what, text in row.errors.items()
        if text != "n/a" and what != AGAIN
    ]
    return "\n".join(dict.fromkeys(lines))


def verdicts(judged: Sequence[Judged]) -> str:
    """Returns a line for each target, with what missed it."""
    lines: list[str] = []
    for target, meaning in TARGETS.items():
        of_it = [one for one in judged if one.target == target]
        missed = [one for one in of_it if one.verdict == "missed"]
        if of_it:
            lines.append(f"{target}: met {len(of_it) - len(missed)} of {len(of_it)} ({meaning})")
            lines += [f"  missed: {_place(one)} {_times(one.ratio)}" for one in missed]
    return "\n".join(lines)


def _place(one: Judged) -> str:
    return f"{one.model}, {FLAVOURS[one.keras]}" + ("" if one.batch is None else f", batch {one.batch}:")


def _cell(row: latency.Row, form: str) -> str:
    if form in row.ratio:
        return shown(row.ratio[form])
    return {"n/a": "n/a", "": ""}.get(row.errors.get(form, ""), "failed")


def shown(ratio: Ratio) -> str:
    """Returns a ratio and its spread as text."""
    return f"{_times(ratio.median)} ({_times(ratio.low)[:-1]}-{_times(ratio.high)[:-1]})"


def _times(ratio: float) -> str:
    return f"{ratio:.0f}x" if ratio >= 9.95 else f"{ratio:.1f}x" if ratio >= 1.95 else f"{ratio:.2f}x"


def _aligned(lines: Sequence[Sequence[str]]) -> str:
    """Aligns columns: what begins with a digit to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    right = [any(cell[:1].isdigit() for cell in column) for column in zip(*lines, strict=True)]
    shown = [
        "  ".join(
            cell.rjust(width) if by_right else cell.ljust(width)
            for cell, width, by_right in zip(line, widths, right, strict=True)
        )
        for line in lines
    ]
    return "\n".join(line.rstrip() for line in shown)
