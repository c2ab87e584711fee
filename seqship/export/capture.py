"""Marks the recurrent layers of a model in the graph that is traced for export.

While `capture` is active in a context, the `call` of every layer that ONNX has an operator for emits one opaque marker
operation (`tf.numpy_function`, whose node survives freezing and Grappler) in place of its loop. tf2onnx hands the
marker to the lowering, which looks up here what it stands for.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import inspect
import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

from seqship.export.layer_call import LayerCall, read_call
from seqship.export.states import active_exchange
from seqship.models.flavour import Flavour
from seqship.models.spec import STATES, RecurrentSpec

MARKER_OP = "PyFunc"
"""TensorFlow's operation behind `tf.numpy_function`."""


@dataclass(frozen=True, eq=False)
class Marker:
    """One call of one recurrent layer, or of two in opposite directions.

    The operation's inputs are the sequence (batch, time, features), then the mask (batch, time) if `has_mask`, then the
    initial states (batch, units) if `has_state`: h and, for the LSTM, c of each cell, from the input upwards, the
    forward direction first. Its outputs are the layer's output (two without a merge mode), then the final states.

    Attributes:
        spec: The layer, its first cell, or its forward direction.
        has_mask: Whether there is a mask.
        has_state: Whether there are initial states.
        above: The cells stacked on the first, each fed with the output of the one below at every step.
        backward: The backward direction, None where there is one direction.
        merge_mode: How two directions become one output: "concat", "sum", "mul", "ave"; None leaves them apart.
    """

    spec: RecurrentSpec
    has_mask: bool
    has_state: bool
    above: tuple[RecurrentSpec, ...] = ()
    backward: RecurrentSpec | None = None
    merge_mode: str | None = None

    @property
    def cells(self) -> tuple[RecurrentSpec, ...]:
        """Every cell, in the order of the states."""
        return (self.spec, *self.above, *(() if self.backward is None else (self.backward,)))

    @property
    def state_sizes(self) -> tuple[int, ...]:
        """Units of every state."""
        return tuple(cell.units for cell in self.cells for _ in range(STATES[cell.kind]))

    @property
    def output_sizes(self) -> tuple[int, ...]:
        """Width of every output."""
        units = self.cells[-1].units
        if self.backward is None:
            return (units,)
        return {"concat": (2 * units,), None: (units, units)}.get(self.merge_mode, (units,))


@dataclass(eq=False)
class Capture:
    """What one export has marked.

    Attributes:
        lowerable: Gives the reasons why a cell cannot be lowered; none where it can.
        markers: The marker of each token that TensorFlow gave the operation.
        lowered: Layers marked, by name.
        left: Layers that keep the stock conversion, with the reasons.
    """

    lowerable: Callable[[RecurrentSpec], tuple[str, ...]]
    markers: dict[str, Marker] = field(default_factory=dict[str, Marker])
    lowered: set[str] = field(default_factory=set[str])
    left: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])


_active: contextvars.ContextVar[Capture | None] = contextvars.ContextVar("seqship_capture", default=None)
_patches = threading.Lock()


@contextlib.contextmanager
def capture(flavour: Flavour, lowerable: Callable[[RecurrentSpec], tuple[str, ...]]) -> Generator[Capture]:
    """Marks recurrent layers for as long as the block runs, in this context alone.

    Args:
        flavour: The Keras whose layers are marked.
        lowerable: Gives the reasons why a cell cannot be lowered; none where it can.

    Yields:
        What has been marked; it grows while the model is traced.
    """
    intercept_calls(flavour)
    captured = Capture(lowerable)
    token = _active.set(captured)
    try:
        yield captured
    finally:
        _active.reset(token)


def intercept_calls(flavour: Flavour) -> None:
    """Routes `call` of the recurrent classes through this module, once for the life of the process.

    Outside of an active capture or exchange of states the wrapper is the original: the context variables, not the
    patch, turn it on, so that exports in several threads do not see each other and nothing has to be undone.
    """
    names = ("LSTM", "GRU", "SimpleRNN", "RNN", "Bidirectional", "TimeDistributed")
    with _patches:
        for cls in (getattr(flavour.keras.layers, name) for name in names):
            if not hasattr(cls.call, "__seqship_original__"):
                cls.call = _routed(cls.call, flavour)


def _routed(original: Callable[..., Any], flavour: Flavour) -> Callable[..., Any]:
    @functools.wraps(original)
    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        if _active.get() is None and active_exchange() is None:
            return original(layer, *args, **kwargs)
        return _route(read_call(layer, flavour, original, args, kwargs))

    # Bidirectional of tf-keras asks `getfullargspec`, which looks through no wrapper, whether a layer takes a mask.
    call.__dict__.update({"__seqship_original__": original, "__signature__": inspect.signature(original)})
    return call


def _route(call: LayerCall) -> Any:
    from seqship.export.marking import mark, result

    captured, exchange = _active.get(), active_exchange()
    kept = None if exchange is None else exchange.current.get(id(call.layer))
    if exchange is None or kept is None or call.states:
        marked = None if captured is None else mark(captured, call)
        return call.run() if marked is None else result(call, *marked)
    marked = None if captured is None else mark(captured, call.starting_from(kept))
    output, finals = marked or call.run_from(kept)
    exchange.current[id(call.layer)] = finals
    return result(call, output, finals)
