"""What interrupted training resumes from: files that exist whole or not at all."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqship.atomic import write_file, writing_to
from seqship.errors import ModelError
from seqship.models.flavour import Flavour

STATE_FILE = "training.json"


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Training between two steps.

    Attributes:
        model: The compiled model with its optimizer's state.
        best_weights: Weights of the best epoch so far.
        progression: What else has to go on: history, best epoch, step within the epoch and the like; JSON values.
    """

    model: Any
    best_weights: list[NDArray[Any]]
    progression: dict[str, Any]

    @property
    def name(self) -> str:
        """Where training stands: "3" after the third epoch, "3-100" a hundred steps later."""
        step = self.progression.get("step", 0)
        epoch = len(self.progression["history"].get("loss", ()))
        return f"{epoch}-{step}" if step else str(epoch)


def save_checkpoint(directory: Path, identity: Mapping[str, Any], checkpoint: Checkpoint) -> None:
    """Keeps a checkpoint.

    The model and the best weights are written under names of their own first, then the state file that names them, then
    those before are removed: a kill at any time leaves a whole checkpoint, the old or the new one.

    Raises:
        OutputError: The directory cannot be written to.
    """
    name = checkpoint.name
    model, best = f"epoch-{name}.keras", f"best-{name}.npz"
    with writing_to(directory):
        directory.mkdir(parents=True, exist_ok=True)
        partial = directory / f".epoch-{name}.keras"
        checkpoint.model.save(str(partial))
        write_file(directory / model, partial.read_bytes())
        partial.unlink()
        partial = directory / f".best-{name}.npz"
        with partial.open("wb") as file:
            np.savez(file, *checkpoint.best_weights)
        write_file(directory / best, partial.read_bytes())
        partial.unlink()
        state = {"identity": identity, "model": model, "best": best, "progression": checkpoint.progression}
        write_file(directory / STATE_FILE, json.dumps(state, indent=1).encode())
        for old in (*directory.glob("epoch-*.keras"), *directory.glob("best-*.npz"), *directory.glob(".*-*")):
            if old.name not in (model, best):
                old.unlink()


def load_checkpoint(directory: Path, identity: Mapping[str, Any], flavour: Flavour) -> Checkpoint | None:
    """Reads the checkpoint of a directory, None where there is none.

    Raises:
        ModelError: It is of another training; what differs is named.
    """
    path = directory / STATE_FILE
    if not path.exists():
        return None
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        kept = state["identity"]
        wanted = json.loads(json.dumps(identity))
        differing = [key for key in wanted if kept.get(key) != wanted[key]]
        if differing:
            key = differing[0]
            raise ModelError(
                f"the checkpoint in {directory} is of another training ({key} is {kept.get(key)!r}, "
                f"now {wanted[key]!r}); choose another directory or repeat its settings"
            )
        model = flavour.keras.models.load_model(directory / state["model"])
        with np.load(directory / state["best"], allow_pickle=False) as arrays:
            best = [arrays[name] for name in arrays.files]
        return Checkpoint(model, best, state["progression"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile) as error:
        text = " ".join(str(error).split())
        raise ModelError(
            f"the checkpoint in {directory} cannot be read: {text[:200]}; remove it to start anew"
        ) from error
