"""Random architectures, a few in each run of the tests; `python -m tests.export.fuzz` tries them by the hour."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.export.fuzz import cases, check
from tests.export.plans import Cell, Feed, Layer, Plan

EVERY_PADDING = Feed(("1111", "1100", "0011", "0101", "0000"))

EXAMPLES: dict[str, tuple[Plan, tuple[Feed, ...]]] = {
    # Keras' unrolled loop lays the mask in the order of time over an output that runs backwards.
    **{
        f"unrolled-backwards-{version}": (
            Plan(
                version=version,
                layers=(Layer((Cell("SimpleRNN"),), back=(Cell("SimpleRNN"),), unroll=True),),
                source="masking",
                time=4,
            ),
            (EVERY_PADDING,),
        )
        for version in (2, 3)
    },
    # Keras 3.15 does not see the mask of a layer that is called with states; the layer behind it does.
    **{
        f"states-and-mask-{version}": (
            Plan(
                version=version,
                layers=(Layer((Cell("GRU"),), initial=True, state=True), Layer((Cell("GRU"),), sequences=False)),
                source="tokens",
            ),
            (EVERY_PADDING,),
        )
        for version in (2, 3)
    },
    "stacked-cells-both-ways": (
        Plan(
            version=3,
            layers=(
                Layer(
                    (Cell("GRU", 3), Cell("LSTM", 2)),
                    over_cell=True,
                    back=(Cell("GRU", 3), Cell("SimpleRNN", 2)),
                    merge="mul",
                ),
            ),
            source="mask",
        ),
        (EVERY_PADDING, Feed(("0",)), Feed(("101",), scale=30.0)),
    ),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_architecture_that_once_was_wrong_or_nearly(name: str) -> None:
    check(*EXAMPLES[name])


@settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(cases())
def test_random_architectures_equal_keras_and_the_reference(case: tuple[Plan, tuple[Feed, ...]]) -> None:
    check(*case)
