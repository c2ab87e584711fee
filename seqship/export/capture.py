"""Marks the recurrent layers of a model in the graph that is traced for export.

While `capture` is active in a context, the `call` of every layer that ONNX has an operator for emits one opaque marker
operation (`tf.numpy_function`, whose node survives freezing and Grappler) in place of its loop. tf2onnx hands the
marker to the lowering, which looks up here what it stands for.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import threading
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

from seqship.models.flavour import Flavour
from seqship.models.layers import read_layer, recurrent_classes
from seqship.models.spec import STATES, RecurrentSpec

MARKER_OP = "PyFunc"
"""TensorFlow's operation behind `tf.numpy_function`."""


@dataclass(frozen=True, eq=False)
class Marker:
    """One call of one recurrent layer.

    The operation's inputs are the sequence (batch, time, features), then the mask (batch, time) if `has_mask`, then the
    initial states (batch, units) if `has_state`. Its outputs are the layer's output, then its final states.
    """

    spec: RecurrentSpec
    has_mask: bool
    has_state: bool


@dataclass(eq=False)
class Capture:
    """What one export has marked.

    Attributes:
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
        lowerable: Gives the reasons why a layer cannot be lowered; none where it can.

    Yields:
        What has been marked; it grows while the model is traced.
    """
    _patch(flavour)
    captured = Capture(lowerable)
    token = _active.set(captured)
    try:
        yield captured
    finally:
        _active.reset(token)


def _patch(flavour: Flavour) -> None:
    """Routes `call` of the recurrent classes through the capture, once for the life of the process.

    Outside of an active capture the wrapper is the original: the context variable, not the patch, turns marking on, so
    that exports in several threads do not see each other and nothing has to be undone.
    """
    with _patches:
        for cls in recurrent_classes(flavour):
            if not hasattr(cls.call, "__seqship_original__"):
                cls.call = _marking(cls.call, flavour)


def _marking(original: Callable[..., Any], flavour: Flavour) -> Callable[..., Any]:
    @functools.wraps(original)
    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        captured = _active.get()
        if captured is None:
            return original(layer, *args, **kwargs)
        return _mark(captured, layer, flavour, functools.partial(original, layer), args, kwargs)

    call.__dict__["__seqship_original__"] = original
    return call


def _mark(
    captured: Capture,
    layer: Any,
    flavour: Flavour,
    original: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    import inspect

    import tensorflow as tf

    # The flavours order mask, training and initial_state differently; their signatures know.
    bound = inspect.signature(original).bind(*args, **kwargs)
    bound.apply_defaults()
    sequence, *_ = bound.arguments.values()
    mask, state = bound.arguments["mask"], bound.arguments["initial_state"]
    if isinstance(sequence, list | tuple):
        sequence, *state = sequence
    if isinstance(mask, list | tuple):
        mask = mask[0]
    states: list[Any] = [] if state is None else list(state) if isinstance(state, list | tuple) else [state]

    if type(layer) not in recurrent_classes(flavour):
        reasons: tuple[str, ...] = (f"{type(layer).__qualname__} is a class of its own, derived from a Keras layer",)
        spec = None
    else:
        with tf.init_scope():
            spec = read_layer(layer, flavour)
        reasons = captured.lowerable(spec) + _unmarkable(spec, sequence, states)
    if spec is None or reasons:
        captured.left[str(layer.name)] = reasons
        return original(*args, **kwargs)

    inputs = [sequence, *([] if mask is None else [tf.cast(mask, tf.bool)]), *states]
    outputs = _emit(captured, Marker(spec, mask is not None, bool(states)), inputs)
    captured.lowered.add(spec.name)
    if not spec.return_state:
        return outputs[0]
    # tf-keras returns a list, Keras 3 a tuple; models that unpack or index do not see a difference.
    return list(outputs) if flavour.version == 2 else tuple(outputs)


def _unmarkable(spec: RecurrentSpec, sequence: Any, states: Sequence[Any]) -> tuple[str, ...]:
    import tensorflow as tf

    if not isinstance(sequence, tf.Tensor):
        return (f"its input is a {type(sequence).__name__}, not a dense tensor",)
    if states and len(states) != STATES[spec.kind]:
        return (f"it is called with {len(states)} state or constant tensors, {spec.kind} has {STATES[spec.kind]}",)
    return ()


def _emit(captured: Capture, marker: Marker, inputs: list[Any]) -> list[Any]:
    import tensorflow as tf

    def cannot_run(*_: Any) -> Any:
        raise RuntimeError(f"layer {marker.spec.name!r} is marked for conversion and cannot be run in TensorFlow")

    spec = marker.spec
    dtype = tf.as_dtype(spec.dtype)
    with tf.name_scope(spec.name):
        outputs = tf.numpy_function(cannot_run, inputs, [dtype] * (1 + STATES[spec.kind]), name="seqship_marker")
    captured.markers[outputs[0].op.get_attr("token").decode()] = marker
    batch, time = inputs[0].shape[0], inputs[0].shape[1]
    if spec.time_major:
        batch, time = time, batch
    sequence = [time, batch, spec.units] if spec.time_major else [batch, time, spec.units]
    first = sequence if spec.return_sequences else [batch, spec.units]
    # The operation loses the static shapes, and tf2onnx needs the ranks downstream.
    shapes = [first] + [[batch, spec.units]] * STATES[spec.kind]
    return [tf.ensure_shape(output, shape) for output, shape in zip(outputs, shapes, strict=True)]
