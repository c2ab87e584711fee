"""The vocabulary that `TextVectorization.adapt` would learn, counted without TensorFlow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from seqship.errors import DataError
from seqship.pipelines.text_vectorizer import PADDING, UNKNOWN, text_tokens


def fit_vocabulary(texts: Iterable[str | bytes], *, max_words: int | None = 20_000) -> tuple[str, ...]:
    """Returns the most frequent tokens of texts, in the order of Keras' `TextVectorization(max_tokens=max_words)`.

    The more frequent token comes first; of two equally frequent ones that whose UTF-8 bytes are the greater, which is
    how Keras breaks ties. Counting takes about as long as `adapt`, needs no TensorFlow, and keeps a NUL at the end of a
    token, which `get_vocabulary` (not the adapted layer itself) loses.

    Args:
        texts: Texts to learn from, `str` or bytes; only those for training.
        max_words: Most entries, the two special ones counted. None keeps every token.

    Returns:
        The vocabulary, "" and "[UNK]" first: what `TextVectorizer` takes.

    Raises:
        DataError: No text has a word, a text is neither `str` nor bytes or holds a lone surrogate (the text is named),
            or a token that is frequent enough is no UTF-8, which Keras cannot hold either.
        ValueError: `max_words` is below 3.
    """
    if max_words is not None and max_words < 3:
        raise ValueError(f"max_words must be 3 or more, met {max_words}; '' and '[UNK]' count, 20000 is a common one")
    counts: Counter[bytes] = Counter()
    for index, text in enumerate(texts):
        try:
            counts.update(text_tokens(text))
        except DataError as error:
            raise DataError(f"text {index}: {error}") from None
    if not counts:
        raise DataError("no text has a word to learn; give texts of words")
    ranked = sorted(counts.items(), key=lambda item: (item[1], item[0]), reverse=True)
    kept = ranked if max_words is None else ranked[: max_words - 2]
    return (PADDING, UNKNOWN, *(_decoded(token) for token, _ in kept))


def _decoded(token: bytes) -> str:
    try:
        return token.decode()
    except UnicodeDecodeError:
        raise DataError(
            f"the token {token!r} is not UTF-8, so no vocabulary can hold it; decode the texts with errors='replace'"
        ) from None
