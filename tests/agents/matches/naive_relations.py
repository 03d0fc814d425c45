"""Relations the naive way: by looking through the whole log again for every question."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tailrace.schemas.definitions.filters import SpanFilter
from tailrace.schemas.definitions.signals import Signal
from tests.agents.matches.related_spans import WAIT_MS, Record, Seen, Span, name_of


class Arrival(NamedTuple):
    """A span came at `at`, in ms since the first record's time."""

    at: int
    span: Span


def arrivals(records: Sequence[Record]) -> list[Arrival]:
    """All spans of *records* in order."""
    now, found = 0, []
    for record in records:
        now += record.ms
        found += [Arrival(now, span) for span in record.spans]
    return found


def _is(span: Span, *filters: SpanFilter | None) -> bool:
    return all(
        each is None or each.name is None or (each.name.eq or "?") in span.letters
        for each in filters
    )


def _parents(*filters: SpanFilter | None) -> set[str]:
    return {
        each.parent.name.eq or "" for each in filters if each and each.parent and each.parent.name
    }


class NaiveParents:
    """Signals with parents over the whole log."""

    def __init__(self, log: Sequence[Arrival], signals: Sequence[Signal]) -> None:
        self._log = log
        self._signals = signals
        self._letters = {letter for each in signals for letter in _parents(each.of, each.matched)}

    def _as_child(self, span: Span) -> set[str]:
        """The signals that *span* may be a child of."""
        return {
            name_of(each)
            for each in self._signals
            if _is(span, each.of or each.matched)
            and (span.parent or not _parents(each.of or each.matched))
        }

    def _known(self, trace: str, id: str, last: int) -> tuple[int, set[str], dict[str, int]]:
        """Of a span id after arrival number *last*: until when it is known, letters, as child."""
        until, letters, taken = -1, set[str](), dict[str, int]()
        for index, (at, span) in enumerate(self._log[: last + 1]):
            if (span.trace, span.id) != (trace, id):
                continue
            if at > until:
                letters, taken = set(), {}
            brings = self._letters & set(span.letters) - letters
            as_child = self._as_child(span) - set(taken)
            if brings or as_child:
                until = at + WAIT_MS
                letters |= brings
                taken |= dict.fromkeys(as_child, index)
        return until, letters, taken

    def found(self) -> Iterator[Seen]:
        """Yield what is found, in no order that matters."""
        for index, (_, span) in enumerate(self._log):
            taken = self._known(span.trace, span.id, index)[2]
            for signal in self._signals:
                if taken.get(name_of(signal)) == index:
                    yield from self._of_child(index, signal)

    def _of_child(self, index: int, signal: Signal) -> Iterator[Seen]:
        span = self._log[index].span
        event = self._pair(index, signal, _parents(signal.of or signal.matched))
        match = None
        if _is(span, signal.of, signal.matched):
            match = self._pair(index, signal, _parents(signal.of, signal.matched))
        for later in {each for each in (event, match) if each is not None}:
            yield Seen(
                self._log[later].at, name_of(signal), span.group(signal.group_by), span.end,
                int(later == event), int(later == match), span.id,
            )  # fmt: skip

    def _pair(self, index: int, signal: Signal, wanted: set[str]) -> int | None:
        """Return with which arrival the child of *index* has a parent with *wanted* letters."""
        child = self._log[index].span
        for later in range(index, len(self._log)):
            at = self._log[later].at
            until, _, taken = self._known(child.trace, child.id, later)
            if at > until or taken.get(name_of(signal)) != index:
                return None
            if not wanted:
                return later
            until, letters, _ = self._known(child.trace, child.parent, later)
            if child.parent and at <= until and wanted <= letters:
                return later
        return None


def naive_traces(records: Sequence[Record], signals: Sequence[Signal]) -> tuple[list[Seen], int]:
    """What whole-trace signals find, at the first record after it is due; and late spans."""
    log, found, late = arrivals(records), [], 0
    times, now = [], 0
    for record in records:
        now += record.ms
        times.append(now)
    for trace in dict.fromkeys(each.span.trace for each in log):
        mine = [each for each in log if each.span.trace == trace]
        while mine:
            due = mine[0].at + WAIT_MS
            judged = [each.span for each in mine if each.at <= due]
            end = due + 2 * WAIT_MS
            late += sum(due < each.at <= end for each in mine)
            mine = [each for each in mine if each.at > end]
            after = [at for at in times if at > due]
            if after:
                found += [seen for each in signals for seen in _judgement(after[0], each, judged)]
    return found, late


def _judgement(at: int, signal: Signal, spans: Sequence[Span]) -> Iterator[Seen]:
    said = signal.trace
    assert said is not None
    end = max(span.end for span in spans)
    duration = max(end - min(span.start for span in spans), 0)
    roots = sorted((span for span in spans if not span.parent), key=lambda span: span.start)
    longest = sorted(spans, key=lambda span: span.start - span.end)
    shown = (roots or longest)[0]
    if (
        all(any(_is(span, each) for span in spans) for each in said.contains)
        and not any(_is(span, each) for span in spans for each in said.lacks)
        and (said.duration is None or duration > (said.duration.gt or 0))
        and (said.spans is None or len(spans) >= (said.spans.gte or 0))
    ):
        yield Seen(at, name_of(signal), shown.group(signal.group_by), end, 1, 1, shown.id)


def naive_firsts(records: Sequence[Record], signal: Signal) -> list[Seen]:
    """What a signal of distinct traces finds that has no parent."""
    counted: list[tuple[str, bytes, int]] = []
    found = []
    for at, span in arrivals(records):
        group = span.group(signal.group_by)
        is_new = not any(
            (trace, of) == (span.trace, group) and before > at - signal.window_ms
            for trace, of, before in counted
        )
        if _is(span, signal.matched) and is_new:
            counted.append((span.trace, group, at))
            found.append(Seen(at, name_of(signal), group, span.end, 1, 1, span.id))
    return found
