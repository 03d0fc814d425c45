"""Keeps: traces that some alert matched, which the sampler keeps, and what became of them.

What matches spans marks their traces, at the stream time of the record (or, of a whole trace, at
the time that it was judged); the sampler asks before it decides, and says what it decided; this
table tells the groups whose evidence the trace is. Laws:

- A mark counts for the first decision made when it had been made, within `retention`: not for one
  of a trace that is forgotten and comes again, whether or not the first has been told by then.
  The marks of a whole batch may be made before the sampler sees it: one ahead is not there yet.
- A group is told of a trace when the interval is over in which that was decided, or in which later
  spans of it came and followed the decision: by then the group has been sent the spans themselves.
  What is told, and in which order, is a function of marks and decisions with their times; never of
  how records were cut into batches, of checkpoints or restarts.
- A mark is told of once, however often that group marked that trace before the decision.

In the store, after the table's prefix: `m` and a trace ID: its marks; `q`: what was decided and is
not told yet. Both are a byte of version and JSON. Memory: about 250 bytes a trace and 150 a mark.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any, Final, NamedTuple

import orjson

from tailrace.schemas.matches import (
    EvidenceBatch,
    Series,
    SignalId,
    TraceOutcome,
    encode_evidence,
    place,
)
from tailrace.schemas.records import Outbox, Output
from tailrace.tables.interval_sums import RollupTopic
from tailrace.tables.store import PartitionStore

_VERSION: Final = b"\x01"
_MARKS, _QUEUE = b"m", b"q"
_TRACE_ID_BYTES: Final = 16
_OUTCOME_BYTES: Final = 80
"""Of an outcome as bytes, beside its group."""


class _Mark(NamedTuple):
    at_ms: int
    signal: SignalId
    group: bytes


class Keeps:
    """The marked traces of one partition. *prefix* is this table's in *store*, one byte.

    It is false when there is nothing to ask it. Matches only `mark`; the rest is the sampler's.
    """

    def __init__(
        self, store: PartitionStore, prefix: bytes, retention_ms: int, topic: RollupTopic
    ) -> None:
        self._store = store
        self._prefix = prefix
        self._retention_ms = retention_ms
        self._topic = topic
        self._marks: dict[bytes, list[_Mark]] = {}
        self._changed: set[bytes] = set()
        # What was decided, by when and trace ID; a trace may be decided or late at many times.
        self._decided: dict[tuple[int, bytes], bool] = {}
        # By when the last of these was: marks up to there count for no other decision.
        self._used: dict[bytes, int] = {}
        self._stored_queue = b""
        self._sweep_at = 0

    def __len__(self) -> int:
        """The number of traces with marks that nobody was told of."""
        return len(self._marks)

    def mark(self, trace_id: bytes, at_ms: int, signal: SignalId, group: bytes) -> None:
        """Let *trace_id* be kept if it is decided at *at_ms* or later."""
        mark = _Mark(at_ms, signal, group)
        marks = self._marks.setdefault(trace_id, [])
        if mark not in marks[-1:]:
            marks.append(mark)
            self._changed.add(trace_id)

    def is_wanted(self, trace_id: bytes, by_ms: int) -> bool:
        """True if a mark of *trace_id* was made at *by_ms* or before, and not too long before."""
        oldest = max(by_ms - self._retention_ms, self._used.get(trace_id, -1) + 1)
        return any(oldest <= each.at_ms <= by_ms for each in self._marks.get(trace_id, ()))

    def decided(self, trace_id: bytes, at_ms: int, *, is_sampled: bool) -> None:
        """Hear that *trace_id* was decided at *at_ms*, or that late spans followed a decision."""
        if trace_id in self._marks:
            self._decided[at_ms, trace_id] = is_sampled
            self._used[trace_id] = at_ms

    def tell(self, now_ms: int, outbox: Outbox) -> None:
        """Send what was decided in intervals that are over at *now_ms*, in order."""
        if not self._decided:
            return
        interval_ms = self._topic.interval_ms
        begin = now_ms // interval_ms * interval_ms
        ready = sorted(each for each in self._decided if each[0] < begin)
        for interval, decisions in groupby(ready, lambda each: each[0] // interval_ms):
            outcomes = [
                outcome
                for at_ms, trace_id in decisions
                for outcome in self._taken(trace_id, at_ms, self._decided.pop((at_ms, trace_id)))
            ]
            self._send(outcomes, (interval + 1) * interval_ms, outbox)

    def _taken(self, trace_id: bytes, at_ms: int, is_sampled: bool) -> list[TraceOutcome]:
        """Return an outcome for each group that marked *trace_id* by *at_ms*; it is told then."""
        marks = self._marks.get(trace_id, [])
        oldest = at_ms - self._retention_ms
        told = {(each.signal, each.group) for each in marks if oldest <= each.at_ms <= at_ms}
        self._set(trace_id, [each for each in marks if each.at_ms > at_ms])
        if self._used.get(trace_id) == at_ms:
            del self._used[trace_id]
        return [TraceOutcome(*each, trace_id.hex(), is_sampled) for each in sorted(told)]

    def _set(self, trace_id: bytes, marks: list[_Mark]) -> None:
        if len(marks) == len(self._marks.get(trace_id, ())):
            return
        self._changed.add(trace_id)
        if marks:
            self._marks[trace_id] = marks
        else:
            del self._marks[trace_id]

    def _send(self, outcomes: Sequence[TraceOutcome], stamp: int, outbox: Outbox) -> None:
        topic = self._topic
        by_partition: defaultdict[int, list[TraceOutcome]] = defaultdict(list)
        for each in outcomes:
            key = Series(each.signal, each.group).encode()
            by_partition[place(key) % topic.partitions].append(each)
        for partition, mine in sorted(by_partition.items()):
            for part in _parts(mine, topic.record_bytes // 2):
                value = encode_evidence(EvidenceBatch((), part))
                outbox.send(topic.name, Output(None, value, stamp, (), partition))

    # Store

    def restore(self) -> None:
        """Read what the store has."""
        for key, value in self._store.scan(self._prefix + _MARKS):
            marks = [_Mark(at, _signal(text), group.encode()) for at, text, group in _loaded(value)]
            self._marks[key[-_TRACE_ID_BYTES:]] = marks
        self._stored_queue = self._store.get(self._prefix + _QUEUE) or b""
        if self._stored_queue:
            for at_ms, trace_id, is_sampled in _loaded(self._stored_queue):
                self._decided[at_ms, bytes.fromhex(trace_id)] = is_sampled
                self._used[bytes.fromhex(trace_id)] = at_ms

    def seal(self, now_ms: int) -> None:
        """Put into the store what changed, and forget marks that count no more at *now_ms*."""
        self._sweep(now_ms)
        for trace_id in self._changed:
            key = self._prefix + _MARKS + trace_id
            marks = self._marks.get(trace_id)
            if marks:
                self._store.put(key, _dumped(map(_cells, marks)))
            elif self._store.get(key) is not None:
                self._store.delete(key)
        self._changed = set()
        self._seal_queue()

    def _seal_queue(self) -> None:
        decided = sorted(self._decided.items())
        rows = ((at_ms, trace_id.hex(), is_sampled) for (at_ms, trace_id), is_sampled in decided)
        queue = _dumped(rows) if decided else b""
        if queue == self._stored_queue:
            return
        self._stored_queue = queue
        if queue:
            self._store.put(self._prefix + _QUEUE, queue)
        else:
            self._store.delete(self._prefix + _QUEUE)

    def _sweep(self, now_ms: int) -> None:
        if now_ms < self._sweep_at:
            return
        self._sweep_at = now_ms + self._retention_ms // 8
        # What was decided in the interval that is open may be told yet.
        oldest = now_ms - self._retention_ms - self._topic.interval_ms
        for trace_id, marks in list(self._marks.items()):
            self._set(trace_id, [each for each in marks if each.at_ms >= oldest])


def _parts(outcomes: Sequence[TraceOutcome], room: int) -> Iterator[list[TraceOutcome]]:
    """Yield *outcomes*, as many at a time as fit into *room*, or one."""
    part: list[TraceOutcome] = []
    size = 0
    for each in outcomes:
        own = _OUTCOME_BYTES + 2 * len(each.group)  # JSON within JSON has its quotes escaped
        if part and size + own > room:
            yield part
            part, size = [], 0
        part.append(each)
        size += own
    if part:
        yield part


def _cells(mark: _Mark) -> list[int | str]:
    return [mark.at_ms, (mark.signal.owner + mark.signal.counted).hex(), mark.group.decode()]


def _signal(text: str) -> SignalId:
    raw = bytes.fromhex(text)
    return SignalId(raw[:8], raw[8:])


def _dumped(rows: Iterable[Sequence[int | str]]) -> bytes:
    return _VERSION + orjson.dumps(list(rows))


def _loaded(value: bytes) -> list[Any]:
    if value[:1] != _VERSION:
        raise ValueError(
            f"marks of traces have state of version {value[0]}; this tailrace reads version "
            f"{_VERSION[0]}. Run the version that wrote it."
        )
    rows: list[Any] = orjson.loads(value[1:])
    return rows
