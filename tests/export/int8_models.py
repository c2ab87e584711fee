"""A model of everything that int8 takes, and its two ONNX files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from seqship.export.cases import grid, make_feed
from seqship.export.onnx import OnnxExport, to_onnx
from seqship.export.quantization import Int8Export, write_int8
from seqship.export.quantization_proof import Int8Proof, prove_int8
from seqship.export.recording import RecordedCase
from seqship.export.runners import onnx_runner
from seqship.models.flavour import Flavour
from seqship.pipelines.spec import Field

WORDS, UNITS = 64, 16
TOKENS = Field("tokens", "int32", ("batch", "time"), unit="token id", pad_value=0, minimum=0, maximum=WORDS - 1)


@dataclass(frozen=True)
class Int8Model:
    """Both files of a model, and cases for them."""

    plain: OnnxExport
    int8: Int8Export
    recorded: tuple[RecordedCase, ...]

    @property
    def proto(self) -> onnx.ModelProto:
        """The int8 file."""
        return onnx.load(self.int8.path)

    def judge(
        self, path: Path | None = None, recorded: Sequence[RecordedCase] | None = None, **options: Any
    ) -> Int8Proof:
        """Proves the int8 file, or another one in its place."""
        return prove_int8(
            self.plain.path,
            path or self.int8.path,
            self.recorded if recorded is None else recorded,
            inputs=self.plain.inputs,
            outputs=self.plain.outputs,
            **options,
        )


def reader(flavour: Flavour, *, times: float = 1.0) -> Any:
    """A masked model of token ids: a table, LSTMs in both directions and one, a GRU, and two matrices.

    Args:
        flavour: The Keras.
        times: How many times as large as initialised the recurrent weights are.
    """
    layers = flavour.keras.layers
    flavour.keras.utils.set_random_seed(11)
    model = flavour.keras.Sequential(
        [
            layers.Input((None,), dtype="int32", name="tokens"),
            layers.Embedding(WORDS, UNITS, mask_zero=True, name="table"),
            layers.Bidirectional(layers.LSTM(12, return_sequences=True), name="both"),
            layers.GRU(10, return_sequences=True, name="gated"),
            layers.LSTM(UNITS, name="last"),
            layers.Dense(WORDS, activation="relu", name="wide"),
            layers.Dense(3, activation="softmax", name="scores"),
        ]
    )
    random = np.random.default_rng(5)
    weights = [random.normal(0, times * 0.3, weight.shape).astype(np.float32) for weight in model.get_weights()]
    model.set_weights(weights)
    return model


def quantized_model(model: Any, folder: Path, inputs: Sequence[Field] | None = None, **options: Any) -> Int8Model:
    """Exports a model to both files, and records a few cases."""
    plain = to_onnx(model, folder / "model.onnx", input_signature=inputs, **options)
    int8 = write_int8(plain.path, folder / "model.int8.onnx", audit=plain.audit)
    run = onnx_runner(plain.path)
    cases = [
        case
        for case in grid(plain.inputs, batches=(1, 9), times=(1, 5, 24))
        if case.values not in ("nan", "infinite", "out-of-vocabulary")
    ]
    feeds = [(case, make_feed(case, plain.inputs, seed=0)) for case in cases]
    return Int8Model(plain, int8, tuple(RecordedCase(case.name, feed, run(feed)) for case, feed in feeds))
