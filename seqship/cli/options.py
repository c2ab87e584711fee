"""Arguments and options that several commands share."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated, Literal

import typer


class PaddingChoice(enum.StrEnum):
    """Where masks are off."""

    ANY = "any"
    RIGHT = "right"


class QuantizeChoice(enum.StrEnum):
    """Which weights a second ONNX file has."""

    INT8 = "int8"


class KerasChoice(enum.StrEnum):
    """Which Keras reads a model."""

    AUTO = "auto"
    TWO = "2"
    THREE = "3"

    def version(self) -> Literal[2, 3] | None:
        """Returns 2 or 3, None where the file decides."""
        return {"2": 2, "3": 3}.get(self.value)  # pyright: ignore[reportReturnType]  (a dict of the two literals)


class RecipeKeras(enum.StrEnum):
    """Which Keras trains a recipe: tf-keras is 2, Keras 3 is 3."""

    TWO = "2"
    THREE = "3"

    def version(self) -> Literal[2, 3]:
        """Returns 2 or 3."""
        return 2 if self is RecipeKeras.TWO else 3


class Split(enum.StrEnum):
    """How heartbeats are split."""

    BEAT = "beat"
    PATIENT = "patient"


class Runtime(enum.StrEnum):
    """What predicts."""

    ONNX = "onnx"
    SAVED_MODEL = "saved_model"


class Csv(enum.StrEnum):
    """How a CSV row is laid out."""

    AUTO = "auto"
    PLAIN = "plain"
    HEARTBEAT = "heartbeat"


class PrecisionChoice(enum.StrEnum):
    """Keras' policy while training."""

    FLOAT32 = "float32"
    FLOAT16 = "mixed_float16"
    BFLOAT16 = "mixed_bfloat16"


class StrategyChoice(enum.StrEnum):
    """On how many devices is trained."""

    NONE = "none"
    MIRRORED = "mirrored"

    def chosen(self) -> Literal["mirrored"] | None:
        """Returns the strategy, None for a single device."""
        return "mirrored" if self is StrategyChoice.MIRRORED else None


Quantize = Annotated[
    QuantizeChoice | None,
    typer.Option("--quantize", help="Write model.int8.onnx, too: int8 weights, with a verdict of its own."),
]
RecipeName = Annotated[str, typer.Argument(metavar="RECIPE", help="Name of a recipe; seqship list shows them.")]
DataPath = Annotated[
    Path | None, typer.Option("--data", metavar="PATH", help="Real data; the recipe's generated data if left out.")
]
Epochs = Annotated[
    int | None, typer.Option("--epochs", metavar="N", help="Most epochs; early stopping may end sooner.")
]
Seed = Annotated[int, typer.Option("--seed", metavar="N", help="Seed of the data, the weights and the cases.")]
Force = Annotated[bool, typer.Option("--force", help="Replace an existing output.")]
Signature = Annotated[
    list[str] | None,
    typer.Option("--signature", metavar="NAME=SHAPE:DTYPE", help="An input, such as x=?,?,1:float32; repeatable."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
Keras = Annotated[RecipeKeras, typer.Option("--keras", help="2 is tf-keras, 3 is Keras 3.")]
SplitBy = Annotated[Split, typer.Option("--split", help="Split the data by beat, or by patient.")]
BundlePath = Annotated[Path, typer.Argument(metavar="BUNDLE", help="A bundle's directory.")]
Columns = Annotated[
    list[str] | None,
    typer.Option("--column", metavar="NAME", help="Column of a CSV series, the target first; repeatable."),
]
PrecisionOption = Annotated[
    PrecisionChoice, typer.Option("--precision", help="Keras' policy while training; the export is float32.")
]
StrategyOption = Annotated[
    StrategyChoice, typer.Option("--strategy", help="mirrored trains on all devices of the machine.")
]
TensorBoard = Annotated[
    Path | None, typer.Option("--tensorboard", metavar="DIR", help="Write TensorBoard's logs here.")
]
Checkpoints = Annotated[
    Path | None,
    typer.Option("--checkpoints", metavar="DIR", help="Keep checkpoints here, and go on from those that are there."),
]
