"""One version of a model, loaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seqship.errors import BundleError, ProofError
from seqship.export.bundle import ONNX_FILE, read_bundle, read_contract
from seqship.pipelines.spec import Field
from seqship.serving.server.batch_scheduler import BatchScheduler, BatchSettings
from seqship.serving.server.derived_signatures import derive_signatures
from seqship.serving.server.feeds import batch_size, checked_feed, empty_outputs, refuse_non_finite
from seqship.serving.server.joining import JoiningRule, find_joining_rule
from seqship.serving.server.layout import Kind, kind_of, refuse_links_out
from seqship.serving.server.onnx_backend import open_session, session_run
from seqship.serving.server.signatures import Feed, Outputs, Run, Signature, named
from seqship.wire.prediction_log import WARMUP_FILE


@dataclass(frozen=True)
class LoadSettings:
    """How versions are loaded.

    Attributes:
        threads: Threads of one call of the runtime.
        batching: How concurrent requests are joined; None where each runs on its own.
        allow_unproven: Whether a bundle is served whose runtimes were not proven to compute the same.
        follow_links_out: Whether a version may be reached by links out of its base path.
    """

    threads: int = 1
    batching: BatchSettings | None = None
    allow_unproven: bool = False
    follow_links_out: bool = False


@dataclass(frozen=True, eq=False)
class Servable:
    """A version that can be called by many threads at once.

    Attributes:
        path: The version's directory.
        runtime: "onnx" or "saved_model".
        signatures: Its signatures by name.
        warmup_file: Requests to replay before it serves; None where there are none.
        joining: How its requests are joined; None without batching.
        close: Gives back what it holds; nothing may call it any more.
    """

    path: Path
    runtime: str
    signatures: Mapping[str, Signature]
    warmup_file: Path | None
    joining: JoiningRule | None
    close: Callable[[], None]


def load_servable(directory: Path, settings: LoadSettings) -> Servable:
    """Loads the version in a directory: a bundle, an ONNX file that seqship wrote, or a SavedModel.

    Raises:
        SeqshipError: There is none that can be loaded; one line says why.
    """
    if not settings.follow_links_out:
        refuse_links_out(directory)
    kind = kind_of(directory)
    if kind is None:
        raise BundleError(
            f"{directory} holds no model: it needs the files of a bundle, a {ONNX_FILE} or a saved_model.pb"
        )
    if kind is Kind.SAVED_MODEL:
        return _from_saved_model(directory, directory, settings)
    if kind is Kind.ONNX:
        session = open_session(directory / ONNX_FILE, threads=settings.threads)
        found = session.get_modelmeta().custom_metadata_map
        inputs, outputs = read_contract(found, directory / ONNX_FILE, instead="serve a bundle of seqship export")
        return _from_session(directory, directory, session, inputs, outputs, settings)
    bundle = read_bundle(directory)
    if not bundle.equivalent and not settings.allow_unproven:
        raise ProofError(f"{directory} is not proven equivalent; see its report.html, or add --allow_unproven=true")
    if bundle.onnx is None:
        if bundle.saved_model is None:
            raise BundleError(f"{directory} holds neither {ONNX_FILE} nor a SavedModel; export it again")
        return _from_saved_model(directory, bundle.saved_model, settings)
    session = open_session(bundle.onnx, threads=settings.threads)
    return _from_session(
        directory,
        bundle.saved_model or directory,
        session,
        bundle.inputs,
        bundle.outputs,
        settings,
        vectorizer=bundle.vectorizer(),
        only=tuple(bundle.manifest.get("signatures") or ()),
    )


def call(signature: Signature, feed: Feed, deadline: float | None = None) -> Outputs:
    """Runs a signature on arrays that a client sent.

    Args:
        signature: What is called.
        feed: An array for each input of the signature, by name.
        deadline: Time on `time.monotonic`'s clock at which nobody waits any more.

    Raises:
        StatusError: The arrays break the contract, or the model cannot take them.
    """
    checked = checked_feed(signature, feed)
    if batch_size(signature, checked) == 0:
        return empty_outputs(signature, checked)
    return signature.run(checked, deadline)


def _from_session(
    directory: Path,
    saved_model: Path,
    session: Any,
    inputs: tuple[Field, ...],
    outputs: tuple[Field, ...],
    settings: LoadSettings,
    **derived: Any,
) -> Servable:
    compute = session_run(session)
    compute_joined, joining, close = _joined(compute, inputs, outputs, settings)

    def run(feed: Feed, deadline: float | None) -> Outputs:
        refuse_non_finite(feed)
        return compute_joined(feed, deadline)

    found = derive_signatures(inputs, outputs, run, **derived)
    return Servable(directory, "onnx", named(found), _warmup(saved_model), joining, close)


def _joined(
    compute: Callable[[Feed], Outputs], inputs: tuple[Field, ...], outputs: tuple[Field, ...], settings: LoadSettings
) -> tuple[Run, JoiningRule | None, Callable[[], None]]:
    """All signatures of a model are one graph: requests of different signatures join, too."""
    rule = None if settings.batching is None else find_joining_rule(inputs, outputs, compute)
    if settings.batching is None or rule is None:
        return (lambda feed, _: compute(feed)), None, lambda: None
    scheduler = BatchScheduler(compute, rule, settings.batching)
    return scheduler.run, rule, scheduler.close


def _from_saved_model(directory: Path, saved_model: Path, settings: LoadSettings) -> Servable:
    from seqship.serving.server.saved_model_backend import saved_model_signatures

    found = saved_model_signatures(saved_model, threads=settings.threads)
    return Servable(directory, "saved_model", named(found), _warmup(saved_model), None, lambda: None)


def _warmup(saved_model: Path) -> Path | None:
    file = saved_model / WARMUP_FILE
    return file if file.is_file() else None
