"""Recipe `ecg-gru`: heartbeats of unequal length into five classes.

The model is that of the seed document: padding behind the data, masked, two GRU layers and a small head. Classes are
those of ANSI/AAMI EC57: N (normal and bundle branch), S (supraventricular ectopic), V (ventricular ectopic), F (fusion
of both) and Q (paced or unclassifiable).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from seqship.models.flavour import Flavour
from seqship.models.randomness import reproducible_dropout
from seqship.models.recipe import Recipe, Training
from seqship.pipelines.sequences import Sequences
from seqship.pipelines.spec import BATCH, TIME, Field

PAD_VALUE = -1.0
CLASSES = ("N", "S", "V", "F", "Q")
SAMPLING_HZ = 125.0

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
    reset_after: bool = True,
    recurrent_activation: str = "sigmoid",
) -> Any:
    """Returns the untrained model: (batch, time, 1) float32 in, (batch, 5) float32 out.

    The defaults are in cuDNN's reach; `reset_after=False` or another recurrent activation makes the twin that is not.
    """
    layers = flavour.keras.layers
    gates = {"reset_after": reset_after, "recurrent_activation": recurrent_activation}
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


def load(path: Path | None, split: str, seed: int) -> tuple[Sequences, Sequences]:
    """Returns training and test beats; `split` is "beat" or "patient"."""
    from seqship.pipelines import load_heartbeats

    return load_heartbeats(path, split="patient" if split == "patient" else "beat", seed=seed)


TRAINING = Training(
    epochs=40,
    batch_size=96,
    learning_rate=1e-2,
    clip_norm=1.0,
    # Full balance (1) would let 77 fusion beats outweigh 8,599 normal ones; accuracy falls for little recall.
    class_power=0.25,
    patience=8,
    validation_fraction=0.1,
    boundaries=(80, 96, 112, 128, 144, 160, 187),
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
)
