"""What a marker operation in a traced graph stands for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

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
        lowered: Layers marked, by their identity: nested models may have layers of one name.
        left: Layers that keep the stock conversion, by their identity, with the reasons.
        masked: Layers that were called with a mask, by their identity.
    """

    lowerable: Callable[[RecurrentSpec], tuple[str, ...]]
    markers: dict[str, Marker] = field(default_factory=dict[str, Marker])
    lowered: set[int] = field(default_factory=set[int])
    left: dict[int, tuple[str, ...]] = field(default_factory=dict[int, tuple[str, ...]])
    masked: set[int] = field(default_factory=set[int])
