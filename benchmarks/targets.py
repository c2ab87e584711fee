"""What the figures are to reach, and whether they do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from benchmarks import conversion, latency
from benchmarks.forms import SAVED_MODEL, STOCK

Verdict = Literal["met", "missed"]
NOISE = 0.95
"""Two processes with the same file differ by this much, each steady in itself."""
TEN, FIVE, NO_LESS, CONVERSION = (
    "SavedModel 10x",
    "tf2onnx 5x",
    "tf2onnx not faster",
    "conversion within 1.5x",
)
TARGETS = {
    TEN: "at batch 1 the SavedModel takes at least 10 times as long, for masked, GRU and SimpleRNN models",
    FIVE: "at batch 1 stock tf2onnx takes at least 5 times as long, where its file has a Loop",
    NO_LESS: (
        "stock tf2onnx is not faster, where its file has no Loop; it is where the middle half of its rounds lies "
        "wholly below that of the noise, seqship's file against itself, and below 0.95"
    ),
    CONVERSION: "seqship takes at most 1.5 times as long as stock tf2onnx to convert imdb-bilstm",
}


@dataclass(frozen=True)
class Judged:
    """One target for one row."""

    target: str
    model: str
    keras: int
    batch: int | None
    ratio: float
    verdict: Verdict


def judge(row: latency.Row) -> list[Judged]:
    """Returns the targets that apply to a row and have a figure."""
    judged: list[Judged] = []

    def enter(target: str, ratio: float, met: bool) -> None:
        verdict: Verdict = "met" if met else "missed"
        judged.append(Judged(target, row.model, row.keras, row.batch, ratio, verdict))

    saved, stock, again = (row.ratio.get(form) for form in (SAVED_MODEL, STOCK, latency.AGAIN))
    if saved is not None and row.batch == 1 and row.slow_in_tensorflow:
        enter(TEN, saved.median, saved.median >= 10)
    if stock is not None and row.stock_loops and row.batch == 1:
        enter(FIVE, stock.median, stock.median >= 5)
    if stock is not None and again is not None and not row.stock_loops:
        enter(NO_LESS, stock.median, stock.high >= min(NOISE, again.low))
    return judged


def judge_conversion(row: conversion.Row) -> list[Judged]:
    """Returns the target of a conversion, where there is one."""
    if row.ratio is None or row.model != "imdb-bilstm":
        return []
    verdict: Verdict = "met" if row.ratio.median >= 1 / 1.5 else "missed"
    return [Judged(CONVERSION, row.model, row.keras, None, row.ratio.median, verdict)]
