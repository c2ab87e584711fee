"""Bundles become numbered versions below the base path of a model, for TensorFlow Serving and `seqship serve` alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqship.lazy import lazy_exports

if TYPE_CHECKING:
    from seqship.serving.deployment.blessing import Blessing, read_blessing, write_blessing
    from seqship.serving.deployment.labelling import Labelled, label
    from seqship.serving.deployment.listing import DeployedVersion, versions
    from seqship.serving.deployment.pushing import Pushed, push
    from seqship.serving.deployment.withdrawal import RolledBack, rollback

__all__ = [
    "Blessing",
    "DeployedVersion",
    "Labelled",
    "Pushed",
    "RolledBack",
    "label",
    "push",
    "read_blessing",
    "rollback",
    "versions",
    "write_blessing",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "Blessing": "blessing",
        "DeployedVersion": "listing",
        "Labelled": "labelling",
        "Pushed": "pushing",
        "RolledBack": "withdrawal",
        "label": "labelling",
        "push": "pushing",
        "read_blessing": "blessing",
        "rollback": "withdrawal",
        "versions": "listing",
        "write_blessing": "blessing",
    },
)
