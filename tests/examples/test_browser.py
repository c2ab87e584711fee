"""The page answers as the Python runtime does, loads nothing but its own files, and says what is wrong."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from seqship.serving import Predictor
from tests.examples.conftest import EXAMPLES

SERVE = EXAMPLES / "browser/serve.py"
ANSWER = "#{} .result"


@contextlib.contextmanager
def page(*arguments: str | Path) -> Generator[str]:
    """Serves the page in a process of its own; gives its address."""
    command = [sys.executable, str(SERVE), "--port=0", *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stderr is not None
    try:
        url = process.stdout.readline().strip()
        assert url, process.stderr.read()
        yield url
    finally:
        process.terminate()
        process.communicate(timeout=60)


@pytest.fixture(scope="module")
def url(node: str, bundles: Mapping[str, Path]) -> Generator[str]:
    with page("--heartbeat", bundles["beats"], "--review", bundles["texts"]) as one:
        yield one


@dataclass(frozen=True)
class Seen:
    """What a browser did and showed."""

    values: list[Any]
    requests: list[str]
    problems: list[str]


def browse(node: str, url: str, actions: Sequence[Sequence[Any]], **options: Any) -> Seen:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium on the PATH")
    given = {"playwright": str(EXAMPLES / "package.json"), "chromium": chromium, "url": url, "actions": actions}
    command = [node, str(Path(__file__).with_name("page.mjs"))]
    done = subprocess.run(
        command, input=json.dumps(given | options), capture_output=True, text=True, timeout=180, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    return Seen(found["seen"], found["requests"], found["problems"])


def answer_of(section: str) -> list[str]:
    return ["attribute", ANSWER.format(section), "data-answer"]


@pytest.mark.browser
def test_beats_and_texts_are_classified_as_in_python_and_nothing_else_is_loaded(
    node: str, url: str, bundles: Mapping[str, Path], beats: list[list[float]], texts: list[str]
) -> None:
    actions: list[list[Any]] = [["click", "#heartbeat summary"]]
    for beat in beats:
        actions += [["fill", "#samples", ", ".join(map(str, beat))], answer_of("heartbeat")]
    for text in texts:
        actions += [["fill", "#text", text], answer_of("review")]
    seen = browse(node, url, actions)
    assert seen.problems == []
    found = [json.loads(value) for value in seen.values if value is not None]
    assert len(found) == len(beats) + len(texts)
    for name, items, made in (("beats", beats, found[: len(beats)]), ("texts", texts, found[len(beats) :])):
        expected = Predictor(bundles[name]).predict(items)
        assert expected.classes is not None and expected.probabilities is not None
        assert tuple(one["class"] for one in made) == expected.classes
        probabilities = np.array([one["probabilities"] for one in made])
        np.testing.assert_allclose(probabilities, expected.probabilities, rtol=0, atol=1e-5)
    loaded = {request.removeprefix(url) for request in seen.requests}
    assert {"bundles/heartbeat/model.onnx", "bundles/review/model.onnx", "ort/ort-wasm-simd-threaded.wasm"} <= loaded
    assert [request for request in seen.requests if not request.startswith((url, "data:"))] == []


@pytest.mark.browser
def test_a_beat_is_drawn_or_picked_and_a_review_is_picked(node: str, url: str, bundles: Mapping[str, Path]) -> None:
    stroke = [[0.2, 0.8], [0.3, 0.7], [0.4, 0.1], [0.45, 0.9], [0.7, 0.6]]
    seen = browse(
        node,
        url,
        [
            ["draw", ".plot", stroke],
            ["value", "#samples"],
            answer_of("heartbeat"),
            ["read", "#heartbeat .verdict"],
            ["attribute", ".plot", "aria-label"],
            ["click", "#heartbeat .choices button:nth-child(2)"],
            ["value", "#samples"],
            ["attribute", "#heartbeat .choices button:nth-child(2)", "aria-pressed"],
            ["draw", ".plot", stroke],
            ["attribute", "#heartbeat .choices button:nth-child(2)", "aria-pressed"],
            ["click", "#review .choices button:nth-child(1)"],
            ["read", "#review .words"],
            answer_of("review"),
        ],
    )
    assert seen.problems == []
    _, numbers, answer, verdict, label, _, picked, pressed, _, released, _, words, review = seen.values
    beat = [float(number) for number in numbers.split(",")]
    assert abs(len(beat) - 94) <= 2  # Half of 187 samples.
    assert (min(beat), max(beat)) == (0.0, 1.0)
    assert label == f"A beat of {len(beat)} samples"
    expected = Predictor(bundles["beats"]).predict([beat])
    assert expected.classes is not None and expected.probabilities is not None
    assert json.loads(answer)["class"] == expected.classes[0]
    np.testing.assert_allclose(json.loads(answer)["probabilities"], expected.probabilities[0], rtol=0, atol=1e-5)
    assert verdict.startswith(f"{expected.classes[0]}: ")
    samples = json.loads((EXAMPLES / "browser/samples.json").read_text())
    assert [float(number) for number in picked.split(",")] == samples[1]["values"]
    assert (pressed, released) == ("true", "false")
    assert re.fullmatch(r"18 words, \d not in the vocabulary, the first 6 are read", words)
    assert json.loads(review)["class"] in ("negative", "positive")


@pytest.mark.browser
def test_the_page_says_in_one_line_what_is_wrong_and_goes_on(node: str, url: str) -> None:
    def told(text: str) -> list[list[Any]]:
        return [["fill", "#samples", text], ["read", "#heartbeat .error"], answer_of("heartbeat")]

    seen = browse(
        node,
        url,
        [
            ["click", "#heartbeat summary"],
            *told("0.5 2"),
            *told("0.5, half"),
            *told("0.5 -1"),
            *told("0.5 1"),
            *told(""),
            ["fill", "#text", "?!"],
            ["read", "#review .error"],
        ],
    )
    assert seen.problems == []
    messages, answers = seen.values[2:16:3], seen.values[3:17:3]
    assert messages[0].startswith("The value at step 1 is 2, outside 0..1; the model takes: ECG lead")
    assert messages[1] == "The value at step 1 is NaN; values are finite numbers"
    assert messages[2] == "The sequence holds the pad value -1 at step 1, which would be ignored; cut the padding off"
    assert messages[3:] == ["", ""]
    assert [answer is None for answer in answers] == [True, True, True, False, True]
    assert seen.values[-1] == 'The text has no word: "?!"; leave it out'


@pytest.mark.browser
def test_the_keyboard_reaches_everything_and_a_phone_is_wide_enough(node: str, url: str) -> None:
    tabs: list[list[Any]] = [["press", "Tab"], ["focused"]] * 10
    enter: list[list[Any]] = [["press", "Shift+Tab"], ["press", "Enter"], ["value", "#text"], answer_of("review")]
    seen = browse(node, url, [["width"], *tabs, *enter], viewport={"width": 390, "height": 844})
    assert seen.problems == []
    assert seen.values[0] == 390
    focused = seen.values[2:21:2]
    assert focused == [
        *(f"Sample beat {name}" for name in "NSVFQ"),
        "",  # The summary above the samples as numbers.
        *(f"Sample review: {name}" for name in ("praise", "complaint", "mixed")),
        "text",
    ]
    assert seen.values[-2].startswith("The scenery looked lovely")
    assert json.loads(seen.values[-1])["class"] in ("negative", "positive")


@pytest.mark.browser
def test_a_changed_bundle_is_refused_and_the_other_still_answers(
    node: str, bundles: Mapping[str, Path], tmp_path: Path
) -> None:
    changed = Path(shutil.copytree(bundles["beats"], tmp_path / "changed"))
    with (changed / "model.onnx").open("ab") as file:
        file.write(b"x")
    with page("--heartbeat", changed, "--review", bundles["texts"]) as url:
        seen = browse(node, url, [["read", "#heartbeat .error"], ["fill", "#text", "good film"], answer_of("review")])
    assert seen.values[0].startswith("model.onnx has changed (")
    assert json.loads(seen.values[2])["class"] in ("negative", "positive")


@pytest.mark.browser
def test_a_bundle_of_another_kind_is_told(node: str, bundles: Mapping[str, Path]) -> None:
    with page("--heartbeat", bundles["stepwise"], "--review", bundles["beats"]) as url:
        seen = browse(node, url, [["read", "#heartbeat .error"], ["read", "#review .error"], ["visible", "#review"]])
    assert seen.values == [
        "stepwise names no classes; serve a bundle that classifies",
        "beats does not classify texts; serve a bundle that has a vocabulary and classes",
        True,
    ]
    with page("--review", bundles["texts"]) as url:
        assert browse(node, url, [["visible", "#heartbeat"], ["visible", "#review"]]).values == [False, True]


def test_only_the_files_of_the_page_and_of_the_bundles_are_served(url: str) -> None:
    types = {
        "": "text/html; charset=utf-8",
        "app.mjs": "text/javascript; charset=utf-8",
        "js/bundle.mjs": "text/javascript; charset=utf-8",
        "ort/ort-wasm-simd-threaded.wasm": "application/wasm",
        "style.css": "text/css; charset=utf-8",
        "bundles.json": "application/json",
        "bundles/heartbeat/model.onnx": "application/octet-stream",
        "bundles/review/preprocessing/vocabulary.txt": "text/plain; charset=utf-8",
    }
    for path, kind in types.items():
        answer = httpx.head(url + path)
        assert (answer.status_code, answer.headers["content-type"]) == (200, kind)
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert httpx.get(url + "bundles.json").json() == ["heartbeat", "review"]
    refused = ["serve.py", "bundles/heartbeat/report.html", "bundles/heartbeat/../../etc/passwd", "../package.json",
               "bundles/heartbeat/%2e%2e/manifest.json", "js/", "bundles/other/manifest.json",
               "//etc/passwd"]  # fmt: skip
    host, port = url.removeprefix("http://").rstrip("/").split(":")
    for path in refused:
        # By hand: a client would tidy the path up.
        with socket.create_connection((host, int(port)), timeout=60) as connection:
            connection.sendall(f"GET /{path} HTTP/1.0\r\n\r\n".encode())
            assert connection.makefile("rb").readline().split()[1] == b"404", path
    assert httpx.post(url, content=b"x").status_code == 501


def test_what_cannot_be_served_is_told_in_one_line(node: str, bundles: Mapping[str, Path], tmp_path: Path) -> None:
    def told(*arguments: str | Path) -> str:
        command = [sys.executable, str(SERVE), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stdout) == (2, "")
        return done.stderr.removeprefix("serve.py: error: ").rstrip("\n")

    assert told() == "give --heartbeat BUNDLE, --review BUNDLE, or both"
    assert told("--review", tmp_path) == f"{tmp_path} is no bundle: it has no manifest.json that can be read"
    bundle = Path(shutil.copytree(bundles["texts"], tmp_path / "bundle"))
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["preprocessing"]["text"]["vocabulary"] = "../secret.txt"
    manifest["files"]["../secret.txt"] = {"size": 1, "sha256": ""}
    (tmp_path / "secret.txt").write_text("x")
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    assert told("--review", bundle) == f"{bundle} has no ../secret.txt; export it with --formats saved_model,onnx"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        message = f"port {port} cannot be used: address already in use; give another with --port"
        assert told("--review", bundles["texts"], f"--port={port}") == message
    assert told("--review", bundles["texts"], "--port=99999").startswith("port 99999 cannot be used: ")
