"""Cases of raw text: the vocabulary is a part of an export too."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from seqship.export.cases import Case
from seqship.export.oracle import Oracle
from seqship.export.recording import RecordedCase, record_feeds
from seqship.export.runners import ONNX_RUNNER, Feed, Outputs, Runner
from seqship.pipelines.signature_contracts import TEXT, signature_for
from seqship.pipelines.spec import Field
from seqship.pipelines.text_vectorizer import TextVectorizer
from seqship.progress import Progress
from seqship.wire.signature_names import SERVING_TEXT

LONG_BYTES = 100_000
_ROWS = 7
_WORDS = 12
"""Most words of a text of the vocabulary."""
_UNKNOWN = ("zyzzyva", "ç", "語")


def text_runner(vectorizer: TextVectorizer, field: Field, runner: Runner) -> Runner:
    """Returns a runner that takes raw text, too.

    Args:
        vectorizer: Makes token ids of it.
        field: Contract of the model's input.
        runner: The model of token ids.
    """

    def run(feed: Feed) -> Outputs:
        return runner(
            {field.name: token_ids(feed, vectorizer, field)} if signature_for(feed, [field]) == SERVING_TEXT else feed
        )

    return run


def with_texts(runners: Mapping[str, Runner], vectorizer: TextVectorizer, field: Field) -> dict[str, Runner]:
    """Lets those runners take raw text, too, that have no signature for it: onnxruntime's.

    Args:
        runners: By name.
        vectorizer: The vocabulary.
        field: Contract of the model's input.
    """
    return {
        name: text_runner(vectorizer, field, runner) if name.startswith(ONNX_RUNNER) else runner
        for name, runner in runners.items()
    }


def token_ids(feed: Feed, vectorizer: TextVectorizer, field: Field) -> NDArray[np.generic]:
    """Returns the token ids of a feed of raw text, (batch, time); a text without a word is one step of padding.

    Args:
        feed: The texts, bytes, under the name of the signature's input.
        vectorizer: The vocabulary.
        field: Contract of the model's input.
    """
    ids = vectorizer.batch(feed[TEXT.name].tolist())
    steps = max(1, ids.shape[1]) if field.has_time else int(field.shape[1])
    ids = np.pad(ids[:, :steps], ((0, 0), (0, max(0, steps - ids.shape[1]))))
    return ids.astype(np.dtype(field.dtype))


def record_texts(
    vectorizer: TextVectorizer,
    field: Field,
    reference: Runner,
    oracle: Oracle | None,
    *,
    seed: int = 0,
    scales_of: Sequence[RecordedCase] = (),
    progress: Progress | None = None,
) -> tuple[RecordedCase, ...]:
    """Runs cases of raw text, as `record_cases` does those of token ids.

    Args:
        vectorizer: The right vocabulary.
        field: Contract of the model's input.
        reference: The Keras model of token ids.
        oracle: Its float64 twin; None where it has none.
        seed: Seed of the texts.
        scales_of: Cases of token ids, which say how large an output is.
        progress: Told how far it is.
    """
    feeds = text_feeds(vectorizer, field, seed=seed)
    twin = None
    if oracle is not None:
        others = tuple(text_runner(vectorizer, field, run) for run in oracle.rounded)
        twin = Oracle(text_runner(vectorizer, field, oracle.run), others)
    run = text_runner(vectorizer, field, reference)
    return record_feeds(feeds, run, twin, scales_of=scales_of, progress=progress)


def text_feeds(vectorizer: TextVectorizer, field: Field, *, seed: int) -> list[tuple[Case, Feed]]:
    """Draws texts: of the vocabulary's words, and such as people and machines send.

    Each kind is a case of its own, `mask=text values=KIND`; its time is the number of tokens of the longest.

    Args:
        vectorizer: The vocabulary.
        field: Contract of the model's input.
        seed: Seed of the texts.
    """
    random = np.random.default_rng([seed, len(vectorizer.vocabulary)])
    feeds: list[tuple[Case, Feed]] = []
    for kind, texts in {**{kind: draw(vectorizer, random) for kind, draw in _DRAWN.items()}, **_FIXED}.items():
        # As bytes: a NumPy string of any other kind cannot hold what is no UTF-8.
        feed: Feed = {TEXT.name: np.array(texts, np.bytes_)}
        time = token_ids(feed, vectorizer, field).shape[1]
        feeds.append((Case(len(texts), time, "text", values=kind), feed))
    return feeds


def _words(vectorizer: TextVectorizer, random: np.random.Generator) -> list[bytes]:
    """Every eighth of the vocabulary in turn, so that rare words come as well as frequent ones."""
    known = [word.encode() for word in vectorizer.vocabulary[2:]] or [b"the"]
    texts: list[bytes] = []
    for row in range(4 * _ROWS):
        part = known[row % 8 * len(known) // 8 :] or known
        texts.append(b" ".join(part[i] for i in random.integers(0, len(part), random.integers(1, _WORDS + 1))))
    return texts


def _unknown(vectorizer: TextVectorizer, random: np.random.Generator) -> list[bytes]:
    words = [*_words(vectorizer, random)[:3], *(word.encode() for word in _UNKNOWN)]
    return [b" ".join(words[i] for i in random.permutation(len(words))) for _ in range(_ROWS)]


def _written(vectorizer: TextVectorizer, random: np.random.Generator) -> list[bytes]:
    """Capitals, punctuation within and between words, HTML, tabs and line ends."""
    one, two, *_ = (word.decode() for word in _words(vectorizer, random))
    forms = (
        "{0}. {1}!",
        "({0},{1})",
        "{0}<br /><br />{1}",
        "'{0}' -- {1}?",
        "\t{0}\r\n\n{1}\x0b",
        "{0}'s {1}",
        "{0}\u00a0{1}",
    )
    return [form.format(one.upper(), two.title()).encode() for form in forms]


def _long(vectorizer: TextVectorizer, random: np.random.Generator) -> list[bytes]:
    words = _words(vectorizer, random)
    text = b" ".join(words * (1 + LONG_BYTES // max(1, sum(map(len, words)))))[:LONG_BYTES]
    # One word of that size, and one text of so many words where the vocabulary cuts it.
    return [b"a" * LONG_BYTES, text if vectorizer.max_length is not None else text[: LONG_BYTES // 50]]


_FIXED: Mapping[str, list[bytes]] = {
    "empty": [b"", b" \t\n", b"...", b"the"],
    "all-empty": [b"", b""],
    "non-latin": ["Ένα ΚΑΛΌ έργο".encode(), "とても 良い 映画".encode(), "فيلم جيد".encode(), "İĞŞ ß".encode()],
    "emoji": ["👍 good 👎".encode(), "👨\u200d👩\u200d👧 film🎬".encode(), "☕\ufe0f".encode()],
    "invalid-utf8": [b"good \xff\xfe film", b"\xc3 \xc3\xa9\xc3", b"a\xed\xa0\x80b the", b"the\x00film x"],
}
_DRAWN: Mapping[str, Callable[[TextVectorizer, np.random.Generator], list[bytes]]] = {
    "words": _words,
    "unknown": _unknown,
    "written": _written,
    "long": _long,
}
