"""Data to `tf.data`: sources, splits, padded and bucketed batches.

Nothing heavy is imported until it is used: a name below is loaded from its module when it is first asked for
(PEP 562), so that the serving runtime can take `Field` and `pad_right` without TensorFlow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqship.lazy import lazy_exports

if TYPE_CHECKING:
    from seqship.pipelines.boundaries import choose_boundaries
    from seqship.pipelines.bucket import padded_batches
    from seqship.pipelines.chronological import Span, chronological_split
    from seqship.pipelines.class_balance import class_weights
    from seqship.pipelines.epochs import training_batches
    from seqship.pipelines.examples import ArrayExamples, Examples, SequenceExamples
    from seqship.pipelines.heartbeat_csv import read_heartbeat_csv, read_heartbeat_file
    from seqship.pipelines.heartbeat_wfdb import read_wfdb_heartbeats
    from seqship.pipelines.heartbeats import load_heartbeats
    from seqship.pipelines.missing import forward_fill
    from seqship.pipelines.pad import pad_right
    from seqship.pipelines.padding_statistics import PaddingStatistics
    from seqship.pipelines.planning import plan_epoch
    from seqship.pipelines.review_csv import read_review_csv
    from seqship.pipelines.reviews import load_reviews
    from seqship.pipelines.scaling import Scaling, fit_scaling
    from seqship.pipelines.sequences import Sequences
    from seqship.pipelines.series import Series, as_series
    from seqship.pipelines.series_csv import read_series
    from seqship.pipelines.spec import Field
    from seqship.pipelines.split import group_split, stratified_split
    from seqship.pipelines.synthetic_ecg import synthetic_heartbeats
    from seqship.pipelines.text_vectorizer import TextVectorizer
    from seqship.pipelines.texts import Texts, token_sequences
    from seqship.pipelines.vocabulary import fit_vocabulary
    from seqship.pipelines.windowing import windows

__all__ = [
    "ArrayExamples",
    "Examples",
    "Field",
    "PaddingStatistics",
    "Scaling",
    "SequenceExamples",
    "Sequences",
    "Series",
    "Span",
    "TextVectorizer",
    "Texts",
    "as_series",
    "choose_boundaries",
    "chronological_split",
    "class_weights",
    "fit_scaling",
    "fit_vocabulary",
    "forward_fill",
    "group_split",
    "load_heartbeats",
    "load_reviews",
    "pad_right",
    "padded_batches",
    "plan_epoch",
    "read_heartbeat_csv",
    "read_heartbeat_file",
    "read_review_csv",
    "read_series",
    "read_wfdb_heartbeats",
    "stratified_split",
    "synthetic_heartbeats",
    "token_sequences",
    "training_batches",
    "windows",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "ArrayExamples": "examples",
        "Examples": "examples",
        "Field": "spec",
        "PaddingStatistics": "padding_statistics",
        "Scaling": "scaling",
        "SequenceExamples": "examples",
        "Sequences": "sequences",
        "Series": "series",
        "Span": "chronological",
        "TextVectorizer": "text_vectorizer",
        "Texts": "texts",
        "as_series": "series",
        "choose_boundaries": "boundaries",
        "chronological_split": "chronological",
        "class_weights": "class_balance",
        "fit_scaling": "scaling",
        "fit_vocabulary": "vocabulary",
        "forward_fill": "missing",
        "group_split": "split",
        "load_heartbeats": "heartbeats",
        "load_reviews": "reviews",
        "pad_right": "pad",
        "padded_batches": "bucket",
        "plan_epoch": "planning",
        "read_heartbeat_csv": "heartbeat_csv",
        "read_heartbeat_file": "heartbeat_csv",
        "read_review_csv": "review_csv",
        "read_series": "series_csv",
        "read_wfdb_heartbeats": "heartbeat_wfdb",
        "stratified_split": "split",
        "synthetic_heartbeats": "synthetic_ecg",
        "token_sequences": "texts",
        "training_batches": "epochs",
        "windows": "windowing",
    },
)
