"""Keras model to bundle: ONNX with native operators, SavedModel, proof and report.

Nothing heavy is imported until it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqship.lazy import lazy_exports

if TYPE_CHECKING:
    from seqship.export.agreement import Agreement
    from seqship.export.bundle import Bundle, read_bundle
    from seqship.export.cases import Case
    from seqship.export.equivalence import EquivalenceReport, check_equivalence
    from seqship.export.onnx import OnnxExport, to_onnx
    from seqship.export.recipe_job import Job, ship_recipe
    from seqship.export.saved_graph import saved_model_to_onnx
    from seqship.export.saved_model import SavedModelExport, to_saved_model
    from seqship.export.shipping import ship
    from seqship.export.tolerance import Tolerance
    from seqship.export.verification import verify, verify_served

__all__ = [
    "Agreement",
    "Bundle",
    "Case",
    "EquivalenceReport",
    "Job",
    "OnnxExport",
    "SavedModelExport",
    "Tolerance",
    "check_equivalence",
    "read_bundle",
    "saved_model_to_onnx",
    "ship",
    "ship_recipe",
    "to_onnx",
    "to_saved_model",
    "verify",
    "verify_served",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "Agreement": "agreement",
        "Bundle": "bundle",
        "Case": "cases",
        "EquivalenceReport": "equivalence",
        "Job": "recipe_job",
        "OnnxExport": "onnx",
        "SavedModelExport": "saved_model",
        "Tolerance": "tolerance",
        "check_equivalence": "equivalence",
        "read_bundle": "bundle",
        "saved_model_to_onnx": "saved_graph",
        "ship": "shipping",
        "ship_recipe": "recipe_job",
        "to_onnx": "onnx",
        "to_saved_model": "saved_model",
        "verify": "verification",
        "verify_served": "verification",
    },
)
