"""Recipe `ecg-gru`: heartbeats of unequal length into five classes.

The model is that of the seed document: padding behind the data, masked, two GRU layers and a small head. Classes are
those of ANSI/AAMI EC57: N (normal and bundle branch), S (supraventricular ectopic), V (ventricular ectopic), F (fusion
of both) and Q (paced or unclassifiable).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from seqship.models.cudnn import gate_options
from seqship.models.evaluation import classify
from seqship.models.flavour import Flavour
from seqship.models.randomness import reproducible_dropout
from seqship.models.recipe import LoadOptions, Recipe, RecipeData, Training
from seqship.pipelines.examples import SequenceExamples
from seqship.pipelines.heartbeat_layout import CLASSES, SAMPLING_HZ
from seqship.pipelines.sequences import Sequences
from seqship.pipelines.spec import BATCH, TIME, Field

PAD_VALUE = -1.0
BOUNDARIES = (80, 96, 112, 128, 144, 160, 187)
VALIDATION_FRACTION = 0.1
# Full balance (1) would let 77 fusion beats outweigh 8,599 normal ones; accuracy falls for little recall.
CLASS_POWER = 0.25

_INPUT = Field(
    "heartbeat",
    "float32",
    (BATCH, TIME, 1),
    unit="ECG lead, each beat scaled to its own minimum and maximum",
    pad_value=PAD_VALUE,
    minimum=0.0,
    maximum=1.0,
    sampling_hz=SAMPLING_HZ,
)
_OUTPUT = Field(
    "probabilities", "float32", (BATCH, len(CLASSES)), unit="probability", minimum=0.0, maximum=1.0, classes=CLASSES
)


def build(
    flavour: Flavour,
    *,
    units: int = 20,
    dense: int = 50,
    dropout: float = 0.2,
    cudnn: bool = True,
) -> Any:
    """Returns the untrained model: (batch, time, 1) float32 in, (batch, 5) float32 out."""
    layers = flavour.keras.layers
    gates = gate_options(cudnn=cudnn)
    return flavour.keras.Sequential(
        [
            layers.Input((None, 1), name=_INPUT.name),
            layers.Masking(PAD_VALUE, name="masking"),
            layers.GRU(units, return_sequences=True, name="gru_1", **gates),
            layers.GRU(units, name="gru_2", **gates),
            layers.Dense(dense, activation="relu", name="dense"),
            reproducible_dropout(flavour, dropout, name="dropout"),
            layers.Dense(len(CLASSES), activation="softmax", name=_OUTPUT.name),
        ],
        name="ecg_gru",
    )


def load(options: LoadOptions) -> RecipeData:
    """Returns the beats; `options.split` is "beat" or "patient"."""
    from seqship.pipelines import load_heartbeats, stratified_split

    by = "patient" if options.split == "patient" else "beat"
    whole, test = load_heartbeats(options.path, split=by, seed=options.seed)
    # By beat even where the test is by patient: a handful of patients stops training on the first lucky epoch.
    train, validation = stratified_split(whole, fraction=VALIDATION_FRACTION, seed=options.seed)
    return RecipeData(_examples(train), _examples(validation), _examples(test))


def _examples(beats: Sequences) -> SequenceExamples:
    return SequenceExamples(beats, _INPUT.name, PAD_VALUE, BOUNDARIES, CLASS_POWER)


TRAINING = Training(
    epochs=40,
    batch_size=96,
    learning_rate=1e-2,
    loss="sparse_categorical_crossentropy",
    metrics=("accuracy",),
    patience=8,
)

ECG_GRU = Recipe(
    name="ecg-gru",
    task="classify heartbeats of unequal length into 5 classes",
    seed_document="004",
    data="generated beats (McSharry et al. 2003); --data takes heartbeat CSV files or WFDB records",
    inputs=(_INPUT,),
    outputs=(_OUTPUT,),
    parameters=5_205,
    cudnn_eligible=True,
    load=load,
    build=build,
    training=TRAINING,
    quick=replace(TRAINING, epochs=16, batch_size=64),
    evaluate=classify,
)

RECIPES = (ECG_GRU,)
