"""The folder `tf_serving/` of a bundle: what `tensorflow_model_server` and `seqship serve` are started with.

| file | what it is |
|---|---|
| `models.config` | TensorFlow Serving's `ModelServerConfig` |
| `batching_parameters.txt` | its `BatchingParameters` |
| `monitoring.config` | its `MonitoringConfig` |
| `compose.yaml` | either server in Docker Compose |
| `kubernetes.yaml`, `kubernetes-seqship.yaml` | ConfigMap, Deployment, Service and PodDisruptionBudget of each |
| `kserve.yaml`, `kserve-seqship.yaml` | KServe's InferenceService of each |
| `README.md` | the commands |

TensorFlow Serving must not join requests of unequal length. With `pad_variable_length_inputs` it fills them with the
first element of each tensor, which no mask takes for padding (`AddPadding` in `batching/batching_util.cc`); without
it, one request of another length fails all that were joined with it (`MergeInputTensors` in
`batching/batching_session.cc`). So batching is on there for models of fixed length alone, and for all in
`seqship serve`, which fills with the pad value.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from google.protobuf import text_encoding
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from seqship.export.deployment_sizes import MIB, USUAL_STEPS, ModelSize, batch_rows, memory_request
from seqship.pipelines.spec import BATCH, Field

FOLDER = "tf_serving"
TF_SERVING_IMAGE = "tensorflow/serving:2.20.0"
"""The latest release of TensorFlow Serving."""
SERVERS = ("tensorflow", "seqship")
THREADS = 2
"""Batches that run at the same time, and processors of one server."""
BATCH_TIMEOUT_MICROS = 1_000
ENQUEUED_BATCHES = 64
GRPC_PORT, REST_PORT = 8500, 8501

_PATH_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}")
_LONGEST_RESOURCE = 40
"""Kubernetes allows 63 characters, of which suffixes and KServe's `-predictor-NAMESPACE` take some."""


@dataclass(frozen=True)
class Deployment:
    """What the files are made from.

    Attributes:
        name: Name of the model, as requests say it.
        inputs: Contract of each input of `serving_default`.
        size: What decides how large a server is.
        seqship_version: Version of seqship that serves the bundle.
    """

    name: str
    inputs: tuple[Field, ...]
    size: ModelSize
    seqship_version: str

    @property
    def directory(self) -> str:
        """Name of the directory below /models: the model's own where a path can bear it."""
        return self.name if _PATH_NAME.fullmatch(self.name) else self.resource

    @property
    def resource(self) -> str:
        """Name in Kubernetes and Compose: a label of RFC 1123 that begins with a letter.

        Where more is lost than case and separators, part of the name's digest keeps two names apart.
        """
        plain = re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")
        lossy = re.search(r"[^A-Za-z0-9 _.-]", self.name) or not plain or len(plain) > _LONGEST_RESOURCE
        if not plain[:1].isalpha():
            plain = f"model-{plain}".rstrip("-")
        if lossy:
            digest = hashlib.sha256(self.name.encode()).hexdigest()[:8]
            plain = f"{plain[: _LONGEST_RESOURCE - 9].rstrip('-')}-{digest}"
        return plain[:_LONGEST_RESOURCE].rstrip("-")

    @property
    def batches(self) -> bool:
        """Whether requests can be joined at all: the batch axis is free."""
        return all(field.shape[:1] == (BATCH,) for field in self.inputs)

    @property
    def lengths_differ(self) -> bool:
        """Whether an input's steps are free: then TensorFlow Serving must not join requests."""
        return any(size for field in self.inputs for size in field.shape[1:] if isinstance(size, str))

    def flags(self, server: str) -> tuple[str, ...]:
        """Returns the flags that a server is started with, models below /models and these files in /config."""
        flags = [
            f"--port={GRPC_PORT}",
            f"--rest_api_port={REST_PORT}",
            "--model_config_file=/config/models.config",
            "--model_config_file_poll_wait_seconds=10",
            "--monitoring_config_file=/config/monitoring.config",
            "--enable_grpc_healthcheck_service=true",
        ]
        if self.batches and (server == "seqship" or not self.lengths_differ):
            flags += ["--enable_batching=true", "--batching_parameters_file=/config/batching_parameters.txt"]
        if server == "tensorflow":
            flags += [f"--tensorflow_intra_op_parallelism={THREADS}", f"--tensorflow_inter_op_parallelism={THREADS}"]
        return tuple(flags)


def deployment_of(
    name: str,
    inputs: Sequence[Field],
    saved_model: Path,
    *,
    recurrent_weights: int,
    units: int,
    longest: int | None,
    seqship_version: str,
) -> Deployment:
    """Gathers what the files are made from.

    Args:
        name: Name of the model; "model" where it is empty, which no server takes.
        inputs: Contract of each input.
        saved_model: The SavedModel.
        recurrent_weights: Number of the weights of all recurrent layers.
        units: Units of all recurrent layers.
        longest: Steps of the longest sequence that is known; None where none is.
        seqship_version: Version of seqship that serves the bundle.
    """
    fixed = [int(field.shape[1]) for field in inputs if field.rank >= 3 and isinstance(field.shape[1], int)]
    steps = longest or max(fixed, default=USUAL_STEPS)
    weights = sum(path.stat().st_size for path in (saved_model / "variables").glob("*"))
    return Deployment(
        name or "model", tuple(inputs), ModelSize(weights, recurrent_weights, units, steps), seqship_version
    )


def write_deployment_files(folder: Path, deployment: Deployment) -> None:
    """Writes the files into a new folder.

    Args:
        folder: The folder to make.
        deployment: What they are made from.
    """
    rendered = render_deployment_files(deployment)
    folder.mkdir()
    for name, text in rendered.items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")


def render_deployment_files(deployment: Deployment) -> dict[str, str]:
    """Returns the text of each file by its name."""
    rows = batch_rows(deployment.size) if deployment.batches else 1
    fields: dict[str, Any] = {
        "deployment": deployment,
        "name": deployment.name,
        "directory": deployment.directory,
        "resource": deployment.resource,
        "url_name": quote(deployment.name, safe=""),
        "rows": rows,
        "row_sizes": [1 << power for power in range(rows.bit_length())],
        "timeout_micros": BATCH_TIMEOUT_MICROS,
        "enqueued": ENQUEUED_BATCHES,
        "threads": THREADS,
        "image": TF_SERVING_IMAGE,
        "grpc_port": GRPC_PORT,
        "rest_port": REST_PORT,
        "time_input": next((field for field in deployment.inputs if field.has_time and not field.is_state), None),
    }
    environment = _environment()
    files = {
        name: environment.get_template(f"{name}.j2").render(fields)
        for name in ("models.config", "batching_parameters.txt", "monitoring.config")
    }
    configs = dict(files)
    memory = {
        server: memory_request(deployment.size, server=server, rows=rows, threads=THREADS) // MIB for server in SERVERS
    }
    for name in ("compose.yaml", "README.md"):
        files[name] = environment.get_template(f"{name}.j2").render(fields, memory=memory)
    for server in SERVERS:
        suffix = "" if server == "tensorflow" else "-seqship"
        own = {"server": server, "memory": memory[server], "configs": configs, "app": deployment.resource + suffix}
        for kind in ("kubernetes", "kserve"):
            files[f"{kind}{suffix}.yaml"] = environment.get_template(f"{kind}.yaml.j2").render(fields, **own)
    return files


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates" / FOLDER),
        autoescape=False,  # noqa: S701  (no markup: every name passes through a filter, or is a label of RFC 1123)
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["proto_string"] = proto_string
    return environment


def proto_string(text: str) -> str:
    """Returns a string of protobuf's text format, in ASCII."""
    return f'"{text_encoding.CEscape(text.encode(), as_utf8=False)}"'
