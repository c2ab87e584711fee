"""Puts something else in the place of what Keras' recurrent layers do when they are called."""

from __future__ import annotations

import contextlib
import contextvars
import functools
import inspect
import threading
from collections.abc import Callable, Generator
from typing import Any

from seqship.export.layer_call import LayerCall, read_call, result
from seqship.export.states import active_exchange
from seqship.models.flavour import Flavour

Replacement = Callable[[LayerCall], tuple[Any, list[Any]] | None]
"""Takes a call; returns the output (a list of two where two directions are not merged) and the final states, flat, or
None where Keras does what it does."""

_replacement: contextvars.ContextVar[Replacement | None] = contextvars.ContextVar("seqship_replacement", default=None)
_patches = threading.Lock()


@contextlib.contextmanager
def replacing_calls(flavour: Flavour, replacement: Replacement) -> Generator[None]:
    """Replaces the calls of recurrent layers for as long as the block runs, in this context alone."""
    intercept_calls(flavour)
    token = _replacement.set(replacement)
    try:
        yield
    finally:
        _replacement.reset(token)


def intercept_calls(flavour: Flavour) -> None:
    """Routes `call` of the recurrent classes through this module, once for the life of the process.

    Outside of a replacement or an exchange of states the wrapper is the original: the context variables, not the
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
        if _replacement.get() is None and active_exchange() is None:
            return original(layer, *args, **kwargs)
        return _route(read_call(layer, flavour, original, args, kwargs))

    # Bidirectional of tf-keras asks `getfullargspec`, which looks through no wrapper, whether a layer takes a mask.
    call.__dict__.update({"__seqship_original__": original, "__signature__": inspect.signature(original)})
    return call


def _route(call: LayerCall) -> Any:
    replacement, exchange = _replacement.get(), active_exchange()
    kept = None if exchange is None else exchange.current.get(id(call.layer))
    if exchange is not None and kept is not None and call.states:
        exchange.overruled.append(str(call.layer.name))
    if exchange is None or kept is None or call.states:
        made = None if replacement is None else replacement(call)
        return call.run() if made is None else result(call, *made)
    made = None if replacement is None else replacement(call.starting_from(kept))
    output, finals = made or call.run_from(kept)
    exchange.current[id(call.layer)] = finals
    return result(call, output, finals)
