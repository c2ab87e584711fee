"""From a layer as data to an ONNX operator's attributes and weights, by the documents of both."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from seqship.export.operators import activation_attributes, lowerable, operator_attributes, operator_weights
from seqship.models.spec import GATES, Activation, Kind, RecurrentSpec

FEATURES, UNITS = 2, 3


def numbered(kind: Kind, **changes: Any) -> RecurrentSpec:
    """A layer whose weights say where they stand: gate times 100, then row times 10, then column."""

    def block(rows: int) -> Any:
        gates = [100 * gate + 10 * np.arange(rows)[:, None] + np.arange(UNITS) for gate in range(GATES[kind])]
        return np.concatenate(gates, axis=1).astype(np.float32)

    bias = block(2) if kind == "GRU" else block(1)[0]
    spec = RecurrentSpec(
        name="memory",
        kind=kind,
        units=UNITS,
        features=FEATURES,
        kernel=block(FEATURES),
        recurrent_kernel=block(UNITS),
        bias=bias,
        activation=Activation("tanh"),
        recurrent_activation=None if kind == "SimpleRNN" else Activation("sigmoid"),
    )
    return dataclasses.replace(spec, **changes)


@pytest.mark.parametrize(("kind", "order"), [("LSTM", (0, 3, 1, 2)), ("GRU", (0, 1, 2)), ("SimpleRNN", (0,))])
def test_gates_and_axes_are_those_of_onnx(kind: Kind, order: tuple[int, ...]) -> None:
    w, r, b = operator_weights(numbered(kind))
    gates = len(order)
    assert w.shape == (1, gates * UNITS, FEATURES)
    assert r.shape == (1, gates * UNITS, UNITS)
    assert b.shape == (1, 2 * gates * UNITS)
    for place, gate in enumerate(order):
        for unit in range(UNITS):
            row = place * UNITS + unit
            assert w[0, row].tolist() == [100 * gate + 10 * feature + unit for feature in range(FEATURES)]
            assert r[0, row].tolist() == [100 * gate + 10 * other + unit for other in range(UNITS)]
            assert b[0, row] == 100 * gate + unit
            # A GRU has a bias of the state of its own; the others have none.
            assert b[0, gates * UNITS + row] == (100 * gate + 10 + unit if kind == "GRU" else 0)


def test_a_gru_with_one_bias_has_none_for_the_state() -> None:
    spec = numbered("GRU", reset_after=False)
    assert spec.bias is not None
    _, _, b = operator_weights(dataclasses.replace(spec, bias=spec.bias[0]))
    assert b[0, : 3 * UNITS].tolist() == spec.bias[0].tolist()
    assert not b[0, 3 * UNITS :].any()


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "SimpleRNN"])
def test_no_bias_is_zero(kind: Kind) -> None:
    assert not operator_weights(numbered(kind, bias=None))[2].any()


def test_reset_after_and_direction_are_written_out() -> None:
    for after in (True, False):
        for backwards in (True, False):
            found = operator_attributes(numbered("GRU", reset_after=after, go_backwards=backwards))
            assert found["linear_before_reset"] == int(after)
            assert found["direction"] == ("reverse" if backwards else "forward")
            assert found["hidden_size"] == UNITS
    assert "linear_before_reset" not in operator_attributes(numbered("LSTM"))


def test_activations_are_in_the_order_of_the_operator() -> None:
    changes = {"activation": Activation("relu"), "recurrent_activation": Activation("softsign")}
    assert activation_attributes(numbered("LSTM", **changes)) == {"activations": ["Softsign", "Relu", "Relu"]}
    assert activation_attributes(numbered("GRU", **changes)) == {"activations": ["Softsign", "Relu"]}
    assert activation_attributes(numbered("SimpleRNN", activation=Activation("relu"))) == {"activations": ["Relu"]}


def test_parameters_are_in_the_order_in_which_they_are_taken() -> None:
    gates = Activation("hard_sigmoid", 0.2, 0.5)
    found = activation_attributes(
        numbered("LSTM", recurrent_activation=gates, activation=Activation("leaky_relu", 0.3))
    )
    assert found["activations"] == ["HardSigmoid", "LeakyRelu", "LeakyRelu"]
    assert (found["activation_alpha"], found["activation_beta"]) == ([0.2, 0.3, 0.3], [0.5])
    found = activation_attributes(numbered("GRU", recurrent_activation=gates, activation=Activation("linear")))
    assert found["activations"] == ["HardSigmoid", "Affine"]
    assert (found["activation_alpha"], found["activation_beta"]) == ([0.2, 1.0], [0.5, 0.0])


def test_reasons_name_the_role_and_the_function() -> None:
    assert lowerable(numbered("GRU")) == ()
    odd = Activation("my.tanh")
    assert lowerable(numbered("LSTM", activation=odd, recurrent_activation=odd, dtype="float16")) == (
        "activation my.tanh has no counterpart in ONNX LSTM",
        "recurrent_activation my.tanh has no counterpart in ONNX LSTM",
        "it computes in float16; onnxruntime's recurrent operators compute in float32",
    )
    assert lowerable(numbered("SimpleRNN", activation=odd)) == ("activation my.tanh has no counterpart in ONNX RNN",)
