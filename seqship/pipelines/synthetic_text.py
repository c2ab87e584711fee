"""A made-up text of a small grammar, for when there is none at hand: sentences that agree in number and gender."""

from __future__ import annotations

import numpy as np

_PEOPLE = (
    ("the miller", "he"), ("the ferryman", "he"), ("an old sailor", "he"), ("the queen", "she"), ("her sister", "she"),
    ("a young singer", "she"), ("the children", "they"), ("two brothers", "they"), ("the neighbours", "they"),
)  # fmt: skip
_VERBS = (("sees", "see"), ("carries", "carry"), ("finds", "find"), ("sells", "sell"), ("loses", "lose"))
_THINGS = ("a lamp", "the bread", "three coins", "a letter", "the boat", "an apple", "the silver key")
_PLACES = ("by the river", "at the mill", "under the bridge", "in the harbour", "behind the church")
_TIMES = ("In the morning", "At noon", "Every evening", "Before the rain", "When winter comes")
_MOODS = (("is tired", "are tired"), ("goes home", "go home"), ("sings", "sing"), ("laughs", "laugh"))


def synthetic_text(characters: int, *, seed: int = 0) -> str:
    """Returns a text of at least so many characters, in paragraphs.

    Args:
        characters: Least length.
        seed: Seed of everything random.

    Raises:
        ValueError: `characters` is below 1.
    """
    if characters < 1:
        raise ValueError(f"characters must be 1 or more, met {characters}; 60000 are enough to train on")
    rng = np.random.default_rng([seed, 26])
    parts: list[str] = []
    size = 0
    while size < characters:
        paragraph = " ".join(_sentences(rng) for _ in range(int(rng.integers(2, 5)))) + "\n\n"
        parts.append(paragraph)
        size += len(paragraph)
    return "".join(parts)


def _sentences(rng: np.random.Generator) -> str:
    """Returns a sentence, and one that takes up who it was about."""
    who, pronoun = _PEOPLE[rng.integers(len(_PEOPLE))]
    many = int(pronoun == "they")
    verb, mood = _VERBS[rng.integers(len(_VERBS))][many], _MOODS[rng.integers(len(_MOODS))][many]
    what, where = (options[rng.integers(len(options))] for options in (_THINGS, _PLACES))
    first = f"{who} {verb} {what} {where}"
    if rng.random() < 0.4:
        first = f"{_TIMES[rng.integers(len(_TIMES))]}, {first}"
    return f"{first[0].upper()}{first[1:]}. {'And' if rng.random() < 0.5 else 'Then'} {pronoun} {mood}."
