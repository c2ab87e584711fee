"""Generated film reviews whose sense lies in the order of their words, for when there is no data at hand.

A review is a row of sentences. Some hold an opinion, such as "the acting was not very good": an adjective, turned round
by a negation in two of five, doubled by an intensifier in three of ten. The label is the sign of the sum of all
opinions; a few of them contradict it. The other sentences say nothing, though they hold negations and intensifiers too.

Whether there is a negation does not depend on the opinion, so that a word alone tells little: "good" is in a negative
opinion four times as against six in a positive one. Who counts words misses what who reads them in order knows.
"""

from __future__ import annotations

import numpy as np

from seqship.pipelines.review_csv import CLASSES
from seqship.pipelines.texts import Texts

SHORTEST, LONGEST = 8, 200
"""Words of a review, as `str.split` counts them."""

_ADJECTIVES = {
    1: ("good", "great", "clever", "moving", "funny", "charming", "fresh", "gripping", "lovely", "sharp"),
    -1: ("bad", "weak", "dull", "clumsy", "boring", "silly", "stale", "tedious", "ugly", "flat"),
}
_ASPECTS = (
    *("acting", "plot", "script", "music", "ending", "cast", "story", "dialogue", "camera work", "editing"),
    *("first half", "second half", "lead actor", "humour", "scenery", "pace"),
)
_VERBS = ("was", "is", "seemed", "felt", "looked")
_NEGATIONS = ("not", "never", "hardly")
_INTENSIFIERS = ("very", "really", "truly", "extremely")
_OPENINGS = ("", "", "", "I think", "For me", "To be honest", "Then again")
_NEUTRAL = (
    "We saw it on {day} with my {person}, in a {place} near the station.",
    "It was not the film we had come for.",
    "The {person} of the hero goes to {place} and meets a {person} there.",
    "It runs for two hours, and I did not look at my watch.",
    "My {person} had never been to that {place} before.",
    "There is a scene in a {place} on a {day}, if I remember it right.",
    "It is based on a book that hardly anyone has read.",
    "They made it in a {place} within a year.",
    "We really talked about it until {day}.",
    "The director's other films are set in a {place}, too; this one begins there.",
    "You know how it goes: a {person}, a {person} and a very long journey.",
)
_SLOTS = {
    "{day}": ("Monday", "Tuesday", "Friday", "Saturday", "Sunday"),
    "{person}": ("brother", "mother", "friend", "neighbour", "sister", "teacher", "uncle"),
    "{place}": ("village", "cinema", "castle", "harbour", "small town", "school"),
}
_BREAK = "<br /><br />"
_NEGATED, _INTENSIFIED, _CONTRADICTING, _BROKEN = 0.4, 0.3, 0.15, 0.15


def synthetic_reviews(n: int, *, seed: int = 0) -> Texts:
    """Returns reviews of a small grammar, half of each class.

    Args:
        n: Number of reviews.
        seed: Seed of everything random.

    Returns:
        Reviews of 8 to 200 words, unequal in length, in random order; classes negative, positive.

    Raises:
        ValueError: `n` is below 1.
    """
    if n < 1:
        raise ValueError(f"n must be 1 or more, met {n}; 4000 reviews are enough to train on")
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n) % len(CLASSES))
    words = np.clip(rng.lognormal(np.log(40), 0.7, n), SHORTEST, LONGEST).astype(int)
    texts = tuple(_review(int(count), 1 if label else -1, rng) for count, label in zip(words, labels, strict=True))
    return Texts(texts, labels.astype(np.int64), CLASSES, f"generated reviews, seed {seed}")


def _review(words: int, label: int, rng: np.random.Generator) -> str:
    """Returns a review of so many words whose opinions add up to the label's side."""
    sentences: list[str] = []
    score = 0
    # Drawn anew until the sum has the label's sign, and all fits: mostly the first draw does.
    while score * label <= 0 or sum(len(sentence.split()) for sentence in sentences) > words:
        count = 1 + words // 20
        opinions = [_opinion(label if rng.random() > _CONTRADICTING else -label, rng) for _ in range(count)]
        score = sum(value for _, value in opinions)
        sentences = [sentence for sentence, _ in opinions]
    left = words - sum(len(sentence.split()) for sentence in sentences)
    while left > 0:
        breaks = left >= len(_BREAK.split()) and rng.random() < _BROKEN
        filler = (_BREAK if breaks else _neutral(rng)).split()[:left]
        sentences.insert(int(rng.integers(len(sentences) + 1)), " ".join(filler))
        left -= len(filler)
    return " ".join(sentences)


def _opinion(side: int, rng: np.random.Generator) -> tuple[str, int]:
    """Returns a sentence with an opinion and its value: -2 or -1 against, 1 or 2 in favour."""
    negated, intensified = rng.random() < _NEGATED, rng.random() < _INTENSIFIED
    words = [_pick(_OPENINGS, rng), "the", _pick(_ASPECTS, rng), _pick(_VERBS, rng)]
    words += [_pick(_NEGATIONS, rng)] if negated else []
    words += [_pick(_INTENSIFIERS, rng)] if intensified else []
    words += [_pick(_ADJECTIVES[-side if negated else side], rng)]
    sentence = " ".join(word for word in words if word)
    # What is not very good is only mildly bad.
    strength = 2 if intensified and not negated else 1
    return f"{sentence[0].upper()}{sentence[1:]}{_pick('..!', rng)}", side * strength


def _neutral(rng: np.random.Generator) -> str:
    """Returns a sentence without an opinion."""
    sentence = _pick(_NEUTRAL, rng)
    for slot, choices in _SLOTS.items():
        while slot in sentence:
            sentence = sentence.replace(slot, _pick(choices, rng), 1)
    return sentence


def _pick(choices: tuple[str, ...] | str, rng: np.random.Generator) -> str:
    return choices[int(rng.integers(len(choices)))]
