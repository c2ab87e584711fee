"""One call of a Keras layer, read the same from both flavours."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from seqship.models.flavour import Flavour


@dataclass(frozen=True, eq=False)
class LayerCall:
    """A call of a recurrent layer, a Bidirectional or a TimeDistributed.

    Attributes:
        layer: The layer.
        flavour: The Keras it belongs to.
        original: `call` of the layer's class as Keras wrote it.
        bound: The arguments as they came, defaults included; the first is the sequence.
        sequence: The sequence.
        mask: Its mask (batch, time), None without.
        states: The initial states as a flat list, empty without.
        constants: Whether constants are passed to the cell at each step.
        training: Whether it is called as in training.
    """

    layer: Any
    flavour: Flavour
    original: Callable[..., Any]
    bound: inspect.BoundArguments
    sequence: Any
    mask: Any
    states: tuple[Any, ...]
    constants: bool
    training: bool

    def starting_from(self, states: Sequence[Any]) -> LayerCall:
        """Returns the same call with initial states, flat."""
        return replace(self, states=tuple(states))

    def run(self) -> Any:
        """Runs the layer as Keras does."""
        return self.original(self.layer, *self.bound.args, **self.bound.kwargs)

    def run_from(self, states: Sequence[Any]) -> tuple[Any, list[Any]]:
        """Runs a stateful recurrent layer from given states, leaving the ones it keeps alone.

        Args:
            states: Initial states (batch, units), flat.

        Returns:
            The layer's output and its final states, flat.
        """
        import tensorflow as tf

        # The same weights under other flags: the layer itself may be in use elsewhere.
        twin = object.__new__(type(self.layer))
        twin.__dict__.update(self.layer.__dict__)
        twin.__dict__.update({"stateful": False, "_stateful": False, "return_state": True})
        arguments = dict(self.bound.arguments)
        first = next(iter(arguments))
        initial = tf.nest.pack_sequence_as(_state_size(self.layer), list(states))
        arguments |= {first: self.sequence, "initial_state": initial, "mask": self.mask}
        output, *finals = self.original(twin, **arguments)
        return output, tf.nest.flatten(finals)


def _state_size(layer: Any) -> Any:
    """Returns the sizes of a layer's states, nested as its cell has them."""
    size = layer.cell.state_size
    return list(size) if isinstance(size, list | tuple) else [size]


def read_call(
    layer: Any, flavour: Flavour, original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> LayerCall:
    """Puts the arguments of a call in order; the flavours order mask, training and initial_state differently."""
    import tensorflow as tf

    bound = inspect.signature(functools.partial(original, layer)).bind(*args, **kwargs)
    bound.apply_defaults()
    arguments = bound.arguments
    sequence, mask, state = next(iter(arguments.values())), arguments.get("mask"), arguments.get("initial_state")
    constants = arguments.get("constants") is not None
    if isinstance(sequence, list | tuple) and hasattr(layer, "return_state"):
        sequence, *state = sequence
        # tf-keras puts constants behind the states in the same list.
        constants = constants or bool(getattr(layer, "_num_constants", 0))
    if isinstance(mask, list | tuple):
        mask = mask[0]
    states = () if state is None else tuple(tf.nest.flatten(state))
    training = arguments.get("training") is True
    return LayerCall(layer, flavour, original, bound, sequence, mask, states, constants, training)


def result(call: LayerCall, output: Any, finals: Sequence[Any]) -> Any:
    """Returns what the layer's call returns: with states behind the output where it returns states."""
    outputs = output if isinstance(output, list) else [output]
    if getattr(call.layer, "return_state", False):
        outputs = [*outputs, *_nested_states(call.layer, finals)]
    if len(outputs) == 1:
        return outputs[0]
    # tf-keras returns a list, Keras 3 a tuple; models that unpack or index do not see a difference.
    return outputs if call.flavour.version == 2 else tuple(outputs)


def _nested_states(layer: Any, finals: Sequence[Any]) -> list[Any]:
    import tensorflow as tf

    size = layer.cell.state_size if hasattr(layer, "cell") else None
    if isinstance(size, list | tuple) and any(isinstance(part, list | tuple) for part in size):
        return list(tf.nest.pack_sequence_as(list(size), list(finals)))  # StackedRNNCells
    return list(finals)
