"""Relations by example: who waits for whom, how long, and what is found when."""

from __future__ import annotations

from typing import Any

import pytest

from tailrace.agents.matches.relations import Relations, is_relation
from tailrace.schemas.definitions.signals import Signal
from tailrace.schemas.matches import SignalId
from tailrace.tables.store import MemoryDisk, PartitionStore
from tests.agents.matches.related_spans import (
    BEGIN_MS,
    WAIT_MS,
    Partition,
    Record,
    Seen,
    Span,
    after,
    observed,
    of,
    signal,
)

CALLS = signal("calls", "a<p", group_by=("service",))
CHILD = Span("x", "2", parent="1", letters="a", end=7)
PARENT = Span("x", "1", letters="p", end=9)
FOUND = b'["service of 2"]'


def counts(partition: Partition) -> dict[str, int]:
    return partition.totals.counts


@pytest.mark.parametrize(
    ("records", "at"),
    [
        pytest.param([Record(0, (PARENT, CHILD))], 0, id="both in one record"),
        pytest.param([Record(0, (CHILD, PARENT))], 0, id="the child before in one record"),
        pytest.param([Record(0, (PARENT,)), Record(5, (CHILD,))], 5, id="the parent first"),
        pytest.param([Record(0, (CHILD,)), Record(5, (PARENT,))], 5, id="the child first"),
        pytest.param(
            [Record(0, (CHILD,)), Record(WAIT_MS, (PARENT,))], WAIT_MS, id="in the last moment"
        ),
    ],
)
def test_a_child_counts_at_its_end_when_the_pair_is_complete(
    records: list[Record], at: int
) -> None:
    partition = after(records, [CALLS])
    assert partition.seen == [Seen(at, "calls", FOUND, 7, 1, 1, "2")]
    partition.take(Record(9999))
    assert counts(partition) == {}


def test_the_evidence_is_the_child() -> None:
    partition = Partition([CALLS])
    relations = partition.relations
    spans = [observed(relations, each) for each in (CHILD, PARENT)]
    (found,) = relations.observe(BEGIN_MS, spans, partition.totals)
    assert found.signal is CALLS
    assert found.span == (b"-" * 15 + b"x", b"-" * 7 + b"2", 0, 7, "service-2", "name-2")


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(Span("y", "1", letters="p"), id="of another trace"),
        pytest.param(Span("x", "3", letters="p"), id="with another id"),
        pytest.param(Span("x", "1", letters="q"), id="of another filter"),
    ],
)
def test_a_child_does_not_count_for_a_span(other: Span) -> None:
    partition = after([Record(0, (CHILD, other)), Record(WAIT_MS)], [CALLS])
    assert counts(partition) == {}
    partition.take(Record(1))
    assert partition.seen == []
    assert counts(partition) == {"match_parents_missing": 1}


def test_a_parent_of_another_filter_is_not_missing() -> None:
    other = Span("x", "1", letters="q")
    partition = after([Record(0, (CHILD, other))], [CALLS, signal("others", "b<q")])
    partition.checkpoint()
    partition.restart()
    partition.take(Record(WAIT_MS + 1))
    assert (partition.seen, counts(partition)) == ([], {})


def test_who_was_paid_before_a_restart_waits_no_more() -> None:
    partition = after([Record(0, (CHILD,))], [CALLS, signal("others", "b<q")])
    partition.checkpoint()
    partition.take(Record(1, (PARENT,)))
    partition.checkpoint()
    partition.restart()
    partition.take(Record(1, (Span("x", "1", letters="q"),)))
    partition.take(Record(9999))
    assert (len(partition.seen), counts(partition)) == (1, {})


def test_children_keep_their_order_in_a_restart() -> None:
    signals = [CALLS, signal("others", "b<q")]
    again = Span("x", "2", parent="1", letters="b")
    records = [Record(0, (CHILD, Span("x", "3", parent="1", letters="a"), again))]
    partition, expected = after(records, signals), after([*records, Record(1, (PARENT,))], signals)
    partition.checkpoint()
    partition.restart()
    partition.take(Record(1, (PARENT,)))
    assert partition.seen == expected.seen


def test_a_parent_that_comes_after_the_wait_is_too_late() -> None:
    partition = after([Record(0, (CHILD,)), Record(WAIT_MS + 1, (PARENT,))], [CALLS])
    assert partition.seen == []


def test_a_child_that_comes_twice_counts_once() -> None:
    spans = (CHILD, CHILD, PARENT, CHILD, PARENT)
    assert len(after([Record(0, spans)], [CALLS]).seen) == 1


def test_every_child_of_a_parent_counts_in_their_order() -> None:
    children = [Span("x", each, parent="1", letters="a") for each in "5243"]
    seen = after([Record(0, tuple(children)), Record(1, (PARENT,))], [CALLS]).seen
    assert [each.span for each in seen] == list("5243")


def test_a_long_trace_counts_all_along() -> None:
    pairs = [
        Record(400, (Span("x", f"c{n}", parent=f"p{n}", letters="a"), Span("x", f"p{n}", "", "p")))
        for n in range(20)
    ]
    assert len(after(pairs, [CALLS]).seen) == 20


def test_events_that_need_no_parent_do_not_wait_for_one() -> None:
    failed = signal("failed", "b<p", of_="a")
    plain, bad = Span("x", "3", "1", "a"), Span("x", "4", "1", "ab")
    seen = after([Record(0, (plain, bad)), Record(5, (PARENT,))], [failed]).seen
    assert [(each.at, each.events, each.matches, each.span) for each in seen] == [
        (0, 1, 0, "3"),
        (0, 1, 0, "4"),
        (5, 0, 1, "4"),
    ]


def test_events_that_need_a_parent_bring_their_match_with_them() -> None:
    failed = signal("failed", "b", of_="a<p")
    plain, bad = Span("x", "3", "1", "a"), Span("x", "4", "1", "ab")
    seen = after([Record(0, (plain, bad)), Record(5, (PARENT,))], [failed]).seen
    assert [(each.at, each.events, each.matches) for each in seen] == [(5, 1, 0), (5, 1, 1)]


def test_a_root_is_nobodys_child() -> None:
    partition = after([Record(0, (Span("x", "2", "", "a"),))], [CALLS])
    assert (partition.seen, partition.relations.held) == ([], (0, 0, 0))


def test_of_two_spans_with_one_id_either_may_be_the_parent() -> None:
    """As of a client and a server that share theirs, in B3."""
    spans = (Span("x", "1", "0", "q"), Span("x", "1", "0", "p"), CHILD)
    assert len(after([Record(0, spans)], [CALLS]).seen) == 1


SLOW = signal("slow", trace={"duration": "> 100ns"}, group_by=("service",))


def test_a_trace_is_judged_when_its_wait_has_passed() -> None:
    spans = (Span("x", "2", "1", "", 0, 50), Span("x", "1", "", "", 10, 101))
    partition = after([Record(0, spans[:1]), Record(WAIT_MS, spans[1:])], [SLOW])
    assert partition.seen == []
    partition.take(Record(1))
    assert partition.seen == [Seen(WAIT_MS + 1, "slow", b'["service of 1"]', 101, 1, 1, "1")]


@pytest.mark.parametrize(
    ("spans", "shown"),
    [
        pytest.param([("1", "", 5, 9), ("2", "1", 0, 999)], "1", id="the root"),
        pytest.param([("2", "1", 0, 999), ("1", "", 5, 9)], "1", id="the root that comes later"),
        pytest.param([("1", "", 5, 999), ("2", "", 4, 9)], "2", id="the earliest root"),
        pytest.param([("2", "1", 0, 9), ("3", "1", 0, 999)], "3", id="the longest without a root"),
        pytest.param([("2", "1", 0, 999), ("3", "1", 0, 999)], "2", id="of equals the first"),
    ],
)
def test_the_evidence_of_a_trace_is(spans: list[tuple[str, str, int, int]], shown: str) -> None:
    given = tuple(Span("x", each, parent, "", start, end) for each, parent, start, end in spans)
    partition = after([Record(0, given[:1])], [SLOW])
    partition.checkpoint()
    partition.restart()
    for record in (Record(0, given[1:]), Record(WAIT_MS + 1)):
        partition.take(record)
    (seen,) = partition.seen
    assert (seen.span, seen.group) == (shown, f'["service of {shown}"]'.encode())


@pytest.mark.parametrize(
    ("said", "holds"),
    [
        ({"duration": "> 89ns"}, True),
        ({"duration": "> 90ns"}, False),
        ({"duration": ">= 90ns"}, True),
        ({"duration": "< 90ns"}, False),
        ({"duration": "<= 90ns"}, True),
        ({"spans": 2}, True),
        ({"spans": [1, 2]}, True),
        ({"spans": 3}, False),
        ({"spans": {"ne": 2}}, False),
        ({"spans": {"not_in": [2]}}, False),
        ({"spans": {"gt": 1, "lt": 3}}, True),
        ({"spans": {"gt": 2}}, False),
        ({"spans": {"gte": 3}}, False),
        ({"spans": {"lt": 2}}, False),
        ({"spans": {"lte": 1}}, False),
        ({"spans": {"regex": "[12]"}}, True),
        ({"spans": {"not_regex": "[12]"}}, False),
        ({"spans": {"exists": False}}, False),
        ({"contains": [{"name": "a"}, {"name": "b"}]}, True),
        ({"contains": [{"name": "a"}, {"name": "q"}]}, False),
        ({"lacks": [{"name": "q"}]}, True),
        ({"lacks": [{"name": "q"}, {"name": "b"}]}, False),
    ],
    ids=str,
)
def test_of_a_trace_of_two_spans_that_lasts_90_ns(said: dict[str, Any], holds: bool) -> None:
    spans = (Span("x", "2", "1", "a", 10, 30), Span("x", "3", "1", "b", 20, 100))
    records = [Record(0, spans), Record(WAIT_MS + 1)]
    assert len(after(records, [signal("said", trace=said)]).seen) == holds


def test_a_trace_whose_spans_end_before_they_start_lasts_no_time() -> None:
    short = signal("short", trace={"duration": "<= 0ns"})
    records = [Record(0, (Span("x", "1", "", "", 100, 20),)), Record(WAIT_MS + 1)]
    assert len(after(records, [short]).seen) == 1


@pytest.mark.parametrize(
    ("ms", "is_late"),
    [(1, True), (2 * WAIT_MS, True), (2 * WAIT_MS + 1, False)],
    ids=["just after", "twice the wait after", "later than that"],
)
def test_a_judged_trace_hears_no_span(ms: int, is_late: bool) -> None:
    span = Span("x", "1", "", "", 0, 999)
    partition = after([Record(0, (span,)), Record(WAIT_MS + ms, (span,)), Record(9999)], [SLOW])
    assert len(partition.seen) == (1 if is_late else 2)
    assert counts(partition) == ({"match_trace_late_spans": 1} if is_late else {})


def test_traces_are_judged_in_the_order_in_which_they_came() -> None:
    records = [Record(1, (Span(name, "1", "", "", 0, 999 - n),)) for n, name in enumerate("zxy")]
    assert [seen.end for seen in after([*records, Record(9999)], [SLOW]).seen] == [999, 998, 997]


def test_a_trace_counts_again_when_the_window_has_passed() -> None:
    first = signal("first", "a", window_ms=300)
    span = Span("x", "1", "", "a")
    records = [
        Record(0, (span, span)),
        Record(299, (span,)),
        Record(1, (span,)),
        Record(9, (span,)),
    ]
    assert [seen.at for seen in after(records, [first]).seen] == [0, 300]


def test_a_trace_counts_for_each_group() -> None:
    first = signal("first", "a", window_ms=300, group_by=("service",))
    spans = (Span("x", "1", "", "a"), Span("x", "2", "1", "a"), Span("x", "2", "1", "a"))
    assert [seen.span for seen in after([Record(0, spans)], [first]).seen] == ["1", "2"]


def test_a_trace_of_many_calls_counts_once() -> None:
    first = signal("first", "a<p", window_ms=300)
    others = tuple(Span("x", each, "1", "a") for each in "345")
    assert len(after([Record(0, (PARENT, *others)), Record(1, (CHILD,))], [first]).seen) == 1


def test_with_too_many_traces_the_oldest_is_judged_at_once() -> None:
    records = [Record(1, (Span(name, "1", "", "", 0, 200 + n),)) for n, name in enumerate("xyz")]
    partition = after(records, [SLOW], max_traces=2)
    assert [(seen.at, seen.end) for seen in partition.seen] == [(3, 200)]
    assert counts(partition) == {"match_traces_forced": 1}
    partition.take(Record(1, (Span("x", "1", "", "", 0, 999),)))
    assert counts(partition)["match_trace_late_spans"] == 1


def test_with_too_many_spans_the_oldest_is_forgotten() -> None:
    others = tuple(Span("y", each, "9", "a") for each in "34")
    partition = after([Record(0, (CHILD, *others, PARENT))], [CALLS], max_spans=2)
    assert partition.seen == []
    assert counts(partition) == {"match_spans_forgotten": 2, "match_parents_missing": 2}


def test_with_too_many_counted_traces_the_oldest_counts_again() -> None:
    first = signal("first", "a", window_ms=300)
    spans = tuple(Span(name, "1", "", "a") for name in "xyzx")
    partition = after([Record(0, spans)], [first], max_traces=2)
    assert len(partition.seen) == 4
    assert counts(partition) == {"match_firsts_forgotten": 2}


def test_a_new_signal_does_not_judge_traces_of_which_it_may_have_missed_spans() -> None:
    lacks = signal("lacks", trace={"lacks": [{"name": "a"}]})
    partition = after([Record(0, (Span("x", "1", "", "a", 0, 999),))], [SLOW])
    partition.change([lacks, SLOW])
    partition.take(Record(1, (Span("x", "2", "1"), Span("y", "1"))))
    partition.take(Record(9999))
    assert [(seen.signal, seen.span) for seen in partition.seen] == [("slow", "1"), ("lacks", "1")]
    assert partition.seen[1].end == 1


def test_a_signal_that_went_is_owed_nothing_when_it_comes_again() -> None:
    partition = after([Record(0, (CHILD,))], [CALLS])
    partition.change([SLOW])
    partition.change([CALLS])
    partition.take(Record(1, (PARENT,)))
    assert partition.seen == []


def test_without_relations_nothing_stays_in_the_store() -> None:
    all_kinds = [CALLS, SLOW, signal("first", "a", window_ms=9)]
    again = Span("y", "1", letters="a")
    partition = after([Record(0, (CHILD, PARENT)), Record(WAIT_MS + 1, (again,))], all_kinds)
    partition.checkpoint()
    partition.change([])
    partition.checkpoint()
    assert partition.stored_bytes < 50


def test_a_text_that_is_no_unicode_survives_a_restart() -> None:
    class Odd(Span):
        @property
        def service(self) -> str:
            return "\ud800"

    partition = after([Record(0, (Odd("x", "1", "", "", 0, 999),))], [SLOW])
    partition.checkpoint()
    partition.restart()
    partition.take(Record(WAIT_MS + 1))
    assert len(partition.seen) == 1


def relations(*signals: Signal) -> Relations:
    return Relations(signals, PartitionStore(MemoryDisk()), WAIT_MS)


def test_filters_are_asked_for_once_and_without_parents() -> None:
    asked = relations(CALLS, signal("more", "a<q", of_="a"), signal("first", "p", window_ms=9))
    assert asked.filters == (of("a"), of("p"), of("q"))
    assert asked.groupings == (("service",), ())
    assert not asked.needs_every_span
    assert relations(SLOW).needs_every_span


def test_a_signal_that_is_given_twice_counts_once() -> None:
    assert relations(CALLS, CALLS).signals == (CALLS,)


@pytest.mark.parametrize(
    ("each", "answer"),
    [
        (signal("plain", "a"), False),
        (signal("share", "a", of_="b"), False),
        (Signal(SignalId(b"", b"")), False),
        (CALLS, True),
        (signal("share of calls", "a", of_="b<p"), True),
        (SLOW, True),
        (signal("first", "a", window_ms=9), True),
    ],
    ids=lambda each: str(each) if isinstance(each, bool) else each.id.owner.decode().strip(),
)
def test_a_signal_is_a_relation_if_a_span_alone_does_not_tell(each: Signal, answer: bool) -> None:
    assert is_relation(each) is answer
