"""One right export, made once, that many wrong ones are made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnx import ModelProto

from seqship.export.cases import grid
from seqship.export.equivalence import EquivalenceReport, compare_runners
from seqship.export.onnx import OnnxExport, to_onnx
from seqship.export.oracle import Oracle, make_oracle
from seqship.export.quantization import write_int8
from seqship.export.quantization_proof import Int8Proof, prove_int8
from seqship.export.quick_cases import quick_cases
from seqship.export.recording import RecordedCase, record_cases
from seqship.export.runners import Runner, keras_runner, onnx_runner, saved_model_runner
from seqship.export.signature import ModelSignature
from seqship.export.streaming import export_signature
from seqship.export.text_cases import record_texts, text_runner
from seqship.pipelines.text_vectorizer import TextVectorizer


@dataclass(frozen=True, eq=False)
class Int8File:
    """An ONNX model with int8 weights, which is held to the right ONNX model.

    Attributes:
        proto: The model.
    """

    proto: ModelProto


Wrong = ModelProto | Int8File | Path | TextVectorizer
"""A wrong ONNX model or int8 file, a wrong SavedModel, or the wrong vocabulary beside the right ONNX model."""


@dataclass(frozen=True, eq=False)
class RightExport:
    """A model, its ONNX export, and the cases that the proof judges exports by.

    Attributes:
        model: The Keras model.
        signature: Its inputs and outputs.
        proto: The export.
        recorded: Every case of the grid, with what is expected and how far an export may be from it.
        folder: Where `model.onnx` is, and where wrong exports are written.
        vectorizer: The vocabulary of a text model.
        texts: Cases of raw text, for a text model.
        int8: The export with int8 weights, where it was asked for.
    """

    model: Any
    signature: ModelSignature
    proto: ModelProto
    recorded: tuple[RecordedCase, ...]
    folder: Path
    vectorizer: TextVectorizer | None = None
    texts: tuple[RecordedCase, ...] = ()
    int8: ModelProto | None = None

    @property
    def exports(self) -> tuple[Wrong, ...]:
        """The right ONNX models, each of which the proof has to let pass."""
        return (self.proto,) if self.int8 is None else (self.proto, Int8File(self.int8))


Falsify = Callable[[RightExport], Wrong]
"""Makes a wrong export of a right one, which it leaves as it is."""


def export_right(
    model: Any, folder: Path, *, vectorizer: TextVectorizer | None = None, int8: bool = False, seed: int = 0
) -> RightExport:
    """Exports a model, and records the cases as `check_equivalence` does.

    Args:
        model: The tf-keras or Keras 3 model.
        folder: Directory for the exports.
        vectorizer: The vocabulary of a text model.
        int8: Whether to export it with int8 weights, too.
        seed: Seed of the cases.

    Raises:
        ModelError: The model cannot be exported, has no float64 twin, or nothing in it can be int8.
    """
    import onnx

    signature = export_signature(model)
    exported: OnnxExport = to_onnx(model, folder / "model.onnx", signature=signature)
    reference: Runner = keras_runner(signature)
    oracle: Oracle = make_oracle(signature)
    cases = grid(signature.inputs, outputs=signature.outputs)
    recorded = record_cases(cases, signature.inputs, reference, oracle, seed=seed)
    texts = ()
    if vectorizer is not None:
        texts = record_texts(vectorizer, signature.inputs[0], reference, oracle, seed=seed)
    quantized = None
    if int8:
        quantized = onnx.load(write_int8(exported.path, folder / "model.int8.onnx", audit=exported.audit).path)
    return RightExport(model, signature, onnx.load(exported.path), recorded, folder, vectorizer, texts, quantized)


def judge(right: RightExport, export: Wrong) -> EquivalenceReport | Int8Proof:
    """Judges an export by the proof.

    Args:
        right: What it should be.
        export: A right or a wrong export.

    Raises:
        ModelError: It cannot be loaded.
    """
    if isinstance(export, TextVectorizer):
        runner = text_runner(export, right.signature.inputs[0], onnx_runner(right.folder / "model.onnx"))
        return compare_runners(right.texts, {"onnx": runner})
    if isinstance(export, Path):
        return compare_runners(right.recorded, {"saved_model": saved_model_runner(export)})
    path = right.folder / "judged.onnx"
    if isinstance(export, Int8File):
        path.write_bytes(export.proto.SerializeToString())
        return prove_int8(
            right.folder / "model.onnx",
            path,
            quick_cases(right.recorded),  # Each is run two dozen times, with other noise.
            inputs=right.signature.inputs,
            outputs=right.signature.outputs,
        )
    path.write_bytes(export.SerializeToString())
    return compare_runners(right.recorded, {"onnx": onnx_runner(path)})
