"""What every layer of a Keras model takes and gives within one call of the model, as outputs of the traced function."""

from __future__ import annotations

import contextlib
import contextvars
import functools
import threading
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from seqship.export.interception import replacing_calls
from seqship.export.layer_call import LayerCall
from seqship.export.marking import read_specs
from seqship.export.signature import ModelSignature
from seqship.models.flavour import Flavour, flavour_of
from seqship.models.spec import RecurrentSpec


@dataclass(frozen=True, eq=False)
class RecurrentTap:
    """What a call of a known recurrent layer is, beside its output; names of tensors, see `Tap`.

    Attributes:
        specs: Its cells, from the input upwards.
        sequence: What it is called with.
        mask: Its mask; empty without one.
        states: The initial states, in the layer's order; none where it begins with zeros.
        steps: Its output at every step, in the layer's own order of time, where its first output is not that.
    """

    specs: tuple[RecurrentSpec, ...]
    sequence: str
    mask: str
    states: tuple[str, ...]
    steps: str


@dataclass(frozen=True, eq=False)
class Tap:
    """One call of one layer.

    Tensors are named as the function of the tapped signature returns them.

    Attributes:
        layer: The layer.
        within: The Bidirectional that the layer is a direction of; None for any other.
        call: Which call of the layer it is, from 0.
        inputs: What it is called with.
        outputs: What it gives.
        masks: The mask of each output; empty without one.
        recurrent: More of a recurrent layer; None for any other.
        taken: Identities of the tensors that come in, and
        given: of those that go out: they tell which call feeds which.
    """

    layer: Any
    within: Any
    call: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    masks: tuple[str, ...]
    recurrent: RecurrentTap | None
    taken: frozenset[int]
    given: frozenset[int]

    @property
    def name(self) -> str:
        """Name of the layer, of a direction that of its Bidirectional."""
        return str((self.layer if self.within is None else self.within).name)

    @property
    def kind(self) -> str:
        """Class of the layer."""
        kind = type(self.layer).__name__
        return kind if self.within is None else f"{type(self.within).__name__} {kind}"

    @property
    def is_backward(self) -> bool:
        """Whether it is the second direction of a Bidirectional."""
        return self.within is not None and self.layer is self.within.backward_layer


@dataclass(eq=False)
class Taps:
    """The calls of one trace, in the order in which they end.

    Attributes:
        flavour: The Keras of the model.
        calls: The calls.
        tensors: Every tensor by name.
    """

    flavour: Flavour
    calls: list[Tap] = field(default_factory=list[Tap])
    tensors: dict[str, Any] = field(default_factory=dict[str, Any])
    _graph: Any = None
    _running: bool = False
    _stack: list[Any] = field(default_factory=list[Any])
    _counts: Counter[int] = field(default_factory=Counter[int])
    _recurrent: dict[int, RecurrentTap] = field(default_factory=dict[int, RecurrentTap])

    @contextlib.contextmanager
    def recording(self) -> Generator[None]:
        """Records the calls for as long as the block runs, in this context alone; what was recorded is forgotten."""
        import tensorflow as tf

        _intercept(self.flavour)
        for kept in (self.calls, self.tensors, self._stack, self._counts, self._recurrent):
            kept.clear()
        self._graph = tf.compat.v1.get_default_graph()
        token = _recording.set(self)
        try:
            with replacing_calls(self.flavour, self._recurrent_call):
                yield
        finally:
            _recording.reset(token)

    def run(self, layer: Any, arguments: Sequence[Any], call: Callable[[], Any]) -> Any:
        """Runs one call of a layer and records it, unless it is part of what runs step by step."""
        layers = self.flavour.keras.layers
        above = self._stack[-1] if self._stack else None
        if any(isinstance(outer, layers.RNN | layers.TimeDistributed) for outer in self._stack):
            return call()
        self._stack.append(layer)
        try:
            made = call()
        finally:
            self._stack.pop()
        self._record(layer, above if isinstance(above, layers.Bidirectional) else None, arguments, made)
        return made

    def _record(self, layer: Any, within: Any, arguments: Sequence[Any], made: Any) -> None:
        given, taken = self._own(made), self._own(list(arguments))
        recurrent = self._recurrent.pop(id(layer), None)
        if not given:
            return  # It runs within a loop, or gives no tensor.
        masks = [getattr(tensor, "_keras_mask", None) for tensor in given]
        tap = Tap(
            layer=layer,
            within=within,
            call=self._counts[id(layer)],
            inputs=tuple(self._named(tensor) for tensor in taken),
            outputs=tuple(self._named(tensor) for tensor in given),
            masks=tuple(self._named(mask) if self._own(mask) else "" for mask in masks),
            recurrent=recurrent,
            taken=frozenset(map(id, taken)),
            given=frozenset(map(id, given)),
        )
        self._counts[id(layer)] += 1
        self.calls.append(tap)

    def _recurrent_call(self, call: LayerCall) -> None:
        """Takes note of what only the layer's own `call` knows; a `Replacement` that leaves everything as it is."""
        # An LSTM's `call` calls that of RNN, which is routed here again.
        if self._running or id(call.layer) in self._recurrent:
            return
        if not isinstance(call.layer, self.flavour.keras.layers.RNN) or call.constants or not self._own(call.sequence):
            return
        if call.mask is not None and call.mask.shape.rank != 2:
            return
        specs = read_specs(call)
        if not specs:
            return  # A cell of which nothing is known, which has no operator either.
        self._recurrent[id(call.layer)] = RecurrentTap(
            specs=specs,
            sequence=self._named(call.sequence),
            mask="" if call.mask is None else self._named(call.mask),
            states=tuple(self._named(state) for state in call.states),
            steps="" if _shows_every_step(call.layer) else self._named(self._every_step(call)),
        )

    def _every_step(self, call: LayerCall) -> Any:
        """Runs a layer once more, under other flags, as `LayerCall.run_from` does."""
        import tensorflow as tf

        rows = tf.shape(call.sequence)[1 if getattr(call.layer, "time_major", False) else 0]
        sizes = tf.nest.flatten(call.layer.cell.state_size)
        states = call.states or tuple(tf.zeros([rows, size], call.sequence.dtype) for size in sizes)
        twin = object.__new__(type(call.layer))
        twin.__dict__.update(call.layer.__dict__)
        twin.__dict__.update({"return_sequences": True, "zero_output_for_mask": False})
        self._running = True
        try:
            return replace(call, layer=twin).run_from(states)[0]
        finally:
            self._running = False

    def _own(self, value: Any) -> list[Any]:
        """Returns the dense tensors of the trace itself, not of a loop's body, within a nested value."""
        import tensorflow as tf

        return [
            one
            for one in tf.nest.flatten(value)
            if isinstance(one, tf.Tensor) and getattr(one, "graph", None) is self._graph
        ]

    def _named(self, tensor: Any) -> str:
        name = f"tap/{len(self.tensors)}"
        self.tensors[name] = tensor
        return name


def tapped(model: Any, signature: ModelSignature) -> tuple[ModelSignature, Taps]:
    """Returns a signature that gives what every layer gives, beside the model's own outputs.

    Args:
        model: A tf-keras or Keras 3 model.
        signature: Its signature.

    Returns:
        The signature, to be run by `keras_runner` and `make_oracle`; it has no contract of its outputs. And the taps,
        which are there once it has been traced, the same at every trace.

    Raises:
        ModelError: The model is of neither Keras.
    """
    taps = Taps(flavour_of(model))

    def function(*tensors: Any) -> dict[str, Any]:
        with taps.recording():
            made = dict(signature.function(*tensors))
        return made | taps.tensors

    return replace(signature, function=function, outputs=(), stateless=None), taps


def _shows_every_step(layer: Any) -> bool:
    """Whether a layer's output is that of every step; an unrolled one may zero the wrong ones of them."""
    return bool(layer.return_sequences and not (layer.unroll and layer.zero_output_for_mask))


_recording: contextvars.ContextVar[Taps | None] = contextvars.ContextVar("seqship_taps", default=None)
_patches = threading.Lock()


def _intercept(flavour: Flavour) -> None:
    """Routes every call of a layer through this module, once for the life of the process, as `intercept_calls` does."""
    cls = flavour.keras.layers.Layer
    with _patches:
        if not hasattr(cls.__call__, "__seqship_original__"):
            cls.__call__ = _routed(cls.__call__)


def _routed(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        taps = _recording.get()
        if taps is None:
            return original(layer, *args, **kwargs)
        return taps.run(layer, (*args, *kwargs.values()), lambda: original(layer, *args, **kwargs))

    call.__dict__["__seqship_original__"] = original
    return call
