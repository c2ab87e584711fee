"""Which lengths a model takes: a convolution or a pooling needs a few steps, a fold a multiple of some number."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

from seqship.errors import ModelError
from seqship.export.cases import LONGEST_NEED, Case, StateKind, make_feed
from seqship.export.runners import Runner
from seqship.pipelines.spec import Field


def lengths_taken_by(reference: Runner, inputs: Sequence[Field], *, seed: int = 0) -> Callable[[int], bool]:
    """Returns what says whether the Keras model takes a number of steps; it runs the model once for each.

    A model that takes none of the first few lengths is said to take all: why it fails is then told by its cases.

    Args:
        reference: The Keras model.
        inputs: Contract of each input.
        seed: Seed of the inputs.
    """
    rows = next((size for field in inputs for size in field.shape[:1] if isinstance(size, int)), 1)
    state: StateKind | None = "zero" if any(field.is_state for field in inputs) else None

    @functools.cache
    def runs(time: int) -> bool:
        try:
            reference(make_feed(Case(rows, time, "full", state), inputs, seed=seed))
        except ModelError:
            return False
        return True

    def takes(time: int) -> bool:
        return runs(time) or not any(runs(few) for few in range(1, LONGEST_NEED + 1))

    return takes
