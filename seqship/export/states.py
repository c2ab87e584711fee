"""The states of stateful layers, as inputs and outputs of the exported function.

A stateful layer keeps its state in a variable from one call to the next. Servers assume pure functions, and a graph
without the variable forgets: so the state comes in as `state/<layer>/h` (and `/c`) and goes out as the same name with
`_out`, for the caller to hand back with the next chunk.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from seqship.errors import ModelError
from seqship.models.flavour import flavour_of
from seqship.models.layers import all_layers, read_layer
from seqship.models.spec import STATES, RecurrentSpec
from seqship.pipelines.spec import BATCH, STATE_PREFIX, Field


@dataclass(frozen=True, eq=False)
class StatefulLayer:
    """One layer and the contracts of its states.

    Attributes:
        layer: The Keras layer.
        states: Contract of each state (batch, units), in the order in which the layer takes them.
        time_major: Whether its sequences are (time, batch, features).
    """

    layer: Any
    states: tuple[Field, ...]
    time_major: bool


@dataclass(eq=False)
class StateExchange:
    """States on their way through one trace.

    Attributes:
        current: The states of each layer, by its identity.
        overruled: Names of the layers that were called with other states than their own.
    """

    current: dict[int, Sequence[Any]] = field(default_factory=dict[int, Sequence[Any]])
    overruled: list[str] = field(default_factory=list[str])


_active: contextvars.ContextVar[StateExchange | None] = contextvars.ContextVar("seqship_states", default=None)


def active_exchange() -> StateExchange | None:
    """Returns the exchange that is open in this context."""
    return _active.get()


@contextlib.contextmanager
def exchange_states(given: Mapping[int, Sequence[Any]]) -> Generator[StateExchange]:
    """Runs stateful layers from given states for as long as the block runs, in this context alone.

    Args:
        given: Initial states by the identity of the layer, each (batch, units).

    Yields:
        The exchange; after a layer was called it holds that layer's final states.
    """
    exchange = StateExchange(dict(given))
    token = _active.set(exchange)
    try:
        yield exchange
    finally:
        _active.reset(token)


def stateful_layers(model: Any) -> tuple[StatefulLayer, ...]:
    """Returns the stateful recurrent layers of a built model, in the model's order.

    Raises:
        ModelError: A layer is stateful whose state cannot be made an input: ConvLSTM, or a class of the user's own.
    """
    flavour = flavour_of(model)
    found: list[StatefulLayer] = []
    names: set[str] = set()
    for layer in all_layers(model):
        # tf-keras calls a wrapper stateful if anything in it is; the wrapped layers come by themselves.
        if not isinstance(layer, flavour.keras.layers.RNN) or not layer.built or not layer.stateful:
            continue
        specs = read_layer(layer, flavour)
        if not specs:
            raise ModelError(
                f"layer {layer.name!r} ({type(layer).__name__}) is stateful and its state would be lost between calls; "
                "build the model with stateful=False, or pass the state with initial_state and return_state"
            )
        name, number = str(layer.name), 1
        while name in names:
            number += 1
            name = f"{layer.name}_{number}"
        names.add(name)
        fields = [
            Field(_state_name(name + spec.name.removeprefix(str(layer.name)), part), spec.dtype, (BATCH, spec.units))
            for spec in specs
            for part in _parts(spec)
        ]
        found.append(StatefulLayer(layer, _told_apart(fields), specs[0].time_major))
    return tuple(found)


def _told_apart(fields: Sequence[Field]) -> tuple[Field, ...]:
    """Numbers the states of cells that bear one name."""
    seen: Counter[str] = Counter()
    named: list[Field] = []
    for field_ in fields:
        seen[field_.name] += 1
        number = seen[field_.name]
        path, _, part = field_.name.rpartition("/")
        named.append(field_ if number == 1 else replace(field_, name=f"{path}_{number}/{part}"))
    return tuple(named)


def _state_name(path: str, part: str) -> str:
    return f"{STATE_PREFIX}{path}/{part}"


def _parts(spec: RecurrentSpec) -> Sequence[str]:
    parts = ("h", "c")[: STATES[spec.kind]]
    return parts[::-1] if spec.cell_state_first else parts


def run_from_states(
    layers: Sequence[StatefulLayer], run: Callable[[], Any], states: Sequence[Any], batch: Any
) -> tuple[Any, list[Any]]:
    """Runs a model from given states.

    Args:
        layers: Its stateful layers.
        run: Calls the model.
        states: A tensor for each state, flat in the order of the layers: (batch, units), or (1, units) for all rows.
        batch: Number of rows, a scalar tensor.

    Returns:
        What `run` returns, and the final states in the same order, (batch, units).
    """
    import tensorflow as tf

    rest = list(states)
    given: dict[int, list[Any]] = {}
    for stateful in layers:
        own, rest = rest[: len(stateful.states)], rest[len(stateful.states) :]
        sizes = [field.shape[1] for field in stateful.states]
        given[id(stateful.layer)] = [
            tf.ensure_shape(tf.broadcast_to(state, tf.stack([batch, size])), [None, size])
            for state, size in zip(own, sizes, strict=True)
        ]
    with exchange_states(given) as exchange:
        outputs = run()
    if exchange.overruled:
        raise ModelError(
            f"layer {exchange.overruled[0]!r} is stateful and called with initial_state: it would have two states; "
            "build it with stateful=False, or leave initial_state out"
        )
    return outputs, [state for stateful in layers for state in exchange.current[id(stateful.layer)]]
