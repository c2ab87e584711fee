"""Marks the recurrent layers of a model in the graph that is traced for export.

While `capture` is active in a context, the `call` of every layer that ONNX has an operator for emits one opaque marker
operation (`tf.numpy_function`, whose node survives freezing and Grappler) in place of its loop. tf2onnx hands the
marker to the lowering, which looks up here what it stands for.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Generator

from seqship.export.interception import replacing_calls
from seqship.export.marker import Capture
from seqship.export.marking import mark
from seqship.models.flavour import Flavour
from seqship.models.spec import RecurrentSpec


@contextlib.contextmanager
def capture(flavour: Flavour, lowerable: Callable[[RecurrentSpec], tuple[str, ...]]) -> Generator[Capture]:
    """Marks recurrent layers for as long as the block runs, in this context alone.

    Args:
        flavour: The Keras whose layers are marked.
        lowerable: Gives the reasons why a cell cannot be lowered; none where it can.

    Yields:
        What has been marked; it grows while the model is traced.
    """
    captured = Capture(lowerable)
    with replacing_calls(flavour, functools.partial(mark, captured)):
        yield captured
