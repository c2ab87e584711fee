"""Draws architectures and batches, and compares Keras, onnxruntime and the NumPy reference.

`python -m tests.export.fuzz --cases 2000 --seed 1` runs for as long as it takes; `--minutes 60` ends it earlier.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import numpy as np
import onnxruntime
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from seqship.export import to_onnx
from seqship.models.flavour import Version, load_flavour
from seqship.models.spec import STATES
from tests.export.plans import Built, Cell, Feed, Layer, Plan, Source, build, expected, shares, values

Array = NDArray[Any]

FEEDS = 5
"""Batches an architecture: each is a case."""

ROUND = 50
"""Architectures to a process."""

TOLERANCE = 2e-5
"""Of the largest value of an output, or of one where that is smaller.

Measured over 1000 cases: onnxruntime is off from Keras by 5e-7 at most, Keras from the reference by 1.2e-6. Unbounded
activations in stacks multiply such differences; a mask laid wrong by one step is off by 2e-3 and more.
"""

ACTIVATIONS = ("tanh", "sigmoid", "relu", "linear", "hard_sigmoid", "softsign", "elu", "leaky_relu")
MERGES = ("concat", "sum", "mul", "ave", None)


class Worst(NamedTuple):
    """The largest differences met, as shares of the largest value."""

    onnx: float
    keras: float


# --- Strategies.


def cells() -> st.SearchStrategy[Cell]:
    return st.builds(
        Cell,
        kind=st.sampled_from(["LSTM", "GRU", "SimpleRNN"]),
        units=st.integers(1, 6),
        activation=st.one_of(st.just("tanh"), st.sampled_from(ACTIVATIONS)),
        recurrent_activation=st.one_of(st.sampled_from(["sigmoid", "hard_sigmoid"]), st.sampled_from(ACTIVATIONS)),
        bias=st.booleans(),
        reset_after=st.booleans(),
    )


@st.composite
def layers(draw: st.DrawFn, *, last: bool, fixed: bool, wide: bool) -> Layer:
    # wide: whether the directions may differ in size and in the number of their states.
    over_cell = draw(st.booleans())
    own = tuple(draw(st.lists(cells(), min_size=1, max_size=3 if over_cell else 1)))
    layer = Layer(
        own,
        over_cell,
        sequences=not last or draw(st.booleans()),
        state=draw(st.booleans()),
        # The states of stacked cells are nested, and each Keras wants them in a nest of its own.
        initial=len(own) == 1 and draw(st.booleans()),
        unroll=fixed and draw(st.booleans()),
    )
    if not draw(st.booleans()):
        return replace(layer, backwards=draw(st.booleans()), zero=draw(st.booleans()))
    merge = draw(st.sampled_from(MERGES))
    back = own
    if draw(st.booleans()):  # The two directions are unequal.
        kind = st.sampled_from(["LSTM", "GRU", "SimpleRNN"])
        back = (*own[:-1], replace(draw(cells()), kind=draw(st.one_of(st.just(own[-1].kind), kind))))
        if not wide or merge not in ("concat", None):
            back = (*back[:-1], replace(back[-1], units=own[-1].units))
    # Keras deals initial states out in halves, and Keras 3.15 takes the final ones to be halves too.
    halves = [sum(STATES[cell.kind] for cell in side) for side in (own, back)]
    even = halves[0] == halves[1]
    return replace(layer, merge=merge, back=back, initial=layer.initial and even, state=layer.state and (even or wide))


@st.composite
def plans(draw: st.DrawFn, versions: Sequence[Version] = (2, 3)) -> Plan:
    sources: list[Source] = ["plain", "masking", "tokens", "mask"]
    time = draw(st.one_of(st.none(), st.integers(1, 5)))
    count, version = draw(st.integers(1, 3)), draw(st.sampled_from(versions))
    # Keras 3.15 takes the backward layer to be as wide as the forward one when it says what shape comes out.
    chosen = [
        draw(layers(last=number == count - 1, fixed=time is not None, wide=version == 2)) for number in range(count)
    ]
    return Plan(
        version=version,
        layers=tuple(chosen),
        source=draw(st.sampled_from(sources)),
        features=draw(st.integers(1, 4)),
        time=time,
        head=draw(st.integers(0, 2)),
        seed=draw(st.integers(0, 10**6)),
    )


@st.composite
def masks(draw: st.DrawFn, time: int | None) -> tuple[str, ...]:
    batch, steps = draw(st.integers(1, 5)), draw(st.integers(1, 9)) if time is None else time
    length = st.integers(0, steps)
    row = st.one_of(
        st.just("1" * steps),
        length.map(lambda n: "1" * n + "0" * (steps - n)),
        length.map(lambda n: "0" * n + "1" * (steps - n)),
        st.text("01", min_size=steps, max_size=steps),
        st.just("0" * steps),
    )
    return tuple(draw(st.lists(row, min_size=batch, max_size=batch)))


@st.composite
def cases(draw: st.DrawFn, versions: Sequence[Version] = (2, 3)) -> tuple[Plan, tuple[Feed, ...]]:
    """An architecture that Keras itself can run, and its batches."""
    plan = draw(plans(versions).filter(runs))
    # Without gates that keep within bounds large values grow beyond float32.
    scales = st.sampled_from([1.0, 1e-3, 30.0] if shares(plan) else [1.0, 1e-3])
    feed = st.builds(Feed, masks(plan.time), scales, st.integers(0, 10**6))
    return plan, tuple(draw(st.lists(feed, min_size=FEEDS, max_size=FEEDS)))


def runs(plan: Plan) -> bool:
    """Whether Keras itself runs it: tf-keras' unrolled loop fails on zeros at masked steps of the last output alone."""
    return plan.version == 3 or not any(layer.unroll and layer.zero and not layer.sequences for layer in plan.layers)


# --- The comparison.


def check(plan: Plan, feeds: Sequence[Feed]) -> Worst:
    """Exports a plan and compares on every batch.

    Returns:
        The largest differences.

    Raises:
        AssertionError: An output differs by more than the tolerance; names it and the batch.
    """
    keras = load_flavour(plan.version).keras
    built = build(plan)
    try:
        with tempfile.TemporaryDirectory() as folder:
            found = to_onnx(built.model, Path(folder) / "model.onnx", allow_loop=False)
            session = onnxruntime.InferenceSession(str(found.path), providers=["CPUExecutionProvider"])
        names = [field.name for field in found.outputs]
        worst = [_compare(built, session, names, feed) for feed in feeds]
    finally:
        keras.backend.clear_session()
        gc.collect()
    return Worst(max(one.onnx for one in worst), max(one.keras for one in worst))


def _compare(built: Built, session: Any, names: list[str], feed: Feed) -> Worst:
    import tensorflow as tf

    fed = values(built.plan, feed)
    given = [tf.constant(value) for value in fed.values()]
    from_keras = [output.numpy() for output in tf.nest.flatten(built.model(given, training=False))]
    from_onnx: list[Array] = list(session.run(names, fed))
    wanted = expected(built, fed)
    assert len(from_keras) == len(from_onnx) == len(wanted), f"{len(from_onnx)} outputs, {len(wanted)} expected"
    worst = Worst(0.0, 0.0)
    for number, (onnx, keras, want) in enumerate(zip(from_onnx, from_keras, wanted, strict=True)):
        shapes = f"output {number}: shapes {onnx.shape}, {keras.shape}, {want.shape}"
        assert onnx.shape == keras.shape == want.shape, shapes
        scale = max(1.0, float(np.abs(want).max(initial=0)))
        pair = Worst(_largest(onnx - keras) / scale, _largest(keras - want) / scale)
        said = (
            f"output {number}, {feed}: of {scale:.3g} onnxruntime is off by {pair.onnx:.2g}, Keras by {pair.keras:.2g}"
        )
        assert max(pair) <= TOLERANCE, said
        worst = Worst(*map(max, worst, pair))
    return worst


def _largest(difference: Array) -> float:
    """The largest difference; infinite where there is a number that is none."""
    largest = float(np.abs(difference).max(initial=0))
    return largest if np.isfinite(largest) else float("inf")


# --- The command.


class Outcome(NamedTuple):
    """What a round gave: architectures tried, the worst of them, and the report of a failure."""

    tried: int
    worst: Worst
    failure: str


def fuzz_round(number: int, architectures: int, until: float) -> Outcome:
    """Tries architectures up to a time of `time.monotonic`; what fails is reduced to the simplest that fails."""
    tried, worst = 0, Worst(0.0, 0.0)
    failed: list[tuple[Plan, tuple[Feed, ...]]] = []

    def one(case: tuple[Plan, tuple[Feed, ...]]) -> None:
        nonlocal tried, worst
        if not failed and time.monotonic() > until:
            return
        try:
            worst = Worst(*map(max, worst, check(*case)))
        except Exception as error:
            if not failed:
                print(f"wrong, reducing it: {' '.join(str(error).split())[:300]}", file=sys.stderr, flush=True)
            failed.append(case)
            raise
        tried += 1

    run = settings(
        max_examples=architectures,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        phases=[Phase.generate, Phase.shrink],
        print_blob=False,
        report_multiple_bugs=False,
    )(given(cases())(one))
    try:
        seed(number)(run)()
    except Exception as error:
        plan, feeds = failed[-1]
        message = f"{type(error).__name__}: {' '.join(str(error).split())}"
        return Outcome(tried, worst, f"{message}\ncheck(\n    {plan!r},\n    {feeds!r},\n)")
    return Outcome(tried, worst, "")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.export.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=1000, help=f"batches to compare, {FEEDS} to an architecture")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="end earlier")
    options = parser.parse_args()
    until = time.monotonic() + 60 * options.minutes
    wanted, tried, number, worst = -(-options.cases // FEEDS), 0, 0, Worst(0.0, 0.0)
    # TensorFlow keeps half a megabyte of every architecture for good: each round has a process of its own.
    rounds = ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1)
    with rounds:
        while tried < wanted and time.monotonic() < until:
            count = min(ROUND, wanted - tried)
            found = rounds.submit(fuzz_round, options.seed * 1_000_003 + number, count, until).result()
            tried, number, worst = tried + found.tried, number + 1, Worst(*map(max, worst, found.worst))
            if found.failure:
                print(f"wrong within {(tried + 1) * FEEDS} cases: {found.failure}")
                print("to reproduce, add that call's arguments to EXAMPLES in tests/export/test_fuzz.py, or run")
                print(f"python -m tests.export.fuzz --cases {options.cases} --seed {options.seed}")
                return 1
            said = f"{tried * FEEDS} cases, {tried} architectures, off by {worst.onnx:.1e} at most"
            print(said, file=sys.stderr, flush=True)
    print(f"{tried * FEEDS} cases, seed {options.seed}, {tried} architectures, 0 wrong")
    return 0


if __name__ == "__main__":
    sys.exit(main())
