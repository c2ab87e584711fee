"""Answers for files of sequences, or for a pipeline's own, with Apache Beam on any of its runners."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqship.lazy import lazy_exports

if TYPE_CHECKING:
    from seqship.serving.scoring.job import score
    from seqship.serving.scoring.scored import Scored
    from seqship.serving.scoring.transform import Score

__all__ = ["Score", "Scored", "score"]

__getattr__, __dir__ = lazy_exports(__name__, {"Score": "transform", "Scored": "scored", "score": "job"})
