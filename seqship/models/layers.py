"""Reads the recurrent layers of a Keras model, of either flavour, into `RecurrentSpec`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from seqship.models.flavour import Flavour, flavour_of
from seqship.models.spec import Activation, Kind, RecurrentSpec

KINDS: tuple[Kind, ...] = ("LSTM", "GRU", "SimpleRNN")


def recurrent_classes(flavour: Flavour) -> dict[type, Kind]:
    """Returns the layer classes of a flavour that can be read, with their kind."""
    return {getattr(flavour.keras.layers, kind): kind for kind in KINDS}


def all_layers(model: Any) -> Iterator[Any]:
    """Yields every layer of a model, nested ones included, each once, in the model's order."""
    seen: set[int] = set()
    for layer in model._flatten_layers(include_self=False, recursive=True):
        if id(layer) not in seen:
            seen.add(id(layer))
            yield layer


def recurrent_layers(model: Any) -> tuple[RecurrentSpec, ...]:
    """Returns the LSTM, GRU and SimpleRNN layers of a built model, in the model's order.

    Layers of a class derived from these are left out: nothing says that they compute the same.

    Raises:
        ModelError: The model is of neither Keras flavour.
    """
    flavour = flavour_of(model)
    classes = recurrent_classes(flavour)
    return tuple(read_layer(layer, flavour) for layer in all_layers(model) if type(layer) in classes and layer.built)


def other_recurrent_layers(model: Any) -> tuple[Any, ...]:
    """Returns the built recurrent layers that `recurrent_layers` leaves out: RNN over cells, ConvLSTM, derived classes.

    Raises:
        ModelError: The model is of neither Keras flavour.
    """
    flavour = flavour_of(model)
    known = recurrent_classes(flavour)
    base = flavour.keras.layers.RNN
    return tuple(
        layer for layer in all_layers(model) if isinstance(layer, base) and type(layer) not in known and layer.built
    )


def read_layer(layer: Any, flavour: Flavour) -> RecurrentSpec:
    """Reads one built LSTM, GRU or SimpleRNN layer.

    Weights are read as they are now; within the trace of a `tf.function` call it under `tf.init_scope()`.
    """
    kind = recurrent_classes(flavour)[type(layer)]
    cell = layer.cell
    kernel = np.asarray(cell.kernel)
    return RecurrentSpec(
        name=str(layer.name),
        kind=kind,
        units=int(cell.units),
        features=int(kernel.shape[0]),
        kernel=kernel,
        recurrent_kernel=np.asarray(cell.recurrent_kernel),
        bias=np.asarray(cell.bias) if cell.use_bias else None,
        activation=read_activation(cell.activation, flavour),
        recurrent_activation=None if kind == "SimpleRNN" else read_activation(cell.recurrent_activation, flavour),
        reset_after=bool(getattr(cell, "reset_after", True)),
        go_backwards=bool(layer.go_backwards),
        return_sequences=bool(layer.return_sequences),
        return_state=bool(layer.return_state),
        stateful=bool(layer.stateful),
        zero_output_for_mask=bool(layer.zero_output_for_mask),
        time_major=bool(getattr(layer, "time_major", False)),
        unroll=bool(layer.unroll),
        dropout=float(cell.dropout),
        recurrent_dropout=float(cell.recurrent_dropout),
        dtype=str(layer.compute_dtype),
    )


def read_activation(function: Any, flavour: Flavour) -> Activation:
    """Returns a Keras activation function as data.

    Only the functions that Keras itself ships are known by name; any other keeps its own qualified name, which no
    operator is called, so that a user's `tanh` is not taken for Keras'.
    """
    name = str(getattr(function, "__name__", type(function).__name__))
    # Where Keras itself looks names up: tf-keras shows leaky_relu there alone.
    shipped = getattr(sys.modules[flavour.keras.activations.get.__module__], name, None)
    if shipped is not function:
        return Activation(f"{getattr(function, '__module__', '?')}.{name}")
    parameters: dict[str, tuple[float, float | None]] = {
        "hard_sigmoid": (flavour.hard_sigmoid_slope, 0.5),
        "leaky_relu": (0.2, None),
        "elu": (1.0, None),
    }
    alpha, beta = parameters.get(name, (None, None))
    return Activation(name, alpha, beta)
