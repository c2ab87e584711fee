"""Which target applies to a row, and when it is met."""

from __future__ import annotations

import pytest

from benchmarks import latency
from benchmarks.forms import SAVED_MODEL, STOCK
from benchmarks.latency import AGAIN
from benchmarks.ratio import Ratio, ratio_of
from benchmarks.tables import verdicts
from benchmarks.targets import FIVE, NO_LESS, TEN, judge


def row(stock: tuple[float, float, float], *, loops: int | None = 0, batch: int = 1, saved: float = 20) -> latency.Row:
    ratios = {STOCK: Ratio(*stock), SAVED_MODEL: Ratio(saved, saved, saved), AGAIN: Ratio(1, 0.97, 1.02)}
    return latency.Row("ecg-gru", 2, batch, 111, loops, True, 7, {}, ratios, {})


def verdicts_of(one: latency.Row) -> dict[str, str]:
    return {judged.target: judged.verdict for judged in judge(one)}


def test_a_row_at_batch_1_with_a_loop() -> None:
    assert verdicts_of(row((6, 5, 7), loops=2)) == {TEN: "met", FIVE: "met"}
    assert verdicts_of(row((4.9, 4, 7), loops=2, saved=9.9)) == {TEN: "missed", FIVE: "missed"}


def test_a_loop_is_not_judged_at_larger_batches() -> None:
    assert verdicts_of(row((0.3, 0.3, 0.3), loops=2, batch=128)) == {}


@pytest.mark.parametrize(
    ("stock", "verdict"),
    [
        ((1.2, 1.1, 1.3), "met"),
        ((0.9, 0.8, 0.96), "met"),  # its spread reaches into the noise
        ((0.96, 0.955, 0.96), "met"),  # below this run's noise, but no more than any two processes differ
        ((0.9, 0.89, 0.91), "missed"),
    ],
)
def test_native_stock_may_be_faster_within_the_noise(stock: tuple[float, float, float], verdict: str) -> None:
    assert verdicts_of(row(stock, batch=8)) == {NO_LESS: verdict}


def test_what_failed_is_not_judged() -> None:
    assert judge(latency.Row("ecg-gru", 2, 1, 111, None, True, 0, {}, {}, {}, {STOCK: "it failed"})) == []


def test_a_ratio_is_the_median_with_the_middle_half() -> None:
    import numpy as np

    assert ratio_of(np.array([1.0, 2, 3, 4, 100])) == Ratio(3, 2, 4)


def test_what_missed_is_named() -> None:
    text = verdicts(judge(row((4, 4, 4), loops=1)))
    assert f"{TEN}: met 1 of 1 (" in text
    assert "\n  missed: ecg-gru, tf-keras, batch 1: 4.0x" in text
