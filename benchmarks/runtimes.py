"""Runs one form of a model in the process of one runtime, and times its calls."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.architectures import Version, build, by_name
from benchmarks.forms import KERAS, SAVED_MODEL

Call = Callable[[], Any]
"""One call with inputs that are ready; returns the output."""
Open = Callable[[NDArray[Any]], Call]
"""Takes inputs and makes them ready."""
WARM_UPS, WARM_UP_SECONDS = 5, 0.5
"""Calls that are not counted, fewer of those that are slow."""


def runtime(form: str, threads: int) -> Callable[..., Any]:
    """Returns what answers the requests for one runtime.

    `("open", name, version, path)` loads a model; `("outputs", batch)` returns what it gives; `("round", batch,
    seconds)` returns the median milliseconds of its calls within so many seconds, one at least.
    """
    opened: list[tuple[str, Open]] = []
    ready: dict[int, Call] = {}
    if form in (SAVED_MODEL, KERAS):
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)

    def answer(what: str, *arguments: Any) -> Any:
        if what == "open":
            ready.clear()
            opened[:] = [(arguments[0], _open(form, threads, *arguments))]
            return None
        batch = arguments[0]
        if what == "outputs":
            name, prepare = opened[0]
            ready[batch] = prepare(by_name(name).inputs(batch))
            output = np.asarray(ready[batch]())
            end = time.perf_counter() + WARM_UP_SECONDS
            for _ in range(WARM_UPS):
                if time.perf_counter() < end:
                    ready[batch]()
            return output
        return _round(ready[batch], arguments[1])

    return answer


def _round(call: Call, seconds: float) -> float:
    times: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or not times:
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    # The first call found the processor's caches full of another runtime.
    return statistics.median(times[1:] or times) * 1000


def _open(form: str, threads: int, name: str, version: Version, path: str) -> Open:
    if form == SAVED_MODEL:
        return _open_saved_model(path)
    if form == KERAS:
        return _open_keras(name, version)
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    [given] = session.get_inputs()

    def prepare(values: NDArray[Any]) -> Call:
        feed = {given.name: values}

        def call() -> Any:
            return session.run(None, feed)[0]

        return call

    return prepare


def _open_saved_model(path: str) -> Open:
    import tensorflow as tf

    loaded: Any = tf.saved_model.load(path)
    function = loaded.signatures["serving_default"]
    [given] = function.structured_input_signature[1]
    [made] = function.structured_outputs

    def prepare(values: NDArray[Any]) -> Call:
        feed = {given: tf.constant(values)}

        def call() -> Any:
            _ = loaded  # It owns the variables.
            return function(**feed)[made]

        return call

    return prepare


def _open_keras(name: str, version: Version) -> Open:
    import tensorflow as tf

    model = build(by_name(name), version)

    def run(values: Any) -> Any:
        return model(values, training=False)

    function: Any = tf.function(run, input_signature=[tf.TensorSpec(model.inputs[0].shape, model.inputs[0].dtype)])

    def prepare(values: NDArray[Any]) -> Call:
        tensor = tf.constant(values)

        def call() -> Any:
            return function(tensor)

        return call

    return prepare
