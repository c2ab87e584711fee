"""Which runner runs a pipeline, and the options that it is given."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

from apache_beam.options.pipeline_options import (  # pyright: ignore[reportMissingImports]
    DirectOptions,
    PipelineOptions,
)
from apache_beam.options.pipeline_options_validator import (  # pyright: ignore[reportMissingImports]
    PipelineOptionsValidator,
)

from seqship.errors import DataError, DependencyError
from seqship.serving.scoring.local_workers import worker_command

DIRECT = "DirectRunner"


def pipeline_options(flags: Sequence[str], *, runner: str) -> Any:
    """Returns Beam's options.

    Args:
        flags: Its own flags, as its command line takes them.
        runner: Name of the runner; those of a cluster have options that only their job server knows.

    Raises:
        DataError: A flag is unknown, or cannot be parsed.
    """
    for flag in flags[:1]:
        if not flag.startswith("--"):
            raise DataError(
                f"unexpected argument {flag!r}; put a pattern of several files in quotes, as 'part-*.jsonl'"
            )
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), _discarded() as discarded:
            options = PipelineOptions(list(flags))
            options.get_all_options()
    except SystemExit:  # argparse ends the process.
        text = said.getvalue().strip().rpartition("error: ")[2]
        raise DataError(f"an option for Beam is wrong: {' '.join(text.split())}") from None
    if discarded and runner == DIRECT:
        raise DataError(f"Beam has no option {discarded[0]!r} for the {DIRECT}; leave it out")
    return options


@contextlib.contextmanager
def _discarded() -> Generator[list[str]]:
    """Yields what Beam discards of its flags, which it says in its log alone (2.77 `options/pipeline_options.py`)."""
    found: list[str] = []

    def note(record: logging.LogRecord) -> bool:
        if record.msg == "Discarding unparseable args: %s":
            (flags,) = record.args if isinstance(record.args, tuple) else ((),)
            found.extend(map(str, flags if isinstance(flags, list) else ()))
        return True

    logger = logging.getLogger("apache_beam.options.pipeline_options")
    before = logger.level
    logger.setLevel(logging.WARNING)
    logger.addFilter(note)
    try:
        yield found
    finally:
        logger.removeFilter(note)
        logger.setLevel(before)


def runner_for(name: str, options: Any, *, workers: int, lock: Path) -> Any:
    """Returns a runner.

    Beam's `DirectRunner` would first look for the Prism runner, and download its binary where there is none
    (apache_beam 2.77 `runners/direct/direct_runner.py`, `runners/portability/prism_runner.py`); what it falls back to
    is taken at once.

    Args:
        name: Its name, or the full name of its class.
        options: Beam's options.
        workers: Processes of the local runner.
        lock: What these live as long as.

    Raises:
        DataError: There is no runner of that name, or it lacks options that it needs.
        DependencyError: It needs a package that is not installed.
    """
    from apache_beam.runners import create_runner  # pyright: ignore[reportMissingImports]

    if name == DIRECT:
        return _local_runner(options, workers, lock)
    try:
        runner = create_runner(name)
    except ModuleNotFoundError as error:
        if name.startswith(error.name or name):
            raise DataError(
                f"Beam has no runner {name!r}; DirectRunner, FlinkRunner and DataflowRunner are some"
            ) from None
        raise DependencyError(f"the {name} needs {error.name}; install Beam's extra for it") from None
    except ImportError as error:
        raise DependencyError(f"the {name} cannot be loaded: {' '.join(str(error).split())}") from None
    except (ValueError, AttributeError):
        raise DataError(f"Beam has no runner {name!r}; DirectRunner, FlinkRunner and DataflowRunner are some") from None
    if wrong := PipelineOptionsValidator(options, runner).validate():
        raise DataError(f"the {name} takes other options, behind --: {'; '.join(one.rstrip('.') for one in wrong)}")
    return runner


def _local_runner(options: Any, workers: int, lock: Path) -> Any:
    from apache_beam.portability.api import beam_provision_api_pb2  # pyright: ignore[reportMissingImports]
    from apache_beam.runners.portability.fn_api_runner import fn_runner  # pyright: ignore[reportMissingImports]
    from apache_beam.runners.portability.portable_runner import (  # pyright: ignore[reportMissingImports]
        JobServiceHandle,
    )
    from apache_beam.transforms.environments import (  # pyright: ignore[reportMissingImports]
        SubprocessSDKEnvironment,
    )

    # As DirectRunner does: the processes know the options of the filesystems by this.
    encoded = JobServiceHandle.encode_pipeline_options(options.get_all_options())
    information = beam_provision_api_pb2.ProvisionInfo(pipeline_options=encoded)
    environment = None
    if workers > 1:
        options.view_as(DirectOptions).direct_num_workers = workers
        environment = SubprocessSDKEnvironment.from_command_string(worker_command(lock))
    return fn_runner.FnApiRunner(environment, provision_info=fn_runner.ExtendedProvisionInfo(information))
