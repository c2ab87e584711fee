"""Counts and latencies under the names that TensorFlow Serving gives them, as Prometheus reads them.

TensorFlow's names begin with a colon and its counters do not end with `_total`, which prometheus_client's own types
would add; so the text is written here. What the process itself uses is prometheus_client's.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client import REGISTRY, generate_latest

_LATENCY = tuple(10 * 1.8**power for power in range(33))
_COUNTS = tuple(2.0**power for power in range(15))

Labels = tuple[str, ...]


@dataclass(eq=False)
class _Counter:
    name: str
    labels: Labels
    values: dict[Labels, float] = field(default_factory=dict[Labels, float])

    def lines(self) -> Iterator[str]:
        yield f"# TYPE {self.name} counter"
        for labels, value in sorted(self.values.items()):
            yield f"{self.name}{_braces(self.labels, labels)} {value:.17g}"


@dataclass(eq=False)
class _Histogram:
    name: str
    labels: Labels
    limits: tuple[float, ...]
    values: dict[Labels, list[float]] = field(default_factory=dict[Labels, list[float]])

    def observe(self, labels: Labels, value: float) -> None:
        # One number for each bucket, one for what is beyond them, and the sum.
        numbers = self.values.setdefault(labels, [0.0] * (len(self.limits) + 2))
        numbers[bisect_left(self.limits, value)] += 1
        numbers[-1] += value

    def lines(self) -> Iterator[str]:
        yield f"# TYPE {self.name} histogram"
        for labels, numbers in sorted(self.values.items()):
            count = 0
            for limit, number in zip((*map(_number, self.limits), "+Inf"), numbers, strict=False):
                count += int(number)
                yield f"{self.name}_bucket{_braces((*self.labels, 'le'), (*labels, limit))} {count}"
            yield f"{self.name}_sum{_braces(self.labels, labels)} {numbers[-1]:.17g}"
            yield f"{self.name}_count{_braces(self.labels, labels)} {count}"


class Metrics:
    """What a server has done so far; many threads may tell it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        serving = ":tensorflow:serving"
        saved_model = ":tensorflow:cc:saved_model"
        self._counters = {
            "request_count": _Counter(f"{serving}:request_count", ("model_name", "status")),
            "request_example_count_total": _Counter(f"{serving}:request_example_count_total", ("model",)),
            "load_attempt_count": _Counter(f"{saved_model}:load_attempt_count", ("model_path", "status")),
            "load_latency": _Counter(f"{saved_model}:load_latency", ("model_path",)),
        }
        self._histograms = {
            "request_latency": _Histogram(f"{serving}:request_latency", ("model_name", "API", "entrypoint"), _LATENCY),
            "runtime_latency": _Histogram(f"{serving}:runtime_latency", ("model_name", "API", "runtime"), _LATENCY),
            "model_warmup_latency": _Histogram(f"{serving}:model_warmup_latency", ("model_path", "status"), _LATENCY),
            "request_example_counts": _Histogram(f"{serving}:request_example_counts", ("model",), _COUNTS),
            "queuing_latency": _Histogram(
                f"{serving}:batching_session:queuing_latency", ("thread_pool_name",), _LATENCY
            ),
        }

    def count(self, name: str, *labels: str, by: float = 1) -> None:
        """Adds to a counter."""
        with self._lock:
            values = self._counters[name].values
            values[labels] = values.get(labels, 0) + by

    def observe(self, name: str, *labels: str, value: float) -> None:
        """Adds a value to a histogram; latencies are in microseconds."""
        with self._lock:
            self._histograms[name].observe(labels, value)

    def counts(self, name: str) -> Mapping[Labels, float]:
        """Returns the values of a counter by labels."""
        with self._lock:
            return dict(self._counters[name].values)

    def page(self) -> str:
        """Returns everything in Prometheus' text format."""
        with self._lock:
            lines = [
                line for family in (*self._counters.values(), *self._histograms.values()) for line in family.lines()
            ]
        return "\n".join(lines) + "\n" + generate_latest(REGISTRY).decode()


def _braces(names: Labels, values: Labels) -> str:
    escaped = (value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n") for value in values)
    return "{" + ",".join(f'{name}="{value}"' for name, value in zip(names, escaped, strict=True)) + "}"


def _number(value: float) -> str:
    return f"{value:.6g}"
