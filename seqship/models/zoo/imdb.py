"""Recipes `imdb-lstm` and `imdb-bilstm`: whether a film review is positive.

The seed document builds the two models and trains neither: the first is interrupted after five steps, the other was
never run. Its padding stands before the words and nothing masks it, so that the layers read a run of zeros before each
short review; it means to keep the first 200 words and keeps the last; and the test reviews stop its training. Here
padding stands behind the words and a mask leaves it out, as cuDNN and the ONNX operators want it, a tenth of the
training reviews stops the training, and the vocabulary is that of the others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from seqship.models.cudnn import gate_options
from seqship.models.evaluation import classify
from seqship.models.flavour import Flavour
from seqship.models.randomness import reproducible_dropout
from seqship.models.recipe import LoadOptions, Recipe, RecipeData, Training
from seqship.pipelines.examples import SequenceExamples
from seqship.pipelines.review_csv import CLASSES
from seqship.pipelines.sequences import Sequences
from seqship.pipelines.spec import BATCH, TIME, TOKEN_ID, Field
from seqship.pipelines.text_vectorizer import TextVectorizer
from seqship.pipelines.texts import Texts

WORDS = 20_000
"""Most words of the vocabulary, padding and the unknown word counted."""
TOKENS = 200
"""Most words of a review. A longer one loses its head: people sum up at the end."""
EMBEDDED_WORDS = 142
"""Words of the generated reviews."""
GENERATED, SHORT = 6_000, 32
"""Reviews that are generated, and most words of those that are kept: what long ones mean takes too long to learn."""
BOUNDARIES = (16, 24, 32, 64, 96, 128, 160, TOKENS)
VALIDATION_FRACTION = 0.1

INPUT = Field("tokens", "int32", (BATCH, TIME), unit=TOKEN_ID, pad_value=0, minimum=0, maximum=WORDS - 1)
OUTPUT = Field("positive", "float32", (BATCH, 1), unit="probability", minimum=0.0, maximum=1.0, classes=CLASSES)
TRAINING = Training(
    epochs=4,
    batch_size=64,
    learning_rate=1e-3,
    loss="binary_crossentropy",
    metrics=("accuracy",),
    patience=2,
)


def load(options: LoadOptions) -> RecipeData:
    """Reads the reviews; the vocabulary is that of those that the model is trained on.

    A training review that is among the test reviews too, word for word, is left out: of the real ones there are a few.
    """
    from seqship.pipelines.reviews import load_reviews
    from seqship.pipelines.texts import token_sequences
    from seqship.pipelines.vocabulary import fit_vocabulary

    known, test = load_reviews(options.path, seed=options.seed, size=GENERATED)
    if options.path is None:
        known, test = short(known), short(test)
    tested = set(test.texts)
    known = known.take([index for index, text in enumerate(known.texts) if text not in tested])
    train, validation = split_texts(known, fraction=VALIDATION_FRACTION, seed=options.seed)
    vocabulary = fit_vocabulary(train.texts, max_words=WORDS)
    vectorizer = TextVectorizer(vocabulary, max_length=TOKENS, truncate="pre")

    def examples(texts: Texts) -> SequenceExamples:
        found = token_sequences(texts, vectorizer)
        narrow = replace(found, values=tuple(ids.astype(np.int32) for ids in found.values))
        return SequenceExamples(narrow, INPUT.name, 0, BOUNDARIES)

    words = len(vocabulary)
    return RecipeData(
        examples(train),
        examples(validation),
        examples(test),
        options={"words": words} | ({"dropout": 0.1} if options.path is None else {}),
        inputs=(replace(INPUT, maximum=words - 1),),
        vectorizer=vectorizer,
    )


def short(texts: Texts) -> Texts:
    """Returns the texts of a few words."""
    return texts.take([index for index, text in enumerate(texts.texts) if len(text.split()) <= SHORT])


def split_texts(texts: Texts, *, fraction: float, seed: int) -> tuple[Texts, Texts]:
    """Splits off a part of labelled texts, the same share of each class, as `stratified_split` does.

    Raises:
        DataError: As for `stratified_split`.
    """
    from seqship.pipelines.split import stratified_split

    places = tuple(np.array([index]) for index in range(len(texts)))
    parts = stratified_split(Sequences(places, texts.labels, texts.classes), fraction=fraction, seed=seed)
    rest, part = (texts.take([int(place[0]) for place in side.values]) for side in parts)
    return rest, part


def builder(*, both: bool) -> Callable[..., Any]:
    """Returns the builder of the forward or the bidirectional model: (batch, time) int32 in, (batch, 1) float32 out."""

    def build(flavour: Flavour, *, words: int = EMBEDDED_WORDS, dropout: float = 0.3, cudnn: bool = True) -> Any:
        layers = flavour.keras.layers
        gates = gate_options(cudnn=cudnn)

        def lstm(units: int, name: str, **options: Any) -> Any:
            if not both:
                return layers.LSTM(units, name=name, **options, **gates)
            return layers.Bidirectional(layers.LSTM(units, name=f"{name}_one_way", **options, **gates), name=name)

        return flavour.keras.Sequential(
            [
                layers.Input((None,), dtype="int32", name=INPUT.name),
                layers.Embedding(
                    words,
                    128,
                    mask_zero=True,
                    # Keras' own vectors, within 0.05, hardly move a gate: an epoch goes by before the loss falls.
                    embeddings_initializer=flavour.keras.initializers.RandomUniform(-0.3, 0.3),
                    name="word_vectors",
                ),
                reproducible_dropout(flavour, dropout, name="word_dropout"),
                lstm(256, "reading", return_sequences=True),
                lstm(64, "summary"),
                reproducible_dropout(flavour, dropout, name="summary_dropout"),
                layers.Dense(1, activation="sigmoid", name=OUTPUT.name),
            ],
            name="imdb_bilstm" if both else "imdb_lstm",
        )

    return build


def _recipe(name: str, parameters: int, *, both: bool) -> Recipe:
    layer = "bidirectional LSTM" if both else "LSTM"
    return Recipe(
        name=name,
        task=f"say whether a film review is positive, with two {layer} layers over its words",
        seed_document="002",
        data="generated reviews; --data takes CSV files with text,label, the folder aclImdb, or tfds",
        inputs=(INPUT,),
        outputs=(OUTPUT,),
        parameters=parameters,
        cudnn_eligible=True,
        load=load,
        build=builder(both=both),
        training=TRAINING,
        quick=replace(TRAINING, epochs=8, batch_size=32, patience=8),
        evaluate=classify,
    )


RECIPES = (_recipe("imdb-lstm", 494_657, both=False), _recipe("imdb-bilstm", 1_102_209, both=True))
