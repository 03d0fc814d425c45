"""Relations: what spans count for that takes more than one span to tell, in one span partition.

Three kinds of signal are relations (`is_relation`); the others are passed over:

- a filter with a `parent` (laws: `relation_parents.py`),
- a filter for whole traces (`relation_traces.py`),
- distinct traces (`relation_firsts.py`), which a filter with a parent may be too.

How to use it: evaluate `filters` on every span; call `observe` for each record's spans that one of
them is of (for all spans if `needs_every_span`), in order, with the stream time of that record,
which never falls; call `advance` when stream time goes on without spans; call `seal` before a
checkpoint. The same spans at the same times find the same, however they are cut into calls.

When signals change: `seal` the old one, build a new one over the same store, `restore` it. What is
kept of a signal is kept as long as the same `Signal.id` is there. Build none before the definitions
are known, or everything is forgotten.

Counts in totals: `match_parents_missing` (children that waited in vain: no span came under their
parent's id that a filter of parents is of), `match_trace_late_spans`, and what bounds made of spans
and traces: `match_spans_forgotten`, `match_traces_forced`, `match_judged_traces_forgotten`,
`match_firsts_forgotten`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tailrace.agents.matches.relation_firsts import FirstMatches
from tailrace.agents.matches.relation_parents import Parents
from tailrace.agents.matches.relation_rules import RelationRules, is_relation
from tailrace.agents.matches.relation_spans import Found, Observed
from tailrace.agents.matches.relation_traces import WholeTraces
from tailrace.schemas.definitions.filters import SpanFilter
from tailrace.schemas.definitions.signals import Signal
from tailrace.schemas.records import Totals
from tailrace.tables.aging_rows import erase
from tailrace.tables.store import PartitionStore

__all__ = ["Found", "Observed", "Relations", "is_relation"]

PREFIX: Final = b"w"
"""Where relations are in the store."""
MAX_TRACES = 200_000
MAX_SPANS = 200_000


class Relations:
    """The relations of *signals*. *wait_ms*: how long spans wait for others, in stream time.

    At most *max_traces* are open, judged, or counted in windows of one length; at most *max_spans*
    span ids are known as parents or children. Beyond it the oldest makes room.
    """

    def __init__(
        self,
        signals: Sequence[Signal],
        store: PartitionStore,
        wait_ms: int,
        max_traces: int = MAX_TRACES,
        max_spans: int = MAX_SPANS,
        prefix: bytes = PREFIX,
    ) -> None:
        self.signals = tuple({each.id: each for each in signals if is_relation(each)}.values())
        """Those of *signals* that are relations, each once; another set needs another object."""
        rules = self._rules = RelationRules(self.signals)
        self.filters: tuple[SpanFilter, ...] = tuple(rules.filters)
        """Filters without parents; `Observed.filters` has a bit for each."""
        self.groupings: tuple[tuple[str, ...], ...] = tuple(rules.groupings)
        """Lists of fields to group by; `Observed.group` is called with their numbers."""
        self.needs_every_span = bool(rules.traces)
        """True if spans have to be observed that no filter is of."""
        self._store = store
        places = tuple(prefix + each for each in (b"p", b"g", b"j"))
        self._places = parents, gathered, judged = places
        self._parents = (
            Parents(self.signals, rules, store, parents, wait_ms, max_spans)
            if rules.children
            else None
        )
        self._traces = (
            WholeTraces(self.signals, rules, store, (gathered, judged), wait_ms, max_traces)
            if rules.traces
            else None
        )
        windows = {each.window_ms for each in self.signals if each.counts_traces}
        self._firsts = FirstMatches(store, prefix + b"f", windows, max_traces)

    @property
    def held(self) -> tuple[int, int, int]:
        """How many span ids, open traces and counted traces are held."""
        return len(self._parents or ()), len(self._traces or ()), len(self._firsts)

    def restore(self, now_ms: int) -> None:
        """Build memory from the store, at stream time *now_ms*; once, before anything else."""
        parents, *of_traces = self._places
        if self._parents is not None:
            self._parents.restore()
        else:
            erase(self._store, parents)
        if self._traces is not None:
            self._traces.restore()
        else:
            for each in of_traces:
                erase(self._store, each)
        self._firsts.restore()

    def observe(self, now_ms: int, spans: Sequence[Observed], totals: Totals) -> list[Found]:
        """Return what is due before *now_ms*, then what *spans* bring, which came then."""
        found = self.advance(now_ms, totals)
        parents, traces, part_of = self._parents, self._traces, self._rules.part
        for span in spans:
            part = part_of(span.filters)
            matched: list[Found] = []
            if parents is not None and (part.as_parent or part.is_child):
                parents.observe(now_ms, span, part, matched, totals)
            for rule in part.firsts:
                signal, group = self.signals[rule.signal], span.group(rule.grouping)
                matched.append(Found(signal, group, span.end, 1, 1, span.witness))
            if matched:
                found += [each for each in matched if self._is_first(now_ms, each, totals)]
            if traces is not None:
                found += traces.observe(now_ms, span, totals)
        return found

    def advance(self, now_ms: int, totals: Totals) -> list[Found]:
        """Return what is due before *now_ms*, in the order of due times."""
        if self._parents is not None:
            self._parents.advance(now_ms, totals)
        self._firsts.advance(now_ms)
        return list(self._traces.advance(now_ms, totals)) if self._traces is not None else []

    def seal(self) -> None:
        """Put into the store what is only in memory; before every checkpoint."""
        for each in (self._parents, self._traces, self._firsts):
            if each is not None:
                each.seal()

    def _is_first(self, now_ms: int, found: Found, totals: Totals) -> bool:
        signal = found.signal
        if not signal.counts_traces:
            return True
        trace_id = found.span.trace_id
        return self._firsts.counts(
            now_ms, signal.window_ms, signal.id, found.group, trace_id, totals
        )
