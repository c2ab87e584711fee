"""Numbers as figures, as words and in sums: pairs to learn one sequence from another, all of them countable."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BLANK = ""
"""What stands behind the end of a sequence; its id is 0."""

SYMBOLS = (BLANK, *"0123456789+")
"""Of a sum, by id."""

_SMALL = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
WORDS = (BLANK, *_SMALL, *_TENS, "hundred", "thousand", "and")
"""Of a written number, by id."""

_WORD_IDS = {word: index for index, word in enumerate(WORDS)}
_SYMBOL_IDS = {symbol: index for index, symbol in enumerate(SYMBOLS)}


def in_words(number: int) -> list[str]:
    """Returns a number of 0 to 9,999 in English words.

    Raises:
        ValueError: It is another number.
    """
    if not 0 <= number <= 9_999:
        raise ValueError(f"a number must be 0 to 9999, met {number}")
    thousands, hundreds, rest = number // 1_000, number // 100 % 10, number % 100
    words = [_SMALL[thousands], "thousand"] if thousands else []
    words += [_SMALL[hundreds], "hundred"] if hundreds else []
    words += ["and"] if words and rest else []
    if rest >= 20:
        words += [_TENS[rest // 10 - 2], *([_SMALL[rest % 10]] if rest % 10 else [])]
    elif rest or not words:
        words += [_SMALL[rest]]
    return words


def word_ids(numbers: NDArray[np.integer], *, length: int) -> NDArray[np.int32]:
    """Returns numbers as words, int32 (n, length), blank behind the last."""
    return _padded([[_WORD_IDS[word] for word in in_words(int(number))] for number in numbers], length)


def one_hot_figures(numbers: NDArray[np.integer], *, figures: int) -> NDArray[np.float32]:
    """Returns numbers as one vector each, float32 (n, 10 * figures): ten places a figure, 1 at its value."""
    powers = 10 ** np.arange(figures)[::-1]
    values = numbers[:, None] // powers % 10
    return np.eye(10, dtype=np.float32)[values].reshape(len(numbers), -1)


def symbol_ids(texts: list[str], *, length: int) -> NDArray[np.int32]:
    """Returns texts of figures and plus signs, int32 (n, length), blank behind the last.

    Raises:
        ValueError: A text has another character, or is longer.
    """
    for text in texts:
        if len(text) > length or not set(text) <= set(SYMBOLS[1:]):
            raise ValueError(f"a text holds up to {length} figures and plus signs, met {text!r}")
    return _padded([[_SYMBOL_IDS[symbol] for symbol in text] for text in texts], length)


def joined(ids: NDArray[np.integer], names: tuple[str, ...], *, between: str = "") -> str:
    """Returns the text of ids, up to the first blank."""
    end = int(np.argmin(np.append(ids, 0) != 0))
    return between.join(names[int(one)] for one in ids[:end])


def sums(*, largest: int, held_out: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns pairs of numbers, to learn from and held out; what is held out is so in either order.

    Args:
        largest: Largest number of a pair.
        held_out: Share that is held out.
        seed: Seed of the draw.

    Returns:
        Pairs (n, 2) each, in random order.
    """
    rng = np.random.default_rng([seed, largest])
    one, other = np.triu_indices(largest + 1)
    chosen = np.zeros(len(one), bool)
    chosen[rng.permutation(len(one))[: round(held_out * len(one))]] = True

    def both_ways(keep: NDArray[np.bool_]) -> NDArray[np.int64]:
        pairs = np.stack([one[keep], other[keep]], axis=1)
        turned = pairs[pairs[:, 0] != pairs[:, 1]][:, ::-1]
        return rng.permutation(np.concatenate([pairs, turned])).astype(np.int64)

    return both_ways(~chosen), both_ways(chosen)


def _padded(rows: list[list[int]], length: int) -> NDArray[np.int32]:
    padded = np.zeros((len(rows), length), np.int32)
    for row, ids in zip(padded, rows, strict=True):
        row[: len(ids)] = ids
    return padded
