"""The signature that takes raw text: a model of token ids, with its vocabulary as an asset."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from seqship.errors import ModelError
from seqship.export.serving_signature import ServingSignature
from seqship.pipelines.signature_contracts import TEXT
from seqship.pipelines.text_vectorizer import TextVectorizer
from seqship.wire.signature_names import PREDICT, SERVING_TEXT

VOCABULARY_ASSET = "vocabulary.txt"

_PUNCTUATION = r'[!"#$%&()\*\+,-\./:;<=>?@\[\\\]^_`{|}~\']'
_RESERVED = 2
"""Ids before those of words: 0 is padding, 1 is a word that the vocabulary lacks."""


def text_signature(plain: ServingSignature, vectorizer: TextVectorizer, folder: Path) -> tuple[ServingSignature, Any]:
    """Returns the signature `serving_text` of a model of token ids.

    The ids are those of Keras' `TextVectorization` (lower case, no punctuation, split at white space) and of
    `TextVectorizer`. A text without a word is one step of padding.

    Args:
        plain: The signature `serving_default`; its one input is (batch, time) of whole numbers.
        vectorizer: The vocabulary, and what is cut of a long text.
        folder: Directory to write the vocabulary to; it must exist until the SavedModel is written.

    Returns:
        The signature, and the table that the SavedModel has to hold.

    Raises:
        ModelError: The model has other inputs.
    """
    import tensorflow as tf

    field = plain.inputs[0]
    if len(plain.inputs) != 1 or field.rank != 2 or field.dtype == "string":
        takes = ", ".join(f"{f.name} {f.dtype} {list(f.shape)}" for f in plain.inputs)
        raise ModelError(f"a vocabulary is for a model of one input (batch, time) of token ids; this one takes {takes}")
    if field.pad_value not in (0, None):
        raise ModelError(
            f"token id 0 is the padding of a vocabulary, the input {field.name!r} pads {field.pad_value:g}"
        )
    file = folder / VOCABULARY_ASSET
    # The file of an asset has one word a line; its number is the word's.
    file.write_text("".join(f"{word}\n" for word in vectorizer.vocabulary[_RESERVED:]), encoding="utf-8", newline="\n")
    lines = tf.lookup.TextFileInitializer(
        tf.saved_model.Asset(str(file)),
        tf.string,
        tf.lookup.TextFileIndex.WHOLE_LINE,
        tf.int64,
        tf.lookup.TextFileIndex.LINE_NUMBER,
    )
    table = tf.lookup.StaticHashTable(lines, default_value=1 - _RESERVED)
    length = None if field.has_time else int(field.shape[1])

    def serving(text: Any) -> dict[str, Any]:
        with tf.name_scope(SERVING_TEXT):
            lower = tf.strings.regex_replace(tf.strings.lower(text), _PUNCTUATION, "")
            words = tf.strings.split(lower)
            ids: Any = words.with_values(table.lookup(words.values) + _RESERVED)
            if vectorizer.max_length is not None:
                most = vectorizer.max_length
                ids = ids[:, :most] if vectorizer.truncate == "post" else ids[:, -most:]
            longest = tf.maximum(ids.bounding_shape()[1], 1) if length is None else length
            dense = ids.to_tensor(0, shape=tf.stack([ids.nrows(), tf.cast(longest, tf.int64)]))
            dense = tf.ensure_shape(dense, [None, length])
            return plain.function(tf.cast(dense, tf.as_dtype(field.dtype)))

    specs = [tf.TensorSpec([None], tf.string, name=TEXT.name)]
    concrete = tf.function(serving, input_signature=specs, autograph=False).get_concrete_function()
    return ServingSignature(SERVING_TEXT, PREDICT, (TEXT,), plain.outputs, concrete), table
