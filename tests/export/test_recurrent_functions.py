"""The functions of a portable layer: both sides give what the reference gives, the GPU's without a GPU."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from seqship.export import recurrent_functions as functions
from seqship.export import saved_model_to_onnx
from seqship.export.recurrent_functions import Form, on_cudnn, standard
from seqship.models.reference import run_layer
from seqship.models.spec import GATES, STATES, Activation, Kind, RecurrentSpec

Array = NDArray[Any]
BATCH, TIME, FEATURES, UNITS = 4, 6, 3, 5
KINDS: tuple[Kind, ...] = ("LSTM", "GRU")
STEPS = np.arange(TIME)
RIGHT = np.array([[6], [1], [4], [5]]) > STEPS
MASKS: dict[str, Array | None] = {
    "none": None,
    "full": np.ones((BATCH, TIME), bool),
    "right": RIGHT,
    "left": RIGHT[:, ::-1].copy(),
    "holes": np.random.default_rng(3).random((BATCH, TIME)) > 0.4,
    "empty_row": RIGHT & np.array([[True], [True], [False], [True]]),
}
FLAGS = list(itertools.product((False, True), repeat=3))


def weights_of(spec: RecurrentSpec) -> list[Any]:
    import tensorflow as tf

    return [tf.constant(weight) for weight in spec.weights]


def spec_of(kind: Kind, backwards: bool, sequences: bool, zeros: bool) -> RecurrentSpec:
    random = np.random.default_rng(7)
    width = GATES[kind] * UNITS
    return RecurrentSpec(
        name="memory",
        kind=kind,
        units=UNITS,
        features=FEATURES,
        kernel=random.normal(0, 0.5, (FEATURES, width)).astype(np.float32),
        recurrent_kernel=random.normal(0, 0.5, (UNITS, width)).astype(np.float32),
        bias=random.normal(0, 0.5, (2, width) if kind == "GRU" else (width,)).astype(np.float32),
        activation=Activation("tanh"),
        recurrent_activation=Activation("sigmoid"),
        go_backwards=backwards,
        return_sequences=sequences,
        zero_output_for_mask=zeros,
    )


def drawn(kind: Kind) -> tuple[Array, list[Array]]:
    random = np.random.default_rng(1)
    sequence = random.normal(0, 1, (BATCH, TIME, FEATURES)).astype(np.float32)
    return sequence, [random.normal(0, 0.5, (BATCH, UNITS)).astype(np.float32) for _ in range(STATES[kind])]


def agree(made: list[Any], spec: RecurrentSpec, sequence: Array, states: list[Array], mask: Array | None) -> None:
    output, finals = run_layer(spec, sequence, mask=mask, initial_state=states)
    for ours, wanted in zip(made, [output, *finals], strict=True):
        assert ours.shape == wanted.shape
        assert np.allclose(ours, wanted, atol=1e-6)


def called(
    run: Callable[..., list[Any]], spec: RecurrentSpec, sequence: Array, states: list[Array], mask: Array | None
) -> list[Any]:
    """Runs one of the functions within a graph."""
    import tensorflow as tf

    def function(sequence: Any, states: Any, mask: Any = None) -> list[Any]:
        return run(Form.of(spec), sequence, weights_of(spec), states, mask)

    given = [tf.constant(sequence), [tf.constant(state) for state in states]]
    if mask is not None:
        given.append(tf.constant(mask))
    return [tensor.numpy() for tensor in tf.function(function, autograph=False)(*given)]


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_standard_side_gives_what_the_reference_gives(kind: Kind, mask: str) -> None:
    sequence, states = drawn(kind)
    for backwards, sequences, zeros in FLAGS:
        spec = spec_of(kind, backwards, sequences, zeros)
        agree(called(standard, spec, sequence, states, MASKS[mask]), spec, sequence, states, MASKS[mask])


@pytest.mark.parametrize(("backwards", "sequences", "zeros"), FLAGS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_cudnn_side_gives_what_the_reference_gives(
    kind: Kind, backwards: bool, sequences: bool, zeros: bool, tmp_path: Path
) -> None:
    """Its graph is converted to ONNX, whose operators run without a GPU."""
    import tensorflow as tf

    spec = spec_of(kind, backwards, sequences, zeros)
    sequence, states = drawn(kind)

    def layer(sequence: Any, mask: Any, *states: Any) -> dict[str, Any]:
        lengths = tf.reduce_sum(tf.cast(mask, tf.int32), 1)
        made = functions._cudnn(Form.of(spec), sequence, weights_of(spec), states, mask, lengths)
        return {f"result_{position}": tensor for position, tensor in enumerate(made)}

    specs = [tf.TensorSpec([None, None, FEATURES], name="sequence"), tf.TensorSpec([None, None], tf.bool, name="mask")]
    specs += [tf.TensorSpec([None, UNITS], name=f"state_{position}") for position in range(len(states))]
    traced: Any = tf.function(layer, autograph=False)
    tf.saved_model.save(tf.Module(), str(tmp_path / "saved"), signatures=traced.get_concrete_function(*specs))
    found = saved_model_to_onnx(tmp_path / "saved", tmp_path / "model.onnx", allow_loop=False)
    assert found.operators == {kind: 1}
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    for mask in (np.ones((BATCH, TIME), bool), RIGHT):
        feed = {"sequence": sequence, "mask": mask} | {f"state_{i}": state for i, state in enumerate(states)}
        names = [f"result_{position}" for position in range(1 + len(states))]
        agree(list(session.run(names, feed)), spec, sequence, states, mask)


@pytest.mark.parametrize("mask", ["left", "holes", "empty_row"])
def test_masks_that_cudnn_cannot_take_go_the_standard_way(mask: str) -> None:
    import tensorflow as tf

    spec = spec_of("GRU", backwards=False, sequences=True, zeros=False)
    sequence, states = drawn("GRU")
    # Outside of a graph the condition is decided here and now; the way to cuDNN would raise without a GPU.
    made = on_cudnn(
        Form.of(spec), tf.constant(sequence), weights_of(spec), [tf.constant(s) for s in states], MASKS[mask]
    )
    agree([tensor.numpy() for tensor in made], spec, sequence, states, MASKS[mask])


@pytest.mark.parametrize("mask", ["none", "full", "right"])
def test_masks_that_cudnn_takes_go_its_way(mask: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import tensorflow as tf

    spec = spec_of("GRU", backwards=False, sequences=True, zeros=False)
    sequence, states = drawn("GRU")
    lengths: list[Any] = []

    def noted(*given: Any) -> list[Any]:
        lengths.append(given[-1])
        return [given[1]]

    monkeypatch.setattr(functions, "_cudnn", noted)
    on_cudnn(Form.of(spec), tf.constant(sequence), (), [tf.constant(state) for state in states], MASKS[mask])
    valid = MASKS[mask]
    wanted = np.full(BATCH, TIME) if valid is None else valid.sum(1)
    assert np.array_equal(lengths[0], wanted)
