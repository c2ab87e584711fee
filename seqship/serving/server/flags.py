"""The command line of `tensorflow_model_server`."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from seqship.errors import DataError
from seqship.serving.server.options import AUTO, ServerOptions

IGNORED = (
    "flush_filesystem_caches",
    "num_unload_threads",
    "tensorflow_session_config_file",
    "tensorflow_inter_op_parallelism",
    "platform_config_file",
    "per_process_gpu_memory_fraction",
    "saved_model_tags",
    "remove_unused_fields_from_bundle_metagraph",
    "prefer_tflite_model",
    "num_tflite_pools",
    "num_tflite_interpreters_per_pool",
    "enable_signature_method_name_check",
    "xla_cpu_compilation_enabled",
    "enable_profiler",
    "thread_pool_factory_config_file",
    "use_alts_credentials",
    "mixed_precision",
    "skip_initialize_tpu",
)
"""Flags of `tensorflow_model_server` that have no meaning without TensorFlow: taken, and said to be."""

_RENAMED = {"tensorflow_session_parallelism": "tensorflow_intra_op_parallelism"}
_PORTS = ("port", "rest_api_port")
_TRUTH = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_DEFAULTS: Mapping[str, Any] = {one.name: one.default for one in fields(ServerOptions)}


def parse_flags(arguments: Sequence[str]) -> ServerOptions:
    """Reads flags: `--flag=value` and `--flag value`, and `--flag` alone for true; one dash does as well as two.

    Unknown flags are told on standard error and left out, as `tensorflow_model_server` does.

    Args:
        arguments: What stands behind the command.

    Raises:
        DataError: A value is none that the flag takes.
    """
    values: dict[str, Any] = {}
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        name, given, text = argument.lstrip("-").partition("=")
        name = _RENAMED.get(name, name)
        if not argument.startswith("-") or (name not in _DEFAULTS and name not in IGNORED):
            print(f"seqship: warning: unknown argument: {argument}", file=sys.stderr)
            if argument.startswith("-") and not given and rest and not rest[0].startswith("-"):
                rest.pop(0)  # The value of the flag, most likely.
            continue
        value = text if given else _following(name, rest)
        if name in IGNORED:
            print(f"seqship: warning: --{name} has no meaning here and is left out", file=sys.stderr)
            continue
        values[name] = _converted(name, value)
    return ServerOptions(**values)


def usage() -> str:
    """Returns the flags with their defaults and what they mean."""
    lines = [
        "usage: seqship serve --model_name=NAME --model_base_path=DIR [--rest_api_port=8501] ...",
        "",
        "Serves bundles behind TensorFlow Serving's REST and gRPC API, on onnxruntime, without TensorFlow.",
        "",
        "Example:  seqship serve --model_name=ecg --model_base_path=models/ecg --rest_api_port=8501",
        "",
        "flags:",
    ]
    _, _, listed = (ServerOptions.__doc__ or "").partition("Attributes:")
    for entry in re.split(r"\n {4,8}(?=\w+: )", listed.rstrip()):
        name, _, meaning = entry.partition(": ")
        if name.strip() in _DEFAULTS:
            default = _DEFAULTS[name.strip()]
            shown = str(default).lower() if isinstance(default, bool) else default
            lines += [f"  --{name.strip()}={shown}", f"      {' '.join(meaning.split())}"]
    return "\n".join(lines)


def _following(name: str, rest: list[str]) -> str:
    """Returns the value behind a flag; a truth value may be left out."""
    if rest and isinstance(_DEFAULTS.get(name), bool):
        return rest.pop(0) if rest[0].lower() in _TRUTH else "true"
    if rest and not rest[0].startswith("--"):
        return rest.pop(0)
    if isinstance(_DEFAULTS.get(name), bool) or name in IGNORED:
        return "true"
    raise DataError(f"--{name} needs a value, as in --{name}={_DEFAULTS[name] or 'VALUE'}")


def _converted(name: str, text: str) -> Any:
    default = _DEFAULTS[name]
    if name in _PORTS and text == "auto":
        return AUTO
    try:
        if isinstance(default, bool):
            return _TRUTH[text.lower()]
        if isinstance(default, int):
            return _number(name, int(text))
        if isinstance(default, float):
            return float(text)
    except (KeyError, ValueError):
        wanted = "true or false" if isinstance(default, bool) else "a number"
        raise DataError(f"--{name} takes {wanted}, got {text!r}") from None
    if name == "log_format" and text not in ("plain", "json"):
        raise DataError(f"--{name} takes plain or json, got {text!r}")
    return text


def _number(name: str, value: int) -> int:
    if name in _PORTS and not 0 <= value <= 65535:
        raise DataError(f"--{name} takes 0 to 65535 or auto, got {value}")
    return value
