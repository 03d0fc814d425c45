"""What tasks wrote into one partition: in any order, by tasks that died or had nothing to do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import cycle, zip_longest

from hypothesis import strategies as st

from tailrace.schemas.records import Output
from tailrace.streams.batch import Batch
from tailrace.tables.store import MemoryDisk, PartitionStore
from tests.streams.deaths import EVENTS, FAR, TOPIC, Build, Row
from tests.streams.memory_log import MemoryLog

Log = list[Row]

TURNS = st.lists(st.integers(0, 5), min_size=1, max_size=40) | st.lists(
    st.integers(0, 5), min_size=12, max_size=12
)
"""Whose turn it is to write, again and again."""


RESTS = st.lists(st.sampled_from([0, 0, 1, 900, 5000]), max_size=8)
"""For how long (ms) a partition has nothing to say after each of its records."""


def lives(records: int) -> st.SearchStrategy[list[object]]:
    """What happens before some of so many records."""
    events = st.dictionaries(st.integers(0, records - 1), EVENTS, max_size=6)
    return events.map(lambda at: [at.get(number, "") for number in range(records)])


def rested(build: Build, records: Sequence[Row], rests: Sequence[int], end: int) -> MemoryLog:
    """What a task commits that falls idle for `rests[n]` after record n, and at *end*."""
    task = build(PartitionStore(MemoryDisk()))
    for row, rest in zip_longest(records, rests[: len(records)], fillvalue=0):
        assert isinstance(row, Row)
        assert task.process(Batch(TOPIC, 0, row.offset, row.offset + 1, [row]), FAR)
        task.advance(task.stream_time + rest)
    task.advance(end)
    assert task.problems() == []
    outputs = task.snapshot().outputs
    return MemoryLog([(topic, output) for topic, rows in outputs.items() for output in rows])


def interleaved(
    writers: Iterable[MemoryLog], topic: str, partition: int, turns: Sequence[int]
) -> Log:
    """The log of *partition* of *topic* when *writers* take *turns*, each in its own order."""
    queues = [
        [
            output
            for name, output in writer.committed
            if (name, output.partition) == (topic, partition)
        ]
        for writer in writers
    ]
    written: list[Output] = []
    for turn in cycle(turns):
        left = [queue for queue in queues if queue]
        if not left:
            break
        written.append(left[turn % len(left)].pop(0))
    return [
        Row(offset, output.timestamp, output.key, output.value, tuple(output.headers))
        for offset, output in enumerate(written)
    ]
