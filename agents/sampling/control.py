"""What one partition says on the control log and hears from there: budgets and links.

What is heard comes between two batches and is state at once, so a replay hears it where it was
heard. The partition that allocates is the first one: its state is fenced and logged as any other.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from tailrace.agents.sampling.allocator import Allocator
from tailrace.agents.sampling.budgets import TENANTS, shown, tenant_of
from tailrace.agents.sampling.links import Links
from tailrace.agents.sampling.shares import Budgets, Shares
from tailrace.agents.sampling.tenant_budget import TenantBudgetSettings
from tailrace.schemas.config.tail_sampling import TENANT_BUDGET
from tailrace.schemas.control import WHOLE, Allocation, ControlRecord, Heard, Keep, Report, encode
from tailrace.schemas.records import Outbox, Output, Totals
from tailrace.tables.linked import LinkedTraces
from tailrace.tables.store import PartitionStore

STATE_KEY: Final = b"c\x00"
LINKED_PREFIX: Final = b"c\x01"
_VERSION: Final = b"\x01"


@dataclass(frozen=True, slots=True)
class ControlSettings:
    """Which partition this is, where it says things, and for how long links count; 0: never."""

    topic: str
    partition: int = 0
    partitions: int = 1
    keep_linked_ms: int = 0
    tenant_budget: TenantBudgetSettings | None = None


class Control:
    """One partition's end of the control log."""

    def __init__(self, settings: ControlSettings, store: PartitionStore) -> None:
        self._topic = settings.topic
        self._store = store
        self._shares = Shares(settings.partition, settings.partitions)
        allocates = settings.partition == 0 and settings.partitions > 1
        self._allocator = (
            Allocator(settings.partitions, settings.tenant_budget) if allocates else None
        )
        self._links = Links(settings.keep_linked_ms, LinkedTraces(store, LINKED_PREFIX))
        self._stored = b""
        self.heard = 0
        """The offset behind the last record that was heard."""

    # Budgets

    def stretches(self, times: Sequence[int], budgets: Budgets) -> Iterator[slice]:
        """Yield *times* of decisions, in order, in pieces in which the parts are the same."""
        return self._shares.stretches(times, budgets)

    @property
    def parts(self) -> Mapping[str, float]:
        """Which part of each budget is this partition's, of those that were ever divided.

        By names to be read: of a tenant's own policies, `tenant/budget`.
        """
        return {
            TENANT_BUDGET if name == TENANTS else shown(name): part / WHOLE
            for name, part in self._shares.parts.items()
            if tenant_of(name) is None
        }

    def allot(self, budgets: Budgets) -> None:
        """Tell *budgets*, which are new or restored, the parts that are in force."""
        self._shares.allot(budgets, 0)

    def reach(self, now: int, budgets: Budgets, outbox: Outbox) -> None:
        """Everything before *now* (ms of stream time) is decided; say what is to be said."""
        self._shares.reach(now, budgets)
        self._say(now, outbox)

    def _say(self, now: int, outbox: Outbox) -> None:
        reports = self._shares.reports
        if reports:
            for each in reports:
                self._send(each, now, outbox)
            reports.clear()

    # Links

    @property
    def has_links(self) -> bool:
        """True if links count."""
        return self._links.is_on

    def is_linked(self, trace_id: bytes, now: int) -> bool:
        """True if a kept trace is known to link to *trace_id*, and lately enough."""
        return self._links.is_linked(trace_id, now)

    def kept(self, linked: Collection[bytes], at: int, outbox: Outbox, totals: Totals) -> None:
        """A trace that links to *linked* was kept at *at* (ms) for its own sake: say so."""
        keep = self._links.announce(linked, at, totals)
        if keep is not None:
            self._send(keep, at, outbox)

    @property
    def linked_traces(self) -> int:
        """How many traces are wanted because of links."""
        return len(self._links)

    # The log

    def wants(self, record: ControlRecord) -> bool:
        """True if `hear` would do something with *record*."""
        if isinstance(record, Report):
            return self._allocator is not None
        if isinstance(record, Allocation):
            return self._shares.is_news(record)
        return self._links.is_on

    def hear(
        self, records: Iterable[Heard], now: int, outbox: Outbox, totals: Totals
    ) -> list[bytes]:
        """Take *records* at *now* (ms of stream time); return traces that are newly wanted."""
        wanted: list[bytes] = []
        for offset, record in records:
            self.heard = offset + 1
            if isinstance(record, Keep):
                wanted += self._links.hear(record, now, totals)
            elif isinstance(record, Allocation):
                self._shares.hear(record, now)
                self._say(now, outbox)
            elif self._allocator is not None:
                self._allocate(self._allocator.hear(record), now, outbox, totals)
        return wanted

    def _allocate(
        self, allocation: Allocation | None, now: int, outbox: Outbox, totals: Totals
    ) -> None:
        if allocation is not None:
            self._send(allocation, now, outbox)
            totals.add("allocations", 1)

    def _send(self, record: ControlRecord, at: int, outbox: Outbox) -> None:
        outbox.send(self._topic, Output(None, encode(record), at, (), 0))

    # Store

    def restore(self) -> None:
        """Go on from what the store has."""
        self._links.restore()
        self._stored = self._store.get(STATE_KEY) or b""
        if not self._stored:
            return
        if self._stored[:1] != _VERSION:
            raise ValueError(
                f"control has state of version {self._stored[0]}; this tailrace reads version "
                f"{_VERSION[0]}. Run the version that wrote it."
            )
        state = orjson.loads(self._stored[1:])
        self.heard = state["heard"]
        for name, load in self._loads().items():
            if state.get(name) is not None:
                load(state[name])

    def _loads(self) -> dict[str, Callable[[Mapping[str, Any]], None]]:
        loads: dict[str, Callable[[Mapping[str, Any]], None]]
        loads = {"shares": self._shares.load, "links": self._links.load}
        if self._allocator is not None:
            loads["allocator"] = self._allocator.load
        return loads

    def seal(self, now: int) -> None:
        """Put what changed into the store."""
        self._links.seal(now)
        state = {
            "heard": self.heard,
            "shares": self._shares.state(),
            "links": self._links.state(),
            "allocator": None if self._allocator is None else self._allocator.state(),
        }
        value = _VERSION + orjson.dumps(state, option=orjson.OPT_SORT_KEYS)
        if value != self._stored:
            self._stored = value
            self._store.put(STATE_KEY, value)
