"""Recipe `chargen-gru`: writes a text on, character by character.

The seed document names the exercise ("Text generation with RNN") and leaves it at that. The model is trained on
windows without a state, and exported with the state coming in and going out, so that one character at a time is enough
to go on: `seqship.serving.sampling.sample_text` does, with numpy and onnxruntime alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from seqship.models.cudnn import gate_options
from seqship.models.flavour import Flavour
from seqship.models.recipe import Evaluation, Figure, LoadOptions, Outputs, Recipe, RecipeData, Training
from seqship.pipelines.characters import Alphabet, draw, fit_alphabet, read_text, text_windows, unigram_entropy
from seqship.pipelines.examples import ArrayExamples
from seqship.pipelines.spec import BATCH, TIME, TOKEN_ID, Field
from seqship.pipelines.synthetic_text import synthetic_text

WINDOW = 100
"""Characters of a window to train on."""
GENERATED, LEAST = 80_000, 3_000
"""Characters of the generated text, and fewest of a file."""
EMBEDDED_CHARACTERS = 35
"""Characters of the generated text, and the one that stands for all others."""
SAMPLE, TEMPERATURE = 300, 0.7
"""Characters of the sample in the report, and how daring it is."""

INPUT = Field("character", "int32", (BATCH, TIME), unit=TOKEN_ID, minimum=0)
OUTPUT = Field("next_character", "float32", (BATCH, TIME, EMBEDDED_CHARACTERS), unit="probability")
TRAINING = Training(
    epochs=8,
    batch_size=32,
    learning_rate=4e-3,
    loss="sparse_categorical_crossentropy",
    patience=3,
)


@dataclass(frozen=True, eq=False)
class Writing:
    """What the evaluation needs beside the examples.

    Attributes:
        alphabet: The characters.
        sample: What the trained model wrote, prompt and text; empty before it was asked.
    """

    alphabet: Alphabet
    sample: list[str] = field(default_factory=list[str])


def load(options: LoadOptions) -> RecipeData:
    """Reads the text: eight tenths to train on, one to validate on, the last to test on, in this order."""
    if options.path is None:
        text, source = synthetic_text(GENERATED, seed=options.seed), f"a generated text, seed {options.seed}"
    else:
        text, source = read_text(options.path, least=LEAST), str(options.path)
    first, second = int(0.8 * len(text)), int(0.9 * len(text))
    alphabet = fit_alphabet(text[:first])

    def examples(part: str) -> ArrayExamples:
        inputs, targets = text_windows(alphabet.ids(part), length=WINDOW)
        return ArrayExamples({INPUT.name: inputs}, targets, source)

    size = len(alphabet)
    return RecipeData(
        examples(text[:first]),
        examples(text[first:second]),
        examples(text[second:]),
        options={"characters": size},
        # The contract names the character of each id: who samples needs nothing else. Keras 3 traces a stateful model
        # with the batch size that it was built with; the export takes any.
        inputs=(replace(INPUT, shape=(1, TIME), maximum=size - 1, classes=alphabet.characters),),
        outputs=(replace(OUTPUT, shape=(BATCH, TIME, size), minimum=0.0, maximum=1.0),),
        context=Writing(alphabet),
    )


def build(
    flavour: Flavour,
    *,
    characters: int = EMBEDDED_CHARACTERS,
    units: int = 192,
    stateful: bool = False,
    cudnn: bool = True,
) -> Any:
    """Returns the untrained model: (batch, time) int32 in, (batch, time, characters) float32 out.

    A stateful one names a batch of one, as Keras wants to know it; its export takes any.
    """
    layers = flavour.keras.layers
    shape: dict[str, Any] = {"batch_shape": (1, None)} if stateful else {"shape": (None,)}
    return flavour.keras.Sequential(
        [
            layers.Input(**shape, dtype="int32", name=INPUT.name),
            layers.Embedding(characters, 32, name="letters"),
            layers.GRU(units, return_sequences=True, stateful=stateful, name="memory", **gate_options(cudnn=cudnn)),
            layers.Dense(characters, activation="softmax", name=OUTPUT.name),
        ],
        name="chargen_gru",
    )


def finish(model: Any, flavour: Flavour, data: RecipeData) -> Any:
    """Returns the model that keeps its state, with the same weights, and lets another of its kind write a sample."""
    context = data.context
    units = model.get_layer("memory").units
    streaming, writer = (build(flavour, **data.options, units=units, stateful=True) for _ in range(2))
    for one in (streaming, writer):
        one.set_weights(model.get_weights())
    if isinstance(context, Writing) and isinstance(data.test, ArrayExamples):
        prompt = context.alphabet.text(data.test.inputs[INPUT.name][0, :20])
        context.sample[:] = [prompt, write(writer, context.alphabet, prompt, length=SAMPLE, temperature=TEMPERATURE)]
    return streaming


def write(streaming: Any, alphabet: Alphabet, prompt: str, *, length: int, temperature: float, seed: int = 0) -> str:
    """Returns what a stateful Keras model, which has read nothing, writes behind a prompt; as `sample_text` draws."""
    uniforms = np.random.Generator(np.random.PCG64(seed)).random(length)
    read, written = alphabet.ids(prompt), list[int]()
    for uniform in uniforms:
        scores = streaming.predict_on_batch(read[None])
        written.append(draw(scores[0, -1], temperature=temperature, uniform=float(uniform)))
        read = np.array(written[-1:], np.int32)
    return alphabet.text(written)


def evaluate(recipe: Recipe, data: RecipeData, outputs: Outputs, seed: int) -> Evaluation:  # noqa: ARG001
    """Says how many bits a character costs, each window read from no memory, against its mere frequency."""
    test, context = data.test, data.context
    if not isinstance(test, ArrayExamples) or not isinstance(context, Writing):
        raise TypeError("the recipe writes texts")
    scores, targets = outputs[recipe.outputs[0].name], test.targets
    right = np.take_along_axis(scores, targets[..., None].astype(np.int64), axis=-1)[..., 0]
    bits = -np.log2(np.maximum(right.astype(np.float64), 1e-12))
    unigram = unigram_entropy(targets.ravel())
    metrics = {
        "bits_per_character": float(bits.mean()),
        "unigram_entropy": unigram,
        "characters": len(context.alphabet),
        "test_characters": int(targets.size),
        "beats_unigram": bool(bits.mean() < unigram),
    }
    says = "below" if metrics["beats_unigram"] else "NOT below"
    lines = [
        ("bits", f"{metrics['bits_per_character']:.2f} bits a character on {targets.size:,} test characters"),
        ("unigram", f"{unigram:.2f} bits, the entropy of single characters: the model is {says}"),
    ]
    figures: tuple[Figure, ...] = ()
    if context.sample:
        prompt, text = context.sample
        lines.append(("sample", repr(text[:60])))
        title = f"What the model writes behind {prompt!r} (temperature {TEMPERATURE})"
        figures = (Figure("text", title, {"text": text}),)
    return Evaluation(metrics, tuple(lines), figures=figures)


CHARGEN_GRU = Recipe(
    name="chargen-gru",
    task="write a text on, character by character, with a state that is handed on",
    seed_document="000",
    data="a generated text; --data takes a UTF-8 text file",
    inputs=(INPUT,),
    outputs=(OUTPUT,),
    parameters=138_051,
    cudnn_eligible=True,
    load=load,
    build=build,
    training=TRAINING,
    quick=replace(TRAINING, epochs=6, batch_size=16),
    evaluate=evaluate,
    finish=finish,
)

RECIPES = (CHARGEN_GRU,)
