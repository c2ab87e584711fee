"""Flags are those of `tensorflow_model_server`."""

from __future__ import annotations

from typing import Any

import pytest

from seqship.errors import DataError
from seqship.serving.server.flags import parse_flags
from seqship.serving.server.options import AUTO, ServerOptions


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], {}),
        (["--port=9000", "--rest_api_port", "9001"], {"port": 9000, "rest_api_port": 9001}),
        (["-port=9000"], {"port": 9000}),
        (["--port=auto", "--rest_api_port=auto"], {"port": AUTO, "rest_api_port": AUTO}),
        (["--model_name=m", "--model_base_path", "/models/m"], {"model_name": "m", "model_base_path": "/models/m"}),
        (["--enable_batching"], {"enable_batching": True}),
        (["--enable_batching=true"], {"enable_batching": True}),
        (["--enable_batching", "true", "--port=1"], {"enable_batching": True, "port": 1}),
        (["--enable_batching", "--port=1"], {"enable_batching": True, "port": 1}),
        (["--enable_model_warmup=false"], {"enable_model_warmup": False}),
        (["--enable_model_warmup=0"], {"enable_model_warmup": False}),
        (["--tensorflow_session_parallelism=4"], {"tensorflow_intra_op_parallelism": 4}),
        (["--load_retry_interval_micros", "-1"], {"load_retry_interval_micros": -1}),
        (["--file_system_poll_wait_seconds=0"], {"file_system_poll_wait_seconds": 0}),
        (["--model_base_path=a=b"], {"model_base_path": "a=b"}),
        (["--port=1", "--port=2"], {"port": 2}),
        (["--log_format=json"], {"log_format": "json"}),
    ],
)
def test_flags(arguments: list[str], expected: dict[str, Any]) -> None:
    assert parse_flags(arguments) == ServerOptions(**expected)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--made_up=1"], "unknown argument: --made_up=1"),
        (["--made_up", "1"], "unknown argument: --made_up"),
        (["--made_up", "--port=9000"], "unknown argument: --made_up"),
        (["stray"], "unknown argument: stray"),
        (["--saved_model_tags=serve"], "--saved_model_tags has no meaning here and is left out"),
        (["--flush_filesystem_caches"], "--flush_filesystem_caches has no meaning here and is left out"),
        (["--per_process_gpu_memory_fraction", "0.5"], "--per_process_gpu_memory_fraction has no meaning here"),
    ],
)
def test_what_is_not_ours_is_told_and_left_out(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    port = 9000 if "--port=9000" in arguments else 8500
    assert parse_flags([*arguments, "--model_name=m"]) == ServerOptions(model_name="m", port=port)
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1
    assert told[0].startswith(f"seqship: warning: {said}")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--port=x"], "--port takes a number, got 'x'"),
        (["--port=70000"], "--port takes 0 to 65535 or auto, got 70000"),
        (["--rest_api_port=-1"], "--rest_api_port takes 0 to 65535 or auto, got -1"),
        (["--enable_batching=maybe"], "--enable_batching takes true or false, got 'maybe'"),
        (["--model_name"], "--model_name needs a value, as in --model_name=default"),
        (["--model_base_path", "--port=1"], "--model_base_path needs a value, as in --model_base_path=VALUE"),
        (["--log_format=xml"], "--log_format takes plain or json, got 'xml'"),
    ],
)
def test_values_that_a_flag_does_not_take(arguments: list[str], text: str) -> None:
    with pytest.raises(DataError) as caught:
        parse_flags(arguments)
    assert str(caught.value) == text
