"""Time of one call of the `ecg-gru` model: Keras, SavedModel, stock tf2onnx and seqship, each in its own process.

The processes are asked in turn, round by round, so that a machine that slows down slows all of them. Every runtime has
the threads that it takes by itself. Figures are medians over rounds of the median of one round.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

RUNTIMES = ("keras", "saved_model", "tf2onnx", "seqship")
SHAPES = ((1, 111), (8, 111), (32, 111), (128, 111))
"""Batch and time; 111 steps is the median length of real heartbeats."""
ROUNDS = 5
ROUND_SECONDS = 0.5


def run(data: Path | None) -> list[dict[str, Any]]:  # noqa: ARG001  (weights and values do not change the time)
    """Measures every runtime at every shape, in both Keras flavours; prints a table and returns its rows."""
    rows: list[dict[str, Any]] = []
    for keras in (2, 3):
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([sys.executable, "-m", "benchmarks.latency", "make", str(keras), folder], check=True)
            rows += _measure(keras, Path(folder))
    print(
        f"{'model':<18}{'batch':>6}{'time':>6}"
        + "".join(f"{name + ' ms':>16}" for name in RUNTIMES)
        + "   seqship is faster"
    )
    for row in rows:
        times = "".join(f"{row['median_ms'][name]:>16.3f}" for name in RUNTIMES)
        ratios = ", ".join(f"{row['ratio'][name]:.1f}x {name}" for name in RUNTIMES[:-1])
        print(f"{row['model']:<18}{row['batch']:>6}{row['time']:>6}{times}   than {ratios}")
    return rows


def _measure(keras: int, folder: Path) -> list[dict[str, Any]]:
    workers = {
        name: subprocess.Popen(
            [sys.executable, "-m", "benchmarks.latency", "serve", name, str(keras), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for name in RUNTIMES
    }
    rows: list[dict[str, Any]] = []
    for batch, steps in SHAPES:
        rounds: dict[str, list[float]] = {name: [] for name in RUNTIMES}
        for _ in range(ROUNDS):
            for name, worker in workers.items():
                rounds[name].append(_ask(worker, batch, steps))
        medians = {name: statistics.median(times) for name, times in rounds.items()}
        ratio = {name: medians[name] / medians["seqship"] for name in RUNTIMES[:-1]}
        model = f"ecg-gru, Keras {keras}"
        rows.append({"model": model, "batch": batch, "time": steps, "median_ms": medians, "ratio": ratio})
    for worker in workers.values():
        worker.communicate()
    return rows


def _ask(worker: subprocess.Popen[str], batch: int, steps: int) -> float:
    assert worker.stdin is not None and worker.stdout is not None
    print(batch, steps, file=worker.stdin, flush=True)
    return float(worker.stdout.readline())


def _make(keras: str, folder: Path) -> None:
    """Writes the model in every form."""
    import tensorflow as tf
    import tf2onnx

    from seqship import export, models
    from seqship.export.signature import model_signature

    recipe = models.recipes()["ecg-gru"]
    model = models.build("ecg-gru", keras=3 if keras == "3" else 2)
    signature = model_signature(model, inputs=recipe.inputs, outputs=recipe.outputs)
    model.save(folder / "model.keras")
    export.to_onnx(model, folder / "seqship.onnx", signature=signature)
    export.to_saved_model(model, folder / "saved_model", signature=signature)
    tf.get_logger().setLevel("ERROR")
    tf2onnx.convert.from_function(
        signature.traceable(), input_signature=signature.tensor_specs(), output_path=str(folder / "tf2onnx.onnx")
    )


def _caller(runtime: str, keras: str, folder: Path) -> Callable[[NDArray[np.float32]], Any]:
    if runtime in ("seqship", "tf2onnx"):
        import onnxruntime

        session = onnxruntime.InferenceSession(folder / f"{runtime}.onnx", providers=["CPUExecutionProvider"])

        def run_session(values: NDArray[np.float32]) -> Any:
            return session.run(None, {"heartbeat": values})

        return run_session
    import tensorflow as tf

    if runtime == "saved_model":
        loaded: Any = tf.saved_model.load(str(folder / "saved_model"))
        function = loaded.signatures["serving_default"]

        def call_signature(values: NDArray[np.float32]) -> Any:
            _ = loaded  # It owns the variables.
            return function(heartbeat=tf.constant(values))["probabilities"].numpy()

        return call_signature
    from seqship.models import load_model

    model = load_model(folder / "model.keras", keras=3 if keras == "3" else 2).model

    def call_model(values: Any) -> Any:
        return model(values, training=False)

    compiled: Any = tf.function(call_model, input_signature=[tf.TensorSpec([None, None, 1])])

    def run_keras(values: NDArray[np.float32]) -> Any:
        return compiled(tf.constant(values)).numpy()

    return run_keras


def _serve(runtime: str, keras: str, folder: Path) -> None:
    """Answers each line "batch time" with the median milliseconds of a call."""
    call = _caller(runtime, keras, folder)
    generator = np.random.default_rng(0)
    for line in sys.stdin:
        batch, steps = map(int, line.split())
        values = generator.random((batch, steps, 1), np.float32)
        values[:, steps - 20 :] = -1
        for _ in range(3):
            call(values)
        times: list[float] = []
        end = time.perf_counter() + ROUND_SECONDS
        while time.perf_counter() < end or len(times) < 3:
            began = time.perf_counter()
            call(values)
            times.append(time.perf_counter() - began)
        print(json.dumps(statistics.median(times) * 1000), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "make":
        _make(sys.argv[2], Path(sys.argv[3]))
    else:
        _serve(sys.argv[2], sys.argv[3], Path(sys.argv[4]))
