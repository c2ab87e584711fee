"""Streaming sessions: what is sent in chunks is answered as if it had come whole."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqship.pipelines.spec import Field
from seqship.serving import Predictor
from seqship.serving.server.sessions import Chunk, Sessions, SessionSettings, parse_chunk
from seqship.serving.server.signatures import Feed, Outputs, Signature
from seqship.serving.server.status import Code, StatusError
from seqship.wire.messages import PredictRequest
from seqship.wire.services import PREDICTION_SERVICE, SERVICES
from seqship.wire.tensors import from_tensor_proto, to_tensor_proto
from tests.serving.server.process import Served, served

HEADER = "x-seqship-session"


def summing(calls: list[int] | None = None) -> Mapping[str, Signature]:
    """A model whose state is the sum of all steps so far, and whose answer is that sum."""

    def run(feed: Feed, deadline: float | None) -> Outputs:
        if (feed["x"] < 0).any():
            raise StatusError(Code.INVALID_ARGUMENT, "negative")
        total = feed["state/sum/h"] + feed["x"].sum(axis=1)
        if calls is not None:
            calls.append(len(total))
        return {"y": total, "state/sum/h_out": total}

    fields = Field("x", "float32", ("batch", "time", 1)), Field("state/sum/h", "float32", ("batch", 1))
    outputs = Field("y", "float32", ("batch", 1)), Field("state/sum/h_out", "float32", ("batch", 1))
    return {"stream": Signature("stream", "predict", fields, outputs, run)}


def steps(*values: float, rows: int = 1) -> Feed:
    return {"x": np.tile(np.array(values, np.float32)[None, :, None], (rows, 1, 1))}


def ask(sessions: Sessions, text: str, feed: Feed, *, model: str = "m", version: int = 1) -> float:
    signature = sessions.signature(model, version, summing(), parse_chunk(text))
    return float(signature.run(feed, None)["y"][0, 0])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a; chunk=0", Chunk("a", 0)),
        ("ward-3/bed_2;chunk=17;end", Chunk("ward-3/bed_2", 17, True)),
        ("  ä ; chunk = 3 ; end ", Chunk("ä", 3, True)),
    ],
)
def test_the_header(text: str, expected: Chunk) -> None:
    assert parse_chunk(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "a", "a; chunk=", "a; chunk=-1", "a b; chunk=0", "a; chunk=0; stop", "x" * 129 + "; chunk=0", "; chunk=0"],
)
def test_headers_of_another_form(text: str) -> None:
    with pytest.raises(StatusError, match=r"x-seqship-session takes 'NAME; chunk=N' or 'NAME; chunk=N; end'") as raised:
        parse_chunk(text)
    assert raised.value.code is Code.INVALID_ARGUMENT


def test_a_chunk_that_is_sent_again_is_answered_again() -> None:
    sessions = Sessions(SessionSettings(2))
    assert ask(sessions, "a; chunk=0", steps(1)) == 1
    assert ask(sessions, "a; chunk=1", steps(2)) == 3
    assert ask(sessions, "a; chunk=1", steps(2)) == 3
    assert ask(sessions, "a; chunk=1", steps(5)) == 6
    assert ask(sessions, "a; chunk=2", steps(1)) == 7
    assert ask(sessions, "a; chunk=0", steps(4)) == 4


def test_a_chunk_that_fails_leaves_the_session_where_it_was() -> None:
    sessions = Sessions(SessionSettings(2))
    with pytest.raises(StatusError, match="negative"):
        ask(sessions, "a; chunk=0", steps(-1))
    assert len(sessions) == 0
    ask(sessions, "a; chunk=0", steps(1))
    with pytest.raises(StatusError, match="negative"):
        ask(sessions, "a; chunk=1; end", steps(-1))
    assert ask(sessions, "a; chunk=1; end", steps(1)) == 2
    assert len(sessions) == 0


def test_what_a_session_refuses() -> None:
    sessions = Sessions(SessionSettings(2, idle_seconds=9))
    ask(sessions, "a; chunk=0", steps(1))
    refused = [
        ("b; chunk=1", steps(1), 1, Code.FAILED_PRECONDITION, "is not known: it has ended, never began, or was idle"),
        ("a; chunk=3", steps(1), 1, Code.FAILED_PRECONDITION, "has had 1 chunks, so that chunk=1 is next; got chunk=3"),
        ("a; chunk=1", steps(1, rows=2), 1, Code.INVALID_ARGUMENT, "has 1 rows, the chunk has 2"),
        (
            "a; chunk=1",
            steps(1),
            2,
            Code.FAILED_PRECONDITION,
            "began on version 1 of model m, the request names version 2",
        ),
    ]
    for text, feed, version, code, message in refused:
        with pytest.raises(StatusError, match=message) as raised:
            ask(sessions, text, feed, version=version)
        assert raised.value.code is code
    assert ask(sessions, "a; chunk=1", steps(1)) == 2


def test_sessions_are_bounded_in_number_in_bytes_and_in_time() -> None:
    now = 0.0
    sessions = Sessions(SessionSettings(2, idle_seconds=10, most_bytes=800), clock=lambda: now)
    ask(sessions, "a; chunk=0", steps(1))
    ask(sessions, "b; chunk=0", steps(1))
    with pytest.raises(StatusError, match="2 streaming sessions are open, the most this server keeps") as raised:
        ask(sessions, "c; chunk=0", steps(1))
    assert raised.value.code is Code.RESOURCE_EXHAUSTED
    assert ask(sessions, "b; chunk=0", steps(7)) == 7, "one that is there may begin anew"
    now = 6.0
    assert ask(sessions, "a; chunk=1", steps(1)) == 2
    now = 12.0
    assert ask(sessions, "c; chunk=0", steps(1)) == 1, "b was idle for too long"
    with pytest.raises(StatusError, match="b of model m is not known"):
        ask(sessions, "b; chunk=1", steps(1))
    assert ask(sessions, "a; chunk=2; end", steps(1)) == 3
    with pytest.raises(StatusError, match=r"would take 808 bytes, more than --max_streaming_state_bytes=800"):
        ask(sessions, "d; chunk=0", steps(1, rows=100))
    assert len(sessions) == 1


def test_one_chunk_at_a_time() -> None:
    sessions, entered, go_on = Sessions(SessionSettings(2)), threading.Event(), threading.Event()
    plain = summing()["stream"]

    def slow(feed: Feed, deadline: float | None) -> Outputs:
        entered.set()
        assert go_on.wait(30)
        return plain.run(feed, deadline)

    held = {"stream": Signature("stream", "predict", plain.inputs, plain.outputs, slow)}
    chunk = parse_chunk("a; chunk=0")
    answers: list[Outputs] = []
    signature = sessions.signature("m", 1, held, chunk)
    thread = threading.Thread(target=lambda: answers.append(signature.run(steps(1), None)))
    thread.start()
    assert entered.wait(30)
    with pytest.raises(StatusError, match="a is at work on another chunk; send one at a time") as raised:
        ask(sessions, "a; chunk=0", steps(1))
    assert raised.value.code is Code.ABORTED
    assert ask(sessions, "other; chunk=0", steps(2)) == 2
    go_on.set()
    thread.join(30)
    assert answers[0]["y"] == 1
    assert ask(sessions, "a; chunk=1", steps(1)) == 2


def test_servers_and_models_without_sessions() -> None:
    chunk = parse_chunk("a; chunk=0")
    with pytest.raises(StatusError, match="keeps no streaming sessions; start it with --max_streaming_sessions=N"):
        Sessions(SessionSettings()).signature("m", 1, summing(), chunk)
    with pytest.raises(StatusError, match="Model m has no signature stream: it keeps no state between chunks"):
        Sessions(SessionSettings(1)).signature("m", 1, {}, chunk)


@given(data=st.data())
def test_any_cut_of_any_streams_gives_what_the_whole_gives(data: st.DataObject) -> None:
    """Chunks of several sessions in any order, some sent twice, and the sum that a session holds."""
    sessions = Sessions(SessionSettings(3))
    sums, sent = [0.0] * 3, [0] * 3
    for _ in range(data.draw(st.integers(1, 25))):
        place = data.draw(st.integers(0, 2))
        values = data.draw(st.lists(st.integers(0, 9), min_size=1, max_size=4))
        for _ in range(data.draw(st.integers(1, 2))):
            made = ask(sessions, f"s{place}; chunk={sent[place]}", steps(*values))
            assert made == sums[place] + sum(values)
        sums[place], sent[place] = sums[place] + sum(values), sent[place] + 1


@pytest.fixture(scope="module")
def base(bundles: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("streams") / "m"
    shutil.copytree(bundles["stateful"], folder / "1")
    return folder


@pytest.fixture(scope="module", params=[False, True], ids=["alone", "batching"])
def streaming(request: Any, base: Path, tmp_path_factory: pytest.TempPathFactory) -> Generator[Served]:
    """A server of a stateful model that keeps sessions."""
    arguments = ["--model_name=m", f"--model_base_path={base}", "--max_streaming_sessions=8"]
    if request.param:
        arguments.append("--enable_batching=true")
    with served(tmp_path_factory.mktemp("log") / "log", arguments) as one:
        yield one


def test_chunks_over_rest_and_grpc_are_the_whole(streaming: Served, base: Path) -> None:
    signal = np.random.default_rng(0).normal(0, 1, (2, 40, 2)).astype(np.float32)
    expected = Predictor(base / "1").predict(signal).outputs["memory"]
    predict = SERVICES[PREDICTION_SERVICE]["Predict"]
    rest, made = dict[str, Any](), predict.response()
    request = PredictRequest()
    request.model_spec.name = "m"
    with grpc.insecure_channel(f"127.0.0.1:{streaming.grpc_port}") as channel:
        call: Any = channel.unary_unary(
            predict.path,
            request_serializer=predict.request.SerializeToString,
            response_deserializer=predict.response.FromString,
        )
        for number, part in enumerate(np.split(signal, [1, 7, 8, 30], axis=1)):
            text = f"stream; chunk={number}" + ("; end" if number == 4 else "")
            answer = streaming.post("/v1/models/m:predict", {"inputs": part.tolist()}, headers={HEADER: f"rest-{text}"})
            assert answer.status_code == 200, answer.text
            rest = answer.json()
            request.inputs["signal"].CopyFrom(to_tensor_proto(part))
            made = call(request, metadata=[(HEADER, f"grpc-{text}")], timeout=30)
            assert set(made.outputs) == {"memory"} and made.model_spec.signature_name == "stream"
        with pytest.raises(grpc.RpcError, match="grpc-stream of model m is not known"):
            call(request, metadata=[(HEADER, "grpc-stream; chunk=5")], timeout=30)
    np.testing.assert_allclose(rest["outputs"], expected, atol=1e-6)
    np.testing.assert_allclose(from_tensor_proto(made.outputs["memory"]), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("path", "body", "session", "status", "text"),
    [
        ("m:predict", {}, "a", 400, "takes 'NAME; chunk=N'"),
        (
            "m:predict",
            {"signature_name": "serving_default"},
            "a; chunk=0",
            400,
            "calls the signature stream, the request",
        ),
        ("m:predict", {}, "never; chunk=4", 400, "never of model m is not known"),
        ("m:classify", {}, "a; chunk=0", 400, "answers predict alone, the request is one of classify"),
        ("other:predict", {}, "a; chunk=0", 404, "Servable not found for request: Latest(other)"),
        ("m/versions/9:predict", {}, "a; chunk=0", 404, "Servable not found for request: Specific(m, 9)"),
    ],
)
def test_requests_that_are_refused(
    path: str, body: dict[str, Any], session: str, status: int, text: str, streaming: Served
) -> None:
    document = {"inputs": [[[1.0, 2.0]]], **body}
    answer = streaming.post(f"/v1/models/{path}", document, headers={HEADER: session})
    assert (answer.status_code, text in answer.json()["error"]) == (status, True), answer.text


def test_the_states_are_not_the_clients_to_send(streaming: Served) -> None:
    inputs = {"signal": [[[1.0, 2.0]]], "state/memory/h": [[0.0] * 3], "state/memory/c": [[0.0] * 3]}
    answer = streaming.post("/v1/models/m:predict", {"inputs": inputs}, headers={HEADER: "a; chunk=0"})
    # Columnar requests may hold more keys than the signature, as TensorFlow Serving has it: they are not read.
    assert answer.status_code == 200
    plain = streaming.post("/v1/models/m:predict", {"inputs": {"signal": [[[1.0, 2.0]]]}})
    np.testing.assert_allclose(answer.json()["outputs"], plain.json()["outputs"], atol=1e-6)


def test_a_session_stays_with_its_version(bundles: Mapping[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "m"
    shutil.copytree(bundles["stateful"], folder / "1")
    policy = "model_version_policy { latest { num_versions: 2 } }"
    config = tmp_path / "models.config"
    config.write_text(
        f'model_config_list {{ config {{ name: "m" base_path: "{folder}" model_platform: "tensorflow" {policy} }} }}'
    )
    arguments = [f"--model_config_file={config}", "--max_streaming_sessions=8", "--file_system_poll_wait_seconds=0.05"]
    body = {"inputs": [[[1.0, 2.0]]]}
    with served(tmp_path / "log", arguments) as one:

        def send(number: int, path: str = "m") -> httpx.Response:
            return one.post(f"/v1/models/{path}:predict", body, headers={HEADER: f"a; chunk={number}"})

        def available(version: int) -> bool:
            states = {
                entry["version"]: entry["state"] for entry in one.get("/v1/models/m").json()["model_version_status"]
            }
            return states.get(str(version)) == "AVAILABLE"

        assert send(0).status_code == 200
        for version in (2, 3):
            shutil.copytree(bundles["stateful"], tmp_path / "pushed")
            (tmp_path / "pushed").rename(folder / str(version))
            while not available(version):
                assert one.process.poll() is None
            if version == 2:
                assert send(1).status_code == 200, "version 1 is still there"
                asked = send(2, "m/versions/2")
                assert "began on version 1 of model m, the request names version 2" in asked.json()["error"]
        while available(1):
            assert one.process.poll() is None
        lost = send(2)
        assert lost.status_code == 400
        assert "a began on version 1 of model m, which is not served any more; begin again" in lost.json()["error"]
        assert send(0).status_code == 200
