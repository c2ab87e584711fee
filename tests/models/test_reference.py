"""The NumPy reference equals Keras in float64, both flavours, and obeys the laws that masks and states promise."""

from __future__ import annotations

import functools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from seqship.errors import DataError, ModelError
from seqship.models import RecurrentSpec, recurrent_layers, run_bidirectional, run_layer
from seqship.models.flavour import Flavour, load_flavour
from seqship.models.reference import _PLAIN
from seqship.models.spec import GATES, STATES, Activation, Kind

Array = NDArray[Any]

KINDS: tuple[Kind, ...] = ("LSTM", "GRU", "SimpleRNN")
BATCH, TIME, FEATURES, UNITS = 4, 6, 3, 2
# Both sides compute in float64 and differ by the order of their sums; the worst met is 4e-16 of 1 + |value|.
TOLERANCE = 1e-12
STEPS = np.arange(TIME)
LENGTHS = np.array([[6], [1], [0], [4]])
MASKS: dict[str, Array | None] = {
    "none": None,
    "full": np.ones((BATCH, TIME), bool),
    "right": LENGTHS > STEPS,
    "left": (LENGTHS > STEPS)[:, ::-1].copy(),
    "holes": np.random.default_rng(3).random((BATCH, TIME)) > 0.4,
    "all_empty": np.zeros((BATCH, TIME), bool),
}
SEQUENCE = {"return_sequences": True}
BACKWARDS = {"go_backwards": True}


def drawn(*shape: int, seed: int = 1) -> Array:
    return np.random.default_rng(seed).normal(0, 1, shape)


def states_for(kind: Kind, batch: int = BATCH, units: int = UNITS) -> list[Array]:
    return [drawn(batch, units, seed=7 + position) for position in range(STATES[kind])]


def built(flavour: Flavour, kind: Kind, *, zero: bool = False, **options: Any) -> Any:
    """A Keras layer in float64 with no weight at zero."""
    layer = getattr(flavour.keras.layers, kind)(UNITS, dtype="float64", return_state=True, **options)
    layer.build((None, None, FEATURES))
    layer.zero_output_for_mask = zero
    layer.set_weights([drawn(*weight.shape, seed=seed) / 2 for seed, weight in enumerate(layer.get_weights())])
    return layer


def spec_of(flavour: Flavour, *layers: Any) -> tuple[RecurrentSpec, ...]:
    return recurrent_layers(flavour.keras.Sequential([*layers]))


def in_keras(layer: Any, sequence: Array, mask: Array | None, states: list[Array] | None) -> list[Array]:
    import tensorflow as tf

    given = None if states is None else [tf.constant(state) for state in states]
    valid = None if mask is None else tf.constant(mask)
    return [np.asarray(output) for output in layer(tf.constant(sequence), mask=valid, initial_state=given)]


def assert_same(actual: Any, wanted: Any) -> None:
    assert len(actual) == len(wanted)
    for got, want in zip(actual, wanted, strict=True):
        assert got.dtype == np.float64
        np.testing.assert_allclose(got, want, rtol=TOLERANCE, atol=TOLERANCE)


# --- Equal to Keras.

OPTIONS: dict[str, dict[str, Any]] = {
    "last": {},
    "sequence": SEQUENCE,
    "backwards": SEQUENCE | BACKWARDS,
    "backwards_last": BACKWARDS,
    "zero": SEQUENCE | {"zero": True},
    "zero_last": {"zero": True},
    "zero_backwards": SEQUENCE | BACKWARDS | {"zero": True},
    "zero_backwards_last": BACKWARDS | {"zero": True},
    "unbiased": SEQUENCE | {"use_bias": False},
    "relu": SEQUENCE | {"activation": "relu"},
    "unrolled": SEQUENCE | BACKWARDS | {"unroll": True},
    "unrolled_zero": SEQUENCE | {"unroll": True, "zero": True},
    # Keras' two loops differ here.
    "unrolled_zero_backwards": SEQUENCE | BACKWARDS | {"unroll": True, "zero": True},
    "unrolled_zero_backwards_last": BACKWARDS | {"unroll": True, "zero": True},
}


@pytest.mark.parametrize("initial", [False, True], ids=["zeros", "initial"])
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_option_under_every_mask_equals_keras(flavour: Flavour, kind: Kind, options: str, initial: bool) -> None:
    if flavour.version == 2 and options == "unrolled_zero_backwards_last":
        pytest.skip("tf-keras itself fails")
    layer = built(flavour, kind, **OPTIONS[options])
    (spec,) = spec_of(flavour, layer)
    sequence, states = drawn(BATCH, TIME, FEATURES), states_for(kind) if initial else None
    for mask in MASKS.values():
        output, final = run_layer(spec, sequence, mask=mask, initial_state=states)
        assert_same([output, *final], in_keras(layer, sequence, mask, states))


@pytest.mark.parametrize("biased", [True, False])
def test_a_gru_that_resets_before_the_product(flavour: Flavour, biased: bool) -> None:
    layer = built(flavour, "GRU", reset_after=False, use_bias=biased, return_sequences=True)
    (spec,) = spec_of(flavour, layer)
    sequence = drawn(BATCH, TIME, FEATURES)
    output, final = run_layer(spec, sequence, mask=MASKS["holes"])
    assert_same([output, *final], in_keras(layer, sequence, MASKS["holes"], None))


def shipped_names(flavour: Flavour) -> list[str]:
    """The activations that both the reference and this Keras have."""
    names = sorted({*_PLAIN, "elu", "hard_sigmoid", "leaky_relu"})
    if flavour.version == 2:
        names.remove("silu")  # It is TensorFlow's own function there, and is called swish.
    module = {2: "tf_keras.src.activations", 3: "keras.src.activations"}[flavour.version]
    return [name for name in names if hasattr(__import__(module, fromlist=["get"]), name)]


@pytest.mark.parametrize("kind", KINDS)
def test_every_activation_equals_keras(flavour: Flavour, kind: Kind) -> None:
    names = shipped_names(flavour)
    assert len(names) >= 13
    sequence = drawn(BATCH, TIME, FEATURES) * 3
    for position, name in enumerate(names):
        gates: dict[str, Any] = {} if kind == "SimpleRNN" else {"recurrent_activation": names[position - 1]}
        layer = built(flavour, kind, activation=name, **gates)
        # Functions without a bound grow from step to step; the weights keep the values near one.
        layer.set_weights([weight * 0.2 for weight in layer.get_weights()])
        (spec,) = spec_of(flavour, layer)
        output, final = run_layer(spec, sequence)
        # TensorFlow rounds these functions' constants (root of two, slope) to float32, whatever it computes in.
        rounded = {"gelu", "leaky_relu"} & {name, *gates.values()}
        tolerance = 1e-6 if rounded else TOLERANCE
        for got, want in zip([output, *final], in_keras(layer, sequence, None, None), strict=True):
            np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance, err_msg=f"{name}, {gates}")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mask", ["none", "holes"])
def test_time_may_come_first(kind: Kind, mask: str) -> None:
    flavour = load_flavour(2)
    layer = built(flavour, kind, time_major=True, return_sequences=True, go_backwards=True)
    (spec,) = spec_of(flavour, layer)
    valid = MASKS[mask]
    valid = None if valid is None else valid.T
    sequence = drawn(TIME, BATCH, FEATURES)
    output, final = run_layer(spec, sequence, mask=valid)
    assert output.shape == (TIME, BATCH, UNITS)
    assert_same([output, *final], in_keras(layer, sequence, valid, None))


@pytest.mark.parametrize("mode", ["concat", "sum", "mul", "ave", None])
@pytest.mark.parametrize("sequences", [True, False], ids=["sequences", "last"])
def test_both_directions_equal_keras(flavour: Flavour, mode: str | None, sequences: bool) -> None:
    kind: Kind = "GRU" if mode in ("sum", None) else "LSTM"
    layers = flavour.keras.layers
    inner = getattr(layers, kind)(UNITS, dtype="float64", return_sequences=sequences, return_state=True)
    back = layers.SimpleRNN(
        UNITS + (mode in ("concat", None)), go_backwards=True, return_sequences=sequences, return_state=True,
        dtype="float64",
    )  # fmt: skip
    unequal = {"backward_layer": back} if kind == "GRU" else {}
    both = layers.Bidirectional(inner, merge_mode=mode, dtype="float64", **unequal)
    both.build((None, None, FEATURES))
    both.set_weights([drawn(*weight.shape, seed=seed) / 2 for seed, weight in enumerate(both.get_weights())])
    forward, backward = spec_of(flavour, both.forward_layer, both.backward_layer)
    assert (forward.zero_output_for_mask, backward.go_backwards) == (sequences, True)
    sequence = drawn(BATCH, TIME, FEATURES)
    both_states = [*states_for(kind), drawn(BATCH, backward.units)] if unequal else states_for(kind) * 2
    for mask in MASKS.values():
        for states in (None, both_states):
            output, final = run_bidirectional(forward, backward, mode, sequence, mask=mask, initial_state=states)
            outputs = output if isinstance(output, tuple) else (output,)
            assert_same([*outputs, *final], in_keras(both, sequence, mask, states))


def test_both_directions_with_time_first() -> None:
    flavour = load_flavour(2)
    inner = built(flavour, "GRU", time_major=True, return_sequences=True)
    both = flavour.keras.layers.Bidirectional(inner, dtype="float64")
    both.build((None, None, FEATURES))
    forward, backward = spec_of(flavour, both.forward_layer, both.backward_layer)
    sequence = drawn(TIME, BATCH, FEATURES)
    output, final = run_bidirectional(forward, backward, "concat", sequence)
    assert isinstance(output, np.ndarray)
    assert_same([output, *final], in_keras(both, sequence, None, None))


def test_peepholes_equal_those_of_tensorflow() -> None:
    """tf-keras dropped the cell; the TensorFlow package still holds it."""
    from tensorflow.python.keras.layers import recurrent

    with pytest.warns(UserWarning, match="PeepholeLSTMCell"):
        cell = recurrent.PeepholeLSTMCell(UNITS, dtype="float64")
    theirs = recurrent.RNN(cell, return_sequences=True, return_state=True, dtype="float64")
    theirs.build((None, TIME, FEATURES))
    theirs.set_weights([drawn(*weight.shape, seed=seed) / 2 for seed, weight in enumerate(theirs.get_weights())])
    kernel, recurrent_kernel, bias, *peepholes = theirs.get_weights()
    assert len(peepholes) == 3
    (plain,) = spec_of(load_flavour(2), built(load_flavour(2), "LSTM", return_sequences=True))
    spec = replace(
        plain,
        kernel=kernel,
        recurrent_kernel=recurrent_kernel,
        bias=bias,
        peepholes=np.stack(peepholes),
        recurrent_activation=Activation("hard_sigmoid", 0.2, 0.5),
    )
    sequence = drawn(BATCH, TIME, FEATURES)
    output, final = run_layer(spec, sequence, mask=MASKS["holes"])
    assert_same([output, *final], in_keras(theirs, sequence, MASKS["holes"], None))
    without, _ = run_layer(replace(spec, peepholes=None), sequence, mask=MASKS["holes"])
    assert not np.allclose(output, without)


@pytest.mark.parametrize("options", [SEQUENCE, BACKWARDS], ids=["sequence", "backwards_last"])
def test_the_peephole_cell_of_tf_keras(options: dict[str, Any]) -> None:
    from tf_keras.src.layers.rnn import legacy_cells

    flavour = load_flavour(2)
    with pytest.warns(UserWarning, match="LSTMCell"):
        cell = legacy_cells.LSTMCell(UNITS, use_peepholes=True, forget_bias=0.5, dtype="float64")
    layer = flavour.keras.layers.RNN(cell, return_state=True, dtype="float64", **options)
    layer.build((None, None, FEATURES))
    layer.set_weights([drawn(*weight.shape, seed=seed) / 2 for seed, weight in enumerate(layer.get_weights())])
    (spec,) = spec_of(flavour, layer)
    assert (spec.cell_state_first, spec.peepholes is None) == (True, False)
    sequence, states = drawn(BATCH, TIME, FEATURES), states_for("LSTM")
    output, final = run_layer(spec, sequence, mask=MASKS["holes"], initial_state=states)
    # Keras returns the cell's two states as one.
    wanted = in_keras(layer, sequence, MASKS["holes"], states)
    assert_same([output, *final], [wanted[0], *(wanted[1] if len(wanted) == 2 else wanted[1:])])


# --- Equal to what one computes by hand.


def tiny(kind: Kind, *, biased: bool = False, **changes: Any) -> RecurrentSpec:
    """One unit, one feature, all weights one."""
    gates = GATES[kind]
    return RecurrentSpec(
        name="tiny",
        kind=kind,
        units=1,
        features=1,
        kernel=np.ones((1, gates)),
        recurrent_kernel=np.ones((1, gates)),
        bias=np.ones((2, gates)) if biased else None,
        activation=Activation("linear"),
        recurrent_activation=None if kind == "SimpleRNN" else Activation("linear"),
        return_sequences=True,
        **changes,
    )


def test_a_simple_rnn_by_hand() -> None:
    # h' = x + h
    output, (h,) = run_layer(tiny("SimpleRNN"), [[[1], [2], [4]]], mask=[[True, False, True]])
    assert output.ravel().tolist() == [1, 1, 5]
    assert h.tolist() == [[5]]


def test_an_lstm_by_hand() -> None:
    # All gates are g = x + h: c' = g c + g g, h' = g c'. First g = 2, c = 4, h = 8; then g = 9, c = 36 + 81, h = 9 c.
    output, (h, c) = run_layer(tiny("LSTM"), [[[2], [1]]])
    assert output.ravel().tolist() == [8, 1053]
    assert (h.tolist(), c.tolist()) == ([[1053]], [[117]])


def test_peepholes_by_hand() -> None:
    # h = 1, c = 2, x = 1, so all products are 2: i = 2 + 10 * 2, f = 2 + 100 * 2, c' = 202 * 2 + 22 * 2 = 448, and the
    # output gate looks at the new cell: o = 2 + 1000 * 448.
    spec = tiny("LSTM", peepholes=np.array([[10.0], [100.0], [1000.0]]))
    _, (h, c) = run_layer(spec, [[[1]]], initial_state=[[[1]], [[2]]])
    assert (c.tolist(), h.tolist()) == ([[448]], [[448002 * 448]])


@pytest.mark.parametrize(("after", "new"), [(True, 2 + 6 * 4), (False, 2 + 6 * 3 + 1)])
def test_a_gru_by_hand(after: bool, new: float) -> None:
    # h = 3, x = 1, biases 1: z = r = 1 + 1 + 3 + 1 = 6, and the state's bias is within the reset or behind it.
    output, _ = run_layer(tiny("GRU", biased=True, reset_after=after), [[[1]]], initial_state=[[[3]]])
    assert output.item() == 6 * 3 + (1 - 6) * new


def test_backwards_shows_the_last_step_first() -> None:
    output, (h,) = run_layer(tiny("SimpleRNN", go_backwards=True), [[[1], [2], [4]]])
    assert output.ravel().tolist() == [4, 6, 7]
    assert h.item() == 7


def test_a_masked_step_may_show_zeros() -> None:
    mask = [[False, True, False]]
    spec = tiny("SimpleRNN", zero_output_for_mask=True)
    output, (h,) = run_layer(spec, [[[1], [2], [4]]], mask=mask)
    assert (output.ravel().tolist(), h.item()) == ([0, 2, 0], 2)
    last, (h,) = run_layer(replace(spec, return_sequences=False), [[[1], [2], [4]]], mask=mask)
    assert (last.tolist(), h.item()) == ([[0]], 2)


def test_both_directions_by_hand() -> None:
    forward, backward = tiny("SimpleRNN"), tiny("SimpleRNN", go_backwards=True)
    run = functools.partial(run_bidirectional, forward, backward, sequence=[[[1], [2], [4]]])
    pair, states = run(merge_mode=None)
    assert [output.ravel().tolist() for output in pair] == [[1, 3, 7], [7, 6, 4]]
    assert [state.item() for state in states] == [7, 7]
    merged = {mode: np.ravel(run(merge_mode=mode)[0]).tolist() for mode in ("concat", "sum", "mul", "ave")}
    assert merged == {"concat": [1, 7, 3, 6, 7, 4], "sum": [8, 9, 11], "mul": [7, 18, 28], "ave": [4, 4.5, 5.5]}


@pytest.mark.parametrize("name", sorted(_PLAIN))
def test_activations_keep_within_numbers(name: str) -> None:
    spec = replace(tiny("SimpleRNN"), activation=Activation(name))
    output, _ = run_layer(spec, [[[-700.0]], [[700.0]]])
    assert np.isfinite(output).all()


def test_sigmoid_and_gelu_by_hand() -> None:
    spec = replace(tiny("SimpleRNN"), activation=Activation("sigmoid"))
    assert run_layer(spec, [[[-math.log(3)]]])[0].item() == pytest.approx(0.25, rel=1e-15)
    spec = replace(spec, activation=Activation("gelu"))
    assert run_layer(spec, [[[1.0]]])[0].item() == pytest.approx(0.8413447460685429, rel=1e-15)


# --- Laws of masks and states, for any weights.


@st.composite
def layers(draw: st.DrawFn) -> tuple[RecurrentSpec, Array, Array]:
    """A layer, a sequence and a mask."""
    kind = draw(st.sampled_from(KINDS))
    units, features = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    batch, time = draw(st.integers(1, 4)), draw(st.integers(1, 7))
    random = np.random.default_rng(draw(st.integers(0, 10**6)))
    width = GATES[kind] * units
    after = draw(st.booleans())
    spec = RecurrentSpec(
        name="any",
        kind=kind,
        units=units,
        features=features,
        kernel=random.normal(0, 1, (features, width)),
        recurrent_kernel=random.normal(0, 1, (units, width)),
        bias=random.normal(0, 1, (2, width) if kind == "GRU" and after else width),
        activation=Activation(draw(st.sampled_from(["tanh", "softsign", "sigmoid"]))),
        recurrent_activation=None if kind == "SimpleRNN" else Activation("sigmoid"),
        reset_after=after,
        go_backwards=draw(st.booleans()),
        return_sequences=True,
        zero_output_for_mask=draw(st.booleans()),
        peepholes=random.normal(0, 1, (3, units)) if kind == "LSTM" and draw(st.booleans()) else None,
    )
    return spec, random.normal(0, 1, (batch, time, features)), draw(hnp.arrays(bool, (batch, time)))


law = settings(max_examples=100, deadline=None, derandomize=True)


@law
@given(layers(), st.integers(1, 3), st.booleans())
def test_masked_steps_around_a_sequence_change_nothing(
    drawn_layer: tuple[RecurrentSpec, Array, Array], count: int, front: bool
) -> None:
    spec, sequence, mask = drawn_layer
    noise = np.full((len(sequence), count, spec.features), 1e3)
    off = np.zeros((len(sequence), count), bool)
    padded = np.concatenate([noise, sequence] if front else [sequence, noise], axis=1)
    valid = np.concatenate([off, mask] if front else [mask, off], axis=1)
    output, states = run_layer(spec, sequence, mask=mask)
    longer, others = run_layer(spec, padded, mask=valid)
    if front != spec.go_backwards:  # The padding is met first.
        kept, added = longer[:, count:], longer[:, :count]
        assert not added.any()
    else:
        kept, added = longer[:, : output.shape[1]], longer[:, output.shape[1] :]
        repeated = np.repeat(output[:, -1:], count, axis=1)
        assert np.array_equal(added, np.zeros_like(added) if spec.zero_output_for_mask else repeated)
    assert np.array_equal(kept, output)
    assert all(np.array_equal(one, other) for one, other in zip(states, others, strict=True))


@law
@given(layers())
def test_a_row_alone_is_that_row_of_a_batch(drawn_layer: tuple[RecurrentSpec, Array, Array]) -> None:
    spec, sequence, mask = drawn_layer
    output, states = run_layer(spec, sequence, mask=mask)
    for row in range(len(sequence)):
        alone, own = run_layer(spec, sequence[row, None], mask=mask[row, None])
        np.testing.assert_allclose(alone[0], output[row], rtol=TOLERANCE, atol=TOLERANCE)
        for one, other in zip(own, states, strict=True):
            np.testing.assert_allclose(one[0], other[row], rtol=TOLERANCE, atol=TOLERANCE)


@law
@given(layers(), st.data())
def test_chunks_that_hand_their_state_over_are_the_whole(
    drawn_layer: tuple[RecurrentSpec, Array, Array], data: st.DataObject
) -> None:
    # A masked step at the front of a chunk cannot know the output before it: zeros are shown either way.
    spec, sequence, mask = drawn_layer
    spec = replace(spec, zero_output_for_mask=True, go_backwards=False)
    cut = data.draw(st.integers(1, sequence.shape[1]), label="cut")
    whole, wanted = run_layer(spec, sequence, mask=mask)
    parts: list[Array] = []
    states: Any = None
    for start in range(0, sequence.shape[1], cut):
        part, states = run_layer(
            spec, sequence[:, start : start + cut], mask=mask[:, start : start + cut], initial_state=states
        )
        parts.append(part)
    assert np.array_equal(np.concatenate(parts, axis=1), whole)
    assert all(np.array_equal(one, other) for one, other in zip(states, wanted, strict=True))


@law
@given(layers())
def test_a_row_without_valid_steps_gives_its_initial_state(drawn_layer: tuple[RecurrentSpec, Array, Array]) -> None:
    spec, sequence, mask = drawn_layer
    mask[0] = False
    given_states = states_for(spec.kind, len(sequence), spec.units)
    output, states = run_layer(spec, sequence, mask=mask, initial_state=given_states)
    assert not output[0].any()
    assert all(np.array_equal(state[0], start[0]) for state, start in zip(states, given_states, strict=True))


# --- What does not fit is refused in one line.


def test_an_unknown_activation_is_refused() -> None:
    for activation in (Activation("mine.tanh"), Activation("hard_sigmoid")):
        with pytest.raises(
            ModelError, match=r"^the reference knows tanh, .*; got Activation\(.*\); name one of these$"
        ):
            run_layer(replace(tiny("SimpleRNN"), activation=activation), [[[1]]])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sequence": [[1]]}, r"sequence must have 3 axes, got \(1, 1\)"),
        ({"sequence": [[[1, 2]]]}, r"sequence must have 1 features, got \(1, 1, 2\)"),
        (
            {"sequence": [[[1]]], "mask": [[True, True]]},
            r"mask must have the first two axes of the sequence \(1, 1, 1\), got \(1, 2\)",
        ),
        (
            {"sequence": [[[1]]], "initial_state": [[[1]], [[1]]]},
            "initial_state must have 1 states for SimpleRNN, got 2",
        ),
        ({"sequence": [[[1]]], "initial_state": [[[1, 2]]]}, r"initial_state must have \(1, 1\) each, got \(1, 2\)"),
    ],
)
def test_arrays_of_another_shape_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=rf"^{message}; give it the shape that the layer takes$"):
        run_layer(tiny("SimpleRNN"), **arguments)


@pytest.mark.parametrize(
    ("changes", "mode", "message"),
    [
        (
            {},
            "concat",
            "go_backwards must be False and True in the two directions, got False and False; swap the layers",
        ),
        (
            {"go_backwards": True, "return_sequences": False},
            "concat",
            "return_sequences must agree in the two directions, got True and False; set both alike",
        ),
        (
            {"go_backwards": True},
            "max",
            "merge_mode must be concat, sum, mul, ave or None, got 'max'; name one of these",
        ),
    ],
)
def test_directions_that_do_not_fit_are_refused(changes: dict[str, Any], mode: str, message: str) -> None:
    spec = tiny("SimpleRNN")
    with pytest.raises(ModelError, match=f"^{message}$"):
        run_bidirectional(spec, replace(spec, **changes), mode, [[[1]]])
