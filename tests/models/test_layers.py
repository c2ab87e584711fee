"""Recurrent layers are read as they are, from both flavours into the same data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from seqship.errors import ModelError
from seqship.models import recurrent_layers
from seqship.models.cells import read_activation
from seqship.models.flavour import Flavour
from seqship.models.layers import all_layers, other_recurrent_layers
from seqship.models.spec import GATES, STATES, Activation, Kind
from tests.models.built import FEATURES, UNITS, built


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "SimpleRNN"])
def test_weights_are_the_layers_own_in_keras_order(flavour: Flavour, kind: Kind) -> None:
    model = built(flavour, getattr(flavour.keras.layers, kind)(UNITS, name="memory"))
    (spec,) = recurrent_layers(model)
    kernel, recurrent, bias = model.get_weights()
    assert (spec.name, spec.kind, spec.units, spec.features) == ("memory", kind, UNITS, FEATURES)
    assert spec.kernel.shape == (FEATURES, GATES[kind] * UNITS)
    assert spec.recurrent_kernel.shape == (UNITS, GATES[kind] * UNITS)
    assert np.array_equal(spec.kernel, kernel)
    assert np.array_equal(spec.recurrent_kernel, recurrent)
    assert spec.bias is not None
    assert np.array_equal(spec.bias, bias)
    assert spec.bias.shape == ((2, 3 * UNITS) if kind == "GRU" else (GATES[kind] * UNITS,))
    assert spec.parameters == model.count_params()
    assert STATES[kind] == (2 if kind == "LSTM" else 1)


def test_weights_are_read_as_they_are_now(flavour: Flavour) -> None:
    model = built(flavour, flavour.keras.layers.GRU(UNITS))
    before = recurrent_layers(model)[0].kernel
    model.set_weights([weight * 2 for weight in model.get_weights()])
    assert np.array_equal(recurrent_layers(model)[0].kernel, before * 2)


def test_defaults_are_those_of_keras(flavour: Flavour) -> None:
    (spec,) = recurrent_layers(built(flavour, flavour.keras.layers.GRU(UNITS)))
    assert (spec.activation, spec.recurrent_activation) == (Activation("tanh"), Activation("sigmoid"))
    assert spec.reset_after
    flags = ("go_backwards", "return_sequences", "return_state", "stateful", "zero_output_for_mask", "time_major")
    assert [getattr(spec, flag) for flag in (*flags, "unroll")] == [False] * 7
    assert (spec.dropout, spec.recurrent_dropout, spec.dtype) == (0.0, 0.0, "float32")


def test_every_option_is_read(flavour: Flavour) -> None:
    options: dict[str, Any] = {
        "reset_after": False,
        "go_backwards": True,
        "return_sequences": True,
        "return_state": True,
        "unroll": True,
        "dropout": 0.25,
        "recurrent_dropout": 0.125,
        "use_bias": False,
        "activation": "relu",
        "recurrent_activation": "hard_sigmoid",
    }
    keras = flavour.keras
    layer = keras.layers.GRU(UNITS, **options)
    layer.zero_output_for_mask = True
    inputs = keras.layers.Input((5, FEATURES))
    (spec,) = recurrent_layers(keras.Model(inputs, layer(inputs)))
    for name in list(options)[:7]:
        assert getattr(spec, name) == options[name]
    assert spec.zero_output_for_mask
    assert spec.bias is None
    assert spec.parameters == spec.kernel.size + spec.recurrent_kernel.size
    assert spec.activation == Activation("relu")
    assert spec.recurrent_activation == Activation("hard_sigmoid", {2: 0.2, 3: 1 / 6}[flavour.version], 0.5)


def test_a_bias_of_reset_after_false_is_one_row(flavour: Flavour) -> None:
    (spec,) = recurrent_layers(built(flavour, flavour.keras.layers.GRU(UNITS, reset_after=False)))
    assert spec.bias is not None
    assert spec.bias.shape == (3 * UNITS,)


def test_a_simple_rnn_has_no_gates(flavour: Flavour) -> None:
    (spec,) = recurrent_layers(built(flavour, flavour.keras.layers.SimpleRNN(UNITS)))
    assert spec.recurrent_activation is None


def test_stateful_and_double_precision_are_read(flavour: Flavour) -> None:
    keras = flavour.keras
    inputs = keras.layers.Input(batch_shape=(2, 5, FEATURES), dtype="float64")
    model = keras.Model(inputs, keras.layers.LSTM(UNITS, stateful=True, dtype="float64")(inputs))
    (spec,) = recurrent_layers(model)
    assert (spec.stateful, spec.dtype, spec.kernel.dtype) == (True, "float64", np.float64)


def test_nested_and_wrapped_layers_are_found_once_in_order(flavour: Flavour) -> None:
    keras = flavour.keras
    shared = keras.layers.GRU(UNITS, name="shared", return_sequences=True)
    inner_input = keras.layers.Input((5, FEATURES))
    inner = keras.Model(inner_input, keras.layers.LSTM(FEATURES, name="inner", return_sequences=True)(inner_input))
    inputs = keras.layers.Input((5, FEATURES))
    both = keras.layers.Bidirectional(keras.layers.SimpleRNN(UNITS, name="turned"))(shared(inner(inputs)))
    model = keras.Model(inputs, [both, shared(inputs)])
    names = [spec.name for spec in recurrent_layers(model)]
    assert sorted(names) == sorted(["inner", "shared", "forward_turned", "backward_turned"])
    assert len(list(all_layers(model))) == len({id(layer) for layer in all_layers(model)})
    backward = next(spec for spec in recurrent_layers(model) if spec.name == "backward_turned")
    assert backward.go_backwards


def test_a_class_of_the_users_own_is_left_out(flavour: Flavour) -> None:
    class Gated(flavour.keras.layers.GRU):
        pass

    model = built(
        flavour, flavour.keras.layers.GRU(UNITS, name="known", return_sequences=True), Gated(UNITS, name="own")
    )
    assert [spec.name for spec in recurrent_layers(model)] == ["known"]
    assert [layer.name for layer in other_recurrent_layers(model)] == ["own"]


def test_a_layer_without_weights_yet_is_left_out(flavour: Flavour) -> None:
    class Late(flavour.keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.memory = flavour.keras.layers.GRU(UNITS)

        def call(self, inputs: Any) -> Any:
            return self.memory(inputs)

    model = Late()
    assert recurrent_layers(model) == ()
    model(np.zeros((1, 2, FEATURES), np.float32))
    assert len(recurrent_layers(model)) == 1


def test_what_is_no_model_is_refused() -> None:
    with pytest.raises(ModelError, match=r"^expected a tf-keras or Keras 3 model, got builtins\.list$"):
        recurrent_layers([])


# --- Activations


def tanh(x: Any) -> Any:
    return x


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("tanh", (None, None)),
        ("sigmoid", (None, None)),
        ("relu", (None, None)),
        ("linear", (None, None)),
        ("softsign", (None, None)),
        ("softplus", (None, None)),
        ("exponential", (None, None)),
        ("elu", (1.0, None)),
        ("leaky_relu", (0.2, None)),
    ],
)
def test_keras_own_functions_are_known_by_name(
    flavour: Flavour, name: str, parameters: tuple[float | None, float | None]
) -> None:
    function = flavour.keras.layers.GRU(2, activation=name).cell.activation
    assert read_activation(function, flavour) == Activation(name, *parameters)
    # The parameters are those that Keras computes with.
    if parameters[0] is not None:
        ours = parameters[0] * (np.expm1(-1.0) if name == "elu" else -1.0)
        assert float(np.asarray(function(np.float32(-1.0)))) == pytest.approx(ours, rel=1e-6)


def test_hard_sigmoid_has_the_slope_of_its_flavour(flavour: Flavour) -> None:
    import tensorflow as tf

    function = flavour.keras.activations.hard_sigmoid
    found = read_activation(function, flavour)
    assert (found.alpha, found.beta) == (flavour.hard_sigmoid_slope, 0.5)
    at_one = float(np.asarray(function(tf.constant(1.0))))
    assert at_one == pytest.approx(flavour.hard_sigmoid_slope + 0.5, rel=1e-6)


def test_a_function_of_the_users_own_is_not_taken_for_keras(flavour: Flavour) -> None:
    assert read_activation(tanh, flavour) == Activation(f"{__name__}.tanh")
    assert read_activation(flavour.keras.layers.LeakyReLU(), flavour).name.endswith(".LeakyReLU")
    other = {2: "keras", 3: "tf_keras"}[flavour.version]
    foreign = __import__(other).activations.tanh
    assert read_activation(foreign, flavour).name != "tanh"


def test_no_activation_is_linear(flavour: Flavour) -> None:
    assert read_activation(flavour.keras.layers.GRU(2, activation=None).cell.activation, flavour).name == "linear"
