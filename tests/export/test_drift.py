"""The error by the number of steps is that of the last step, of each runner, and measured by the oracle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

from seqship.errors import ModelError
from seqship.export import to_onnx, to_saved_model
from seqship.export.drift import Drift, error_over_steps, lengths
from seqship.export.oracle import Oracle, make_oracle
from seqship.export.runners import Feed, Outputs, Runner, keras_runner, onnx_runner, saved_model_runner
from seqship.export.signature import model_signature
from seqship.export.streaming import export_signature
from seqship.models.flavour import Flavour
from seqship.pipelines.spec import Field

FREE = (Field("x", "float32", ("batch", "time", 2), minimum=-1.0, maximum=1.0),)
FIXED = (Field("x", "float32", ("batch", 30, 2), minimum=-1.0, maximum=1.0),)


def sums(dtype: Any) -> Runner:
    """A recurrence by hand: the running sum, what it is at the end, and the number of steps."""

    def run(feed: Feed) -> Outputs:
        every = np.cumsum(feed["x"].astype(dtype), axis=1, dtype=dtype)
        return {"every": every, "end": every[:, -1], "count": np.full(len(every), every.shape[1], np.int32)}

    return run


def changed(output: str, change: Any) -> Runner:
    """Keras' sums, but for one output."""

    def run(feed: Feed) -> Outputs:
        made = sums(np.float32)(feed)
        made[output] = change(made[output])
        return made

    return run


REFERENCE, ORACLE = sums(np.float32), Oracle(sums(np.float64), (sums(np.float32),))


def drift_of(inputs: tuple[Field, ...], runner: Runner, **options: Any) -> Drift:
    found = error_over_steps(inputs, REFERENCE, ORACLE, {"onnx": runner}, **options)
    assert found is not None
    return found


# --- Real exports


def test_right_exports_are_no_further_from_the_oracle_than_keras(small: Any, tmp_path: Path) -> None:
    signature = model_signature(small)
    saved = to_saved_model(small, tmp_path / "saved_model", signature=signature)
    path = to_onnx(small, tmp_path / "model.onnx", signature=signature).path
    reference, oracle = keras_runner(signature), make_oracle(signature)
    runners = {"saved_model": saved_model_runner(saved.path), "onnx": onnx_runner(path)}
    found = error_over_steps(signature.inputs, reference, oracle, runners, steps=60)
    assert found is not None
    assert (found.steps[0], found.steps[-1]) == (1, 60)
    scores = found.outputs["scores"]
    assert list(scores.runners) == ["keras", "saved_model", "onnx"]
    assert 0.3 < scores.scale <= 1
    largest = {name: max(errors) for name, errors in scores.runners.items()}
    assert 0 < largest["keras"] < 1e-6
    assert max(largest.values()) <= 8 * (largest["keras"] + 2**-21)

    proto = onnx.load(path)
    (tensor,) = [one for one in proto.graph.initializer if one.name == gru(proto).input[2]]
    weights = numpy_helper.to_array(tensor).copy()
    weights[0, 0, 0] += 0.01
    tensor.CopyFrom(numpy_helper.from_array(weights, tensor.name))
    onnx.save(proto, tmp_path / "wrong.onnx")
    wrong = error_over_steps(signature.inputs, reference, oracle, {"onnx": onnx_runner(tmp_path / "wrong.onnx")})
    assert wrong is not None
    errors = wrong.outputs["scores"].runners["onnx"]
    # A recurrent weight says nothing at the first step, where the state is zero.
    assert errors[0] < 1e-6
    assert min(errors[4:]) > 50 * largest["keras"]


def gru(proto: Any) -> Any:
    return next(node for node in proto.graph.node if node.op_type == "GRU")


def test_a_stateful_model_begins_at_zero_and_its_states_are_not_told(flavour: Flavour, tmp_path: Path) -> None:
    layers = flavour.keras.layers
    memory = layers.GRU(4, stateful=True, name="memory")
    model = flavour.keras.Sequential([layers.Input(batch_shape=(3, None, 2), name="signal"), memory])
    signature = export_signature(model)
    path = to_onnx(model, tmp_path / "model.onnx", signature=signature).path
    fed: list[Feed] = []

    def watched(feed: Feed) -> Outputs:
        fed.append(feed)
        return onnx_runner(path)(feed)

    found = error_over_steps(
        signature.inputs, keras_runner(signature), make_oracle(signature), {"onnx": watched}, steps=9
    )
    assert found is not None
    assert [list(feed) for feed in fed] == [["signal"]] * len(found.steps)
    assert [feed["signal"].shape[1] for feed in fed] == list(found.steps)
    assert list(found.outputs) == ["memory"]
    assert max(found.outputs["memory"].runners["onnx"]) < 1e-6


# --- A recurrence by hand, whose errors are known


def test_each_length_has_the_error_of_its_own_last_step() -> None:
    def growing(value: NDArray[Any]) -> NDArray[Any]:
        return value + 0.5 * np.arange(1, value.shape[1] + 1, dtype=np.float32)[None, :, None]

    found = drift_of(FREE, changed("every", growing), steps=40)
    assert list(found.outputs) == ["every", "end"]  # Not the whole number.
    told = found.outputs["every"].runners
    assert told["onnx"] == pytest.approx([0.5 * step for step in found.steps], rel=1e-3)
    assert told["keras"][0] == 0.0
    assert 0 < told["keras"][-1] < 1e-4
    # What is right stays right.
    assert found.outputs["end"].runners["onnx"] == found.outputs["end"].runners["keras"]


def test_where_the_length_is_fixed_each_step_of_one_run_is_told() -> None:
    def at_step_14(value: NDArray[Any]) -> NDArray[Any]:
        value = value.copy()
        value[:, 13] += 2.0
        return value

    found = drift_of(FIXED, changed("every", at_step_14), steps=500)
    assert found.steps == lengths(30)
    assert list(found.outputs) == ["every"]
    told = dict(zip(found.steps, found.outputs["every"].runners["onnx"], strict=True))
    assert told.pop(14) == pytest.approx(2.0, rel=1e-3)
    assert max(told.values()) < 1e-4


def test_the_scale_is_the_largest_value_without_rounding() -> None:
    found = drift_of(FREE, REFERENCE, steps=50)
    assert found.outputs["end"].scale == found.outputs["every"].scale > 1
    wrong = drift_of(FREE, changed("end", nine_times), steps=50)
    assert wrong.outputs["end"].scale == found.outputs["end"].scale


def a_nan(value: NDArray[Any]) -> NDArray[Any]:
    return np.where(value > value.min(), value, np.nan).astype(value.dtype)


def infinite(value: NDArray[Any]) -> NDArray[Any]:
    return np.full_like(value, np.inf)


def one_row(value: NDArray[Any]) -> NDArray[Any]:
    return value[:1]


def nine_times(value: NDArray[Any]) -> NDArray[Any]:
    return value * 9


@pytest.mark.parametrize("change", [a_nan, infinite, one_row])
def test_what_is_no_number_is_an_infinite_error_and_a_word_of_json(change: Any) -> None:
    found = drift_of(FREE, changed("end", change), steps=3)
    document = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert document["steps"] == [1, 2, 3]
    assert document["outputs"]["end"]["runners"]["onnx"] == ["Infinity"] * 3
    assert document["outputs"]["end"]["runners"]["keras"] == pytest.approx([0, 0, 0], abs=1e-6)


def test_leaving_the_range_of_float32_is_no_error() -> None:
    def huge(dtype: Any) -> Runner:
        return lambda feed: {"y": (10.0 ** (feed["x"].shape[1] * np.ones((1, 1)))).astype(dtype)}

    with np.errstate(over="ignore"):
        found = error_over_steps(FREE, huge(np.float32), Oracle(huge(np.float64), (huge(np.float32),)), {}, steps=60)
    assert found is not None
    assert found.outputs["y"].runners["keras"][-1] == 0.0
    assert np.isfinite(found.outputs["y"].scale)


def test_the_same_seed_gives_the_same_numbers() -> None:
    assert drift_of(FREE, REFERENCE, seed=4) == drift_of(FREE, REFERENCE, seed=4)
    assert drift_of(FREE, REFERENCE, seed=4) != drift_of(FREE, REFERENCE, seed=5)


# --- Nothing to tell


def refuses(feed: Feed) -> Outputs:
    raise ModelError("it does not take this length")


def only_the_end(dtype: Any) -> Runner:
    return lambda feed: {"end": sums(dtype)(feed)["end"]}


def test_nothing_is_told_where_nothing_can_be() -> None:
    runners = {"onnx": REFERENCE}
    assert error_over_steps(FREE, REFERENCE, None, runners) is None
    assert error_over_steps(FREE, refuses, ORACLE, runners) is None
    assert error_over_steps(FREE, REFERENCE, ORACLE, {"saved_model": refuses}) is None
    assert error_over_steps(FREE, REFERENCE, ORACLE, runners, steps=1) is None
    end = Oracle(only_the_end(np.float64), (only_the_end(np.float32),))
    assert error_over_steps(FIXED, only_the_end(np.float32), end, {}) is None


@pytest.mark.parametrize("longest", [1, 2, 7, 120, 5000])
def test_lengths_rise_from_one_to_the_longest(longest: int) -> None:
    chosen = lengths(longest)
    assert (chosen[0], chosen[-1]) == (1, longest)
    assert list(chosen) == sorted(set(chosen))
    assert len(chosen) == longest if longest < 5 else len(chosen) <= 24
    if longest == 120:
        assert len(chosen) == 20
