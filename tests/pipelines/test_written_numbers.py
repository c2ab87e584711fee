"""Numbers in words, in figures and in sums."""

from __future__ import annotations

import numpy as np
import pytest

from seqship.pipelines.written_numbers import (
    SYMBOLS,
    WORDS,
    in_words,
    joined,
    one_hot_figures,
    sums,
    symbol_ids,
    word_ids,
)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "zero"),
        (7, "seven"),
        (13, "thirteen"),
        (40, "forty"),
        (85, "eighty five"),
        (100, "one hundred"),
        (407, "four hundred and seven"),
        (3_000, "three thousand"),
        (3_020, "three thousand and twenty"),
        (9_999, "nine thousand nine hundred and ninety nine"),
    ],
)
def test_numbers_in_words(number: int, words: str) -> None:
    assert " ".join(in_words(number)) == words
    assert joined(word_ids(np.array([number]), length=7)[0], WORDS, between=" ") == words


def test_every_number_has_words_of_its_own_and_a_vector_of_its_own() -> None:
    numbers = np.arange(10_000)
    assert len(np.unique(word_ids(numbers, length=7), axis=0)) == 10_000
    vectors = one_hot_figures(numbers, figures=4)
    assert (vectors.sum(axis=1) == 4).all()
    assert (vectors.reshape(-1, 4, 10).argmax(axis=2) @ [1000, 100, 10, 1] == numbers).all()
    for number in (-1, 10_000):
        with pytest.raises(ValueError, match="must be 0 to 9999"):
            in_words(number)


def test_texts_of_sums() -> None:
    ids = symbol_ids(["7+85", "12+3"], length=5)
    assert ids.tolist() == [[8, 11, 9, 6, 0], [2, 3, 11, 4, 0]]
    assert [joined(row, SYMBOLS) for row in ids] == ["7+85", "12+3"]
    assert joined(symbol_ids(["12345"], length=5)[0], SYMBOLS) == "12345"
    assert joined(np.array([0, 3, 4]), SYMBOLS) == ""
    for text in ("123456", "1-2"):
        with pytest.raises(ValueError, match="met"):
            symbol_ids([text], length=5)


def test_what_is_held_out_is_held_out_in_either_order() -> None:
    known, test = sums(largest=20, held_out=0.25, seed=3)
    assert len(known) + len(test) == 21 * 21
    assert len(test) == pytest.approx(0.25 * 21 * 21, rel=0.05)
    pairs = {tuple(pair) for pair in known.tolist()}
    assert not pairs & {tuple(pair) for pair in test.tolist()}
    assert not pairs & {tuple(pair[::-1]) for pair in test.tolist()}
    assert np.array_equal(known, sums(largest=20, held_out=0.25, seed=3)[0])
    assert not np.array_equal(known, sums(largest=20, held_out=0.25, seed=4)[0])
