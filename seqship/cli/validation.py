"""The command that validates a bundle in a server."""

from __future__ import annotations

import enum
from typing import Annotated

import typer

from seqship.cli.options import BundlePath, Json
from seqship.cli.printing import print_json
from seqship.terminal import progress_bar, table

SHOWN_FAILURES = 20


class ServerChoice(enum.StrEnum):
    """Which server a bundle is validated in."""

    AUTO = "auto"
    TENSORFLOW = "tensorflow_model_server"
    DOCKER = "docker"
    SEQSHIP = "seqship"


def validate_command(
    bundle: BundlePath,
    server: Annotated[
        ServerChoice, typer.Option("--server", help="auto takes the first that is there, in this order.")
    ] = ServerChoice.AUTO,
    urls: Annotated[
        list[str] | None,
        typer.Option("--url", metavar="URL", help="Ask a server that runs: http://.. or grpc://..; one of each."),
    ] = None,
    load_seconds: Annotated[
        float, typer.Option("--load-seconds", metavar="S", help="How long the server may take until it answers.")
    ] = 180.0,
    as_json: Json = False,
) -> None:
    """Serves a bundle, asks its warm-up and its proof's cases over REST and gRPC, and blesses it if all is right.

    Example:  seqship validate bundles/ecg-gru
    """
    from seqship.serving.validation import validate

    with progress_bar() as progress:
        found = validate(
            bundle, server=server.value, addresses=urls or (), load_seconds=load_seconds, progress=progress
        )
    if as_json:
        print_json(found.to_json())
    else:
        latency = (f"{api} {times['median']:.2f} ms" for api, times in found.latency_ms.items())
        apis, worst = " and ".join(found.latency_ms) or "no API", found.worst
        rows = [
            ("server", " ".join([found.server["name"], found.server["version"], *found.server.get("addresses", ())])),
            (
                "asked",
                f"{_counted(found.requests, 'warm-up request')} and {_counted(found.cases, 'case')}, over {apis}",
            ),
        ]
        if worst is not None:
            where = f"{worst['api']}, {worst['question']}, {worst['output']}"
            size = worst["max_abs"]
            rows.append(("worst", f"{size if isinstance(size, str) else f'{size:.2g}'}, at {where}"))
        if found.left_out:
            rows.append(("left out", f"{found.left_out} requests that an API has no form of"))
        if found.latency_ms:
            rows.append(("latency", f"{', '.join(latency)} (median)"))
        if found.memory_mb is not None:
            rows.append(("memory", f"{found.memory_mb:,.0f} MB at most"))
        rows.append(
            ("verdict", "blessed" if found.blessed else f"not blessed: {_counted(len(found.failures), 'failure')}")
        )
        table(rows)
        for line in found.failures[:SHOWN_FAILURES]:
            print(f"  {line}")
        if len(found.failures) > SHOWN_FAILURES:
            print(f"  and {len(found.failures) - SHOWN_FAILURES} more")
    if not found.blessed:
        raise typer.Exit(1)


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
