"""The vocabulary, against the real adapt of both Keras."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqship.errors import DataError
from seqship.pipelines.text_vectorizer import TextVectorizer
from seqship.pipelines.vocabulary import fit_vocabulary

FLAVOURS = ["tf_keras", "keras"]
# Small, so that there are ties; without NUL, which get_vocabulary loses at the end of a token.
WORDS = [
    "a",
    "A",
    "b",
    "c.",
    "é",
    "É",
    "zz",
    "z",
    "Σ",
    "🙂",
    "\x1f",
    "a\xa0b",
    "\uffee",
    "<br />",
    "it's",
    "",
    "!",
    "\ud7ff",
]
TEXTS = st.lists(st.lists(st.sampled_from(WORDS), max_size=9).map(" ".join), min_size=1, max_size=8)


def adapted(flavour: str, texts: list[Any], max_words: int | None) -> Any:
    import tensorflow as tf

    keras: Any = __import__(flavour)
    layer = keras.layers.TextVectorization(max_tokens=max_words)
    layer.adapt(tf.constant(texts, tf.string))
    return layer


@pytest.mark.parametrize("flavour", FLAVOURS)
@settings(max_examples=25, deadline=None)
@given(texts=TEXTS, max_words=st.none() | st.integers(3, 9))
def test_it_is_what_adapt_learns(flavour: str, texts: list[str], max_words: int | None) -> None:
    if not any(map(str.strip, "".join(texts).replace("!", ""))):
        return  # Keras learns nothing, and fails when it is used.
    layer = adapted(flavour, texts, max_words)
    assert fit_vocabulary(texts, max_words=max_words) == tuple(layer.get_vocabulary())
    assert fit_vocabulary([text.encode() for text in texts], max_words=max_words) == tuple(layer.get_vocabulary())


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_nul_at_the_end_of_a_token_is_kept(flavour: str) -> None:
    import numpy as np
    import tensorflow as tf

    texts = ["a\0 a\0 a b c"]
    layer = adapted(flavour, texts, None)
    assert list(map(str, layer.get_vocabulary())) == ["", "[UNK]", "a", "c", "b", "a"]
    vectorizer = TextVectorizer(fit_vocabulary(texts))
    assert vectorizer.vocabulary == ("", "[UNK]", "a\0", "c", "b", "a")
    np.testing.assert_array_equal(vectorizer.batch(texts), np.asarray(layer(tf.constant(texts))))


def test_ties_are_broken_by_the_greater_bytes_and_the_rest_is_left_out() -> None:
    texts = ["b a c", "é z a"]
    assert fit_vocabulary(texts) == ("", "[UNK]", "a", "é", "z", "c", "b")
    assert fit_vocabulary(texts, max_words=4) == ("", "[UNK]", "a", "é")
    assert fit_vocabulary(iter(texts), max_words=None) == fit_vocabulary(texts)


def test_a_token_that_is_no_utf8_is_refused_where_it_would_be_kept() -> None:
    texts = [b"a a \xff", b"a"]
    message = r"^the token b'\\xff' is not UTF-8, so no vocabulary can hold it; decode the texts with errors='replace'$"
    with pytest.raises(DataError, match=message):
        fit_vocabulary(texts)
    assert fit_vocabulary(texts, max_words=3) == ("", "[UNK]", "a")


def test_texts_without_a_word_are_refused() -> None:
    for texts in ([], ["", "... !"]):
        with pytest.raises(DataError, match=r"^no text has a word to learn; give texts of words$"):
            fit_vocabulary(texts)


def test_a_text_that_is_none_is_named() -> None:
    texts: Any = ["a", None]
    with pytest.raises(DataError, match=r"^text 1: a text is str or bytes, met NoneType; convert it first$"):
        fit_vocabulary(texts)
    with pytest.raises(
        DataError, match=r"^text 0: character 0 is the lone surrogate U\+D800, which has no UTF-8 form; "
    ):
        fit_vocabulary(["\ud800"])


def test_too_few_words_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^max_words must be 3 or more, met 2; '' and '\[UNK\]' count, 20000 is "):
        fit_vocabulary(["a"], max_words=2)
