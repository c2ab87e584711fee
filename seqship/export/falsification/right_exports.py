"""Right exports of models drawn at random, which the proof has to let pass: a false alarm is as wrong as a miss."""

from __future__ import annotations

import gc
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seqship.export.equivalence import check_equivalence
from seqship.export.falsification.weights import draw_weights
from seqship.export.onnx import to_onnx
from seqship.export.saved_model import to_saved_model
from seqship.export.streaming import export_signature
from seqship.models.flavour import Version, load_flavour

_PAD = -1.0
_TOKENS = 20
_WITH_SAVED_MODEL = 5
"""One export in so many is written as a SavedModel too, which takes as long as all the rest."""


@dataclass(frozen=True)
class RightVerdict:
    """What the proof says of one right export.

    Attributes:
        number: Its number: with the seed it is drawn again.
        architecture: The model, in words.
        passed: Whether the proof let it pass.
        case: The case in which it is nearest to its limit.
        times: How near: above 1 is a false alarm.
    """

    number: int
    architecture: str
    passed: bool
    case: str
    times: float


def check_right_export(number: int, *, seed: int) -> RightVerdict:
    """Draws a model, exports it, and has the exports judged by the proof.

    Args:
        number: Which model.
        seed: Seed of all models and of their cases.
    """
    random = np.random.default_rng([seed, number])
    version: Version = 2 if random.random() < 1 / 6 else 3  # Tracing tf-keras' LSTM and GRU takes seconds.
    keras = load_flavour(version).keras
    try:
        model, architecture = draw_model(keras, random)
        signature = export_signature(model)
        with tempfile.TemporaryDirectory() as folder:
            onnx, saved = to_onnx(model, Path(folder) / "model.onnx", signature=signature).path, None
            if number % _WITH_SAVED_MODEL == 0:
                saved = to_saved_model(model, Path(folder) / "saved_model", signature=signature).path
            proof = check_equivalence(model, onnx=onnx, saved_model=saved, signature=signature, seed=seed + number)
    finally:
        keras.backend.clear_session()
        gc.collect()
    worst = proof.worst
    if worst is None:
        return RightVerdict(number, architecture, False, "", float("inf"))
    return RightVerdict(number, architecture, bool(proof), worst.case, worst.severity)


def draw_model(keras: Any, random: np.random.Generator) -> tuple[Any, str]:
    """Draws a recurrent model with its weights.

    Args:
        keras: The package, `tf_keras` or `keras`.
        random: Draws it.

    Returns:
        The model, and what it is in words.
    """
    n, two = keras.layers, keras.__name__ == "tf_keras"
    source: str = random.choice(["plain", "plain", "masked", "masked", "tokens", "stateful"])
    if two and source == "stateful":
        source = "masked"
    features = int(random.integers(1, 9))
    x, said = None, [f"{keras.__name__} {source}"]
    if source == "tokens":
        inputs = n.Input((None,), dtype="int32", name="tokens")
        x = n.Embedding(_TOKENS, features, mask_zero=bool(random.random() < 0.8))(inputs)
    elif source == "stateful":
        inputs = n.Input(batch_shape=(2, None, features), name="signal")
        x = inputs
    else:
        inputs = n.Input((None, features), name="signal")
        x = n.Masking(_PAD)(inputs) if source == "masked" else inputs
    if source == "plain" and random.random() < 0.3:
        said.append("Conv1D")
        x = n.Conv1D(int(random.integers(2, 9)), 3, padding="causal", activation="relu")(x)
    count = 1 if two else int(random.integers(1, 4))
    for number in range(count):
        last = number == count - 1
        layer, word = _draw_layer(n, random, sequences=not last or random.random() < 0.3, stateful=source == "stateful")
        x = layer(x)
        said.append(word)
        if random.random() < 0.25:
            kind = str(random.choice(["LayerNormalization", "BatchNormalization", "Dropout"]))
            x = n.Dropout(0.2)(x) if kind == "Dropout" else getattr(n, kind)()(x)
            said.append(kind)
    heads = 2 if random.random() < 0.15 else 1
    outputs: list[Any] = []
    for head in range(heads):
        activation = str(random.choice(["linear", "softmax", "sigmoid", "relu", "tanh"]))
        units = int(random.integers(2, 9))
        outputs.append(n.Dense(units, activation=activation, name=f"head_{head}")(x))
        said.append(f"Dense({units}, {activation})")
    model = keras.Model(inputs, outputs)
    gain = float(random.choice([0.5, 1.0, 1.0, 2.0, 3.0]))
    if any(name in " ".join(said[:-heads]) for name in ("relu", "elu", "linear")):
        gain = min(gain, 0.5)  # States without bounds would leave the range of float32.
    draw_weights(model, random, gain=gain)
    return model, f"{' > '.join(said)}, weights x {gain:g}"


def _draw_layer(n: Any, random: np.random.Generator, *, sequences: bool, stateful: bool) -> tuple[Any, str]:
    kind = str(random.choice(["LSTM", "GRU", "SimpleRNN"], p=[0.4, 0.4, 0.2]))
    units = int(random.integers(1, 33))
    activation = str(random.choice(["tanh", "relu", "elu", "softsign", "linear"], p=[0.7, 0.1, 0.05, 0.1, 0.05]))
    options: dict[str, Any] = {"activation": activation, "use_bias": bool(random.random() < 0.85)}
    if kind != "SimpleRNN":
        options["recurrent_activation"] = str(random.choice(["sigmoid", "hard_sigmoid"], p=[0.75, 0.25]))
    if kind == "GRU":
        options["reset_after"] = bool(random.random() < 0.6)
    if random.random() < 0.2:
        options["dropout"] = options["recurrent_dropout"] = 0.2
    word = f"{kind}({units}, {', '.join(f'{key}={value}' for key, value in options.items())})"
    made = getattr(n, kind)
    if not stateful and random.random() < 0.35:
        merge = str(random.choice(["concat", "sum", "mul", "ave"]))
        return n.Bidirectional(made(units, return_sequences=sequences, **options), merge), f"{merge} of two {word}"
    backwards = bool(not stateful and random.random() < 0.15)
    layer = made(units, return_sequences=sequences, go_backwards=backwards, stateful=stateful, **options)
    return layer, f"{'backwards ' if backwards else ''}{word}"
