"""One partition of alerts as a test drives it: seconds of matches in, alert events out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from tailrace.agents.alerts.logic import AlertsLogic, AlertsSettings
from tailrace.schemas.alert_events import AlertEvent, EvidenceSpan, decode
from tailrace.schemas.definitions import Definition, Definitions
from tailrace.schemas.definitions.alert import AlertSpec
from tailrace.schemas.definitions.definition import ALERT, SLO, DefinitionKey
from tailrace.schemas.definitions.signals import signals
from tailrace.schemas.definitions.slo import SloSpec
from tailrace.schemas.matches import (
    Evidence,
    EvidenceBatch,
    MatchCounts,
    RollupRecord,
    Series,
    SignalId,
    TraceOutcome,
    encode_group,
    match_counts,
)
from tailrace.schemas.records import Arrivals, Outbox, Output, Totals
from tailrace.tables.store import MemoryDisk, PartitionStore

TOPIC = "tailrace.alerts"
BEGIN = 1_700_000_000
"""The second at which tests begin."""
BAD = {"status": "error"}


def alert(name: str = "errors", tenant: str = "default", **spec: Any) -> Definition[Any]:
    """An alert; unless *spec* says other, on one bad span in ten seconds."""
    defaults = {} if {"trace", "formula"} & spec.keys() else {"where": BAD}
    said = {**defaults, "within": "10s", "when": ">= 1", **spec}
    return Definition(DefinitionKey(ALERT, tenant, name), {}, {}, AlertSpec.model_validate(said), 1)


def slo(name: str = "good", tenant: str = "default", **spec: Any) -> Definition[Any]:
    """An SLO; unless *spec* says other, of 99.9 % of all spans, evaluated every second."""
    said = {"sli": {"availability": {"of": {}}}, "objective": 99.9, "every": "1s", **spec}
    return Definition(DefinitionKey(SLO, tenant, name), {}, {}, SloSpec.model_validate(said), 1)


def signal(of: Definition[Any], operand: str = "") -> SignalId:
    """The signal of that operand."""
    return signals(of)[operand].id


class Row(NamedTuple):
    """What one second of event time had of one group, from BEGIN on."""

    second: int
    all: int
    matched: int
    group: tuple[str, ...] = ()
    operand: str = ""


def rollup(of: Definition[Any], rows: Sequence[Row]) -> MatchCounts:
    """*rows* of *of* as a record has them."""
    ids = {operand: each.id for operand, each in signals(of).items()}
    return match_counts(
        0,
        1000,
        [
            (
                Series(ids[row.operand], encode_group(row.group)),
                BEGIN + row.second,
                row.all,
                row.matched,
            )
            for row in rows
        ],
    )


@dataclass(frozen=True)
class Arrived:
    """A record that was made up; the logic looks at what was decoded only."""

    offset: int = 0
    timestamp: int = 0
    key: bytes | None = None
    value: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()


class AlertPartition:
    """A logic on a disk that outlives it. Seconds count from BEGIN."""

    def __init__(
        self,
        *definitions: Definition[Any],
        partitions: int = 1,
        rollups: tuple[int, int] = (0, 1),
    ) -> None:
        self._settings = AlertsSettings(TOPIC, partitions, rollups=rollups)
        self._disk = MemoryDisk()
        self._known = Definitions.of_all(definitions)
        self._now = BEGIN * 1000
        self.outbox = Outbox()
        self.totals = Totals()
        self._begin()

    def _begin(self) -> None:
        self.store = PartitionStore(self._disk)
        self.logic = AlertsLogic(self._settings, self.store)
        self.logic.restore(self._now)
        self.logic.inform(self._known, self.outbox, self.totals)

    def begin_at(self, second: int) -> None:
        """Let it be *second*, before anything came."""
        self._now = (BEGIN + second) * 1000

    def checkpoint(self) -> dict[bytes, bytes | None]:
        """What a checkpoint writes, which then is on the disk."""
        self.logic.before_checkpoint()
        assert self.logic.problems(self.totals) == []
        written = dict(self.store.begin_checkpoint())
        self.store.finish_checkpoint(0)
        return written

    def restart(self, *definitions: Definition[Any]) -> None:
        """Go on as a new process, that goes by *definitions* if there are any."""
        self.checkpoint()
        if definitions:
            self._known = Definitions.of_all(definitions)
        # As a process reads them: nothing of what was made of the old ones is there any more.
        self._known = Definitions.of_all(map(replace, self._known.by_key.values()))
        self._begin()

    def inform(self, *definitions: Definition[Any]) -> None:
        """Go by *definitions* and no others."""
        self._known = Definitions.of_all(definitions)
        self.logic.inform(self._known, self.outbox, self.totals)

    def process(self, second: int, *records: RollupRecord) -> None:
        """Let *records* come, the last of which says that it is *second*."""
        now = (BEGIN + second) * 1000
        times = [self._now] * (len(records) - 1) + [now] * bool(records)
        arrived = [Arrived(timestamp=time) for time in times]
        self.logic.process(Arrivals(arrived, times, records), self.outbox, self.totals)
        self._now = now

    def count(self, of: Definition[Any], *rows: Row, at: int | None = None) -> None:
        """Let *rows* come when the last of their seconds is over, or *at*."""
        over = max(row.second for row in rows) + 1 if at is None else at
        self.process(over, rollup(of, rows))

    def show(self, of: Definition[Any], *spans: EvidenceSpan, group: tuple[str, ...] = ()) -> None:
        """Let evidence come, before the sums that it is of."""
        batch = [Evidence(signal(of), encode_group(group), span) for span in spans]
        self.process(self._now // 1000 - BEGIN, EvidenceBatch(batch, []))

    def decide(
        self, of: Definition[Any], trace_id: str, *, is_sampled: bool, group: tuple[str, ...] = ()
    ) -> None:
        """Let it be known what became of a trace."""
        outcome = TraceOutcome(signal(of), encode_group(group), trace_id, is_sampled)
        self.process(self._now // 1000 - BEGIN, EvidenceBatch([], [outcome]))

    def advance(self, second: int) -> None:
        """Nothing comes until *second*."""
        self._now = (BEGIN + second) * 1000
        self.logic.advance(self._now, self.outbox, self.totals)

    @property
    def outputs(self) -> list[Output]:
        """All that was sent."""
        return self.outbox.topics.get(TOPIC, [])

    @property
    def events(self) -> list[AlertEvent]:
        """All that was told."""
        return [decode(output.value) for output in self.outputs]

    def told(self) -> list[tuple[str, int]]:
        """The status and the second of every event but refreshments."""
        return changes(self.events)


def changes(events: Iterable[AlertEvent]) -> list[tuple[str, int]]:
    """The status and the second of every event that says another status than the one before."""
    last: dict[str, str] = {}
    found = []
    for event in events:
        if last.get(event.fingerprint) != event.status:
            found.append((event.status, event.evaluated_at // 1000 - BEGIN))
        last[event.fingerprint] = event.status
    return found


def window_counts(seconds: Mapping[int, tuple[int, int]], now: int, length: int) -> tuple[int, int]:
    """All and matched of the last *length* seconds at *now*, as the docstring of windows says.

    A bucket has a sixtieth of the window in whole seconds, at least one. It begins when its first
    second does, and leaves, whole, when it ended *length* ago or more.
    """
    size = max(1, length // 60)
    found = [
        counts
        for second, counts in seconds.items()
        if second // size * size <= now and (second // size + 1) * size > now - length
    ]
    return sum(each[0] for each in found), sum(each[1] for each in found)


def span(number: int, second: int = 0, *, trace: int | None = None) -> EvidenceSpan:
    """A span that ended in *second*; each of its own trace unless *trace* says which."""
    at = (BEGIN + second) * 10**9 + number
    trace_id = f"{number if trace is None else trace:032x}"
    return EvidenceSpan(trace_id, f"{number:016x}", "cart", "GET /", 5, at)
