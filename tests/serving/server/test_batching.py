"""Requests that are joined are answered as if each had come alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from seqship.pipelines.spec import Field
from seqship.serving.server.batch_scheduler import BatchScheduler, BatchSettings, batch_settings
from seqship.serving.server.joining import JoiningRule, bucket, find_joining_rule, join, split
from seqship.serving.server.loading import Loader
from seqship.serving.server.metrics import Metrics
from seqship.serving.server.onnx_backend import open_session, session_run
from seqship.serving.server.servable import LoadSettings, Servable, call, load_servable
from seqship.serving.server.signatures import Feed, Outputs
from seqship.serving.server.status import Code, StatusError
from seqship.wire.config_text import parse_text
from seqship.wire.examples import to_example
from seqship.wire.messages import BatchingParameters

SIGNAL = Field("signal", "float32", ("batch", "time", 2), pad_value=-1.0)
STEPS = Field("steps", "float32", ("batch", "time", 2))
LAST = Field("last", "float32", ("batch", 2))


def running_sums(feed: Feed) -> Outputs:
    """A model that leaves masked steps out of its sums."""
    signal = feed["signal"]
    is_data = (signal != -1).any(axis=2, keepdims=True)
    steps = np.cumsum(np.where(is_data, signal, 0), axis=1)
    return {"steps": steps, "last": steps[:, -1]}


def all_sums(feed: Feed) -> Outputs:
    """A model that takes padding for data."""
    steps = np.cumsum(feed["signal"], axis=1)
    return {"steps": steps, "last": steps[:, -1]}


def signal(rows: int, length: int, seed: int) -> dict[str, NDArray[Any]]:
    return {"signal": np.random.default_rng(seed).integers(0, 9, (rows, length, 2)).astype(np.float32)}


def together(run: Callable[[int], Any], count: int) -> list[Any]:
    """Calls a function with 0 to `count`, all at the same time."""
    barrier = threading.Barrier(count)

    def one(number: int) -> Any:
        barrier.wait(30)
        return run(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def refusal(run: Callable[[], Any]) -> StatusError:
    with pytest.raises(StatusError) as caught:
        run()
    return caught.value


def test_what_is_masked_may_be_padded() -> None:
    rule = find_joining_rule((SIGNAL,), (STEPS, LAST), running_sums)
    assert rule == JoiningRule((SIGNAL,), (STEPS, LAST), pads=True)


def test_what_is_not_masked_everywhere_joins_at_equal_lengths() -> None:
    """A pad value promises a mask; a layer that does not heed it is found out when the model is loaded."""
    assert find_joining_rule((SIGNAL,), (STEPS, LAST), all_sums) == JoiningRule((SIGNAL,), (STEPS, LAST), pads=False)
    plain = Field("signal", "float32", ("batch", "time", 2))
    assert find_joining_rule((plain,), (STEPS, LAST), all_sums) == JoiningRule((plain,), (STEPS, LAST), pads=False)


def test_rows_that_depend_on_each_other_never_join() -> None:
    def normalized(feed: Feed) -> Outputs:
        return {"last": feed["signal"][:, -1] - feed["signal"][:, -1].mean(axis=0)}

    assert find_joining_rule((SIGNAL,), (LAST,), normalized) is None
    fixed = Field("signal", "float32", (4, "time", 2))
    assert find_joining_rule((fixed,), (LAST,), normalized) is None


@settings(max_examples=100, deadline=None)
@given(sizes=st.lists(st.tuples(st.integers(1, 3), st.integers(1, 40)), min_size=1, max_size=6))
def test_split_undoes_join(sizes: Sequence[tuple[int, int]]) -> None:
    rule = JoiningRule((SIGNAL,), (STEPS, LAST), pads=True)
    feeds = [signal(rows, length, seed) for seed, (rows, length) in enumerate(sizes)]
    for feed, answer in zip(feeds, split(rule, feeds, running_sums(join(rule, feeds))), strict=True):
        expected = running_sums(feed)
        assert answer.keys() == expected.keys()
        for name in expected:
            assert answer[name].shape == expected[name].shape
            np.testing.assert_array_equal(answer[name], expected[name])


def test_buckets_hold_lengths_that_are_not_far_apart() -> None:
    rule = JoiningRule((SIGNAL,), (STEPS, LAST), pads=True)
    found: dict[Any, list[int]] = {}
    for length in range(1, 500):
        found.setdefault(bucket(rule, signal(1, length, 0)), []).append(length)
    assert all(max(lengths) < 1.5 * min(lengths) for lengths in found.values())
    assert len(found) < 25
    equal = JoiningRule((SIGNAL,), (STEPS, LAST), pads=False)
    assert len({bucket(equal, signal(1, length, 0)) for length in range(1, 50)}) == 49


@pytest.fixture(scope="module")
def joining(bundles: Mapping[str, Path]) -> Mapping[str, Servable]:
    """Every model with batching: what comes within 20 ms is joined."""
    loaded = LoadSettings(batching=BatchSettings(batch_timeout_micros=20_000, num_batch_threads=2))
    return {name: load_servable(path, loaded) for name, path in bundles.items()}


def test_which_models_join_by_padding(joining: Mapping[str, Servable]) -> None:
    pads = {name: None if one.joining is None else one.joining.pads for name, one in joining.items()}
    assert pads == {
        "classifier": True,
        "stepwise": True,
        "unmasked": False,
        "texts": True,
        "stateful": False,
        "two_inputs": False,
    }


@pytest.mark.parametrize("name", ["classifier", "stepwise", "texts", "unmasked", "stateful", "two_inputs"])
def test_joined_answers_are_those_of_each_alone(
    name: str, joining: Mapping[str, Servable], bundles: Mapping[str, Path]
) -> None:
    random = np.random.default_rng(5)
    feeds: list[dict[str, NDArray[Any]]] = []
    for _ in range(24):
        rows, length = int(random.integers(1, 4)), int(random.integers(1, 40))
        if name == "texts":
            feeds.append({"tokens": random.integers(1, 7, (rows, length)).astype(np.int32)})
        elif name == "two_inputs":
            valid = np.arange(length) < random.integers(1, length, (rows, 1), endpoint=True)
            feeds.append({"tokens": random.integers(0, 9, (rows, length)).astype(np.int32), "valid": valid})
        else:
            feeds.append({"signal": random.normal(0, 1, (rows, length, 2)).astype(np.float32)})
    signature = joining[name].signatures["serving_default"]
    alone = load_servable(bundles[name], LoadSettings()).signatures["serving_default"]
    answers = together(lambda number: call(signature, feeds[number]), len(feeds))
    for feed, answer in zip(feeds, answers, strict=True):
        expected = call(alone, feed)
        assert answer.keys() == expected.keys()
        for output, value in expected.items():
            assert answer[output].shape == value.shape
            np.testing.assert_allclose(answer[output], value, rtol=1e-6, atol=1e-6)


def test_states_join_with_their_rows(joining: Mapping[str, Servable], bundles: Mapping[str, Path]) -> None:
    random = np.random.default_rng(6)
    feeds: list[dict[str, NDArray[Any]]] = []
    for number in range(12):
        rows = 1 + number % 3
        feed = {"signal": random.normal(0, 1, (rows, 4, 2)).astype(np.float32)}
        count = 1 if number % 2 else rows  # One row of a state stands for all.
        for part in "hc":
            feed[f"state/memory/{part}"] = random.normal(0, 1, (count, 3)).astype(np.float32)
        feeds.append(feed)
    alone = load_servable(bundles["stateful"], LoadSettings()).signatures["stream"]
    joined = joining["stateful"].signatures["stream"]
    for feed, answer in zip(feeds, together(lambda number: call(joined, feeds[number]), 12), strict=True):
        expected = call(alone, feed)
        assert answer.keys() == expected.keys()
        for output, value in expected.items():
            np.testing.assert_allclose(answer[output], value, rtol=1e-6, atol=1e-6)


def test_signatures_of_one_model_join(bundles: Mapping[str, Path]) -> None:
    """Arrays and examples meet in one batch: both run the same graph."""
    session = open_session(bundles["classifier"] / "model.onnx", threads=1)
    compute, shapes = session_run(session), list[tuple[int, ...]]()

    def seen(feed: Feed) -> Outputs:
        shapes.append(feed["signal"].shape)
        return compute(feed)

    from seqship.serving.server.derived_signatures import derive_signatures

    bundle = load_servable(bundles["classifier"], LoadSettings()).signatures["serving_default"]
    rule = find_joining_rule(bundle.inputs, bundle.outputs, compute)
    assert rule is not None
    scheduler = BatchScheduler(seen, rule, BatchSettings(max_batch_size=2, batch_timeout_micros=30_000_000))
    plain, example = derive_signatures(bundle.inputs, bundle.outputs, scheduler.run)
    row = np.array([[0.5, 1.5], [2.0, 1.0]], np.float32)
    serialized = np.array([to_example({"signal": row}).SerializeToString()], object)

    def ask(number: int) -> Any:
        return call(plain, {"signal": row[None]}) if number else call(example, {"inputs": serialized})

    classified, predicted = together(ask, 2)
    scheduler.close()
    assert shapes == [(2, 2, 2)]
    assert np.array_equal(classified["scores"], predicted["scores"])


@pytest.fixture
def held() -> Any:
    """A model that waits until it is let go, and tells what it was given."""

    class Held:
        def __init__(self) -> None:
            self.go, self.begun, self.shapes = threading.Event(), threading.Semaphore(0), list[tuple[int, ...]]()

        def compute(self, feed: Feed) -> Outputs:
            self.shapes.append(feed["signal"].shape)
            self.begun.release()
            assert self.go.wait(30)
            if (feed["signal"] == 99).any():
                raise StatusError(Code.INVALID_ARGUMENT, "99 is no value")
            return running_sums(feed)

    return Held()


RULE = JoiningRule((SIGNAL,), (STEPS, LAST), pads=True)


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def test_what_gathers_while_a_batch_runs_is_the_next(held: Any) -> None:
    scheduler = BatchScheduler(held.compute, RULE, BatchSettings(num_batch_threads=1, max_batch_size=8))
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(scheduler.run, signal(1, 12, 0), None)
        held.begun.acquire()
        others = [pool.submit(scheduler.run, signal(2, 12 + number, number), None) for number in range(3)]
        until(lambda: scheduler._waiting_rows == 6)
        held.go.set()
        np.testing.assert_array_equal(first.result(30)["last"], running_sums(signal(1, 12, 0))["last"])
        for number, other in enumerate(others):
            np.testing.assert_array_equal(
                other.result(30)["steps"], running_sums(signal(2, 12 + number, number))["steps"]
            )
    scheduler.close()
    # 12 steps end one bucket, 13 and 14 are of the next.
    assert sorted(held.shapes) == [(1, 12, 2), (2, 12, 2), (4, 14, 2)] or sorted(held.shapes) == [
        (1, 12, 2),
        (6, 14, 2),
    ]


def test_one_bad_request_does_not_spoil_the_others(held: Any) -> None:
    held.go.set()
    scheduler = BatchScheduler(
        held.compute, RULE, BatchSettings(max_batch_size=4, batch_timeout_micros=30_000_000, num_batch_threads=1)
    )

    def ask(number: int) -> Any:
        feed = signal(1, 5, number)
        if number == 2:
            feed["signal"][0, 3] = 99
        try:
            return scheduler.run(feed, None)["last"].tolist()
        except StatusError as error:
            return error.message

    answers = together(ask, 4)
    scheduler.close()
    assert (4, 5, 2) in held.shapes
    assert answers.pop(2) == "99 is no value"
    assert answers == [running_sums(signal(1, 5, number))["last"].tolist() for number in (0, 1, 3)]


def test_a_full_queue_refuses(held: Any) -> None:
    settings = BatchSettings(num_batch_threads=1, max_batch_size=2, max_enqueued_batches=2)
    scheduler = BatchScheduler(held.compute, RULE, settings)
    with ThreadPoolExecutor(4) as pool:
        running = pool.submit(scheduler.run, signal(1, 3, 0), None)
        held.begun.acquire()
        waiting = [pool.submit(scheduler.run, signal(2, 3, 0), None) for _ in range(2)]
        until(lambda: scheduler._waiting_rows == 4)
        error = refusal(lambda: scheduler.run(signal(1, 3, 0), None))
        assert (error.code, error.message) == (
            Code.UNAVAILABLE,
            "The batch scheduling queue to which this task was submitted is full",
        )
        held.go.set()
        assert [len(one.result(30)["last"]) for one in (running, *waiting)] == [1, 2, 2]
    scheduler.close()


def test_a_deadline_ends_the_wait(held: Any) -> None:
    scheduler = BatchScheduler(held.compute, RULE, BatchSettings(num_batch_threads=1))
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(scheduler.run, signal(1, 3, 0), None)
        held.begun.acquire()
        error = refusal(lambda: scheduler.run(signal(1, 4, 0), time.monotonic() + 0.01))
        assert error.code is Code.DEADLINE_EXCEEDED
        held.go.set()
        running.result(30)
    scheduler.close()
    assert held.shapes == [(1, 3, 2)]  # Nobody waited for the other any more.
    assert refusal(lambda: scheduler.run(signal(1, 3, 0), None)).code is Code.UNAVAILABLE


def test_large_requests_are_cut_or_refused(held: Any) -> None:
    held.go.set()
    scheduler = BatchScheduler(held.compute, RULE, BatchSettings(max_batch_size=4))
    made = scheduler.run(signal(10, 3, 1), None)
    np.testing.assert_array_equal(made["steps"], running_sums(signal(10, 3, 1))["steps"])
    assert [shape[0] for shape in held.shapes] == [4, 4, 2]
    scheduler.close()
    strict = BatchScheduler(held.compute, RULE, BatchSettings(max_batch_size=4, splits_large=False))
    error = refusal(lambda: strict.run(signal(10, 3, 1), None))
    assert (error.code, error.message) == (
        Code.INVALID_ARGUMENT,
        "Task size 10 is larger than maximum batch size 4",
    )
    strict.close()


def test_parameters() -> None:
    text = (
        "max_batch_size { value: 32 } batch_timeout_micros { value: 0 } max_enqueued_batches { value: 5 } "
        "num_batch_threads { value: 3 } allowed_batch_sizes: 32 enable_large_batch_splitting { value: false }"
    )
    read = batch_settings(parse_text(text, BatchingParameters))
    assert (read.max_batch_size, read.batch_timeout_micros, read.max_enqueued_batches) == (32, 0, 5)
    assert (read.num_batch_threads, read.splits_large) == (3, False)
    defaults = batch_settings(BatchingParameters())
    assert (defaults.max_batch_size, defaults.max_enqueued_batches, defaults.splits_large) == (1000, 10, True)
    error = refusal(lambda: batch_settings(parse_text("max_batch_size { value: 0 }", BatchingParameters)))
    assert error.message == "max_batch_size must be 1 or more, it is 0"


def test_a_versions_own_parameters(bundles: Mapping[str, Path], tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes((bundles["classifier"] / "model.onnx").read_bytes())
    (tmp_path / "batching_params.pbtxt").write_text("max_batch_size { value: 2 }")
    waited: list[float] = []
    shared = BatchSettings(max_batch_size=9, num_batch_threads=1, observe=waited.append)
    loader = Loader(LoadSettings(batching=shared), Metrics(), reads_own_batching=True)
    assert loader._settings_of(tmp_path).batching == replace(shared, max_batch_size=2)
    plain = Loader(LoadSettings(batching=shared), Metrics())
    assert plain._settings_of(tmp_path).batching == shared
    servable = loader.load("m", 1, tmp_path)
    call(servable.signatures["serving_default"], signal(5, 3, 0))
    servable.close()
    assert len(waited) == 3  # Two rows, two rows, one row.
