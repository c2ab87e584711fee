"""What runs in Node.js answers as the Python runtime does, and refuses what it refuses."""

from __future__ import annotations

import json
import random
import shutil
import string
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from seqship.pipelines.text_vectorizer import TextVectorizer, text_tokens
from seqship.serving import Predictor
from tests.examples.conftest import EXAMPLES

Run = Callable[..., subprocess.CompletedProcess[str]]
CHARACTERS = [
    *string.printable, *"ÉéİıßΣς\u00a0\u0085\u2028\u200b\u1680\u3000\ufeff\x00\x1c\x1f\x7f\u0301e\u0301模型😀ﬁK",
    " ", " ", " ", "<br />", "don't", "GOOD", "good", "é",
]  # fmt: skip


@pytest.fixture(scope="module")
def run(node: str) -> Run:
    def run(*arguments: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
        command = [node, str(EXAMPLES / "node/predict.mjs"), *map(str, arguments)]
        return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=120, encoding="utf-8")

    return run


def json_lines(items: Sequence[Any]) -> str:
    return "".join(json.dumps(item) + "\n" for item in items)


def answers(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_beats_are_classified_as_in_python(run: Run, bundles: Mapping[str, Path], beats: list[list[float]]) -> None:
    expected = Predictor(bundles["beats"]).predict(beats)
    found = answers(run(bundles["beats"], stdin=json_lines(beats)))
    assert expected.classes is not None and expected.probabilities is not None
    assert tuple(one["class"] for one in found) == expected.classes
    assert len(set(expected.classes)) > 1
    probabilities = np.array([one["probabilities"] for one in found])
    np.testing.assert_allclose(probabilities, expected.probabilities, rtol=0, atol=1e-5)


def test_a_file_of_objects_and_of_steps_is_taken(run: Run, bundles: Mapping[str, Path], tmp_path: Path) -> None:
    file = tmp_path / "beats.jsonl"
    file.write_text('{"heartbeat": [[0.5], [0.25]]}\n\n[0.5, 0.25]\n')
    first, second = answers(run(bundles["beats"], file))
    assert first == second


def test_texts_are_classified_as_in_python(run: Run, bundles: Mapping[str, Path], texts: list[str]) -> None:
    expected = Predictor(bundles["texts"]).predict(texts)
    assert expected.classes is not None and expected.probabilities is not None
    found = answers(run(bundles["texts"], stdin=json_lines(texts[:2]) + json_lines([{"text": t} for t in texts[2:]])))
    assert tuple(one["class"] for one in found) == expected.classes
    probabilities = np.array([one["probabilities"] for one in found])
    np.testing.assert_allclose(probabilities, expected.probabilities, rtol=0, atol=1e-5)
    assert answers(run(bundles["texts"], stdin="bad bad film the good the film bad\n")) == [found[2]]


@pytest.mark.parametrize("name", ["stepwise", "unmasked", "stateful"])
def test_outputs_by_name_are_those_of_python(run: Run, bundles: Mapping[str, Path], name: str) -> None:
    random = np.random.default_rng(4)
    sequences = [random.normal(size=(steps, 2)).round(3).tolist() for steps in (3, 1, 7, 3)]
    expected = Predictor(bundles[name]).predict(sequences).outputs
    found = answers(run(bundles[name], stdin=json_lines(sequences)))
    assert [sorted(one) for one in found] == [sorted(expected)] * 4
    for key, values in expected.items():
        np.testing.assert_allclose(np.array([one[key] for one in found]), values, rtol=0, atol=1e-5)


def vectorized(node: str, vectorizer: TextVectorizer, texts: Sequence[str]) -> list[list[int]]:
    given = {
        "vocabulary": "\n".join(vectorizer.vocabulary),
        "maxLength": vectorizer.max_length,
        "truncate": vectorizer.truncate,
        "texts": texts,
    }
    command = [node, str(Path(__file__).with_name("vectorize.mjs"))]
    done = subprocess.run(command, input=json.dumps(given), capture_output=True, text=True, timeout=120, check=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize(("most", "truncate"), [(None, "post"), (5, "pre"), (5, "post")])
def test_token_ids_are_those_of_python(node: str, most: int | None, truncate: Literal["pre", "post"]) -> None:
    draw = random.Random(8)
    texts = ["".join(draw.choices(CHARACTERS, k=draw.randint(0, 60))) for _ in range(3_000)]
    words = dict.fromkeys(token.decode() for text in texts[::2] for token in text_tokens(text))
    vectorizer = TextVectorizer(("", "[UNK]", *words), most, truncate)
    expected = [vectorizer.ids(text).tolist() for text in texts]
    assert vectorized(node, vectorizer, texts) == expected
    assert {1, 2, len(words)} <= {token for ids in expected for token in ids}


def test_every_character_of_the_first_plane_is_kept_or_dropped_as_in_python(node: str) -> None:
    texts = [f"a{chr(point)}b" for point in range(0x10000) if not 0xD800 <= point < 0xE000 and point != 0x0A]
    words = dict.fromkeys(token.decode() for text in texts for token in text_tokens(text))
    vectorizer = TextVectorizer(("", "[UNK]", *words))
    assert vectorized(node, vectorizer, texts) == [vectorizer.ids(text).tolist() for text in texts]


@pytest.mark.parametrize(
    ("stdin", "message"),
    [
        ("", "standard input is empty; give JSON lines"),
        ("[1,", "standard input line 1 is no JSON: Unexpected end of JSON input"),
        ("[]", "sequence 0 is empty; a sequence has at least one step"),
        ("5", "sequence 0 is no list of numbers"),
        ('["0.5"]', "sequence 0 is no list of numbers, each step alike"),
        ("[[0.5, 0.5]]", "sequence 0 has steps of 2 numbers; the model takes 1"),
        (
            "[0.5]\n[0.5, -1]",
            "sequence 1 holds the pad value -1 at step 1, which would be ignored; cut the padding off",
        ),
        ("[0.5, 1e999]", "sequence 0 at step 1 is Infinity; values are finite numbers"),
        ('{"beat": [0.5]}', "standard input line 1 has no heartbeat; it has: beat"),
        ('"good"', "sequence 0 is a text, and the bundle has no vocabulary"),
    ],
)
def test_what_breaks_the_contract_is_refused(run: Run, bundles: Mapping[str, Path], stdin: str, message: str) -> None:
    done = run(bundles["beats"], stdin=stdin)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"predict.mjs: error: {message}\n"


def test_values_out_of_range_are_refused_in_the_words_of_the_contract(run: Run, bundles: Mapping[str, Path]) -> None:
    done = run(bundles["beats"], stdin="[0.5, 2]")
    assert done.returncode == 2
    assert "sequence 0 at step 1 is 2, outside 0..1; the model takes: ECG lead" in done.stderr


@pytest.mark.parametrize(
    ("stdin", "message"),
    [
        ("!!!\n", 'text 0 has no word: "!!!"; leave it out'),
        (
            '{"review": "good"}',
            'standard input line 1 is neither a text nor an object with one, such as {"text": "..."}',
        ),
        (r'"\ud800"', "the text holds a lone surrogate, which has no UTF-8 form; take it out"),
    ],
)
def test_texts_that_are_none_are_refused(run: Run, bundles: Mapping[str, Path], stdin: str, message: str) -> None:
    done = run(bundles["texts"], stdin=stdin)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"predict.mjs: error: {message}\n")


def test_a_model_of_several_inputs_is_refused(run: Run, bundles: Mapping[str, Path]) -> None:
    done = run(bundles["two_inputs"], stdin="[1]")
    assert done.returncode == 2
    assert done.stderr == "predict.mjs: error: the model takes several inputs (tokens, valid), not one\n"


def test_lengths_that_cannot_be_joined_are_refused(run: Run, bundles: Mapping[str, Path], tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(bundles["stepwise"], tmp_path / "bundle"))
    manifest = json.loads((bundle / "manifest.json").read_text())
    del manifest["contract"]["inputs"][0]["pad_value"]
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    done = run(bundle, stdin="[[1, 1]]\n[[1, 1], [1, 1]]")
    message = "the model answers each step and has no pad value; give sequences of one length"
    assert (done.returncode, done.stderr) == (2, f"predict.mjs: error: {message}\n")


@pytest.mark.parametrize("name", ["model.onnx", "preprocessing/vocabulary.txt"])
def test_a_changed_file_is_refused_by_name(run: Run, bundles: Mapping[str, Path], name: str, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(bundles["texts"], tmp_path / "bundle"))
    content = bytearray((bundle / name).read_bytes())
    content[-1] ^= 1
    (bundle / name).write_bytes(content)
    done = run(bundle, stdin="good\n")
    assert done.returncode == 1
    assert done.stderr.startswith(f"predict.mjs: error: {name} has changed ({len(content)} bytes, sha256 ")
    (bundle / name).unlink()
    done = run(bundle, stdin="good\n")
    message = f"{name} is missing; the bundle is not the one that was proven"
    assert (done.returncode, done.stderr) == (1, f"predict.mjs: error: {message}\n")


def test_an_unproven_bundle_is_refused(run: Run, bundles: Mapping[str, Path], tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(bundles["beats"], tmp_path / "bundle"))
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["parts"] = {"encoder": {"equivalent": False}}
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    done = run(bundle, stdin="[0.5]")
    message = "the bundle is not proven equivalent; see its report.html"
    assert (done.returncode, done.stderr) == (1, f"predict.mjs: error: {message}\n")


def test_what_is_no_bundle_is_refused(run: Run, bundles: Mapping[str, Path], tmp_path: Path) -> None:
    def told(*arguments: str | Path) -> str:
        done = run(*arguments)
        assert (done.returncode, done.stdout) == (2, "")
        return done.stderr.removeprefix("predict.mjs: error: ").rstrip("\n")

    assert told() == "give a bundle, and at most one file; node predict.mjs --help explains"
    assert told(tmp_path / "none") == f"no bundle at {tmp_path / 'none'}: the path does not exist"
    assert told(tmp_path) == "there is no bundle: it has no manifest.json; make one with seqship ship"
    assert told(bundles["beats"], tmp_path / "none") == f"cannot read {tmp_path / 'none'}: ENOENT"
    (tmp_path / "manifest.json").write_text('{"format": 9}')
    assert told(tmp_path) == "the bundle has format 9, this program reads 1"
    (tmp_path / "manifest.json").write_text("{")
    assert told(tmp_path).startswith("manifest.json cannot be read: ")


def test_help_has_an_example(run: Run) -> None:
    done = run("--help")
    assert done.returncode == 0
    assert "Example:  echo" in done.stdout


def test_the_lock_names_no_registry() -> None:
    lock = json.loads((EXAMPLES / "package-lock.json").read_text())
    packages = {name: facts for name, facts in lock["packages"].items() if name}
    assert all("resolved" not in facts and facts["integrity"].startswith("sha512-") for facts in packages.values())
    assert {"node_modules/onnxruntime-node", "node_modules/onnxruntime-web"} <= packages.keys()
