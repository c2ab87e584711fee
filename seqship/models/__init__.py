"""The recurrent family: layers as data, cuDNN eligibility, recipes and their training.

Nothing heavy is imported until it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqship.lazy import lazy_exports

if TYPE_CHECKING:
    from seqship.models.catalogue import build, recipes
    from seqship.models.cudnn import LayerEligibility, cudnn_eligibility, mask_reasons
    from seqship.models.layers import recurrent_layers
    from seqship.models.recipe import Recipe, Training
    from seqship.models.reference import run_bidirectional, run_layer
    from seqship.models.saved import SavedGraph
    from seqship.models.source import LoadedModel, load_model
    from seqship.models.spec import Activation, RecurrentSpec
    from seqship.models.training import Trained, train

__all__ = [
    "Activation",
    "LayerEligibility",
    "LoadedModel",
    "Recipe",
    "RecurrentSpec",
    "SavedGraph",
    "Trained",
    "Training",
    "build",
    "cudnn_eligibility",
    "load_model",
    "mask_reasons",
    "recipes",
    "recurrent_layers",
    "run_bidirectional",
    "run_layer",
    "train",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "Activation": "spec",
        "LayerEligibility": "cudnn",
        "LoadedModel": "source",
        "Recipe": "recipe",
        "RecurrentSpec": "spec",
        "SavedGraph": "saved",
        "Trained": "training",
        "Training": "recipe",
        "build": "catalogue",
        "cudnn_eligibility": "cudnn",
        "load_model": "source",
        "mask_reasons": "cudnn",
        "recipes": "catalogue",
        "recurrent_layers": "layers",
        "run_bidirectional": "reference",
        "run_layer": "reference",
        "train": "training",
    },
)
