"""Loads a version as the options say: its settings, its warm-up, and what is told of it."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

from seqship.serving.server.batch_scheduler import BatchSettings, batch_settings
from seqship.serving.server.inference import Called
from seqship.serving.server.metrics import Metrics
from seqship.serving.server.servable import LoadSettings, Servable, load_servable
from seqship.serving.server.warmup import warm_up
from seqship.wire.config_text import read_text
from seqship.wire.messages import BatchingParameters

BATCHING_FILE = "batching_params.pbtxt"
"""Where TensorFlow Serving looks for a version's own parameters, in its directory."""


@dataclass(frozen=True, eq=False)
class Loader:
    """Loads versions.

    Attributes:
        settings: How they are loaded.
        metrics: Told how long it took.
        warms_up: Whether the requests that a model brings are replayed.
        iterations: How often each of them is.
        reads_own_batching: Whether a version's own batching parameters win.
    """

    settings: LoadSettings
    metrics: Metrics
    warms_up: bool = True
    iterations: int = 1
    reads_own_batching: bool = False

    def load(self, name: str, version: int, directory: Path) -> Servable:
        """Loads a version and warms it up.

        Raises:
            SeqshipError: It cannot be loaded.
            StatusError: A request of its warm-up fails.
        """
        start = time.monotonic()
        try:
            servable = load_servable(directory, self._settings_of(directory))
        except Exception:  # Counted, and raised again.
            self.metrics.count("load_attempt_count", str(directory), "fail")
            raise
        if self.warms_up:
            try:
                warm_up(Called(name, version, servable, metrics=self.metrics), max(self.iterations, 1))
            except Exception:  # Closed and counted, and raised again.
                self.metrics.count("load_attempt_count", str(directory), "fail")
                servable.close()
                raise
        self.metrics.count("load_attempt_count", str(directory), "success")
        self.metrics.count("load_latency", str(directory), by=1e6 * (time.monotonic() - start))
        return servable

    def _settings_of(self, directory: Path) -> LoadSettings:
        batching, file = self.settings.batching, directory / BATCHING_FILE
        if batching is None or not self.reads_own_batching or not file.is_file():
            return self.settings
        own = batch_settings(read_text(file, BatchingParameters), batching.observe)
        # The threads are the server's to give.
        return replace(self.settings, batching=replace(own, num_batch_threads=batching.num_batch_threads))


def batching_of(parameters_file: str, metrics: Metrics) -> BatchSettings:
    """Reads the batching parameters of a server; TensorFlow Serving's defaults where no file is given.

    Raises:
        DataError: The file cannot be read.
        StatusError: A number in it is not positive.
    """
    parameters = read_text(Path(parameters_file), BatchingParameters) if parameters_file else BatchingParameters()
    pool = parameters.thread_pool_name.value or "model_server_batch_threads"
    return batch_settings(parameters, lambda micros: metrics.observe("queuing_latency", pool, value=micros))
