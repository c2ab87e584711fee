"""Text to ids, against the real TextVectorization of both Keras."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqship.errors import DataError
from seqship.pipelines.text_vectorizer import TextVectorizer, text_tokens

FLAVOURS = ["tf_keras", "keras"]
# Tokens that texts of ODD are made of, some of which no text can hold once it is standardized.
VOCABULARY = (
    *("", "[UNK]", "a", "ab", "b", "é", "É", "İ", "i̇", "ß", "σ", "Σ", "ς", "a\x00b", "\x1c", "a\x1cb", "\x85"),
    *("\xa0", "a\xa0b", "\u2028", "🙂", "e\u0301", "\x00a", "A", "don't", "dont", "br", "\ufeff", "\u2019s"),
)
PIECES = [
    *(
        "a",
        "b",
        "A",
        "B",
        "é",
        "É",
        "İ",
        "ß",
        "ẞ",
        "σ",
        "Σ",
        "ς",
        "🙂",
        "👩‍🚀",
        "e\u0301",
        "\u0301",
        "\ufeff",
        "\u2019s",
    ),
    *(
        " ",
        "\t",
        "\n",
        "\x0b",
        "\x0c",
        "\r",
        "\x1c",
        "\x1d",
        "\x1e",
        "\x1f",
        "\x85",
        "\xa0",
        "\u2028",
        "\u3000",
        "\x00",
    ),
    *(
        "!",
        "'",
        "don't",
        "[UNK]",
        "<br /><br />",
        "\\",
        "]",
        "^",
        "-",
        "_",
        "`",
        "~",
        "\x7f",
        "\u00bf",
        "\u2014",
        "\uff01",
    ),
]
TEXTS = st.one_of(st.lists(st.sampled_from(PIECES), max_size=12).map("".join), st.text(max_size=30))
ODD_BYTES = st.lists(st.one_of(st.sampled_from(PIECES).map(str.encode), st.binary(max_size=3)), max_size=12).map(
    b"".join
)
BOTH = st.lists(st.one_of(TEXTS, ODD_BYTES), min_size=1, max_size=20)


@cache
def layer(flavour: str, length: int | None = None) -> Any:
    """Returns the real layer; all its options but the vocabulary and the length are its defaults."""
    keras: Any = __import__(flavour)
    return keras.layers.TextVectorization(vocabulary=list(VOCABULARY), output_sequence_length=length)


def vectorized(flavour: str, texts: list[str | bytes], length: int | None = None) -> np.ndarray[Any, np.dtype[Any]]:
    import tensorflow as tf

    return np.asarray(layer(flavour, length)(tf.constant(texts, tf.string)))


@pytest.mark.parametrize("flavour", FLAVOURS)
@settings(max_examples=150, deadline=None)
@given(texts=BOTH)
def test_ids_are_those_of_keras(flavour: str, texts: list[str | bytes]) -> None:
    expected = vectorized(flavour, texts)
    made = TextVectorizer(VOCABULARY).batch(texts)
    assert made.dtype == expected.dtype == np.int64
    np.testing.assert_array_equal(made, expected)


@pytest.mark.parametrize("flavour", FLAVOURS)
@settings(max_examples=40, deadline=None)
@given(texts=BOTH)
def test_cut_and_padded_ids_are_those_of_keras(flavour: str, texts: list[str | bytes]) -> None:
    vectorizer = TextVectorizer(VOCABULARY, max_length=3)
    np.testing.assert_array_equal(vectorizer.batch(texts, length=3), vectorized(flavour, texts, 3))


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_every_byte_alone_and_between_letters_is_as_in_keras(flavour: str) -> None:
    texts: list[str | bytes] = [
        form for byte in range(256) for form in (bytes([byte]), b"a%cb" % byte, b"a %c b" % byte)
    ]
    np.testing.assert_array_equal(TextVectorizer(VOCABULARY).batch(texts), vectorized(flavour, texts))


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_very_long_text_is_as_in_keras(flavour: str) -> None:
    rng = np.random.default_rng(0)
    text = "".join(rng.choice(PIECES, 200_000))
    np.testing.assert_array_equal(TextVectorizer(VOCABULARY).batch([text]), vectorized(flavour, [text]))


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_the_vocabulary_that_keras_gives_is_taken(flavour: str) -> None:
    vectorizer = TextVectorizer(tuple(layer(flavour).get_vocabulary()))
    assert vectorizer.vocabulary == VOCABULARY
    assert {type(token) for token in vectorizer.vocabulary} == {str}
    assert vectorizer == TextVectorizer(VOCABULARY)
    assert hash(vectorizer) == hash(TextVectorizer(VOCABULARY))


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("text", ["a \ud800", "a \udcff"])
def test_a_lone_surrogate_is_refused_as_keras_does(flavour: str, text: str) -> None:
    with pytest.raises(ValueError, match="Error converting unicode string"):
        layer(flavour)([text])
    message = (
        rf"^character 2 is the lone surrogate U\+{ord(text[2]):04X}, which has no UTF-8 form; give the bytes, or "
        r"decode them with errors='replace'$"
    )
    with pytest.raises(DataError, match=message):
        TextVectorizer(VOCABULARY).ids(text)
    with pytest.raises(DataError, match=f"^text 1: {message[1:]}"):
        TextVectorizer(VOCABULARY).batch(["a", text])


def test_what_is_split_and_what_is_not() -> None:
    assert text_tokens("A\xa0B c\x85d\ne\x1cf\x0bg\x00h İß--Σ <br />") == [
        *("a\xa0b".encode(), "c\x85d".encode(), b"e\x1cf", b"g\x00h", "İßΣ".encode(), b"br"),
    ]
    assert text_tokens(b"A\xff.B \xc3") == [b"a\xffb", b"\xc3"]


@given(text=TEXTS, most=st.integers(1, 6))
def test_what_is_kept_is_the_head_or_the_tail(text: str, most: int) -> None:
    whole = TextVectorizer(VOCABULARY).ids(text)
    np.testing.assert_array_equal(TextVectorizer(VOCABULARY, most).ids(text), whole[:most])
    np.testing.assert_array_equal(TextVectorizer(VOCABULARY, most, "pre").ids(text), whole[-most:])


def test_special_entries_are_no_words() -> None:
    assert TextVectorizer(("", "[UNK]", "unk")).ids("[UNK] UNK x").tolist() == [2, 2, 1]


def test_a_batch_of_nothing_has_a_shape() -> None:
    vectorizer = TextVectorizer(VOCABULARY)
    assert vectorizer.batch([]).shape == (0, 0)
    assert vectorizer.batch(["", "..."]).shape == (2, 0)
    assert vectorizer.batch([], length=5).shape == (0, 5)
    assert vectorizer.batch(["a", "a b"], length=4).tolist() == [[2, 0, 0, 0], [2, 4, 0, 0]]


TOKENS = st.text(st.characters(codec="utf-8", exclude_characters=" \t\n\x0b\x0c\r"), min_size=1, max_size=6).filter(
    lambda token: token != "[UNK]"
)


@settings(max_examples=60, deadline=None)
@given(
    tokens=st.lists(TOKENS | st.sampled_from(VOCABULARY[2:]), unique=True, max_size=8),
    max_length=st.none() | st.integers(1, 9),
    truncate=st.sampled_from(["pre", "post"]),
)
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, tokens: list[str], max_length: int | None, truncate: Any
) -> None:
    path = tmp_path_factory.mktemp("vocabulary") / "vocabulary.txt"
    vectorizer = TextVectorizer(("", "[UNK]", *tokens), max_length, truncate)
    assert TextVectorizer.from_json(vectorizer.to_json()) == vectorizer
    vectorizer.save(path)
    assert TextVectorizer.load(path, max_length=max_length, truncate=truncate) == vectorizer
    path.write_bytes(path.read_bytes() + b"\n")
    assert TextVectorizer.load(path, max_length=max_length, truncate=truncate) == vectorizer


def test_the_file_is_that_of_a_keras_file(tmp_path: Path) -> None:
    import keras

    learnt: Any = keras.layers.TextVectorization()
    learnt.adapt(["a b \x1cc d\x85e f\u2028g É"])
    learnt.save_assets(str(tmp_path))
    (written,) = [path for path in tmp_path.rglob("*") if path.is_file()]
    vectorizer = TextVectorizer.load(written)
    assert vectorizer.vocabulary == tuple(learnt.get_vocabulary())
    assert "d\x85e" in vectorizer.vocabulary
    vectorizer.save(tmp_path / "ours.txt")
    assert (tmp_path / "ours.txt").read_bytes() == written.read_bytes()


@pytest.mark.parametrize(
    ("vocabulary", "message"),
    [
        (
            (),
            r"a vocabulary begins with '' and '\[UNK\]', met \[\]; give what TextVectorization\.get_vocabulary\(\) "
            r"returns",
        ),
        (("a", "b"), r"a vocabulary begins with '' and '\[UNK\]', met \['a', 'b'\]; give what .*"),
        (
            ("", "[UNK]", "a", "b", "a"),
            r"tokens 2 and 4 of the vocabulary are both 'a'; leave one out \(Keras drops NUL at the end of a token\)",
        ),
        (
            ("", "[UNK]", "not good"),
            r"token 2 of the vocabulary is 'not good', which a split at white space never gives; use a vocabulary of "
            r"split='whitespace' without ngrams",
        ),
        (("", "[UNK]", "a\r"), r"token 2 of the vocabulary is 'a\\r', which a split at .*"),
        (
            ("", "[UNK]", "a\udc80"),
            r"token 2 of the vocabulary holds the lone surrogate U\+DC80, which has no UTF-8 form; leave it out",
        ),
    ],
)
def test_a_vocabulary_that_breaks_the_rules_is_refused(vocabulary: tuple[str, ...], message: str) -> None:
    with pytest.raises(DataError, match=f"^{message}$"):
        TextVectorizer(vocabulary)


def test_options_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^max_length must be 1 or more, met 0; None cuts nothing$"):
        TextVectorizer(VOCABULARY, 0)
    wrong: Any = "both"
    with pytest.raises(ValueError, match=r"^truncate must be 'pre' \(drop the head\) or 'post' .*, met 'both'$"):
        TextVectorizer(VOCABULARY, 1, wrong)
    number: Any = 3
    with pytest.raises(DataError, match=r"^a text is str or bytes, met int; convert it first$"):
        TextVectorizer(VOCABULARY).ids(number)
    with pytest.raises(DataError, match=r"^text 1 has 3 tokens, more than the length 2; set max_length$"):
        TextVectorizer(VOCABULARY).batch(["a", "a b a"], length=2)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist; give a vocabulary file"),
        (b"\n[UNK]\na\xff", ": byte 8 (0xff) is not UTF-8; save the vocabulary as UTF-8 text"),
        (b"\r\n[UNK]\r\na\r\n", "ends its lines with CR LF; save the vocabulary with LF line ends"),
        (b"", ": a vocabulary begins with '' and '[UNK]', met ['']; give what"),
        (b"\n[UNK]\na\na", ": tokens 2 and 3 of the vocabulary are both 'a'; leave one out"),
        (b"\n[UNK]\na\n\nb", ": tokens 0 and 3 of the vocabulary are both ''; leave one out"),
    ],
)
def test_a_file_that_is_no_vocabulary_is_refused(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "words.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        TextVectorizer.load(path)
    assert str(caught.value).startswith(f"{path}{'' if message[0] == ':' else ' '}{message}")
    assert "\n" not in str(caught.value)


def test_a_folder_is_no_vocabulary(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot be read: Is a directory; give a vocabulary file$"):
        TextVectorizer.load(tmp_path)


def test_nothing_but_numpy_is_imported() -> None:
    code = (
        "import sys, seqship.pipelines.text_vectorizer, seqship.pipelines.vocabulary, seqship.pipelines.planning, "
        "seqship.pipelines.padding_statistics, seqship.pipelines.reviews; "
        "print([n for n in ('tensorflow', 'keras', 'tf_keras', 'pandas', 'sklearn', 'scipy') if n in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"
