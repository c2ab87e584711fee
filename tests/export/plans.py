"""A recurrent architecture as data: built in either Keras, and computed in NumPy beside it.

A plan prints as the Python that makes it, so that what the fuzzer finds can be pasted into a test.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from seqship.models import RecurrentSpec, run_layer
from seqship.models.flavour import Version, load_flavour
from seqship.models.layers import read_layer
from seqship.models.spec import STATES, Kind

Array = NDArray[Any]
Source = Literal["plain", "masking", "tokens", "mask"]

TOKENS, PAD = 7, -1.0


@dataclass(frozen=True)
class Cell:
    """One cell and its options."""

    kind: Kind = "LSTM"
    units: int = 2
    activation: str = "tanh"
    recurrent_activation: str = "sigmoid"
    bias: bool = True
    reset_after: bool = True

    @property
    def options(self) -> dict[str, Any]:
        found: dict[str, Any] = {"activation": self.activation, "use_bias": self.bias}
        if self.kind != "SimpleRNN":
            found["recurrent_activation"] = self.recurrent_activation
        if self.kind == "GRU":
            found["reset_after"] = self.reset_after
        return found


@dataclass(frozen=True)
class Layer:
    """One recurrent layer, or two directions of one.

    Attributes:
        cells: Its cell; several are an RNN over their stack.
        over_cell: Whether it is an RNN over the cell and no layer of that name.
        back: The cells of the other direction; none of them for a layer with one direction.
        merge: How `Bidirectional` merges.
        initial: Whether its initial states are inputs of the model.
    """

    cells: tuple[Cell, ...]
    over_cell: bool = False
    back: tuple[Cell, ...] = ()
    merge: str | None = "concat"
    backwards: bool = False
    sequences: bool = True
    state: bool = False
    initial: bool = False
    zero: bool = False
    unroll: bool = False

    @property
    def sizes(self) -> list[int]:
        """Sizes of its states, in order."""
        return [cell.units for cell in (*self.cells, *self.back) for _ in range(STATES[cell.kind])]


@dataclass(frozen=True)
class Plan:
    """A model: a source, recurrent layers, and perhaps a head.

    Attributes:
        source: What gives the mask: nothing, a Masking, an Embedding, or an input of its own.
        time: The number of steps where it is fixed.
        head: Units of a Dense at the end, 0 for none.
    """

    version: Version
    layers: tuple[Layer, ...]
    source: Source = "plain"
    features: int = 2
    time: int | None = None
    head: int = 0
    seed: int = 0


@dataclass(frozen=True)
class Feed:
    """One batch.

    Attributes:
        mask: A word a row, a letter a step: 1 for valid, 0 for padding.
        scale: Size of the values.
    """

    mask: tuple[str, ...]
    scale: float = 1.0
    seed: int = 0

    @property
    def valid(self) -> Array:
        return np.array([[letter == "1" for letter in row] for row in self.mask])


@dataclass(frozen=True, eq=False)
class Built:
    """A plan's model, and its recurrent layers and head in order."""

    plan: Plan
    model: Any
    layers: tuple[Any, ...]
    embedding: Any
    head: Any


def build(plan: Plan) -> Built:
    """Builds the model, every weight drawn."""
    keras = load_flavour(plan.version).keras
    if plan.source == "tokens":
        inputs = [keras.layers.Input((plan.time,), dtype="int32", name="tokens")]
        embedding = keras.layers.Embedding(TOKENS, plan.features, mask_zero=True)
        x = embedding(inputs[0])
    else:
        embedding = None
        inputs = [keras.layers.Input((plan.time, plan.features), name="signal")]
        x = keras.layers.Masking(PAD)(inputs[0]) if plan.source == "masking" else inputs[0]
    calls: dict[str, Any] = {}
    if plan.source == "mask":
        inputs.append(keras.layers.Input((plan.time,), dtype="bool", name="mask"))
        calls["mask"] = inputs[-1]
    made: list[Any] = []
    outputs: list[Any] = []
    for position, layer in enumerate(plan.layers):
        if layer.initial:
            states = [
                keras.layers.Input((size,), name=f"state_{position}_{number}")
                for number, size in enumerate(layer.sizes)
            ]
            inputs += states
            calls["initial_state"] = states
        made.append(_make(keras, layer))
        found = made[-1](x, **calls)
        calls.pop("initial_state", None)
        found = list(found) if isinstance(found, list | tuple) else [found]
        apart = bool(layer.back) and layer.merge is None
        x, states = (found[:2], found[2:]) if apart else (found[0], found[1:])
        outputs += states
        if apart and position + 1 < len(plan.layers):
            x = keras.layers.Concatenate()(x)
    head = keras.layers.Dense(plan.head) if plan.head else None
    if head is not None:
        x = head(keras.layers.Concatenate()(x) if isinstance(x, list) else x)
    model = keras.Model(inputs, [*(x if isinstance(x, list) else [x]), *outputs])
    _draw_weights(plan, model)
    return Built(plan, model, tuple(made), embedding, head)


def _make(keras: Any, layer: Layer) -> Any:
    flags = {"return_sequences": layer.sequences, "return_state": layer.state, "unroll": layer.unroll}
    one = _direction(keras, layer, layer.cells, flags | {"go_backwards": layer.backwards})
    if not layer.back:
        one.zero_output_for_mask = layer.zero
        return one
    other = _direction(keras, layer, layer.back, flags | {"go_backwards": True})
    return keras.layers.Bidirectional(one, merge_mode=layer.merge, backward_layer=other)


def _direction(keras: Any, layer: Layer, cells: Sequence[Cell], flags: dict[str, Any]) -> Any:
    if len(cells) == 1 and not layer.over_cell:
        return getattr(keras.layers, cells[0].kind)(cells[0].units, **cells[0].options, **flags)
    made = [getattr(keras.layers, f"{cell.kind}Cell")(cell.units, **cell.options) for cell in cells]
    return keras.layers.RNN(made if len(made) > 1 else made[0], **flags)


def _draw_weights(plan: Plan, model: Any) -> None:
    """Draws every weight: a bias of zero in the wrong place is no mistake that shows.

    Gates that are no shares of one let the state grow from step to step; smaller weights keep it within bounds.
    """
    random = np.random.default_rng(plan.seed)
    scale = 0.5 if shares(plan) else 0.15
    model.set_weights([random.normal(0, scale, w.shape).astype(np.float32) for w in model.get_weights()])


def shares(plan: Plan) -> bool:
    """Whether all gates keep within 0 and 1."""
    gates = {
        cell.recurrent_activation for layer in plan.layers for cell in (*layer.cells, *layer.back)
        if cell.kind != "SimpleRNN"
    }  # fmt: skip
    return gates <= {"sigmoid", "hard_sigmoid"}


def values(plan: Plan, feed: Feed) -> dict[str, Array]:
    """Returns what the model is fed, by the names of its inputs."""
    random = np.random.default_rng(feed.seed)
    valid = feed.valid
    fed: dict[str, Array] = {}
    if plan.source == "tokens":
        fed["tokens"] = np.where(valid, random.integers(1, TOKENS, valid.shape), 0).astype(np.int32)
    else:
        fed["signal"] = (random.normal(0, 1, (*valid.shape, plan.features)) * feed.scale).astype(np.float32)
        if plan.source == "masking":
            fed["signal"][~valid] = PAD
    if plan.source == "mask":
        fed["mask"] = valid
    for position, layer in enumerate(plan.layers):
        for number, size in enumerate(layer.sizes if layer.initial else ()):
            fed[f"state_{position}_{number}"] = random.normal(0, 1, (len(valid), size)).astype(np.float32)
    return fed


# --- The same in NumPy.


def expected(built: Built, fed: dict[str, Array]) -> list[Array]:
    """Returns the outputs of the model, float64, in its order."""
    plan = built.plan
    if plan.source == "tokens":
        x: Any = built.embedding.get_weights()[0].astype(np.float64)[fed["tokens"]]
        mask = fed["tokens"] != 0
    else:
        x = fed["signal"].astype(np.float64)
        mask = fed.get("mask")
    if plan.source == "masking":
        mask = (x != PAD).any(axis=2)
        x = x * mask[..., None]
    outputs: list[Array] = []
    for position, layer in enumerate(plan.layers):
        states = [fed[f"state_{position}_{number}"] for number in range(len(layer.sizes))] if layer.initial else None
        # Keras 3.15 finds the mask of a tensor only where the layer is called with that tensor alone; it hands the
        # mask on to the next layer all the same (`keras/src/layers/layer.py`, `__call__`, "Populate mask arguments").
        ignored = plan.version == 3 and layer.initial and plan.source != "mask"
        assert not isinstance(x, list)  # Outputs apart are joined below.
        x, final = _run(built.layers[position], layer, plan.version, x, None if ignored else mask, states)
        outputs += final if layer.state else []
        if isinstance(x, list) and position + 1 < len(plan.layers):
            x = np.concatenate(x, axis=-1)
    if built.head is not None:
        kernel, bias = (weight.astype(np.float64) for weight in built.head.get_weights())
        x = (np.concatenate(x, axis=-1) if isinstance(x, list) else x) @ kernel + bias
    return [*(x if isinstance(x, list) else [x]), *outputs]


def _run(
    made: Any, layer: Layer, version: Version, x: Array, mask: Array | None, states: list[Array] | None
) -> tuple[Any, list[Array]]:
    flavour = load_flavour(version)
    if not layer.back:
        return _run_cells(read_layer(made, flavour), x, mask, states)
    pivot = sum(STATES[cell.kind] for cell in layer.cells)
    halves = (None, None) if states is None else (states[:pivot], states[pivot:])
    ahead, first = _run_cells(read_layer(made.forward_layer, flavour), x, mask, halves[0])
    back, second = _run_cells(read_layer(made.backward_layer, flavour), x, mask, halves[1])
    if layer.sequences:
        back = back[:, ::-1]
    merged: dict[str | None, Any] = {None: [ahead, back], "concat": np.concatenate([ahead, back], axis=-1)}
    if layer.merge not in merged:
        merged |= {"sum": ahead + back, "mul": ahead * back, "ave": (ahead + back) / 2}
    return merged[layer.merge], [*first, *second]


def _run_cells(
    specs: Sequence[RecurrentSpec], x: Array, mask: Array | None, states: list[Array] | None
) -> tuple[Array, list[Array]]:
    """Runs a stack of cells: at each step a cell gets what the one below gave at that very step."""
    final: list[Array] = []
    rest = states
    for number, spec in enumerate(specs):
        top = number == len(specs) - 1
        count = STATES[spec.kind]
        own, rest = (None, None) if rest is None else (rest[:count], rest[count:])
        if not top:
            spec = replace(spec, return_sequences=True, zero_output_for_mask=False)
        x, found = run_layer(spec, x, mask=mask, initial_state=own)
        if not top and spec.go_backwards:
            x = x[:, ::-1]
        final += found
    return x, final
