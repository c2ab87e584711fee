"""What is read of the functions that tf-keras leaves in a SavedModel, and what is not taken for a layer."""

from __future__ import annotations

import itertools
import re
import uuid
from collections.abc import Callable
from typing import Any

import pytest
import tensorflow as tf
from tf_keras.src.layers.rnn import gru, gru_lstm_utils, lstm

from seqship.export.saved_functions import SavedLayer, is_layer_function, reached, recognize

UNITS, FEATURES = 3, 2
GATES = {"lstm": 4, "gru": 3}


def traced(
    kind: str,
    *,
    function: Callable[..., Any] | None = None,
    steps: tuple[int | None, int | None] = (None, None),
    dtype: tf.DType = tf.float32,
    mask: bool = True,
    go_backwards: bool = False,
    time_major: bool = False,
    zeros: bool = False,
    sequences: bool = True,
    attributes: bool = True,
) -> tuple[Any, Any]:
    """Traces a function as the layers of tf-keras do; returns its `FunctionDef` and its library."""
    function = function or {"lstm": lstm.standard_lstm, "gru": gru.standard_gru}[kind]
    said = {"time_major": time_major, "go_backwards": go_backwards} if attributes else {}
    made = gru_lstm_utils.generate_defun_backend(f"{kind}_{uuid.uuid4()}", "CPU", function, said)
    width, batch = GATES[kind] * UNITS, steps[1 if time_major else 0]
    state = tf.TensorSpec((batch, UNITS), dtype)
    concrete = made.get_concrete_function(
        inputs=tf.TensorSpec((*steps, FEATURES), dtype),
        init_h=state,
        **({"init_c": state} if kind == "lstm" else {}),
        kernel=tf.TensorSpec((FEATURES, width), dtype),
        recurrent_kernel=tf.TensorSpec((UNITS, width), dtype),
        bias=tf.TensorSpec((width,) if kind == "lstm" else (2, width), dtype),
        mask=tf.TensorSpec(steps, tf.bool) if mask else None,
        time_major=time_major,
        go_backwards=go_backwards,
        sequence_lengths=None,
        zero_output_for_mask=zeros,
        return_sequences=sequences,
    )
    with tf.Graph().as_default() as graph:
        concrete.add_to_graph()
        library = graph.as_graph_def(add_shapes=True).library
    return next(found for found in library.function if found.signature.name == concrete.name.decode()), library


def read(layer: SavedLayer | str) -> tuple[Any, ...]:
    assert isinstance(layer, SavedLayer), layer
    spec = layer.spec
    return (
        spec.kind.lower(), layer.has_mask, spec.go_backwards, spec.time_major,
        spec.zero_output_for_mask, spec.return_sequences, spec.units, spec.features,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "go_backwards", "zeros", "sequences"),
    list(itertools.product(("lstm", "gru"), (False, True), (False, True), (False, True))),
)
def test_how_a_masked_layer_was_traced(kind: str, go_backwards: bool, zeros: bool, sequences: bool) -> None:
    function, library = traced(kind, go_backwards=go_backwards, zeros=zeros, sequences=sequences)
    assert is_layer_function(function)
    expected = (kind, True, go_backwards, False, zeros, sequences, UNITS, FEATURES)
    assert read(recognize(function, library)) == expected


@pytest.mark.parametrize(("kind", "sequences"), list(itertools.product(("lstm", "gru"), (False, True))))
def test_how_a_layer_with_time_first_was_traced(kind: str, sequences: bool) -> None:
    function, library = traced(kind, time_major=True, zeros=True, sequences=sequences, go_backwards=True)
    assert read(recognize(function, library)) == (kind, True, True, True, True, sequences, UNITS, FEATURES)


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_a_layer_without_mask(kind: str) -> None:
    function, library = traced(kind, mask=False, zeros=True, sequences=False)
    assert read(recognize(function, library)) == (kind, False, False, False, False, False, UNITS, FEATURES)


@pytest.mark.parametrize("time_major", [False, True])
def test_fixed_sizes_are_kept(time_major: bool) -> None:
    function, library = traced("gru", steps=(7, 2), time_major=time_major)
    layer = recognize(function, library)
    assert read(layer)[3] is time_major
    assert isinstance(layer, SavedLayer)
    assert layer.steps == (7, 2)


def maskless(inputs: Any, init_h: Any, kernel: Any, recurrent_kernel: Any, bias: Any, mask: Any, **more: Any) -> Any:
    """A GRU that does not look at its mask."""
    return gru.standard_gru(inputs, init_h, kernel, recurrent_kernel, bias, tf.ones_like(mask), **more)


def swapped(
    inputs: Any, init_h: Any, init_c: Any, kernel: Any, recurrent_kernel: Any, bias: Any, mask: Any, **more: Any
) -> Any:
    """An LSTM with two of its gates in each other's place."""
    i, f, c, o = tf.split(kernel, 4, axis=1)
    other = tf.concat([f, i, c, o], axis=1)
    return lstm.standard_lstm(inputs, init_h, init_c, other, recurrent_kernel, bias, mask, **more)


def reordered(mask: Any, **others: Any) -> Any:
    """A GRU with its arguments in another order."""
    return gru.standard_gru(mask=mask, **others)


@pytest.mark.parametrize(
    ("kind", "function", "why"),
    [
        ("lstm", swapped, "its function does not compute what a LSTM computes"),
        ("gru", maskless, "its function does not compute what a GRU computes"),
        (
            "gru",
            reordered,
            "its function takes mask, .*, not inputs, init_h, kernel, recurrent_kernel, bias and a mask",
        ),
    ],
)
def test_a_function_that_is_something_else_is_left(kind: str, function: Any, why: str) -> None:
    definition, library = traced(kind, function=function)
    assert is_layer_function(definition)
    assert re.fullmatch(why, str(recognize(definition, library)))


def test_a_function_that_says_another_direction_than_it_runs_is_left() -> None:
    definition, library = traced("lstm", go_backwards=True)
    definition.attr["go_backwards"].b = False
    assert recognize(definition, library) == "its function does not compute what a LSTM computes"


def test_what_cannot_be_an_operator_is_left() -> None:
    definition, library = traced("lstm", dtype=tf.float64)
    why = "it computes in float64; onnxruntime's recurrent operators compute in float32"
    assert recognize(definition, library) == why
    definition, library = traced("lstm", attributes=False)
    assert str(recognize(definition, library)).startswith("its function does not say time_major and go_backwards")
    definition, library = traced("lstm")
    definition.attr["api_implements"].s = b"convlstm_0"
    assert recognize(definition, library) == "it is a CONVLSTM, of which only LSTM and GRU are known"
    definition, library = traced("gru")
    definition.attr.pop("_input_shapes")
    assert recognize(definition, library) == "its function does not say the sizes of its kernel"


def test_only_the_cpu_side_is_a_layer() -> None:
    definition, _ = traced("gru")
    definition.attr["api_preferred_device"].s = b"GPU"
    assert not is_layer_function(definition)
    definition.attr.pop("api_implements")
    assert not is_layer_function(definition)


def test_functions_that_nothing_calls_are_not_used() -> None:
    definition, library = traced("gru")
    graph = tf.compat.v1.GraphDef(library=library)
    call = graph.node.add(name="call", op="PartitionedCall")
    call.attr["f"].func.name = definition.signature.name
    graph.node.add(name="use", op="Identity").input.append("call:1")
    graph.node.add(name="other", op="NoOp")
    nodes, used = reached(graph, ["use:0"])
    assert {"call", "use"} <= {node.name for node in nodes}
    assert definition.signature.name in used
    assert any("while_body" in name for name in used)  # What it calls in its turn.
    assert reached(graph, ["other"]) == ([graph.node[2]], {})
