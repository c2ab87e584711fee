"""Joins sequences of about one length to batches, with bounded memory.

`beam.BatchElements` takes lengths into account only where it keeps state and sets a timer of real time
(`max_batch_duration_secs`; apache_beam 2.77 `transforms/util.py`), which the multi-process local runner does not know;
and without a pad value only equal lengths may join at all.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator
from typing import Any

import apache_beam as beam  # pyright: ignore[reportMissingImports]
from apache_beam.utils.windowed_value import WindowedValue  # pyright: ignore[reportMissingImports]

from seqship.serving.predictor import BATCH_SIZE
from seqship.serving.scoring.scoring_model import ScoringModel
from seqship.serving.server.joining import bucket
from seqship.serving.server.signatures import Feed

MOST_WAITING = 16 * BATCH_SIZE
"""Sequences that are sorted by length before they are cut into batches: the more, the less padding."""
MOST_VALUES = 1 << 22
"""Most values of one padded batch (16 MiB of float32), and, times 4, of those that wait."""

Record = tuple[Any, Feed]


class LengthBatches(beam.DoFn):  # pyright: ignore[reportUntypedBaseClass]
    """Takes (key, feed), gives lists of them that may be joined, in the window they came in."""

    def __init__(self, model: ScoringModel) -> None:
        super().__init__()
        self._rule = model.rule

    def start_bundle(self) -> None:
        self._waiting: defaultdict[Any, list[Record]] = defaultdict(list)
        self._count = self._values = 0

    def process(self, element: Any, window: Any = beam.DoFn.WindowParam) -> Iterator[Any]:
        self._waiting[window].append(element)
        self._count += 1
        self._values += _values(element[1])
        if self._count >= MOST_WAITING or self._values >= 4 * MOST_VALUES:
            yield from self._flush()

    def finish_bundle(self) -> Iterator[Any]:
        yield from self._flush()

    def _flush(self) -> Iterator[Any]:
        for window, records in self._waiting.items():
            for batch in self._batches(records):
                yield WindowedValue(batch, window.max_timestamp(), (window,))
        self.start_bundle()

    def _batches(self, records: list[Record]) -> Iterator[list[Record]]:
        if self._rule is None:
            yield from ([record] for record in records)
            return
        alike: defaultdict[Hashable, list[Record]] = defaultdict(list)
        for record in records:
            alike[bucket(self._rule, record[1])].append(record)
        for members in alike.values():
            members.sort(key=_record_values)
            start = 0
            for index, record in enumerate(members):  # The last of a batch is its longest.
                size = index - start
                if size and (size == BATCH_SIZE or (size + 1) * _values(record[1]) > MOST_VALUES):
                    yield members[start:index]
                    start = index
            yield members[start:]


def _record_values(record: Record) -> int:
    return _values(record[1])


def _values(feed: Feed) -> int:
    return sum(array.size for array in feed.values())
