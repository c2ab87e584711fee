r"""Text to token ids exactly as Keras' `TextVectorization`, with numpy alone: the serving runtime uses this too.

What the layer does with `standardize="lower_and_strip_punctuation"`, `split="whitespace"` and `output_mode="int"`, in
both Keras and whatever the text, is defined on the bytes of its UTF-8 form:

1. `tf.strings.lower` without an encoding lowers A-Z alone: É, İ and Σ stay what they are.
2. `tf.strings.regex_replace` drops the 32 ASCII punctuation characters and nothing else; no other byte of a UTF-8
   sequence is below 128, and bytes that are no UTF-8 pass.
3. `tf.strings.split` splits at runs of space, \t, \n, \v, \f and \r. U+00A0, U+0085, U+2028 and \x1c to \x1f, at
   which `str.split` would split, stay within a token; so does NUL.

These are the definitions of `bytes.lower`, `bytes.translate` and `bytes.split`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from pathlib import Path
from string import punctuation
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from seqship.errors import DataError

PADDING, UNKNOWN = "", "[UNK]"
"""The first two entries of a vocabulary: what stands for no token, and for a token that is not in it."""
UNKNOWN_ID = 1

_PUNCTUATION = punctuation.encode()


@dataclass(frozen=True)
class TextVectorizer:
    """A vocabulary, and how texts become its ids.

    ```python
    vectorizer = TextVectorizer(tuple(layer.get_vocabulary()), max_length=200)
    vectorizer.batch(["A fine film.", "Not so fine!"])  # int64, shaped (2, 3)
    ```

    An instance may be shared between threads.

    Attributes:
        vocabulary: The token of each id: "" (padding) first, "[UNK]" second, as `TextVectorization.get_vocabulary()`
            gives them and `fit_vocabulary` makes them.
        max_length: Most ids of a text; longer ones are cut. None cuts nothing.
        truncate: Which end of a longer text is dropped: "pre" its head, "post" its tail, as Keras does.

    Raises:
        DataError: The vocabulary does not begin with "" and "[UNK]", or a token occurs twice, holds white space or
            has no UTF-8 form.
        ValueError: `max_length` is below 1, or `truncate` is neither of the two.
    """

    vocabulary: tuple[str, ...]
    max_length: int | None = None
    truncate: Literal["pre", "post"] = "post"

    def __post_init__(self) -> None:
        object.__setattr__(self, "vocabulary", tuple(map(str, self.vocabulary)))
        if self.max_length is not None and self.max_length < 1:
            raise ValueError(f"max_length must be 1 or more, met {self.max_length}; None cuts nothing")
        if self.truncate not in ("pre", "post"):
            raise ValueError(f"truncate must be 'pre' (drop the head) or 'post' (drop the tail), met {self.truncate!r}")
        if self.vocabulary[:2] != (PADDING, UNKNOWN):
            raise DataError(
                f"a vocabulary begins with '' and '[UNK]', met {list(self.vocabulary[:2])}; give what "
                "TextVectorization.get_vocabulary() returns"
            )
        _ = self._ids  # Faults of the vocabulary show here, not at the first text.

    @cached_property
    def _ids(self) -> dict[bytes, int]:
        """The id of each token, by its UTF-8 form."""
        ids: dict[bytes, int] = {}
        for index, token in enumerate(self.vocabulary):
            try:
                encoded = token.encode()
            except UnicodeEncodeError as error:
                raise DataError(
                    f"token {index} of the vocabulary holds the lone surrogate U+{ord(token[error.start]):04X}, which "
                    "has no UTF-8 form; leave it out"
                ) from None
            if encoded in ids:
                # Keras hands its tokens on in NumPy arrays, which cannot tell "a\0" from "a".
                raise DataError(
                    f"tokens {ids[encoded]} and {index} of the vocabulary are both {token!r}; leave one out (Keras "
                    "drops NUL at the end of a token)"
                )
            if index and encoded.split() != [encoded]:
                raise DataError(
                    f"token {index} of the vocabulary is {token!r}, which a split at white space never gives; use a "
                    "vocabulary of split='whitespace' without ngrams"
                )
            ids[encoded] = index
        # The two special entries may stay: no split gives the first, and the second has brackets.
        return ids

    def ids(self, text: str | bytes) -> NDArray[np.int64]:
        """Returns the ids of one text, int64, shaped (tokens,); none for a text without a word.

        Args:
            text: A text, or its bytes, which need not be valid UTF-8.

        Raises:
            DataError: The text is neither `str` nor `bytes`, or holds a lone surrogate, which Keras refuses too.
        """
        # What lies behind the last token that is kept need not be split.
        most = self.max_length if self.max_length is not None and self.truncate == "post" else None
        tokens = text_tokens(text, most)
        if self.max_length is not None and self.truncate == "pre":
            tokens = tokens[-self.max_length :]
        return np.fromiter(map(self._ids.get, tokens, repeat(UNKNOWN_ID)), np.int64, len(tokens))

    def batch(self, texts: Sequence[str | bytes], *, length: int | None = None) -> NDArray[np.int64]:
        """Returns the ids of texts in one array, each row followed by 0 up to the common length.

        Args:
            texts: Texts, as `ids` takes them.
            length: Number of columns; the longest text's where None. With `length=max_length` the array is that of
                a `TextVectorization` with `output_sequence_length=max_length`.

        Returns:
            Array int64 shaped (texts, time).

        Raises:
            DataError: A text is neither `str` nor `bytes`, holds a lone surrogate, or is longer than `length`; the
                text is named.
        """
        rows: list[NDArray[np.int64]] = []
        for index, text in enumerate(texts):
            try:
                rows.append(self.ids(text))
            except DataError as error:
                raise DataError(f"text {index}: {error}") from None
        longest = max(map(len, rows), default=0)
        steps = longest if length is None else length
        if longest > steps:
            index = next(index for index, row in enumerate(rows) if len(row) > steps)
            raise DataError(f"text {index} has {len(rows[index])} tokens, more than the length {steps}; set max_length")
        padded = np.zeros((len(rows), steps), np.int64)
        for row, ids in zip(padded, rows, strict=True):
            row[: len(ids)] = ids
        return padded

    def to_json(self) -> dict[str, Any]:
        """Returns the JSON form."""
        return {"vocabulary": list(self.vocabulary), "max_length": self.max_length, "truncate": self.truncate}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> TextVectorizer:
        """Reads what `to_json` wrote.

        Raises:
            DataError: The vocabulary breaks its rules.
            TypeError: The document has a key that no vectorizer has, or lacks the vocabulary.
        """
        return cls(**document)

    def save(self, path: str | os.PathLike[str]) -> None:
        r"""Writes the vocabulary, one token a line in UTF-8, as Keras 3 writes it into a `.keras` file.

        No token holds a line feed, at which alone the lines end: other characters that people take for line ends
        (U+0085, U+2028, \x1c) may be part of a token.
        """
        Path(path).write_bytes("\n".join(self.vocabulary).encode())

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        max_length: int | None = None,
        truncate: Literal["pre", "post"] = "post",
    ) -> TextVectorizer:
        """Reads what `save` wrote; the last line may end with a line feed.

        Raises:
            DataError: The file cannot be read, is no UTF-8, ends its lines with CR LF, or breaks the rules of a
                vocabulary.
            ValueError: `max_length` is below 1, or `truncate` is neither of the two.
        """
        try:
            text = Path(path).read_bytes().decode()
        except FileNotFoundError:
            raise DataError(f"{path} does not exist; give a vocabulary file") from None
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror}; give a vocabulary file") from None
        except UnicodeDecodeError as error:
            raise DataError(
                f"{path}: byte {error.start} (0x{error.object[error.start]:02x}) is not UTF-8; save the vocabulary as "
                "UTF-8 text"
            ) from None
        lines = text.removesuffix("\n").split("\n")
        if any(line.endswith("\r") for line in lines):
            raise DataError(f"{path} ends its lines with CR LF; save the vocabulary with LF line ends")
        try:
            return cls(tuple(lines), max_length, truncate)
        except DataError as error:
            raise DataError(f"{path}: {error}") from None


def text_tokens(text: str | bytes, most: int | None = None) -> list[bytes]:
    """Returns the tokens of a text as `TextVectorization` makes them, in UTF-8.

    Args:
        text: A text, or its bytes, which need not be valid UTF-8.
        most: Number of tokens after which the rest is left out; None leaves nothing out.

    Raises:
        DataError: The text is neither `str` nor `bytes`, or holds a lone surrogate.
    """
    if isinstance(text, str):
        try:
            text = text.encode()
        except UnicodeEncodeError as error:
            raise DataError(
                f"character {error.start} is the lone surrogate U+{ord(text[error.start]):04X}, which has no UTF-8 "
                "form; give the bytes, or decode them with errors='replace'"
            ) from None
    elif not isinstance(text, bytes):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise DataError(f"a text is str or bytes, met {type(text).__name__}; convert it first")
    standard = text.lower().translate(None, _PUNCTUATION)
    return standard.split() if most is None else standard.split(None, most)[:most]
