"""What runs where on a GPU: `python -m benchmarks.gpu`.

Ships nothing: exports models, runs the SavedModel on the GPU and on the CPU, counts the cuDNN operations that were
executed, times both, and prints on which provider onnxruntime places each operator. Without a GPU it says so and ends
with exit code 1.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

DIFFERENCE = 1e-3
"""Most that a GPU's outputs may differ from the CPU's: cuDNN may multiply in TF32, of 10 bits of mantissa."""

MODELS = ("ecg-gru", "imdb-bilstm", "series-gru")
MASKS = ("full", "right", "left", "holes", "empty_row")
BATCH, ROUNDS = 64, 20

Feed = Mapping[str, NDArray[Any]]


def in_tensorflow(path: Path, feed: Feed, device: str) -> dict[str, NDArray[Any]]:
    """Runs the signature `serving_default` of a SavedModel on a device."""
    with _Session(path, device) as session:
        return session.run(feed)


def cudnn_kernels(path: Path, feed: Feed, device: str) -> int:
    """Returns how many cuDNN operations one call executes on a device."""
    return operations(path, feed, device, "CudnnRNNV3")


def operations(path: Path, feed: Feed, device: str, name: str) -> int:
    """Returns how many operations of a name one call executes on a device."""
    with _Session(path, device) as session:
        return session.kernels(feed, name)


def in_onnxruntime(path: Path, feed: Feed) -> tuple[dict[str, NDArray[Any]], dict[str, set[str]]]:
    """Runs an ONNX file on the GPU; returns its outputs, and the providers that each operator ran on."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.enable_profiling = True
    options.profile_file_prefix = str(path.parent / "profile")
    session = onnxruntime.InferenceSession(
        str(path), options, providers=["CUDAExecutionProvider", "CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    values: list[Any] = list(session.run(names, dict(feed)))
    placement: dict[str, set[str]] = {}
    for event in json.loads(Path(session.end_profiling()).read_text(encoding="utf-8")):
        facts = event.get("args", {})
        if "provider" in facts and "op_name" in facts:
            placement.setdefault(facts["op_name"], set()).add(facts["provider"])
    return dict(zip(names, values, strict=True)), placement


class _Session:
    """A SavedModel in a session, whose operations are put on one device where it has kernels for them."""

    def __init__(self, path: Path, device: str) -> None:
        import tensorflow as tf

        self._tf: Any = tf
        self._graph = tf.Graph()
        with self._graph.as_default():
            options = tf.compat.v1.ConfigProto(allow_soft_placement=True)
            if device.startswith("CPU"):
                options.device_count["GPU"] = 0
            self._session = tf.compat.v1.Session(graph=self._graph, config=options)
            meta = tf.compat.v1.saved_model.load(self._session, ["serve"], str(path))
        self._signature = meta.signature_def["serving_default"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def run(self, feed: Feed, **options: Any) -> dict[str, NDArray[Any]]:
        fed = {self._signature.inputs[name].name: value for name, value in feed.items()}
        fetched = {name: tensor.name for name, tensor in self._signature.outputs.items()}
        return self._session.run(fetched, fed, **options)

    def kernels(self, feed: Feed, operation: str) -> int:
        """Counts the executions of an operation in one call, by the trace that TensorFlow keeps of it."""
        trace = self._tf.compat.v1.RunOptions(trace_level=self._tf.compat.v1.RunOptions.FULL_TRACE)
        found = self._tf.compat.v1.RunMetadata()
        self.run(feed)
        self.run(feed, options=trace, run_metadata=found)
        # The same node stands under the device and, with its kernels, under the device's streams.
        nodes = {
            node.node_name
            for device in found.step_stats.dev_stats
            for node in device.node_stats
            if f" = {operation}(" in node.timeline_label or node.node_name.endswith(operation)
        }
        return len(nodes)


def main() -> None:
    """Prints what was seen for each model."""
    import tensorflow as tf

    from benchmarks.architectures import build, by_name
    from seqship.export import to_onnx, to_saved_model
    from seqship.export.cases import Case, make_feed
    from seqship.export.runners import onnx_runner

    devices = tf.config.list_physical_devices("GPU")
    if not devices:
        sys.exit(
            "no GPU that TensorFlow sees: nothing to measure; on one, run CUDA_VISIBLE_DEVICES=0 pytest -m gpu too"
        )
    print(tf.config.experimental.get_device_details(devices[0]).get("device_name"), f"TensorFlow {tf.__version__}")
    for name in MODELS:
        architecture = by_name(name)
        for version in architecture.flavours:
            with tempfile.TemporaryDirectory() as folder:
                model = build(architecture, version)
                export = to_saved_model(model, Path(folder) / "saved")
                field = export.inputs[0]
                feed = {field.name: architecture.inputs(BATCH)}
                print(f"\n{name}, Keras {version}, batch {BATCH}, {architecture.steps} steps")
                print(f"  cuDNN operations executed: {cudnn_kernels(export.path, feed, 'GPU:0')}")
                taken = {device: _median(export.path, feed, device) for device in ("CPU:0", "GPU:0")}
                print("  " + ", ".join(f"{device} {seconds * 1e3:.2f} ms" for device, seconds in taken.items()))
                for mask in MASKS if field.pad_value is not None else ("full",):
                    some = make_feed(Case(8, 50, mask), export.inputs, seed=0)
                    cpu, gpu = (in_tensorflow(export.path, some, device) for device in ("CPU:0", "GPU:0"))
                    print(f"  mask {mask}: GPU differs by {max(_differences(cpu, gpu)):.1e}")
                onnx = to_onnx(model, Path(folder) / "model.onnx")
                try:
                    outputs, placement = in_onnxruntime(onnx.path, feed)
                except Exception as error:  # onnxruntime's own types derive from Exception alone.
                    print(f"  onnxruntime: no CUDA ({' '.join(str(error).split())[:120]})")
                    continue
                difference = max(_differences(onnx_runner(onnx.path)(feed), outputs))
                print(f"  onnxruntime on CUDA differs by {difference:.1e}; operators by provider:")
                for operator, providers in sorted(placement.items()):
                    print(f"    {operator}: {', '.join(sorted(providers))}")


def _median(path: Path, feed: Feed, device: str) -> float:
    with _Session(path, device) as session:
        session.run(feed)
        times: list[float] = []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            session.run(feed)
            times.append(time.perf_counter() - began)
    return float(np.median(times))


def _differences(one: Feed, other: Feed) -> list[float]:
    return [float(np.abs(one[name] - other[name]).max()) for name in one]


if __name__ == "__main__":
    main()
