"""Recipe `mnist-rows`: a digit's picture, read row by row from the top.

The seed document trains the same 890 weights and ends at an accuracy of 0.0958, worse than guessing: a relu does not
bound the state, so that one large gradient is enough for the weights to run away, and nothing brings them back. Here
the norm of a gradient is at most 1, the rate is 0.003 in place of 0.01 and falls, and the recurrent weights begin as
the identity, which keeps the state as it is (Le, Jaitly and Hinton, "A Simple Way to Initialize Recurrent Networks of
Rectified Linear Units", 2015).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from seqship.models.evaluation import classify
from seqship.models.flavour import Flavour
from seqship.models.recipe import LoadOptions, Recipe, RecipeData, Training
from seqship.pipelines.digits import CLASSES, Digits
from seqship.pipelines.examples import SequenceExamples
from seqship.pipelines.spec import BATCH, Field
from seqship.pipelines.synthetic_digits import SIDE

VALIDATION_FRACTION = 0.1
COPIES, SHIFT = 10, 2
"""Copies of each training picture, moved by at most so many pixels: a small file shows too few places of a stroke."""
PLENTY = 20_000
"""From so many training pictures on there are no copies."""

INPUT = Field("rows", "float32", (BATCH, SIDE, SIDE), unit="ink, a row of pixels a step", minimum=0.0, maximum=1.0)
OUTPUT = Field("digit", "float32", (BATCH, 10), unit="probability", minimum=0.0, maximum=1.0, classes=CLASSES)
TRAINING = Training(
    epochs=60,
    batch_size=64,
    learning_rate=3e-3,
    loss="sparse_categorical_crossentropy",
    metrics=("accuracy",),
    optimizer="rmsprop",
    patience=15,
)


def load(options: LoadOptions) -> RecipeData:
    """Reads the pictures; a few are multiplied by moving them, those to train on alone."""
    from seqship.pipelines.digits import load_digits, row_sequences, shifted
    from seqship.pipelines.split import stratified_split

    known, test = load_digits(options.path, seed=options.seed)
    train, validation = stratified_split(row_sequences(known), fraction=VALIDATION_FRACTION, seed=options.seed)
    if len(train) < PLENTY:
        images = (255 * np.stack(train.values)).round().astype(np.uint8)
        more = shifted(Digits(images, train.labels, train.source), copies=COPIES, most=SHIFT, seed=options.seed)
        train = row_sequences(more)
    one, other, last = (SequenceExamples(part, INPUT.name, 0.0) for part in (train, validation, row_sequences(test)))
    return RecipeData(one, other, last)


def build(flavour: Flavour, *, units: int = 16) -> Any:
    """Returns the untrained model: (batch, 28, 28) float32 in, (batch, 10) float32 out."""
    layers = flavour.keras.layers
    return flavour.keras.Sequential(
        [
            layers.Input((SIDE, SIDE), name=INPUT.name),
            layers.SimpleRNN(units, activation="relu", recurrent_initializer="identity", name="reading"),
            layers.Dense(10, name="scores"),
            layers.Activation("softmax", name=OUTPUT.name),
        ],
        name="mnist_rows",
    )


MNIST_ROWS = Recipe(
    name="mnist-rows",
    task="read a handwritten digit, row by row",
    seed_document="003",
    data="drawn digits; --data takes an .npz file (x_train, y_train, x_test, y_test), tfds or keras",
    inputs=(INPUT,),
    outputs=(OUTPUT,),
    parameters=890,
    cudnn_eligible=False,
    load=load,
    build=build,
    training=TRAINING,
    quick=replace(TRAINING, epochs=8),
    evaluate=classify,
)

RECIPES = (MNIST_ROWS,)
