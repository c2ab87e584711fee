"""Proves that an int8 file is the float32 file with int8 weights, and says what that costs.

An int8 file does not compute what the model computes, and nobody could say how far from it is too far. What can be
said is whether it computes what int8 does to the model, and that is the verdict. It has two halves, since a wrong scale
must not explain itself:

- **the weights**: each is the number next to the float32 file's on a grid no coarser than 7 bits need;
- **the cases**: the file, run in onnxruntime, is no further from these rounded weights with exact activations than
  rounding the activations to eight bits explains (`NOISE`).

What it costs, the classes that change over real data and the error over the number of steps, is told beside it and
decides nothing: whether that is worth the size is for people to say.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqship.errors import ModelError
from seqship.export.agreement import Agreement, compare, json_value
from seqship.export.quantization_cost import DataCost, Drift, data_cost, drift_by_length
from seqship.export.quantization_noise import noisy_graph, rounded_graph
from seqship.export.quantized_graph import Key, other_changes
from seqship.export.quantized_weights import QuantizedWeight, WeightCheck, check_weights, read_weights
from seqship.export.recording import RecordedCase
from seqship.export.runners import Feed, Outputs, Runner, onnx_runner
from seqship.export.tolerance import LAST_PLACE, Within
from seqship.pipelines.sequences import Sequences
from seqship.pipelines.spec import Field
from seqship.progress import Progress, silent

_FEW_ROWS = 8
_MOST_DRAWS, _LEAST_DRAWS = 16, 4
"""Draws of the noise; many rows are many draws at once."""


@dataclass(frozen=True)
class Noise:
    """An element passes when the int8 file is no further from its rounded weights than rounded activations explain.

    What they explain in one output of one case is `multiple * (noise + places * LAST_PLACE * scale)`. `noise` is the
    largest difference that noise makes in that case, of up to half a step on every activation that is rounded
    (`quantization_noise`); `scale` is the largest value that the output takes there, or with values as data: below the
    smallest normal number there is no grid.

    Attributes:
        multiple: How many times as far as the noise the file may be.
        places: Units in the last place of the output's scale beside that.
        why: The measurement that justifies both.
    """

    multiple: float
    places: float
    why: str

    def limit(self, noise: float, scale: float) -> Within:
        """Returns how far an output may be from the rounded weights in one case."""
        return Within(self.multiple * (noise + self.places * LAST_PLACE * scale))

    def to_json(self) -> dict[str, Any]:
        """Returns the JSON form."""
        return {"rule": "int8", **asdict(self)}


NOISE = Noise(
    multiple=6,
    places=32,
    why=(
        "a right file's difference from its rounded weights by (the noise's + 32 units in the last place), largest "
        "over all cases of the 14 recipes with something to quantize, in either Keras: 2.0 with weights as "
        "initialised, 1.7 with recurrent weights three and 1.6 with weights six times as large, over three seeds; 6 is "
        "three times the largest. Values of 1e-20 alone gave 4.9, without the last places. Measured with onnxruntime "
        "1.31 on x86-64 with AVX-512 VNNI."
    ),
)


@dataclass(frozen=True, eq=False)
class Int8Proof:
    """The verdict on an int8 file; true where it is what int8 makes of the float32 file.

    Attributes:
        weights: One row for each quantized tensor.
        changed: Constants and operators beside them that the int8 file lacks or changes, a line each.
        agreements: One for each way to run the file, case and output.
        cases: Number of cases.
        largest: Largest difference from what is expected of the float32 file, over all cases.
        drift: Difference from the float32 file by the number of steps; empty where that is fixed.
        data: What changes over real data; empty where there was none.
    """

    weights: tuple[WeightCheck, ...]
    changed: tuple[str, ...]
    agreements: tuple[Agreement, ...]
    cases: int
    largest: float
    drift: tuple[Drift, ...]
    data: tuple[DataCost, ...]

    def __bool__(self) -> bool:
        return bool(self.weights) and self.cases > 0 and not self.failures

    @property
    def failures(self) -> tuple[str, ...]:
        """What is wrong, a line each: the graph, then weights, then cases, worst first."""
        weights = [row.sentence() for row in sorted(self.weights, key=lambda row: -row.steps) if not row.passed]
        failed = sorted((row for row in self.agreements if not row.passed), key=lambda row: -row.severity)
        return (*self.changed, *weights, *map(_sentence, failed))

    @property
    def worst(self) -> Agreement | None:
        """The agreement nearest to its limit, or furthest beyond it."""
        return max(self.agreements, key=lambda agreement: agreement.severity, default=None)

    def to_json(self) -> dict[str, Any]:
        """Returns the part of `report.json` that is this verdict."""
        worst = self.worst
        return {
            "passed": bool(self),
            "rule": NOISE.to_json(),
            "worst": None if worst is None else worst.to_json(),
            "largest": json_value(self.largest),
            "failures": list(self.failures),
            "changed": list(self.changed),
            "weights": [row.to_json() for row in self.weights],
            "cases": [row.to_json() for row in self.agreements],
            "drift": [row.to_json() for row in self.drift],
            "test_split": [row.to_json() for row in self.data],
        }

    def verdict(self) -> dict[str, Any]:
        """Returns what a manifest says of it."""
        worst = self.worst
        return {
            "passed": bool(self),
            "worst": None if worst is None else worst.to_json(),
            "cases": self.cases,
            "largest": json_value(self.largest),
            "failures": len(self.failures),
            "first_failure": next(iter(self.failures), None),
            "drift": [row.to_json() for row in self.drift],
            "data": [row.summary() for row in self.data],
        }


def prove_int8(
    plain: str | os.PathLike[str],
    quantized: str | os.PathLike[str],
    recorded: Sequence[RecordedCase],
    *,
    inputs: Sequence[Field],
    outputs: Sequence[Field],
    data: Sequences | None = None,
    progress: Progress = silent,
) -> Int8Proof:
    """Compares an int8 file with the float32 file that it was made of.

    Cases with a NaN or an infinity are left out: one of them takes the whole batch's grid with it, and `Predictor`
    refuses them. So are those of raw text, which are the SavedModel's.

    Args:
        plain: The float32 file.
        quantized: The int8 file.
        recorded: The cases, and what is expected of the float32 file.
        inputs: Contract of each input.
        outputs: Contract of each output.
        data: Real sequences, for a model with one input.
        progress: Told how far it is.

    Raises:
        ModelError: One of the files is no ONNX model, or onnxruntime refuses it.
    """
    before, after = _load(plain), _load(quantized)
    weights = read_weights(before, after)
    checks = check_weights(weights)
    numbers = _numbers(weights, checks)
    rounded = rounded_graph(before, numbers)
    exact, *noisy = _runners(rounded, *(noisy_graph(rounded, numbers, steady=steady) for steady in (False, True)))
    runners = {
        "int8": onnx_runner(quantized),
        "int8_off": onnx_runner(quantized, optimizations="off"),
        "int8_1_thread": onnx_runner(quantized, threads=1),
    }
    names = {field.name for field in inputs}
    taken = [case for case in recorded if case.expected and names.issuperset(case.feed) and case.finite]
    scales = _scales(taken)
    agreements: list[Agreement] = []
    largest = 0.0
    for done, case in enumerate(taken, start=1):
        made = {name: _run(runner, case.feed) for name, runner in runners.items()}
        agreements += _compare(case, made, exact, noisy, scales)
        largest = max(largest, _furthest(made["int8"], case.expected))
        progress("running the cases with int8 weights", done, len(taken))
    float_runner = onnx_runner(plain)
    return Int8Proof(
        weights=checks,
        changed=other_changes(before, after, weights),
        agreements=tuple(agreements),
        cases=len(taken),
        largest=largest,
        drift=drift_by_length(float_runner, runners["int8"], inputs),
        data=() if data is None else data_cost(float_runner, runners["int8"], data, inputs, outputs),
    )


def _numbers(weights: Mapping[Key, QuantizedWeight], checks: Sequence[WeightCheck]) -> dict[Key, NDArray[np.float32]]:
    """Returns the rounded weights; where the int8 file has others than it ought to, those of the float32 file."""
    return {
        key: weight.expected if weight.actual is None or not check.passed else weight.actual.astype(np.float32)
        for (key, weight), check in zip(weights.items(), checks, strict=True)
    }


def _compare(
    case: RecordedCase,
    made: Mapping[str, Outputs],
    exact: Runner,
    noisy: Sequence[Runner],
    scales: Mapping[str, float],
) -> list[Agreement]:
    wanted = exact(case.feed)
    rows = max(len(value) for value in case.feed.values())
    draws = (_MOST_DRAWS if rows < _FEW_ROWS else _LEAST_DRAWS) // len(noisy)
    drawn = [runner(case.feed) for _ in range(draws) for runner in noisy]
    found: list[Agreement] = []
    for output in case.expected:
        expected = wanted[output]
        if expected.dtype.kind != "f":  # A decision; noise may turn any of them.
            continue
        noise = max(_difference(one[output], expected) for one in drawn)
        scale = max(_largest(expected), scales.get(output, 0.0))
        limit = NOISE.limit(noise, scale)
        found += [
            compare(outputs.get(output), expected, limit, runner=name, case=case.case, output=output)
            for name, outputs in made.items()
        ]
    return found


def _scales(recorded: Sequence[RecordedCase]) -> dict[str, float]:
    """Returns the largest value of each output over the cases whose values are as data."""
    found: dict[str, float] = {}
    for case in recorded:
        for name, value in case.expected.items() if "values=" not in case.case else ():
            found[name] = max(found.get(name, 0.0), _largest(value))
    return found


def _largest(values: NDArray[Any]) -> float:
    return float(np.abs(values[np.isfinite(values)]).max(initial=0.0)) if values.dtype.kind == "f" else 0.0


def _run(runner: Runner, feed: Feed) -> Outputs:
    try:
        return runner(feed)
    except ModelError:  # The float32 file runs on it: what is missing is told as such.
        return {}


def _runners(*protos: Any) -> list[Runner]:
    """Runs graphs in onnxruntime that are in no file of their own."""
    with tempfile.TemporaryDirectory() as folder:
        found: list[Runner] = []
        for number, proto in enumerate(protos):
            path = Path(folder) / f"{number}.onnx"
            path.write_bytes(proto.SerializeToString())
            found.append(onnx_runner(path))
        return found


def _difference(one: NDArray[Any], other: NDArray[Any]) -> float:
    with np.errstate(invalid="ignore", over="ignore"):
        difference = np.abs(one.astype(np.float64) - other)
    return float(difference[np.isfinite(difference)].max(initial=0.0))


def _furthest(made: Outputs, expected: Mapping[str, NDArray[Any]]) -> float:
    return max(
        (
            _difference(made[name], value)
            for name, value in expected.items()
            if name in made and made[name].shape == value.shape
        ),
        default=0.0,
    )


def _sentence(agreement: Agreement) -> str:
    if agreement.note:
        return f"{agreement.runner} differs from its weights at {agreement.case}: {agreement.output}: {agreement.note}"
    place = f"{agreement.output}[{', '.join(map(str, agreement.worst_index))}]"
    return (
        f"{agreement.runner} differs from its weights at {agreement.case}: {place} is {agreement.actual:.6g}, expected "
        f"{agreement.expected:.6g}, {agreement.severity:.3g} times what rounding to 8 bits explains"
    )


def _load(path: str | os.PathLike[str]) -> Any:
    import onnx

    try:
        return onnx.load(os.fspath(path))
    except Exception as error:  # Its decoder raises a type of protobuf's, which derives from Exception alone.
        raise ModelError(f"{Path(path)} is no ONNX file: {' '.join(str(error).split())[:200]}") from error
