"""Reads the recurrent layers of a Keras model, of either flavour, into `RecurrentSpec`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from seqship.models.cells import KINDS, read_cell
from seqship.models.flavour import Flavour, flavour_of
from seqship.models.spec import Kind, RecurrentSpec


def recurrent_classes(flavour: Flavour) -> dict[type, Kind]:
    """Returns the layer classes of a flavour that are one operator, with their kind."""
    return {getattr(flavour.keras.layers, kind): kind for kind in KINDS}


def all_layers(model: Any) -> Iterator[Any]:
    """Yields every layer of a model, nested ones included, each once, in the model's order."""
    seen: set[int] = set()
    for layer in model._flatten_layers(include_self=False, recursive=True):
        if id(layer) not in seen:
            seen.add(id(layer))
            yield layer


def recurrent_layers(model: Any) -> tuple[RecurrentSpec, ...]:
    """Returns the recurrent layers of a built model that are known, in the model's order.

    Known are LSTM, GRU and SimpleRNN, and RNN over the cells of these; stacked cells are given one by one, named
    `layer/cell`. Layers and cells of a class derived from these are left out: nothing says that they compute the same.

    Raises:
        ModelError: The model is of neither Keras flavour.
    """
    flavour = flavour_of(model)
    return tuple(spec for layer in built_recurrent_layers(model) for spec in read_layer(layer, flavour))


def other_recurrent_layers(model: Any) -> tuple[Any, ...]:
    """Returns the built recurrent layers that `recurrent_layers` leaves out: own cells, ConvLSTM, derived classes.

    Raises:
        ModelError: The model is of neither Keras flavour.
    """
    flavour = flavour_of(model)
    return tuple(layer for layer in built_recurrent_layers(model) if not read_layer(layer, flavour))


def built_recurrent_layers(model: Any) -> Iterator[Any]:
    """Yields the recurrent layers that have weights, known or not, in the model's order."""
    flavour = flavour_of(model)
    for layer in all_layers(model):
        if isinstance(layer, flavour.keras.layers.RNN) and layer.built:
            yield layer


def read_layer(layer: Any, flavour: Flavour) -> tuple[RecurrentSpec, ...]:
    """Reads one built recurrent layer: a spec for each of its cells, from the input upwards; none if it is not known.

    Weights are read as they are now; within the trace of a `tf.function` call it under `tf.init_scope()`.
    """
    over_cell = type(layer) is flavour.keras.layers.RNN
    if not over_cell and type(layer) not in recurrent_classes(flavour):
        return ()
    cells = [layer.cell]
    stacked = type(layer.cell) is flavour.keras.layers.StackedRNNCells
    if stacked and not getattr(layer.cell, "reverse_state_order", False):
        cells = list(layer.cell.cells)
    weights = [read_cell(cell, flavour) for cell in cells]
    if not all(weights):
        return ()
    return tuple(
        RecurrentSpec(
            name=f"{layer.name}/{cell.name}" if stacked else str(layer.name),
            go_backwards=bool(layer.go_backwards),
            return_sequences=bool(layer.return_sequences),
            return_state=bool(layer.return_state),
            stateful=bool(layer.stateful),
            zero_output_for_mask=bool(layer.zero_output_for_mask),
            time_major=bool(getattr(layer, "time_major", False)),
            unroll=bool(layer.unroll),
            over_cell=over_cell,
            **read,
        )
        for cell, read in zip(cells, weights, strict=True)
    )


def unknown_layer(layer: Any) -> str:
    """Returns why nothing is known of a recurrent layer."""
    kind, cell = type(layer).__name__, type(layer.cell).__name__
    cells = getattr(layer.cell, "cells", ())
    over = f"{cell} of {', '.join(dict.fromkeys(type(part).__name__ for part in cells))}" if cells else cell
    return f"{kind} over {over} is none of the layers LSTM, GRU and SimpleRNN, nor an RNN over their cells"
