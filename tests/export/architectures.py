"""Architectures that people build with recurrent layers, small, by name; `test_architectures.py` exports them all.

The names of the inputs tell what is fed: `signal*` floats with -1 for padding, `tokens*` numbers with 0 for padding,
`mask*` the mask itself, anything else plain floats.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

FEATURES, UNITS, TOKENS = 3, 4, 9
BOTH, TF_KERAS, KERAS = (2, 3), (2,), (3,)

Build = Callable[[Any], Any]
"""Takes the package, `tf_keras` or `keras`, and returns a model."""


@dataclass(frozen=True)
class Architecture:
    """One model and what is expected of its export.

    Attributes:
        build: Makes the model.
        operators: Recurrent operators expected, by ONNX name.
        flavours: The Kerases it is exported from. Tracing the LSTM and GRU of tf-keras takes seconds, so that most
            architectures with many of them take turns; Keras 3 has them all.
        masked: Whether padding is fed.
        loops: Whether a Loop is expected, with `reason` in the audit.
        reason: What the audit says of the layer that stays a Loop.
        signature: Inputs of a model that does not say what it takes.
        mapped: Whether it is called with a dict.
    """

    build: Build
    operators: Mapping[str, int]
    flavours: tuple[int, ...] = KERAS
    masked: bool = False
    loops: bool = False
    reason: str = ""
    signature: tuple[str, ...] = ()
    mapped: bool = False


ARCHITECTURES: dict[str, Architecture] = {}


_turns = itertools.count()


def architecture(name: str, flavours: tuple[int, ...] | None = None, /, **expected: Any) -> Callable[[Build], Build]:
    """Enters a builder; the keywords in capitals are the operators expected, the others the fields' own.

    Without `flavours` every sixth one is exported from tf-keras too.
    """
    operators = {key: value for key, value in expected.items() if key.isupper()}
    options = {key: value for key, value in expected.items() if not key.isupper()}

    def enter(build: Build) -> Build:
        if name in ARCHITECTURES:
            raise ValueError(f"an architecture has a name of its own, {name!r} is there already")
        chosen = flavours
        if chosen is None:
            chosen = BOTH if next(_turns) % 6 == 0 else KERAS
        ARCHITECTURES[name] = Architecture(build, operators, chosen, **options)
        return build

    return enter


# --- What most of them are made of.


def steps(k: Any) -> int | None:
    """Time where TimeDistributed is at work: with a free axis Keras 3.15 counts the steps by the batch size."""
    return None if k.__name__ == "tf_keras" else 6


def signal(k: Any, time: int | None = None, name: str = "signal", features: int = FEATURES) -> Any:
    return k.layers.Input((time, features), name=name)


def masked_signal(k: Any, time: int | None = None, name: str = "signal") -> tuple[Any, Any]:
    source = signal(k, time, name)
    return source, k.layers.Masking(-1.0)(source)


def stack(*layers: Callable[[Any], Any], time: int | None = None, masked: bool = False) -> Build:
    """A Sequential of layers, each given as a function of `k.layers`."""

    def build(k: Any) -> Any:
        masking = [k.layers.Masking(-1.0)] if masked else []
        return k.Sequential([signal(k, time), *masking, *(make(k.layers) for make in layers)])

    return build


def of_tokens(*layers: Callable[[Any], Any]) -> Build:
    def build(k: Any) -> Any:
        tokens = k.layers.Input((None,), dtype="int32", name="tokens")
        embedded = k.layers.Embedding(TOKENS, 4, mask_zero=True)
        return k.Sequential([tokens, embedded, *(make(k.layers) for make in layers)])

    return build


def with_mask(layer: Callable[[Any], Any]) -> Build:
    """The mask is an input of its own."""

    def build(k: Any) -> Any:
        source = signal(k)
        mask = k.layers.Input((None,), dtype="bool", name="mask")
        return k.Model([source, mask], layer(k.layers)(source, mask=mask))

    return build


# --- Single layers.

for _name, _operator in {"LSTM": "LSTM", "GRU": "GRU", "SimpleRNN": "RNN"}.items():

    def _last(layers: Any, name: str = _name) -> Any:
        return getattr(layers, name)(UNITS)

    def _sequence(layers: Any, name: str = _name) -> Any:
        return getattr(layers, name)(UNITS, return_sequences=True)

    def _dense(layers: Any) -> Any:
        return layers.Dense(2)

    architecture(f"{_name}-last", BOTH, **{_operator: 1})(stack(_last, _dense))
    architecture(f"{_name}-sequence", **{_operator: 1})(stack(_sequence, _dense))
    architecture(f"{_name}-masked", **{_operator: 1}, masked=True)(stack(_sequence, masked=True))
    architecture(f"{_name}-embedded", **{_operator: 1}, masked=True)(of_tokens(_last, _dense))
    architecture(f"{_name}-mask-as-input", **{_operator: 1}, masked=True)(with_mask(_sequence))

architecture("no-bias", GRU=1, masked=True)(stack(lambda n: n.GRU(UNITS, use_bias=False), masked=True))
architecture("reset-before", GRU=1, masked=True)(
    stack(lambda n: n.GRU(UNITS, reset_after=False, return_sequences=True), masked=True)
)
architecture("hard-sigmoid", BOTH, LSTM=1)(stack(lambda n: n.LSTM(UNITS, recurrent_activation="hard_sigmoid")))
architecture("recurrent-dropout", GRU=1)(stack(lambda n: n.GRU(UNITS, dropout=0.2, recurrent_dropout=0.3)))
architecture("unrolled", LSTM=1, RNN=1, masked=True)(
    stack(
        lambda n: n.LSTM(UNITS, unroll=True, return_sequences=True),
        lambda n: n.SimpleRNN(UNITS, unroll=True),
        time=6,
        masked=True,
    )
)
architecture("backwards-stack", GRU=2, masked=True)(
    stack(
        lambda n: n.GRU(UNITS, go_backwards=True, return_sequences=True),
        lambda n: n.GRU(UNITS, go_backwards=True),
        masked=True,
    )
)


@architecture("time-major", TF_KERAS, RNN=1)
def _time_major(k: Any) -> Any:
    source = k.layers.Input(batch_shape=(None, None, FEATURES), name="signal")
    return k.Model(source, k.layers.SimpleRNN(UNITS, time_major=True, return_sequences=True)(source))


@architecture("all-of-an-lstm", LSTM=1, masked=True)
def _all_of_an_lstm(k: Any) -> Any:
    source, masked = masked_signal(k)
    return k.Model(source, k.layers.LSTM(UNITS, return_sequences=True, return_state=True)(masked))


@architecture("states-as-inputs", LSTM=1, masked=True)
def _states_as_inputs(k: Any) -> Any:
    source, masked = masked_signal(k)
    states = [k.layers.Input((UNITS,), name=name) for name in ("h", "c")]
    layer = k.layers.LSTM(UNITS, return_sequences=True, return_state=True)
    return k.Model([source, *states], layer(masked, initial_state=states))


# --- Stacks.

architecture("three-lstms", LSTM=3)(
    stack(
        lambda n: n.LSTM(5, return_sequences=True),
        lambda n: n.LSTM(4, return_sequences=True),
        lambda n: n.LSTM(3),
        lambda n: n.Dense(2, activation="softmax"),
    )
)
architecture("three-grus-masked", GRU=3, masked=True)(
    stack(
        lambda n: n.GRU(5, return_sequences=True),
        lambda n: n.GRU(4, return_sequences=True),
        lambda n: n.GRU(3),
        masked=True,
    )
)
architecture("mixed-stack", GRU=1, LSTM=1, RNN=1, masked=True)(
    stack(
        lambda n: n.GRU(5, return_sequences=True),
        lambda n: n.LSTM(4, return_sequences=True),
        lambda n: n.SimpleRNN(3),
        masked=True,
    )
)


def _through(*between: Callable[[Any], Any]) -> Build:
    """Two layers with something between them that hands the mask on."""

    def first(layers: Any) -> Any:
        return layers.GRU(UNITS, return_sequences=True)

    def last(layers: Any) -> Any:
        return layers.SimpleRNN(UNITS)

    return lambda k: stack(first, *between, last, masked=True, time=steps(k))(k)


architecture("mask-through-noise", GRU=1, RNN=1, masked=True)(
    _through(lambda n: n.Dropout(0.3), lambda n: n.SpatialDropout1D(0.3), lambda n: n.GaussianNoise(0.1))
)
architecture("mask-through-dense", BOTH, GRU=1, RNN=1, masked=True)(
    _through(lambda n: n.Dense(5), lambda n: n.Activation("relu"))
)
architecture("mask-through-time-distributed-dense", GRU=1, RNN=1, masked=True)(
    _through(lambda n: n.TimeDistributed(n.Dense(5)))
)
architecture("mask-through-normalizations", GRU=1, RNN=1, masked=True)(
    _through(lambda n: n.LayerNormalization(), lambda n: n.BatchNormalization())
)


@architecture("mask-through-concatenate", GRU=2, RNN=1, masked=True)
def _mask_through_concatenate(k: Any) -> Any:
    source, masked = masked_signal(k)
    sides = [k.layers.GRU(UNITS, return_sequences=True)(masked) for _ in range(2)]
    return k.Model(source, k.layers.SimpleRNN(UNITS)(k.layers.Concatenate()(sides)))


@architecture("residual", LSTM=2, masked=True)
def _residual(k: Any) -> Any:
    source, masked = masked_signal(k)
    x = k.layers.Dense(UNITS)(masked)
    for _ in range(2):
        x = k.layers.LayerNormalization()(k.layers.Add()([x, k.layers.LSTM(UNITS, return_sequences=True)(x)]))
    return k.Model(source, x)


@architecture("highway", GRU=1)
def _highway(k: Any) -> Any:
    source = signal(k)
    gate = k.layers.Dense(UNITS, activation="sigmoid")(source)
    gated = k.layers.Multiply()([gate, k.layers.GRU(UNITS, return_sequences=True)(source)])
    return k.Model(source, k.layers.Subtract()([gated, k.layers.Dense(UNITS)(source)]))


# --- Both directions: one operator each.

for _mode in ("concat", "sum", "mul", "ave", None):
    for _whole in (True, False):

        def _both(layers: Any, mode: str | None = _mode, whole: bool = _whole) -> Any:
            return layers.Bidirectional(layers.LSTM(UNITS, return_sequences=whole), merge_mode=mode)

        _title = f"bidirectional-{_mode or 'apart'}-{'sequence' if _whole else 'last'}"
        architecture(_title, KERAS if _mode != "concat" else BOTH, LSTM=1, masked=True)(stack(_both, masked=True))

architecture("bidirectional-unmasked", GRU=1)(stack(lambda n: n.Bidirectional(n.GRU(UNITS, return_sequences=True))))
architecture("bidirectional-embedded", GRU=1, masked=True)(of_tokens(lambda n: n.Bidirectional(n.GRU(UNITS))))
architecture("bidirectional-mask-as-input", RNN=1, masked=True)(
    with_mask(lambda n: n.Bidirectional(n.SimpleRNN(UNITS, return_sequences=True)))
)
architecture("bidirectional-relu-backwards", LSTM=1, masked=True)(
    stack(
        lambda n: n.Bidirectional(
            n.LSTM(UNITS, return_sequences=True),
            backward_layer=n.LSTM(UNITS, activation="relu", return_sequences=True, go_backwards=True),
        ),
        masked=True,
    )
)
architecture("bidirectional-unequal", GRU=1, LSTM=1, masked=True)(
    stack(
        lambda n: n.Bidirectional(
            n.LSTM(UNITS, return_sequences=True),
            backward_layer=n.GRU(UNITS + 1, return_sequences=True, go_backwards=True),
        ),
        masked=True,
    )
)
architecture("bidirectional-stack", LSTM=2)(
    stack(lambda n: n.Bidirectional(n.LSTM(3, return_sequences=True)), lambda n: n.Bidirectional(n.LSTM(2)))
)
architecture("bidirectional-stack-masked", GRU=2, masked=True)(
    stack(
        lambda n: n.Bidirectional(n.GRU(3, return_sequences=True), merge_mode="sum"),
        lambda n: n.Dropout(0.2),
        lambda n: n.Bidirectional(n.GRU(2)),
        masked=True,
    )
)


@architecture("bidirectional-state", LSTM=1, masked=True)
def _bidirectional_state(k: Any) -> Any:
    source, masked = masked_signal(k)
    layer = k.layers.LSTM(UNITS, return_sequences=True, return_state=True)
    return k.Model(source, k.layers.Bidirectional(layer)(masked))


@architecture("bidirectional-states-as-inputs", GRU=1)
def _bidirectional_states_as_inputs(k: Any) -> Any:
    source = signal(k)
    states = [k.layers.Input((UNITS,), name=name) for name in ("ahead", "back")]
    both = k.layers.Bidirectional(k.layers.GRU(UNITS, return_sequences=True))
    return k.Model([source, *states], both(source, initial_state=states))


@architecture("bidirectional-lstm-states-as-inputs", LSTM=1, masked=True)
def _bidirectional_lstm_states_as_inputs(k: Any) -> Any:
    source, masked = masked_signal(k)
    states = [k.layers.Input((UNITS,), name=name) for name in ("ahead_h", "ahead_c", "back_h", "back_c")]
    both = k.layers.Bidirectional(k.layers.LSTM(UNITS, return_state=True))
    return k.Model([source, *states], both(masked, initial_state=states))


@architecture("tagger", LSTM=1, masked=True)
def _tagger(k: Any) -> Any:
    n = k.layers
    tokens = n.Input((steps(k),), dtype="int32", name="tokens")
    x = n.Embedding(TOKENS, 4, mask_zero=True)(tokens)
    x = n.Bidirectional(n.LSTM(UNITS, return_sequences=True, recurrent_dropout=0.1))(x)
    return k.Model(tokens, n.TimeDistributed(n.Dense(3, activation="softmax"))(x))


# --- Cells.


def _over(cells: Callable[[Any], Any], **options: Any) -> Callable[[Any], Any]:
    return lambda n: n.RNN(cells(n), **options)


_ALL = {"return_sequences": True, "return_state": True}
architecture("lstm-cell", LSTM=1, masked=True)(stack(_over(lambda n: n.LSTMCell(UNITS)), masked=True))
architecture("gru-cell", GRU=1, masked=True)(
    stack(_over(lambda n: n.GRUCell(UNITS), return_sequences=True), masked=True)
)
architecture("simple-rnn-cell", RNN=1, masked=True)(
    stack(_over(lambda n: n.SimpleRNNCell(UNITS), go_backwards=True, return_sequences=True), masked=True)
)
architecture("list-of-cells", BOTH, GRU=1, LSTM=1, masked=True)(
    stack(_over(lambda n: [n.LSTMCell(5), n.GRUCell(3)], return_sequences=True), masked=True)
)
architecture("stacked-cells", LSTM=2)(
    stack(_over(lambda n: n.StackedRNNCells([n.LSTMCell(5), n.LSTMCell(3)]), go_backwards=True))
)
architecture("bidirectional-cell", LSTM=1, masked=True)(
    stack(lambda n: n.Bidirectional(n.RNN(n.LSTMCell(UNITS), return_sequences=True)), masked=True)
)


@architecture("cell-with-state", GRU=1, masked=True)
def _cell_with_state(k: Any) -> Any:
    source, masked = masked_signal(k)
    return k.Model(source, k.layers.RNN(k.layers.GRUCell(UNITS), go_backwards=True, **_ALL)(masked))


@architecture("stacked-cells-with-state", GRU=2, masked=True)
def _stacked_cells_with_state(k: Any) -> Any:
    source, masked = masked_signal(k)
    return k.Model(source, k.layers.RNN([k.layers.GRUCell(UNITS), k.layers.GRUCell(3)], **_ALL)(masked))


@architecture("peepholes", TF_KERAS, LSTM=1, masked=True)
def _peepholes(k: Any) -> Any:
    from tf_keras.src.layers.rnn import legacy_cells

    return stack(lambda n: n.RNN(legacy_cells.LSTMCell(UNITS, use_peepholes=True), return_sequences=True), masked=True)(
        k
    )


# --- Encoders, decoders, attention.


@architecture("encoder-decoder", LSTM=2, masked=True)
def _encoder_decoder(k: Any) -> Any:
    source, masked = masked_signal(k, name="signal_in")
    target = k.layers.Input((None,), dtype="int32", name="tokens_out")
    _, *states = k.layers.LSTM(UNITS, return_state=True)(masked)
    embedded = k.layers.Embedding(TOKENS, 3)(target)
    decoded = k.layers.LSTM(UNITS, return_sequences=True)(embedded, initial_state=states)
    return k.Model([source, target], k.layers.Dense(TOKENS, activation="softmax")(decoded))


@architecture("bidirectional-encoder-decoder", LSTM=2, masked=True)
def _bidirectional_encoder_decoder(k: Any) -> Any:
    source, masked = masked_signal(k, name="signal_in")
    target = signal(k, name="target")
    both = k.layers.Bidirectional(k.layers.LSTM(UNITS, return_state=True))
    _, ahead_h, ahead_c, back_h, back_c = both(masked)
    states = [k.layers.Concatenate()(pair) for pair in ([ahead_h, back_h], [ahead_c, back_c])]
    decoded = k.layers.LSTM(2 * UNITS, return_sequences=True)(target, initial_state=states)
    return k.Model([source, target], k.layers.Dense(2)(decoded))


@architecture("seq2seq-many-outputs", GRU=2)
def _seq2seq_many_outputs(k: Any) -> Any:
    source, target = signal(k, name="signal_in"), signal(k, name="target")
    encoded, state = k.layers.GRU(UNITS, return_sequences=True, return_state=True)(source)
    decoded, final = k.layers.GRU(UNITS, return_sequences=True, return_state=True)(target, initial_state=state)
    scores = k.layers.Dense(2, name="scores")(decoded)
    return k.Model([source, target], [scores, encoded, final])


@architecture("autoencoder", LSTM=2, masked=True)
def _autoencoder(k: Any) -> Any:
    return stack(
        lambda n: n.LSTM(UNITS),
        lambda n: n.RepeatVector(6),
        lambda n: n.LSTM(UNITS, return_sequences=True),
        lambda n: n.TimeDistributed(n.Dense(FEATURES)),
        time=6,
        masked=True,
    )(k)


@architecture("forecast", GRU=2)
def _forecast(k: Any) -> Any:
    past, future = signal(k, name="signal_past"), signal(k, 5, name="known", features=2)
    repeated = k.layers.RepeatVector(5)(k.layers.GRU(UNITS)(past))
    together = k.layers.Concatenate()([repeated, future])
    return k.Model([past, future], k.layers.Dense(1)(k.layers.GRU(UNITS, return_sequences=True)(together)))


def _attended(attention: Callable[[Any, Any], Any]) -> Build:
    def build(k: Any) -> Any:
        source, masked = masked_signal(k)
        encoded = k.layers.LSTM(UNITS, return_sequences=True)(masked)
        return k.Model(source, k.layers.Dense(2)(attention(k, encoded)))

    return build


architecture("attention", LSTM=1, masked=True)(_attended(lambda k, x: k.layers.Attention()([x, x])))
architecture("additive-attention", LSTM=1, masked=True)(_attended(lambda k, x: k.layers.AdditiveAttention()([x, x])))
architecture("multi-head-attention", LSTM=1, masked=True)(
    _attended(lambda k, x: k.layers.MultiHeadAttention(2, 3)(x, x))
)


@architecture("luong", LSTM=2)
def _luong(k: Any) -> Any:
    source, target = signal(k, name="signal_in"), signal(k, name="target")
    encoded, *states = k.layers.LSTM(UNITS, return_sequences=True, return_state=True)(source)
    decoded = k.layers.LSTM(UNITS, return_sequences=True)(target, initial_state=states)
    scores = k.layers.Softmax()(k.layers.Dot(axes=2)([decoded, encoded]))
    context = k.layers.Dot(axes=(2, 1))([scores, encoded])
    joined = k.layers.Concatenate()([context, decoded])
    return k.Model([source, target], k.layers.Dense(UNITS, activation="tanh")(joined))


@architecture("bahdanau", GRU=1)
def _bahdanau(k: Any) -> Any:
    source = signal(k, 6)
    encoded, state = k.layers.GRU(UNITS, return_sequences=True, return_state=True)(source)
    query = k.layers.RepeatVector(6)(k.layers.Dense(UNITS)(state))
    energy = k.layers.Activation("tanh")(k.layers.Add()([k.layers.Dense(UNITS)(encoded), query]))
    weights = k.layers.Softmax(axis=1)(k.layers.Dense(1)(energy))
    return k.Model(source, k.layers.Flatten()(k.layers.Dot(axes=1)([weights, encoded])))


# --- Beside convolutions, over time and in hierarchies.

architecture("convolution-before", BOTH, LSTM=1)(
    stack(lambda n: n.Conv1D(5, 3, padding="same", activation="relu"), lambda n: n.LSTM(UNITS), lambda n: n.Dense(2))
)
architecture("convolution-behind", GRU=1)(
    stack(lambda n: n.GRU(UNITS, return_sequences=True), lambda n: n.Conv1D(3, 2, padding="causal"))
)
architecture("convolution-and-pooling", GRU=1)(
    stack(
        lambda n: n.Conv1D(5, 3, padding="same"),
        lambda n: n.MaxPooling1D(2),
        lambda n: n.Bidirectional(n.GRU(3)),
        time=6,
    )
)
architecture("pyramid", LSTM=2)(
    stack(
        lambda n: n.LSTM(UNITS, return_sequences=True),
        lambda n: n.Reshape((3, 2 * UNITS)),
        lambda n: n.LSTM(UNITS),
        time=6,
    )
)
architecture("average-pooling-masked", GRU=1, masked=True)(
    stack(lambda n: n.GRU(UNITS, return_sequences=True), lambda n: n.GlobalAveragePooling1D(), masked=True)
)
architecture("max-pooling", LSTM=1)(
    stack(lambda n: n.LSTM(UNITS, return_sequences=True), lambda n: n.GlobalMaxPooling1D())
)
architecture("flatten", RNN=1)(
    stack(lambda n: n.SimpleRNN(UNITS, return_sequences=True), lambda n: n.Flatten(), lambda n: n.Dense(2), time=6)
)


@architecture("video", LSTM=1)
def _video(k: Any) -> Any:
    source = k.layers.Input((steps(k), 5, 5, 1), name="frames")
    n = k.layers
    frame = k.Sequential([n.Input((5, 5, 1)), n.Conv2D(2, 3, activation="relu"), n.Flatten()])
    return k.Model(source, n.Dense(2)(n.LSTM(UNITS)(n.TimeDistributed(frame)(source))))


@architecture("image-columns", GRU=1)
def _image_columns(k: Any) -> Any:
    source = k.layers.Input((4, 6, 1), name="image")
    n = k.layers
    columns = n.Reshape((6, 8))(n.Permute((2, 1, 3))(n.Conv2D(2, 3, padding="same")(source)))
    return k.Model(source, n.Dense(3)(n.Bidirectional(n.GRU(UNITS, return_sequences=True))(columns)))


@architecture("hierarchy", LSTM=2)
def _hierarchy(k: Any) -> Any:
    document = k.layers.Input((steps(k), 5, FEATURES), name="document")
    sentences = k.layers.TimeDistributed(k.layers.LSTM(UNITS))(document)
    return k.Model(document, k.layers.Dense(2)(k.layers.LSTM(UNITS)(sentences)))


@architecture("hierarchy-of-models", GRU=2)
def _hierarchy_of_models(k: Any) -> Any:
    n = k.layers
    words = n.Input((5, FEATURES))
    sentence = k.Model(words, n.Dense(3)(n.GRU(UNITS)(words)))
    document = n.Input((4, 5, FEATURES), name="document")
    return k.Model(document, n.GRU(UNITS)(n.TimeDistributed(sentence)(document)))


# --- Several inputs, several outputs, models within models.


@architecture("wide-and-deep", LSTM=1, masked=True)
def _wide_and_deep(k: Any) -> Any:
    source, masked = masked_signal(k)
    wide = k.layers.Input((5,), name="wide")
    joined = k.layers.Concatenate()([k.layers.LSTM(UNITS)(masked), k.layers.Dense(3)(wide)])
    return k.Model([source, wide], k.layers.Dense(1, activation="sigmoid")(joined))


@architecture("dict-in-dict-out", GRU=1, masked=True, mapped=True)
def _dict_in_dict_out(k: Any) -> Any:
    source, masked = masked_signal(k)
    other = k.layers.Input((2,), name="other")
    x = k.layers.GRU(UNITS)(masked)
    outputs = {"scores": k.layers.Dense(2)(k.layers.Concatenate()([x, other])), "encoded": x}
    return k.Model({"signal": source, "other": other}, outputs)


@architecture("nested", GRU=1, LSTM=1)
def _nested(k: Any) -> Any:
    inner_source = k.layers.Input((None, FEATURES))
    inner = k.Model(inner_source, k.layers.GRU(UNITS, return_sequences=True)(inner_source), name="inner")
    source = signal(k)
    return k.Model(source, k.Sequential([k.layers.LSTM(UNITS), k.layers.Dense(2)], name="head")(inner(source)))


@architecture("siamese", LSTM=2, masked=True)
def _siamese(k: Any) -> Any:
    shared, masking = k.layers.LSTM(UNITS), k.layers.Masking(-1.0)
    sides = [signal(k, name=name) for name in ("signal_left", "signal_right")]
    return k.Model(sides, k.layers.Dot(axes=1)([shared(masking(side)) for side in sides]))


@architecture("two-masks", GRU=1, LSTM=1, masked=True)
def _two_masks(k: Any) -> Any:
    source, masked = masked_signal(k)
    tokens = k.layers.Input((None,), dtype="int32", name="tokens")
    words = k.layers.GRU(UNITS)(k.layers.Embedding(TOKENS, 3, mask_zero=True)(tokens))
    return k.Model([source, tokens], k.layers.Concatenate()([k.layers.LSTM(UNITS)(masked), words]))


@architecture("parallel", GRU=1, LSTM=1, masked=True)
def _parallel(k: Any) -> Any:
    source, masked = masked_signal(k)
    sides = [k.layers.LSTM(UNITS)(masked), k.layers.GRU(UNITS)(masked)]
    return k.Model(source, k.layers.Average()(sides))


@architecture("normalization", GRU=1)
def _normalization(k: Any) -> Any:
    scale = k.layers.Normalization(mean=[0.1, -0.2, 0.3], variance=[0.5, 2.0, 1.0])
    return stack(lambda n: scale, lambda n: n.GRU(UNITS), lambda n: n.Dense(2))(k)


@architecture("rescaled-and-noisy", LSTM=1)
def _rescaled_and_noisy(k: Any) -> Any:
    return stack(lambda n: n.Rescaling(0.5), lambda n: n.GaussianNoise(0.1), lambda n: n.LSTM(UNITS))(k)


@architecture("subclassed", GRU=1, masked=True, signature=("signal=?,?,3:float32",))
def _subclassed(k: Any) -> Any:
    class Own(k.Model):
        def __init__(self) -> None:
            super().__init__()
            self.masking, self.memory = k.layers.Masking(-1.0), k.layers.GRU(UNITS)
            self.head = k.layers.Dense(2)

        def call(self, inputs: Any, training: bool = False) -> Any:
            return self.head(self.memory(self.masking(inputs), training=training))

    return Own()


# --- What has no operator.

architecture("exponential", GRU=0, loops=True, reason="activation exponential has no counterpart in ONNX GRU")(
    stack(lambda n: n.GRU(UNITS, activation="exponential"))
)


@architecture("convolutional-lstm-1d", loops=True, reason="ConvLSTM1D over ConvLSTMCell")
def _convolutional_lstm_1d(k: Any) -> Any:
    source = k.layers.Input((None, 5, 2), name="series")
    return k.Model(source, k.layers.ConvLSTM1D(2, 3, padding="same")(source))


@architecture("convolutional-lstm-2d", loops=True, reason="ConvLSTM2D over ConvLSTMCell")
def _convolutional_lstm_2d(k: Any) -> Any:
    source = k.layers.Input((None, 4, 5, 1), name="frames")
    return k.Model(source, k.layers.ConvLSTM2D(2, 3)(source))


@architecture("own-cell", loops=True, masked=True, reason="RNN over Leaky")
def _own_cell(k: Any) -> Any:
    class Leaky(k.layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.state_size = self.output_size = FEATURES

        def call(self, inputs: Any, states: Any) -> Any:
            new = 0.5 * states[0] + inputs
            return new, [new]

    return stack(lambda n: n.RNN(Leaky(), return_sequences=True), masked=True)(k)
