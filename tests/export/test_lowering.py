"""Recurrent layers as ONNX operators: equal to Keras and to the equations, for any mask and every option."""

from __future__ import annotations

import functools
import logging
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from seqship.errors import ModelError, ProofError
from seqship.export import to_onnx
from seqship.export.capture import capture
from seqship.export.inspection import inspect_model
from seqship.export.operators import lowerable
from seqship.models import RecurrentSpec, recurrent_layers, run_layer
from seqship.models.flavour import Flavour, Version, load_flavour
from seqship.models.spec import STATES

Array = NDArray[Any]
Arrays = dict[str, Array]

KINDS = ("GRU", "LSTM", "SimpleRNN")
OPERATORS = {"GRU": "GRU", "LSTM": "LSTM", "SimpleRNN": "RNN"}
FEATURES, UNITS = 3, 4
ACTIVATIONS = ("tanh", "sigmoid", "relu", "linear", "hard_sigmoid", "softsign", "elu", "leaky_relu")
LOOPS = {"Loop", "Scan", "If"}


# --- The layers under test: many to a model, so that one trace serves them all.


@dataclass(frozen=True)
class Variant:
    """One layer: its constructor's options, and how it is called."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    masked: bool = True
    initial: bool = False
    zero: bool = False


def variants(kind: str) -> tuple[Variant, ...]:
    """Every way to call a layer; all of them together have every activation, in the gates and in the output."""
    sequence = {"return_sequences": True}
    backwards = {"go_backwards": True}
    state = {"return_state": True}
    before = {"reset_after": False}
    found = [
        Variant("forward", sequence),
        Variant("last", state),
        Variant("backwards", sequence | backwards | state),
        Variant("backwards_last", backwards | state),
        Variant("zero", sequence, zero=True),
        Variant("zero_last", state, zero=True),
        Variant("zero_backwards", sequence | backwards, zero=True),
        Variant("zero_backwards_last", backwards, zero=True),
        Variant("initial", sequence | state, initial=True),
        Variant("initial_last", state, initial=True),
        Variant("initial_backwards", sequence | state | backwards, initial=True),
        Variant("initial_zero_last", initial=True, zero=True),
        Variant("unbiased", sequence | {"use_bias": False}),
        Variant("unmasked", sequence | state, masked=False),
        Variant("unmasked_backwards", sequence | state | backwards, masked=False),
        Variant("unmasked_backwards_last", backwards, masked=False),
        Variant("unmasked_initial", sequence | backwards, masked=False, initial=True),
    ]
    if kind == "GRU":
        found += [
            Variant("reset_before", sequence | before),
            Variant("reset_before_backwards", sequence | backwards | before, initial=True),
            Variant("reset_before_unbiased", before | {"use_bias": False}, masked=False),
            Variant("reset_after_unbiased", {"use_bias": False}, masked=False),
        ]
    for position, variant in enumerate(found[1:], start=1):
        # Neighbours in the list go together, so that two functions with parameters of their own meet in one layer.
        inner, outer = (ACTIVATIONS[(position + shift) % len(ACTIVATIONS)] for shift in (0, 1))
        gates = {} if kind == "SimpleRNN" else {"recurrent_activation": inner}
        found[position] = replace(variant, options={**variant.options, "activation": outer, **gates})
    return tuple(found)


@dataclass(frozen=True, eq=False)
class Exported:
    """Layers as data, in Keras and in onnxruntime."""

    specs: dict[str, RecurrentSpec]
    keras: Callable[[Arrays], Arrays]
    onnx: Callable[[Arrays], Arrays]
    graph: Any


def nonzero_weights(layer: Any, seed: int) -> None:
    """Draws every weight, the biases too: a bias of zero in the wrong place is no mistake that shows.

    Gates that are no shares of one let the state grow from step to step; smaller weights keep it within bounds.
    """
    random = np.random.default_rng(seed)
    gates = getattr(layer, "recurrent_activation", None)
    scale = 0.35 if getattr(gates, "__name__", "sigmoid") in ("sigmoid", "hard_sigmoid") else 0.15
    layer.set_weights([random.normal(0, scale, weight.shape).astype(weight.dtype) for weight in layer.get_weights()])


def in_keras(model: Any, names: tuple[str, ...]) -> Callable[[Arrays], Arrays]:
    """The model in a plain tf.function of our own."""
    import tensorflow as tf

    specs = [tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in model.inputs]

    def call(*tensors: Any) -> Any:
        return model([*tensors], training=False)

    function = tf.function(call, input_signature=specs, autograph=False)
    dtypes = [spec.dtype for spec in specs]

    def run(feed: Arrays) -> Arrays:
        outputs = function(*(tf.constant(feed[name], dtype) for name, dtype in zip(names, dtypes, strict=True)))
        return {name: value.numpy() for name, value in outputs.items()}

    return run


def in_onnxruntime(path: Path) -> Callable[[Arrays], Arrays]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    inputs = [value.name for value in session.get_inputs()]
    outputs = [value.name for value in session.get_outputs()]

    def run(feed: Arrays) -> Arrays:
        values: list[Any] = list(session.run(outputs, {name: feed[name] for name in inputs}))
        return dict(zip(outputs, values, strict=True))

    return run


def output_names(name: str, tensors: Any) -> dict[str, Any]:
    """An output, or an output and its states, by name."""
    if not isinstance(tensors, list | tuple):
        return {name: tensors}
    return {f"{name}__{position}": tensor for position, tensor in enumerate(tensors)}


@functools.cache
def exported(version: Version, kind: str) -> Exported:
    """All variants of one kind of layer in one model, exported once."""
    flavour = load_flavour(version)
    keras = flavour.keras
    sequence = keras.layers.Input((None, FEATURES), name="sequence")
    mask = keras.layers.Input((None,), dtype="bool", name="mask")
    states = [keras.layers.Input((UNITS,), name=name) for name in ("h", "c")]
    outputs: dict[str, Any] = {}
    for seed, variant in enumerate(variants(kind)):
        layer = getattr(keras.layers, kind)(UNITS, name=variant.name, **variant.options)
        layer.zero_output_for_mask = variant.zero
        initial = {"initial_state": states if kind == "LSTM" else states[:1]} if variant.initial else {}
        outputs |= output_names(variant.name, layer(sequence, **({"mask": mask} if variant.masked else {}), **initial))
        nonzero_weights(layer, seed)
    inputs = [sequence, mask, *states[: 2 if kind == "LSTM" else 1]]
    model = keras.Model(inputs, outputs)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        to_onnx(model, path, allow_loop=False)
        names = ("sequence", "mask", "h", "c")[: len(inputs)]
        specs = {spec.name: spec for spec in recurrent_layers(model)}
        return Exported(specs, in_keras(model, names), in_onnxruntime(path), onnx.load(path).graph)


# --- What the equations say, in float64.


def expected(variant: Variant, spec: RecurrentSpec, feed: Arrays) -> Arrays:
    """What a layer gives, step by step."""
    mask = feed["mask"] if variant.masked else None
    initial = [feed[name] for name in ("h", "c")[: STATES[spec.kind]]] if variant.initial else None
    output, states = run_layer(spec, feed["sequence"], mask=mask, initial_state=initial)
    return output_names(variant.name, [output, *states] if spec.return_state else output)


def all_expected(version: Version, kind: str, feed: Arrays) -> Arrays:
    found = exported(version, kind)
    outputs: Arrays = {}
    for variant in variants(kind):
        outputs |= expected(variant, found.specs[variant.name], feed)
    return outputs


def disagreements(actual: Arrays, wanted: Arrays) -> list[str]:
    """Every output that differs, with the difference."""
    assert actual.keys() == wanted.keys()
    return [
        f"{name}: shape {actual[name].shape}, expected {wanted[name].shape}"
        if actual[name].shape != wanted[name].shape
        else f"{name}: {np.abs(actual[name] - wanted[name]).max():.2g}"
        for name in wanted
        if actual[name].shape != wanted[name].shape or not np.allclose(actual[name], wanted[name], atol=1e-5, rtol=1e-5)
    ]


def make_feed(mask: Array, seed: int) -> Arrays:
    random = np.random.default_rng(seed)
    batch, time = mask.shape
    feed = {"sequence": random.normal(0, 1, (batch, time, FEATURES)), "mask": mask}
    feed |= {name: random.normal(0, 1, (batch, UNITS)) for name in ("h", "c")}
    return {name: value if value.dtype == bool else value.astype(np.float32) for name, value in feed.items()}


LENGTHS = np.array([[7], [1], [4], [6]])
STEPS = np.arange(7)
MASKS = {
    "full": np.ones((4, 7), bool),
    "right": LENGTHS > STEPS,
    "left": (LENGTHS > STEPS)[:, ::-1].copy(),
    "holes": np.random.default_rng(3).random((4, 7)) > 0.4,
    "first_step_off": np.ones((4, 7), bool) & (STEPS > 0),
    "empty_rows": (LENGTHS > STEPS) & (np.array([[True], [False], [True], [False]])),
    "all_empty": np.zeros((4, 7), bool),
    "one_step": np.ones((3, 1), bool),
    "one_step_off": np.array([[True], [False]]),
    "one_row": np.random.default_rng(4).random((1, 7)) > 0.4,
}


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_option_equals_keras_and_the_equations(flavour: Flavour, kind: str, mask: str) -> None:
    found = exported(flavour.version, kind)
    feed = make_feed(MASKS[mask], seed=1)
    from_keras, from_onnx = found.keras(feed), found.onnx(feed)
    assert disagreements(from_onnx, from_keras) == []
    assert disagreements(from_keras, all_expected(flavour.version, kind, feed)) == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("version", [2, 3])
@settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_mask_agrees_with_keras_and_the_equations(version: Version, kind: str, data: st.DataObject) -> None:
    shape = data.draw(st.tuples(st.integers(1, 5), st.integers(1, 9)), label="batch, time")
    mask = data.draw(hnp.arrays(bool, shape), label="mask")
    feed = make_feed(mask, data.draw(st.integers(0, 1000), label="seed"))
    wanted = all_expected(version, kind, feed)
    assert disagreements(exported(version, kind).onnx(feed), wanted) == []
    assert disagreements(exported(version, kind).keras(feed), wanted) == []


def test_all_activations_are_tried() -> None:
    from seqship.export.operators import ACTIVATIONS

    assert set(ACTIVATIONS) == set(ACTIVATIONS)
    for kind in ("GRU", "LSTM"):
        for role in ("activation", "recurrent_activation"):
            assert {variant.options.get(role) for variant in variants(kind)} >= set(ACTIVATIONS)


@pytest.mark.parametrize("kind", KINDS)
def test_the_graph_holds_one_operator_a_layer_and_no_loop(flavour: Flavour, kind: str) -> None:
    graph = exported(flavour.version, kind).graph
    counts = Counter(node.op_type for node in graph.node)
    assert counts[OPERATORS[kind]] == len(variants(kind))
    assert not LOOPS & counts.keys()
    # All layers have the same mask: one permutation is built.
    assert counts["ScatterElements"] == 1


def test_inputs_outputs_and_axes_are_named(flavour: Flavour) -> None:
    graph = exported(flavour.version, "GRU").graph

    def axes(value: Any) -> list[str | int]:
        return [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]

    assert {value.name: axes(value) for value in graph.input} == {
        "sequence": ["batch", "time", FEATURES],
        "mask": ["batch", "time"],
        "h": ["batch", UNITS],
    }
    outputs = {value.name: axes(value) for value in graph.output}
    assert outputs["last__0"] == ["batch", UNITS]
    assert outputs["zero"] == ["batch", "time", UNITS]


# --- Models: what stands round the layers.


def check_model(model: Any, path: Path, feed: Array, **options: Any) -> Any:
    """Exports a model with one input and compares; returns the export."""
    import tensorflow as tf

    found = to_onnx(model, path, **options)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    wanted = tf.nest.flatten(tf.function(functools.partial(model, training=False), autograph=False)(tf.constant(feed)))
    actual: list[Any] = list(session.run([field.name for field in found.outputs], {found.inputs[0].name: feed}))
    assert len(actual) == len(wanted)
    for got, want in zip(actual, wanted, strict=True):
        assert got.shape == want.shape
        assert np.allclose(got, want.numpy(), atol=1e-5)
    return found


def padded(batch: int = 4, time: int = 7, features: int = FEATURES, dtype: str = "float32") -> Array:
    """Sequences with left, right and inner padding of -1, and an empty row."""
    values = np.random.default_rng(8).normal(0, 1, (batch, time, features)).astype(dtype)
    values[0, 4:] = values[1, :3] = values[2, 1] = values[3] = -1
    return values


def masked_model(flavour: Flavour, *layers: Any, shape: tuple[int | None, ...] = (None, FEATURES)) -> Any:
    keras = flavour.keras
    model = keras.Sequential([keras.layers.Input(shape, name="signal"), keras.layers.Masking(-1.0), *layers])
    for seed, layer in enumerate(model.layers):
        nonzero_weights(layer, seed)
    return model


def operators(found: Any) -> Counter[str]:
    return Counter(node.op_type for node in onnx.load(found.path).graph.node)


@pytest.mark.parametrize("kind", KINDS)
def test_stacked_layers_share_one_compaction(flavour: Flavour, kind: str, tmp_path: Path) -> None:
    layer = getattr(flavour.keras.layers, kind)
    model = masked_model(flavour, layer(4, return_sequences=True), layer(3))
    found = check_model(model, tmp_path / "model.onnx", padded())
    counts = operators(found)
    assert (found.operators, found.loops) == ({OPERATORS[kind]: 2}, 0)
    assert counts["ScatterElements"] == 1
    # The first layer's input is compacted; the other takes what the layer below gave, as it is.
    assert counts["GatherND"] == 1


def test_what_stands_between_two_layers_ends_the_sharing(flavour: Flavour, tmp_path: Path) -> None:
    layers = flavour.keras.layers
    model = masked_model(
        flavour,
        layers.GRU(4, return_sequences=True, go_backwards=True),
        layers.SimpleRNN(4, return_sequences=True),
        layers.Dropout(0.3),
        layers.Dense(3),
        layers.LSTM(3),
    )
    found = check_model(model, tmp_path / "model.onnx", padded())
    assert (found.operators, found.loops) == ({"GRU": 1, "LSTM": 1, "RNN": 1}, 0)


def test_bidirectional(flavour: Flavour, tmp_path: Path) -> None:
    layers = flavour.keras.layers
    model = masked_model(
        flavour,
        layers.Bidirectional(layers.LSTM(3, return_sequences=True), merge_mode="sum"),
        layers.Bidirectional(layers.GRU(3), merge_mode="concat"),
    )
    found = check_model(model, tmp_path / "model.onnx", padded())
    assert (found.operators, found.loops) == ({"GRU": 1, "LSTM": 1}, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_unrolled_layers(flavour: Flavour, kind: str, tmp_path: Path) -> None:
    layer = getattr(flavour.keras.layers, kind)
    model = masked_model(
        flavour, layer(4, return_sequences=True, unroll=True), layer(3, unroll=True), shape=(5, FEATURES)
    )
    found = check_model(model, tmp_path / "model.onnx", padded(time=5))
    assert (found.operators, found.loops) == ({OPERATORS[kind]: 2}, 0)


@pytest.mark.parametrize("kind", ["GRU", "SimpleRNN"])
def test_time_major_layers(kind: str, tmp_path: Path) -> None:
    keras = load_flavour(2).keras
    sequence = keras.layers.Input(batch_shape=(None, None, FEATURES), name="sequence")
    mask = keras.layers.Input(batch_shape=(None, None), dtype="bool", name="mask")
    options = {"time_major": True, "return_state": True}
    outputs: dict[str, Any] = {}
    for seed, (name, more) in enumerate(
        {
            "last": {},
            "back": {"return_sequences": True, "go_backwards": True},
        }.items()
    ):
        layer = getattr(keras.layers, kind)(UNITS, name=name, **options, **more)
        outputs |= output_names(name, layer(sequence, mask=mask))
        nonzero_weights(layer, seed)
    model = keras.Model([sequence, mask], outputs)
    found = to_onnx(model, tmp_path / "model.onnx", allow_loop=False)
    assert found.operators == {OPERATORS[kind]: 2}
    feed = make_feed(MASKS["holes"], seed=2)
    feed = {"sequence": feed["sequence"].swapaxes(0, 1).copy(), "mask": feed["mask"].T.copy()}
    run = in_onnxruntime(found.path)
    assert disagreements(run(feed), in_keras(model, ("sequence", "mask"))(feed)) == []


def test_an_embedding_makes_the_mask(flavour: Flavour, tmp_path: Path) -> None:
    keras = flavour.keras
    model = keras.Sequential(
        [
            keras.layers.Input((None,), dtype="int32", name="tokens"),
            keras.layers.Embedding(9, 4, mask_zero=True),
            keras.layers.LSTM(3, return_sequences=True),
            keras.layers.LSTM(3),
        ]
    )
    tokens = np.array([[3, 1, 0, 0], [0, 0, 5, 8], [2, 0, 4, 1], [0, 0, 0, 0]], np.int32)
    found = check_model(model, tmp_path / "model.onnx", tokens)
    assert (found.operators, found.loops, operators(found)["ScatterElements"]) == ({"LSTM": 2}, 0, 1)


def test_an_encoder_hands_its_state_to_a_decoder(flavour: Flavour, tmp_path: Path) -> None:
    keras = flavour.keras
    source = keras.layers.Input((None, 2), name="source")
    masked = keras.layers.Masking(-1.0)(source)
    _, h, c = keras.layers.LSTM(3, return_state=True)(masked)
    decoded = keras.layers.LSTM(3, return_sequences=True)(source, initial_state=[h, c])
    model = keras.Model(source, decoded)
    found = check_model(model, tmp_path / "model.onnx", padded(features=2))
    assert (found.operators, found.loops) == ({"LSTM": 2}, 0)


def test_a_layer_called_twice_becomes_two_operators(flavour: Flavour, tmp_path: Path) -> None:
    keras = flavour.keras
    source = keras.layers.Input((None, 2), name="source")
    shared = keras.layers.GRU(3)
    model = keras.Model(source, [shared(source), shared(keras.layers.Masking(-1.0)(source))])
    found = check_model(model, tmp_path / "model.onnx", padded(features=2))
    assert (found.operators, found.loops) == ({"GRU": 2}, 0)


# --- What has no operator keeps its stock conversion, and is named.


@pytest.mark.parametrize(("kind", "name"), [("GRU", "exponential"), ("LSTM", "exponential"), ("SimpleRNN", "mish")])
def test_an_activation_without_counterpart_stays_a_loop(flavour: Flavour, kind: str, name: str, tmp_path: Path) -> None:
    if kind != "GRU" and flavour.version == 2:
        pytest.skip("one kind is enough for the flavour that takes long to trace")
    layer = getattr(flavour.keras.layers, kind)
    model = masked_model(flavour, layer(3, return_sequences=True, activation=name, name="odd"), layer(2, name="usual"))
    found = check_model(model, tmp_path / "model.onnx", padded(time=4))
    assert found.operators == {OPERATORS[kind]: 1}
    assert found.loops >= 1
    reason = f"activation {name} has no counterpart in ONNX {OPERATORS[kind]}"
    rows = {row.layer: (row.onnx, row.onnx_reasons) for row in found.audit}
    assert rows == {"odd": ("Loop", (reason,)), "usual": (OPERATORS[kind], ())}
    assert inspect_model(model) == found.audit


def test_softplus_stays_a_loop_since_onnxruntimes_operators_overflow(flavour: Flavour, tmp_path: Path) -> None:
    model = masked_model(flavour, flavour.keras.layers.SimpleRNN(3, activation="softplus", name="odd"))
    model.set_weights([weight * 0 + 1 for weight in model.get_weights()])
    found = check_model(model, tmp_path / "model.onnx", padded(time=4) * 100)
    reason = "activation softplus has no counterpart in ONNX RNN"
    assert [(row.onnx, row.onnx_reasons) for row in found.audit] == [("Loop", (reason,))]


def test_a_users_function_of_a_known_name_stays_a_loop(flavour: Flavour, tmp_path: Path) -> None:
    import tensorflow as tf

    def tanh(x: Any) -> Any:
        return tf.tanh(x) * 0.5

    model = masked_model(flavour, flavour.keras.layers.GRU(3, activation=tanh, name="odd"))
    found = check_model(model, tmp_path / "model.onnx", padded(time=4))
    assert found.audit[0].onnx == "Loop"
    assert found.audit[0].onnx_reasons == (f"activation {__name__}.tanh has no counterpart in ONNX GRU",)


def test_a_loop_is_refused_where_none_is_allowed(flavour: Flavour, tmp_path: Path) -> None:
    model = masked_model(flavour, flavour.keras.layers.GRU(3, activation="exponential", name="odd"))
    reason = r"odd: activation exponential has no counterpart in ONNX GRU"
    with pytest.raises(ProofError, match=rf"^\d Loop left in the ONNX graph \({reason}\)$"):
        to_onnx(model, tmp_path / "model.onnx", allow_loop=False)
    assert list(tmp_path.iterdir()) == []


def test_double_precision_stays_a_loop(tmp_path: Path) -> None:
    layers = load_flavour(3).keras.layers
    model = load_flavour(3).keras.Sequential(
        [layers.Input((None, 2), dtype="float64", name="signal"), layers.GRU(3, dtype="float64", name="odd")]
    )
    found = check_model(model, tmp_path / "model.onnx", padded(features=2, dtype="float64"))
    assert found.operators == {}
    assert found.audit[0].onnx == "Loop"
    reason = "it computes in float64; onnxruntime's recurrent operators compute in float32"
    assert found.audit[0].onnx_reasons == (reason,)


@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
def test_an_operator_that_onnxruntime_cannot_run_is_refused(kind: str, tmp_path: Path) -> None:
    # tf2onnx knows the loops of tf-keras and makes operators of them by itself, in double precision too.
    layers = load_flavour(2).keras.layers
    layer = getattr(layers, kind)(3, dtype="float64", name="odd")
    model = load_flavour(2).keras.Sequential([layers.Input((None, 2), dtype="float64", name="signal"), layer])
    message = (
        rf"^ONNX {kind} in float64 cannot be run by onnxruntime; "
        r"build the model in float32, or export with --formats saved_model$"
    )
    with pytest.raises(ModelError, match=message):
        to_onnx(model, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_half_precision_is_not_lowered(flavour: Flavour) -> None:
    keras = flavour.keras
    layer = keras.layers.GRU(
        3, dtype=keras.mixed_precision.Policy("mixed_float16") if flavour.version == 2 else "mixed_float16"
    )
    model = keras.Sequential([keras.layers.Input((None, 2), name="signal"), layer])
    reason = "it computes in float16; onnxruntime's recurrent operators compute in float32"
    assert inspect_model(model)[0].onnx_reasons == (reason,)


def test_a_subclass_of_a_known_layer_is_left_alone(flavour: Flavour, tmp_path: Path) -> None:
    class Doubled(flavour.keras.layers.GRU):
        def call(self, sequences: Any, initial_state: Any = None, mask: Any = None, training: bool = False) -> Any:
            return super().call(sequences, initial_state=initial_state, mask=mask, training=training) * 2

    model = masked_model(flavour, Doubled(3, name="odd"))
    found = check_model(model, tmp_path / "model.onnx", padded(time=4))
    assert found.operators == {}
    assert found.loops >= 1
    reason = "Doubled over GRUCell is none of the layers LSTM, GRU and SimpleRNN, nor an RNN over their cells"
    assert [(row.layer, row.onnx, row.onnx_reasons) for row in found.audit] == [("odd", "Loop", (reason,))]
    with pytest.raises(ProofError, match=rf"^\d Loop left in the ONNX graph \(odd: {reason}\)$"):
        to_onnx(model, tmp_path / "other.onnx", allow_loop=False)


def test_a_cell_of_the_users_own_is_left_alone(flavour: Flavour, tmp_path: Path) -> None:
    keras = flavour.keras

    class Leaky(keras.layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.units = self.state_size = self.output_size = 2

        def call(self, inputs: Any, states: Any, training: Any = None) -> Any:
            state = states[0] if isinstance(states, list | tuple) else states
            new = 0.5 * state + inputs
            return new, [new]

    model = masked_model(flavour, keras.layers.RNN(Leaky()), shape=(None, 2))
    found = check_model(model, tmp_path / "model.onnx", padded(features=2, time=4))
    assert found.operators == {}
    assert found.loops >= 1
    reason = "RNN over Leaky is none of the layers LSTM, GRU and SimpleRNN, nor an RNN over their cells"
    assert [(row.kind, row.onnx, row.onnx_reasons) for row in found.audit] == [("RNN", "Loop", (reason,))]
    with pytest.raises(ProofError, match=rf"^1 Loop left in the ONNX graph \(\w+: {reason}\)$"):
        to_onnx(model, tmp_path / "other.onnx", allow_loop=False)


# --- Capture: only the export that asked for it sees markers.


def test_two_exports_at_once_do_not_disturb_each_other(flavour: Flavour, tmp_path: Path) -> None:
    layers = flavour.keras.layers
    loggers = [logging.getLogger(name) for name in ("tf2onnx", "tensorflow")]
    levels = [logger.level for logger in loggers]
    models = [masked_model(flavour, layers.GRU(units)) for units in (3, 5)]
    feed = padded()
    before = [np.asarray(model(feed)) for model in models]
    start = threading.Barrier(3)
    failures: list[BaseException] = []
    seen: list[Array] = []

    def export(position: int) -> None:
        try:
            start.wait()
            check_model(models[position], tmp_path / f"{position}.onnx", feed, allow_loop=False)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=export, args=(position,)) for position in range(2)]
    for thread in threads:
        thread.start()
    start.wait()
    while any(thread.is_alive() for thread in threads):
        seen.append(np.asarray(models[0](feed)))
    for thread in threads:
        thread.join()
    assert failures == []
    assert seen
    assert all(np.allclose(values, before[0], atol=1e-6) for values in seen)
    assert [logger.level for logger in loggers] == levels


def test_a_layer_is_itself_again_after_an_export(flavour: Flavour, tmp_path: Path) -> None:
    import tensorflow as tf

    model = masked_model(flavour, flavour.keras.layers.LSTM(3))
    before = model(padded()).numpy()
    with pytest.raises(RuntimeError, match="on the way"), capture(flavour, lowerable) as captured:
        tf.function(model).get_concrete_function(tf.TensorSpec((None, None, FEATURES)))
        raise RuntimeError("on the way")
    assert len(captured.markers) == 1
    assert np.array_equal(model(padded()).numpy(), before)
    graph = tf.function(model).get_concrete_function(tf.TensorSpec((None, None, FEATURES))).graph
    assert not [op for op in graph.get_operations() if op.type == "PyFunc"]


def test_a_marked_graph_cannot_be_run(flavour: Flavour) -> None:
    import tensorflow as tf

    model = masked_model(flavour, flavour.keras.layers.LSTM(3, name="memory"))
    with capture(flavour, lowerable):
        function = tf.function(model).get_concrete_function(tf.TensorSpec((None, None, FEATURES)))
    with pytest.raises(Exception, match="layer 'memory' is marked for conversion and cannot be run in TensorFlow"):
        function(tf.constant(padded()))


def test_a_called_layer_of_an_unused_branch_is_said_to_be_unused(flavour: Flavour, tmp_path: Path) -> None:
    keras = flavour.keras

    class Two(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.other = keras.layers.GRU(2, name="used"), keras.layers.GRU(2, name="other")

        def call(self, inputs: Any) -> Any:
            return self.used(inputs)

    from seqship.export.signature import parse_field

    model = Two()
    model.other(padded())
    found = to_onnx(model, tmp_path / "model.onnx", input_signature=[parse_field("signal=?,?,3:float32")])
    rows = {row.layer: (row.onnx, row.onnx_reasons) for row in found.audit}
    assert rows["used"] == ("GRU", ())
    assert rows["other"][1] == ("it is not called by the exported function",)
