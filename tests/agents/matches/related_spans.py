"""Spans of letters: one is of the filter `{name: a}` if it has the letter a; and how they run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from tailrace.agents.matches.relations import Found, Observed, Relations
from tailrace.schemas.definitions.filters import SpanFilter, TraceFilter
from tailrace.schemas.definitions.signals import Signal
from tailrace.schemas.matches import SignalId, encode_group
from tailrace.schemas.records import Totals
from tailrace.tables.store import MemoryDisk, PartitionStore

BEGIN_MS = 1_700_000_000_000
WAIT_MS = 1000


@dataclass(frozen=True)
class Span:
    """A span by small words; `letters` are the filters that it is of."""

    trace: str
    id: str
    parent: str = ""
    letters: str = ""
    start: int = 0
    end: int = 1

    @property
    def service(self) -> str:
        return f"service-{self.id}"

    def group(self, fields: tuple[str, ...]) -> bytes:
        return encode_group([f"{field} of {self.id}" for field in fields])


class Record(NamedTuple):
    """Time goes on by *ms*, then these spans come."""

    ms: int
    spans: tuple[Span, ...] = ()


class Seen(NamedTuple):
    """What was found, in small words; `at` is stream time in ms since the first record's."""

    at: int
    signal: str
    group: bytes
    end: int
    events: int
    matches: int
    span: str


def of(text: str) -> SpanFilter:
    """The filter of a letter, and of its parent's: "a", "a<b" (a whose parent is b)."""
    own, _, parent = text.partition("<")
    said: dict[str, Any] = {"name": own} if own else {}
    if parent:
        said["parent"] = {"name": parent}
    return SpanFilter.model_validate(said)


def signal(
    name: str,
    matched: str | None = None,
    of_: str | None = None,
    trace: dict[str, Any] | None = None,
    window_ms: int | None = None,
    group_by: tuple[str, ...] = (),
) -> Signal:
    """A signal; with a window it counts distinct traces."""
    return Signal(
        SignalId(name.encode().ljust(8), b"1234"),
        of=None if of_ is None else of(of_),
        matched=None if matched is None else of(matched),
        trace=None if trace is None else TraceFilter.model_validate(trace),
        counts_traces=window_ms is not None,
        window_ms=window_ms or 0,
        group_by=group_by,
    )


def name_of(signal: Signal) -> str:
    return signal.id.owner.decode().strip()


def trace_id(name: str) -> bytes:
    return name.encode().rjust(16, b"-")


def span_id(name: str) -> bytes:
    return name.encode().rjust(8, b"-") if name else b""


def observed(relations: Relations, span: Span) -> Observed:
    """What a caller hands over for *span*."""
    filters = sum(
        1 << bit
        for bit, each in enumerate(relations.filters)
        if each.name is None or each.name.eq in span.letters
    )
    group: Callable[[int], bytes] = lambda number: span.group(relations.groupings[number])  # noqa: E731
    return Observed(
        trace_id(span.trace), span_id(span.id), span_id(span.parent), span.start, span.end,
        not span.parent, span.service, f"name-{span.id}", filters, group,
    )  # fmt: skip


class Partition:
    """Relations over a disk, as a Logic uses them."""

    def __init__(self, signals: Sequence[Signal], **bounds: int) -> None:
        self._signals, self._bounds = tuple(signals), bounds
        self._disk = MemoryDisk()
        self.now = BEGIN_MS
        self.totals = Totals()
        self.seen: list[Seen] = []
        self._open()

    def _open(self) -> None:
        self.store = PartitionStore(self._disk)
        self._build()

    def _build(self) -> None:
        self.relations = Relations(self._signals, self.store, WAIT_MS, **self._bounds)
        self.relations.restore(self.now)

    def change(self, signals: Sequence[Signal]) -> None:
        """Go by *signals* from now on."""
        self.relations.seal()
        self._signals = tuple(signals)
        self._build()

    def take(self, record: Record, cut: int | None = None) -> None:
        """Let *record* come; its spans in two calls if *cut* says so."""
        self.now += record.ms
        if not record.spans:
            self._note(self.relations.advance(self.now, self.totals))
            return
        given = [
            each
            for each in (observed(self.relations, span) for span in record.spans)
            if each.filters or self.relations.needs_every_span
        ]
        for part in [given] if cut is None else [given[:cut], given[cut:]]:
            self._note(self.relations.observe(self.now, part, self.totals))

    def _note(self, found: Sequence[Found]) -> None:
        at = self.now - BEGIN_MS
        self.seen += [
            Seen(
                at, name_of(each.signal), each.group, each.end_ns, each.events, each.matches,
                each.span.span_id.decode().strip("-"),
            )
            for each in found
        ]  # fmt: skip

    def checkpoint(self) -> None:
        self.relations.seal()
        self.store.begin_checkpoint()
        self.store.finish_checkpoint(0)

    def restart(self) -> None:
        """A new process takes over from the last checkpoint."""
        self._open()

    @property
    def stored_bytes(self) -> int:
        return self._disk.bytes


def after(records: Sequence[Record], signals: Sequence[Signal], **bounds: int) -> Partition:
    """A partition that has seen *records*, in one life."""
    partition = Partition(signals, **bounds)
    for record in records:
        partition.take(record)
    return partition


def after_deaths(
    records: Sequence[Record], events: Sequence[str], signals: Sequence[Signal], **bounds: int
) -> Partition:
    """The same with an event after each record: "", "checkpoint" or "death"."""
    partition = Partition(signals, **bounds)
    committed, index, spent = (0, BEGIN_MS, list[Seen](), Totals()), 0, set[int]()
    while index < len(records):
        partition.take(records[index], cut=index % 3)
        event = events[index] if index < len(events) else ""
        index += 1
        if event == "checkpoint":
            partition.checkpoint()
            totals = replace(partition.totals, counts=dict(partition.totals.counts))
            committed = (index, partition.now, list(partition.seen), totals)
        elif event == "death" and index not in spent:
            spent.add(index)
            index, partition.now, seen, totals = committed
            partition.seen = list(seen)
            partition.totals = replace(totals, counts=dict(totals.counts))
            partition.restart()
    return partition
