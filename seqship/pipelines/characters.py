"""Characters as ids, and how the next one is drawn: with numpy alone, the serving runtime uses this too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seqship.errors import DataError

UNKNOWN = "\ufffd"
"""Stands for every character that is not in the alphabet; its id is 0, and it is never drawn."""


@dataclass(frozen=True)
class Alphabet:
    """The character of each id.

    Attributes:
        characters: `UNKNOWN` first, then one character each.

    Raises:
        DataError: The first is not `UNKNOWN`, one is no single character, or one occurs twice.
    """

    characters: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.characters[:1] != (UNKNOWN,):
            raise DataError(f"an alphabet begins with {UNKNOWN!r}, met {list(self.characters[:1])}; use fit_alphabet")
        if odd := [one for one in self.characters if len(one) != 1]:
            raise DataError(f"an alphabet holds single characters, met {odd[0]!r}; use fit_alphabet")
        if len(set(self.characters)) < len(self.characters):
            twice, _ = Counter(self.characters).most_common(1)[0]
            raise DataError(f"the alphabet holds {twice!r} twice; leave one out")

    def __len__(self) -> int:
        return len(self.characters)

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {character: index for index, character in enumerate(self.characters)}

    def ids(self, text: str) -> NDArray[np.int32]:
        """Returns the id of each character, int32 (length,)."""
        return np.fromiter((self._ids.get(one, 0) for one in text), np.int32, len(text))

    def text(self, ids: Sequence[int] | NDArray[np.integer]) -> str:
        """Returns the text of ids."""
        return "".join(self.characters[int(one)] for one in ids)


def fit_alphabet(text: str) -> Alphabet:
    """Returns the alphabet of a text: its characters by code point, behind the one that stands for all others."""
    return Alphabet((UNKNOWN, *sorted(set(text) - {UNKNOWN})))


def read_text(path: str | Path, *, least: int) -> str:
    """Reads a UTF-8 text; line ends become line feeds.

    Args:
        path: The file.
        least: Least number of characters.

    Raises:
        DataError: The file cannot be read, is no UTF-8, or is too short.
    """
    try:
        text = Path(path).read_bytes().decode()
    except FileNotFoundError:
        raise DataError(f"{path} does not exist; give a UTF-8 text file") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}; give a UTF-8 text file") from None
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: byte {error.start} (0x{error.object[error.start]:02x}) is not UTF-8; save the file as UTF-8 text"
        ) from None
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if len(text) < least:
        raise DataError(f"{path} has {len(text):,} characters, {least:,} are needed; give a longer text")
    return text


def text_windows(ids: NDArray[np.int32], *, length: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Returns a text in consecutive windows, and for each character the one that follows it.

    Args:
        ids: The text, (characters,).
        length: Characters of a window; what does not fill the last is left out.

    Returns:
        Inputs and targets, int32, both (windows, length).
    """
    count = max((len(ids) - 1) // length, 0)
    used = count * length
    return ids[:used].reshape(count, length), ids[1 : used + 1].reshape(count, length)


def unigram_entropy(ids: NDArray[np.integer]) -> float:
    """Returns the bits a character costs who knows how often each one is, and nothing of what stands before it."""
    counts = np.bincount(ids).astype(np.float64)
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log2(shares)).sum())


def draw(probabilities: NDArray[np.floating], *, temperature: float, uniform: float) -> int:
    """Returns the id of the next character.

    The probabilities are raised to the power of 1 / temperature and laid end to end in the order of their ids; the id
    is that of the one in which `uniform` falls, the later one where it falls on a border. At temperature 0 it is the
    likeliest, the first of equal ones. `UNKNOWN` has no share. All is computed in float64, so that the same
    probabilities give the same character everywhere.

    Args:
        probabilities: Of each id, (alphabet,).
        temperature: Below 1 the likely ones become likelier, above 1 they become alike.
        uniform: From 0 to below 1.

    Raises:
        DataError: The temperature is negative or not finite, or a probability is.
    """
    if not (np.isfinite(temperature) and temperature >= 0):
        raise DataError(f"the temperature must be 0 or more, met {temperature}; 1 leaves the probabilities as they are")
    shares = np.asarray(probabilities, np.float64).copy()
    if not np.isfinite(shares).all() or (shares < 0).any() or not (shares[1:] > 0).any():
        raise DataError(
            "the model gives no probabilities: they are to be 0 or more, and one above 0; check its weights"
        )
    shares[0] = 0
    if temperature == 0:
        return int(shares.argmax())
    logarithms = np.full(shares.shape, -np.inf)
    np.log(shares, out=logarithms, where=shares > 0)
    weights = np.exp((logarithms - logarithms.max()) / temperature)
    ends = weights.cumsum()
    chosen = int(np.searchsorted(ends, uniform * ends[-1], side="right"))
    return min(chosen, int(np.flatnonzero(weights)[-1]))
