"""Characters as ids, and the draw of the next one."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from seqship.errors import DataError
from seqship.pipelines.characters import (
    UNKNOWN,
    Alphabet,
    draw,
    fit_alphabet,
    read_text,
    text_windows,
    unigram_entropy,
)
from seqship.pipelines.synthetic_text import synthetic_text


def test_an_alphabet_is_learned_and_turned_back() -> None:
    alphabet = fit_alphabet("banana\n")
    assert alphabet.characters == (UNKNOWN, "\n", "a", "b", "n")
    assert alphabet.ids("nab?").tolist() == [4, 2, 3, 0]
    assert alphabet.ids("nab").dtype == np.int32
    assert alphabet.text(alphabet.ids("ban\n")) == "ban\n"


@pytest.mark.parametrize(
    ("characters", "message"),
    [(("a",), "begins with"), ((UNKNOWN, "ab"), "met 'ab'"), ((UNKNOWN, "a", "a"), "holds 'a' twice")],
)
def test_an_alphabet_has_rules(characters: tuple[str, ...], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Alphabet(characters)


def test_windows_follow_one_another_and_ask_for_the_next_character() -> None:
    inputs, targets = text_windows(np.arange(11, dtype=np.int32), length=3)
    assert inputs.tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    assert targets.tolist() == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    assert text_windows(np.arange(3, dtype=np.int32), length=3)[0].shape == (0, 3)


def test_the_entropy_of_single_characters() -> None:
    assert unigram_entropy(np.array([0, 1, 2, 3])) == pytest.approx(2.0)
    assert unigram_entropy(np.array([5, 5, 5])) == 0
    assert unigram_entropy(np.array([1, 1, 1, 2])) == pytest.approx(0.811278, abs=1e-6)


def test_draws_follow_the_probabilities() -> None:
    probabilities = np.array([0.4, 0.1, 0.5], np.float32)
    uniforms = np.random.default_rng(0).random(4_000)
    drawn = np.array([draw(probabilities, temperature=1, uniform=float(one)) for one in uniforms])
    assert set(drawn.tolist()) == {1, 2}
    assert np.mean(drawn == 1) == pytest.approx(1 / 6, abs=0.02)
    # At half the temperature shares are squared: 1 to 25.
    colder = np.array([draw(probabilities, temperature=0.5, uniform=float(one)) for one in uniforms])
    assert np.mean(colder == 1) == pytest.approx(1 / 26, abs=0.01)


def test_ties_and_borders_are_as_documented() -> None:
    assert draw(np.array([0.9, 0.5, 0.5]), temperature=0, uniform=0.99) == 1
    assert draw(np.array([0, 0.5, 0.5]), temperature=1, uniform=0.5) == 2
    assert draw(np.array([0, 0.5, 0.5]), temperature=1, uniform=float(np.nextafter(0.5, 0))) == 1
    assert draw(np.array([0, 0, 1.0, 0]), temperature=1, uniform=0.0) == 2
    assert draw(np.array([0, 1.0, 0]), temperature=1, uniform=float(np.nextafter(1, 0))) == 1
    # So cold that a power of the shares alone would be no number.
    assert draw(np.array([0, 1e-30, 2e-30]), temperature=1e-3, uniform=0.7) == 2


@pytest.mark.parametrize(
    ("probabilities", "temperature"),
    [([0, 1.0], -1), ([0, 1.0], np.nan), ([0, np.nan], 1), ([1.0, 0.0], 1), ([0, 1.0, -0.1], 1)],
)
def test_what_cannot_be_drawn_from_is_refused(probabilities: list[float], temperature: float) -> None:
    with pytest.raises(DataError):
        draw(np.array(probabilities), temperature=temperature, uniform=0.5)


def test_a_text_is_read_with_its_faults_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes("é\r\nb\rc".encode())
    assert read_text(path, least=5) == "é\nb\nc"
    with pytest.raises(DataError, match=r"text\.txt has 5 characters, 6 are needed; give a longer text$"):
        read_text(path, least=6)
    path.write_bytes(b"ab\xff")
    with pytest.raises(DataError, match=r"byte 2 \(0xff\) is not UTF-8"):
        read_text(path, least=1)
    with pytest.raises(DataError, match="does not exist"):
        read_text(tmp_path / "absent", least=1)
    with pytest.raises(DataError, match="cannot be read"):
        read_text(tmp_path, least=1)


def test_the_generated_text_is_seeded_and_agrees_with_itself() -> None:
    text = synthetic_text(20_000, seed=1)
    assert text == synthetic_text(20_000, seed=1)
    assert text != synthetic_text(20_000, seed=2)
    assert 20_000 <= len(text) < 20_600
    sentences = text.replace("\n", " ").split(". ")
    about = [(one, other) for one, other in itertools.pairwise(sentences) if other[:4] in ("And ", "Then")]
    assert len(about) > 100
    for one, other in about:
        pronoun = other.split()[1]
        many = any(who in one.lower() for who in ("the children", "two brothers", "the neighbours"))
        assert (pronoun == "they") == many
