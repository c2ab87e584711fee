"""Lets concurrent requests wait for each other, and runs those of one bucket as one batch."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np

from seqship.serving.server.joining import JoiningRule, bucket, join, row_count, rows_of, split
from seqship.serving.server.signatures import Feed, Outputs
from seqship.serving.server.status import Code, StatusError, invalid_argument
from seqship.wire.messages import Proto


def _ignore(micros: float) -> None:
    del micros


@dataclass(frozen=True)
class BatchSettings:
    """What `BatchingParameters` holds; the defaults are TensorFlow Serving's.

    Attributes:
        max_batch_size: Most rows of a batch.
        batch_timeout_micros: How long a request waits for others; 0 joins what has gathered while all threads worked.
        max_enqueued_batches: How many full batches may wait; a request beyond that is refused.
        num_batch_threads: How many batches of one version run at the same time.
        splits_large: Whether a request of more rows than a batch is cut into several; otherwise it is refused.
        observe: Told how long each request waited, in microseconds.
    """

    max_batch_size: int = 1000
    batch_timeout_micros: int = 0
    max_enqueued_batches: int = 10
    num_batch_threads: int = field(default_factory=lambda: os.cpu_count() or 1)
    splits_large: bool = True
    observe: Callable[[float], None] = _ignore


def batch_settings(parameters: Proto, observe: Callable[[float], None] = _ignore) -> BatchSettings:
    """Reads `BatchingParameters`.

    Raises:
        StatusError: A number is not positive.
    """
    given = {
        name: int(getattr(parameters, name).value)
        for name in ("max_batch_size", "batch_timeout_micros", "max_enqueued_batches", "num_batch_threads")
        if parameters.HasField(name)
    }
    for name, value in given.items():
        least = 0 if name == "batch_timeout_micros" else 1
        if value < least:
            raise invalid_argument(f"{name} must be {least} or more, it is {value}")
    splits = parameters.enable_large_batch_splitting.value if _is_set(parameters) else True
    return BatchSettings(**given, splits_large=splits, observe=observe)


def _is_set(parameters: Proto) -> bool:
    return bool(parameters.HasField("enable_large_batch_splitting"))


@dataclass(frozen=True, eq=False)
class _Task:
    feed: Feed
    rows: int
    enqueued: float
    answer: Future[Outputs] = field(default_factory=lambda: Future[Outputs]())


class BatchScheduler:
    """Runs the requests of one version of a model in batches, on threads of its own."""

    def __init__(self, compute: Callable[[Feed], Outputs], rule: JoiningRule, settings: BatchSettings) -> None:
        """Starts the threads.

        Args:
            compute: Runs the model; many threads may call it at once.
            rule: Which requests may be joined.
            settings: How long they wait, and how many may.
        """
        self._compute, self._rule, self._settings = compute, rule, settings
        self._queues: dict[Hashable, deque[_Task]] = {}
        self._waiting_rows = 0
        self._closed = False
        self._changed = threading.Condition()
        self._threads = [
            threading.Thread(target=self._work, name=f"batch-{number}", daemon=True)
            for number in range(settings.num_batch_threads)
        ]
        for thread in self._threads:
            thread.start()

    def run(self, feed: Feed, deadline: float | None) -> Outputs:
        """Returns the answer to one request, once the batch that it is part of has run.

        Args:
            feed: Inputs that keep the contract, of one row at least.
            deadline: Time on `time.monotonic`'s clock at which nobody waits any more.

        Raises:
            StatusError: The queue is full, the deadline has passed, or the model cannot take the inputs.
        """
        rows, most = row_count(self._rule, feed), self._settings.max_batch_size
        if rows <= most:
            return _wait(self._submit(feed, rows), deadline)
        if not self._settings.splits_large:
            raise invalid_argument(f"Task size {rows} is larger than maximum batch size {most}")
        parts: list[Outputs] = []
        for start in range(0, rows, most):
            part = rows_of(self._rule, feed, start, start + most)
            parts.append(_wait(self._submit(part, row_count(self._rule, part)), deadline))
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def close(self) -> None:
        """Answers what waits, and ends the threads."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _submit(self, feed: Feed, rows: int) -> _Task:
        task = _Task(feed, rows, time.monotonic())
        key = bucket(self._rule, feed)
        with self._changed:
            if self._closed:
                raise StatusError(Code.UNAVAILABLE, "The model is being unloaded; ask again")
            most = self._settings.max_enqueued_batches * self._settings.max_batch_size
            if self._waiting_rows + rows > most:
                raise StatusError(
                    Code.UNAVAILABLE, "The batch scheduling queue to which this task was submitted is full"
                )
            self._waiting_rows += rows
            self._queues.setdefault(key, deque()).append(task)
            self._changed.notify()
        return task

    def _work(self) -> None:
        while tasks := self._next_batch():
            now = time.monotonic()
            for task in tasks:
                self._settings.observe(1e6 * (now - task.enqueued))
            # Nobody waits for those that were given up.
            if claimed := [task for task in tasks if task.answer.set_running_or_notify_cancel()]:
                self._run_batch(claimed)

    def _next_batch(self) -> list[_Task]:
        """Waits for the batch whose first request came first; there is none once all is closed."""
        timeout = self._settings.batch_timeout_micros / 1e6
        with self._changed:
            while True:
                now = time.monotonic()
                ready: Hashable = None
                oldest, pause = None, None
                for key, queue in self._queues.items():
                    came = queue[0].enqueued
                    left = came + timeout - now
                    if left <= 0 or self._closed or self._is_full(queue):
                        if oldest is None or came < oldest:
                            ready, oldest = key, came
                    else:
                        pause = left if pause is None else min(pause, left)
                if oldest is not None:
                    return self._take(ready)
                if self._closed:
                    return []
                self._changed.wait(pause)

    def _is_full(self, queue: deque[_Task]) -> bool:
        rows = 0
        for task in queue:
            rows += task.rows
            if rows >= self._settings.max_batch_size:
                return True
        return False

    def _take(self, key: Hashable) -> list[_Task]:
        queue = self._queues[key]
        tasks = [queue.popleft()]
        rows = tasks[0].rows
        while queue and rows + queue[0].rows <= self._settings.max_batch_size:
            tasks.append(queue.popleft())
            rows += tasks[-1].rows
        if not queue:
            del self._queues[key]
        self._waiting_rows -= rows
        if self._queues:
            self._changed.notify()  # What is left may be ready for another thread.
        return tasks

    def _run_batch(self, tasks: list[_Task]) -> None:
        feeds = [task.feed for task in tasks]
        try:
            answers = split(self._rule, feeds, self._compute(join(self._rule, feeds)))
        except Exception as error:  # Whatever it is, the one who asked is told it.
            if len(tasks) == 1:
                tasks[0].answer.set_exception(error)
                return
            # One request of many is wrong: the others shall not bear its error.
            for task in tasks:
                self._run_batch([task])
            return
        for task, answer in zip(tasks, answers, strict=True):
            task.answer.set_result(answer)


def _wait(task: _Task, deadline: float | None) -> Outputs:
    try:
        return task.answer.result(None if deadline is None else max(deadline - time.monotonic(), 0))
    except TimeoutError:
        task.answer.cancel()
        raise StatusError(Code.DEADLINE_EXCEEDED, "The deadline passed while the request waited or ran") from None
