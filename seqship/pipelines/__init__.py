"""Data to `tf.data`: sources, splits, padded and bucketed batches.

Nothing heavy is imported until it is used: a name below is loaded from its module when it is first asked for
(PEP 562), so that the serving runtime can take `Field` and `pad_right` without TensorFlow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqship.lazy import lazy_exports

if TYPE_CHECKING:
    from seqship.pipelines.bucket import padded_batches
    from seqship.pipelines.class_balance import class_weights
    from seqship.pipelines.epochs import training_batches
    from seqship.pipelines.heartbeat_csv import read_heartbeat_csv, read_heartbeat_file
    from seqship.pipelines.heartbeat_wfdb import read_wfdb_heartbeats
    from seqship.pipelines.heartbeats import load_heartbeats
    from seqship.pipelines.pad import pad_right
    from seqship.pipelines.sequences import Sequences
    from seqship.pipelines.spec import Field
    from seqship.pipelines.split import group_split, stratified_split
    from seqship.pipelines.synthetic_ecg import synthetic_heartbeats

__all__ = [
    "Field",
    "Sequences",
    "class_weights",
    "group_split",
    "load_heartbeats",
    "pad_right",
    "padded_batches",
    "read_heartbeat_csv",
    "read_heartbeat_file",
    "read_wfdb_heartbeats",
    "stratified_split",
    "synthetic_heartbeats",
    "training_batches",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "Field": "spec",
        "Sequences": "sequences",
        "class_weights": "class_balance",
        "group_split": "split",
        "load_heartbeats": "heartbeats",
        "pad_right": "pad",
        "padded_batches": "bucket",
        "read_heartbeat_csv": "heartbeat_csv",
        "read_heartbeat_file": "heartbeat_csv",
        "read_wfdb_heartbeats": "heartbeat_wfdb",
        "stratified_split": "split",
        "synthetic_heartbeats": "synthetic_ecg",
        "training_batches": "epochs",
    },
)
