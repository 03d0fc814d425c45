"""Traces that kept ones link to are kept, too: announced to all partitions, then looked up.

Laws:

- A trace is wanted from where a partition heard of it on the control log, also if it was itself
  that said so: replay has one order.
- One step only: what a trace links to that is kept because it is linked is not announced.
- So many are announced for a trace and for a stream second; those left out are counted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from tailrace.schemas.control import MAX_LINKS, Keep
from tailrace.schemas.records import Totals
from tailrace.tables.linked import LinkedTraces

LINKED: Final = "linked"
"""The policy of traces that are kept because of links."""
MAX_LINKS_A_SECOND: Final = 1000
"""Trace IDs that one partition announces in a second of stream time."""
_SECOND_MS = 1000


class Links:
    """What kept traces link to, as one partition tells and hears it.

    *window_ms*: how long after the decision that keeps a trace those it links to are wanted.
    """

    def __init__(self, window_ms: int, linked: LinkedTraces) -> None:
        self._window_ms = window_ms
        self._linked = linked
        self._second = 0
        self._announced = 0

    @property
    def is_on(self) -> bool:
        """True if links count at all."""
        return self._window_ms > 0

    def __len__(self) -> int:
        """How many traces are wanted."""
        return len(self._linked)

    def is_linked(self, trace_id: bytes, now: int) -> bool:
        """True if a kept trace links to *trace_id*, as far as was heard, and lately enough."""
        until = self._linked.until(trace_id)
        return until is not None and now <= until

    def announce(self, linked: Collection[bytes], at: int, totals: Totals) -> Keep | None:
        """Return what is to be said of a trace that was kept at *at* and links to *linked*."""
        if not linked or not self.is_on:
            return None
        news = [each for each in sorted(linked) if not self._is_known(each, at)]
        if at // _SECOND_MS > self._second:
            self._second, self._announced = at // _SECOND_MS, 0
        room = min(MAX_LINKS, MAX_LINKS_A_SECOND - self._announced)
        said = tuple(news[:room])
        self._announced += len(said)
        if len(said) < len(news):
            totals.add("links_not_kept", len(news) - len(said))
        if not said:
            return None
        totals.add("links_announced", len(said))
        return Keep(said, at + self._window_ms)

    def _is_known(self, trace_id: bytes, at: int) -> bool:
        """True if saying it again would gain less than half of the window."""
        until = self._linked.until(trace_id)
        return until is not None and until >= at + self._window_ms // 2

    def hear(self, keep: Keep, now: int, totals: Totals) -> Iterable[bytes]:
        """Want what *keep* names; return those that are news at *now* (ms of stream time)."""
        if not self.is_on or keep.until_ms < now:
            return ()
        news = [each for each in keep.trace_ids if not self.is_linked(each, now)]
        for trace_id in keep.trace_ids:
            self._linked.add(trace_id, keep.until_ms)
        forgotten = self._linked.trim(now)
        if forgotten:
            totals.add("links_forgotten", forgotten)
        return news

    def state(self) -> dict[str, Any]:
        """Return what `load` needs beside the table, as JSON."""
        return {"second": [self._second, self._announced]}

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from *state*."""
        self._second, self._announced = state["second"]

    def restore(self) -> None:
        """Read the table."""
        self._linked.restore()

    def seal(self, now: int) -> None:
        """Put into the store what was heard, and take out what is over at *now*."""
        self._linked.seal(now)
