"""Validates a bundle in a real server, as TFX's InfraValidator does: it loads there, and answers as its proof says."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np

from seqship.errors import (
    BundleError,
    DataError,
    DeadlineError,
    DependencyError,
    ProofError,
    ServiceError,
    UnavailableError,
)
from seqship.export.bundle import MANIFEST, Bundle, read_bundle, sha256
from seqship.progress import Progress, silent
from seqship.serving.client.address import parse_address
from seqship.serving.client.client import Client
from seqship.serving.client.rest_codec import NoJsonFormError
from seqship.serving.deployment.blessing import write_blessing
from seqship.serving.deployment.pushing import push
from seqship.serving.validation.comparison import Tolerance, differences, tolerance_of
from seqship.serving.validation.questions import Question, asked, case_questions, warmup_questions
from seqship.serving.validation.server_process import ServerKind, ServerProcess, choose_server, started
from seqship.serving.validation.wrong_requests import wrong_requests

LOAD_SECONDS = 180.0
"""How long a server may take until it answers; a container may have to be fetched first."""
_CALL_SECONDS = 60.0
_MOST_FAILURES = 20


@dataclass(frozen=True)
class Validation:
    """What a validation found.

    Attributes:
        blessed: Whether the server loaded the bundle, and answered every question as it must.
        server: Its name, version, and the addresses that were asked.
        requests: How many warm-up requests were asked, over each API that has a form of them.
        cases: How many cases of the proof.
        failures: What went wrong, a line each.
        worst: The largest difference: its API, question and output, `max_abs`, and `severity` as a share of what is
            allowed; None where nothing was answered.
        latency_ms: For each API the median and the longest time of a call that was answered, in milliseconds, as this
            machine had it.
        memory_mb: Most memory that the server had resident; None where that is not known.
        left_out: Requests that were not made: an API has no form of them (MultiInference here, float16 in JSON).
        manifest_sha256: Digest of the manifest that was validated.
        created: When, in UTC.
    """

    blessed: bool
    server: Mapping[str, Any]
    requests: int
    cases: int
    failures: tuple[str, ...]
    worst: Mapping[str, Any] | None
    latency_ms: Mapping[str, Mapping[str, float]]
    memory_mb: float | None
    left_out: int
    manifest_sha256: str
    created: str

    def to_json(self) -> dict[str, Any]:
        """Returns the JSON form, which is the blessing's; of many failures it holds the first."""
        document = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return document | {"failures": list(self.failures[:_MOST_FAILURES]), "failed": len(self.failures)}


@dataclass
class _Findings:
    """What has been found so far."""

    failures: list[str] = field(default_factory=list[str])
    worst: tuple[float, dict[str, Any]] | None = None
    left_out: int = 0
    times: dict[str, list[float]] = field(default_factory=dict[str, list[float]])


def validate(
    path: str | os.PathLike[str],
    *,
    server: ServerKind | Literal["auto"] = "auto",
    addresses: Sequence[str] = (),
    load_seconds: float = LOAD_SECONDS,
    progress: Progress = silent,
) -> Validation:
    """Validates a bundle in a server, and writes what was found into it: its blessing, or that it has none.

    The bundle is pushed into a directory that is removed afterwards, and a server of its own is started there on free
    ports. It is asked, over REST and gRPC, every request of the bundle's warm-up file and every case of its proof. What
    comes back must be what the proof measured the exports by (the cases), or what the ONNX file computes here (the
    warm-up), by the tolerance of the proof. Then it is asked what is wrong, which it must refuse and survive.

    Args:
        path: The bundle.
        server: Which server: `tensorflow_model_server` of the PATH, that of TensorFlow Serving's container, or
            `seqship serve`. "auto" takes the first of them that is there.
        addresses: Addresses of a server that runs already, which is then asked instead; as `Client` takes them. The
            model is the bundle's name where an address names none.
        load_seconds: How long the server may take until it answers.
        progress: Told how far it is.

    Raises:
        BundleError: The path is no bundle, or one that there is nothing to validate with.
        TamperedError: A file of it is missing or changed.
        ProofError: Its own proof does not hold.
        DataError: An address is none.
        DependencyError: The server or a package is not there.
        OutputError: The blessing cannot be written.
    """
    bundle = read_bundle(path)
    digest = sha256(bundle.path / MANIFEST)
    if not bundle.equivalent:
        raise ProofError(f"{bundle.path} is not proven equivalent; see its report.html")
    (warmup, left_out), cases = warmup_questions(bundle), tuple(case_questions(bundle))
    tolerance = tolerance_of(bundle, cases)
    found = _Findings()
    with ExitStack() as ended:
        if addresses:
            clients = _clients(addresses, bundle.name, ended)
            told, process = {"name": "running", "version": "unknown", "addresses": list(addresses)}, None
            served = _is_served(clients, found)
        else:
            process = ended.enter_context(_own_server(bundle, server, progress))
            clients = _clients(process.addresses.values(), process.model, ended)
            told = {"name": process.kind, "version": process.version}
            served = _gets_ready(clients, process, load_seconds, found, progress)
        if served:
            _ask_all(clients, (*warmup, *cases), tolerance, process, found, progress)
        memory = None if process is None else process.memory_mb()
    validation = Validation(
        not found.failures,
        told,
        len(warmup),
        len(cases),
        tuple(found.failures),
        None if found.worst is None else found.worst[1],
        {
            api: {"median": round(statistics.median(times), 3), "longest": round(max(times), 3)}
            for api, times in found.times.items()
        },
        memory,
        found.left_out + left_out,
        digest,
        datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    )
    write_blessing(bundle.path, validation.to_json())
    return validation


@contextmanager
def _own_server(bundle: Bundle, server: ServerKind | Literal["auto"], progress: Progress) -> Generator[ServerProcess]:
    """Starts a server over what `seqship push` makes of the bundle."""
    kind = choose_server(server)
    if bundle.saved_model is None and kind != "seqship":
        raise BundleError(f"{bundle.path} holds no SavedModel, which {kind} needs; use --server seqship")
    with tempfile.TemporaryDirectory(prefix="seqship-validate-") as folder:
        Path(folder).chmod(0o755)  # A container's user reads it.
        root = Path(folder) / "versions"
        push(bundle.path, root, progress=progress)
        root.chmod(0o755)
        with started(kind, root, bundle.name, Path(folder) / "server.log") as process:
            yield process


def _clients(addresses: Iterable[str], model: str, ended: ExitStack) -> dict[str, Client]:
    clients: dict[str, Client] = {}
    for text in addresses:
        named = "/v1/models/" in text
        address = parse_address(text, model=None if named else model)
        api = "gRPC" if address.is_grpc else "REST"
        if api in clients:
            raise DataError(f"two addresses of the {api} API are given; give one, and one of the other API")
        clients[api] = ended.enter_context(Client(text, model=None if named else model, timeout=_CALL_SECONDS))
    return clients


def _is_served(clients: Mapping[str, Client], found: _Findings) -> bool:
    """Whether a server that runs already serves the model."""
    for api, client in clients.items():
        states = [one.state for one in client.status()]
        if "AVAILABLE" not in states:
            found.failures.append(f"{api}: no version is AVAILABLE: {', '.join(states) or 'there is none'}")
    return not found.failures


def _gets_ready(
    clients: Mapping[str, Client], process: ServerProcess, seconds: float, found: _Findings, progress: Progress
) -> bool:
    """Waits until every API of a server that was started says that the model is there."""
    until = time.monotonic() + seconds
    for api, client in clients.items():
        while not client.ready(timeout=5):
            progress("starting the server", 0, 1)
            if (code := process.process.poll()) is not None:
                if process.kind == "seqship" and code == 2:  # What it lacks is not the bundle's fault.
                    raise DependencyError(f"the server cannot be started: {process.last_words}")
                found.failures.append(f"the server ended with {code} before it answered: {process.last_words}")
                return False
            if time.monotonic() >= until:
                found.failures.append(
                    f"{api}: the model is not AVAILABLE after {seconds:g} s; the server said last: {process.last_words}"
                )
                return False
            time.sleep(0.1)
    return True


def _ask_all(
    clients: Mapping[str, Client],
    questions: Sequence[Question],
    tolerance: Tolerance,
    process: ServerProcess | None,
    found: _Findings,
    progress: Progress,
) -> None:
    total = len(questions) * len(clients)
    for number, (api, client, question) in enumerate(_each(clients, questions)):
        progress("asking the server", number, total)
        start = time.perf_counter()
        try:
            answer = asked(question, client)
        except NoJsonFormError:
            found.left_out += 1
            continue
        except DataError as error:  # The client holds the question to the signature that is served.
            found.failures.append(f"{api}: {question.name}: what is served is another model: {error}")
            continue
        except ServiceError as error:
            found.failures.append(f"{api}: {question.name}: {error}")
            if isinstance(error, UnavailableError | DeadlineError):  # Nor will it answer the others.
                if process is not None and (code := process.process.poll()) is not None:
                    found.failures.append(f"the server ended with {code}: {process.last_words}")
                return
            continue
        found.times.setdefault(api, []).append(1000 * (time.perf_counter() - start))
        for one in differences(answer, question, tolerance):
            if found.worst is None or one.severity > found.worst[0]:
                sizes = {"max_abs": _finite(one.max_abs), "severity": _finite(one.severity)}
                found.worst = (
                    one.severity,
                    {"api": api, "question": question.name, "output": one.output, **sizes},
                )
            if not one.severity <= 1:
                found.failures.append(f"{api}: {question.name}: {one.text}")
    progress("asking the server", total, total)
    if not found.times:
        found.failures.append("the server answered no question")
    for api, client in clients.items():
        found.failures += [f"{api}: {text}" for text in wrong_requests(client.address)]


def _each(clients: Mapping[str, Client], questions: Sequence[Question]) -> Iterator[tuple[str, Client, Question]]:
    for api, client in clients.items():
        for question in questions:
            yield api, client, question


def _finite(value: float) -> float | str:
    return value if np.isfinite(value) else "Infinity"
