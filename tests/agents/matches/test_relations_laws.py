"""Relations find what a look through the whole log finds, whatever batches, checkpoints, deaths."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.agents.matches.naive_relations import (
    NaiveParents,
    arrivals,
    naive_firsts,
    naive_traces,
)
from tests.agents.matches.related_spans import (
    WAIT_MS,
    Record,
    Span,
    after,
    after_deaths,
    signal,
)

CHILDREN = [
    signal("calls", "a<p", group_by=("service", "name")),
    signal("any", "<p"),
    signal("failed", "b", of_="a<p", group_by=("service",)),
    signal("called", "b<q", of_="a"),
    signal("both", "b<q", of_="a<p"),
]
TRACES = [
    signal("slow", trace={"duration": "> 5ns"}),
    signal("has", trace={"contains": [{"name": "a"}, {"name": "b"}]}, group_by=("service",)),
    signal("lacks", trace={"lacks": [{"name": "a"}], "spans": {"gte": 2}}),
]
FIRST = signal("first", "a", window_ms=3000, group_by=("service",))
FIRST_CHILD = signal("distinct", "a<p", window_ms=700)
EVERYTHING = [*CHILDREN, *TRACES, FIRST, FIRST_CHILD, signal("plain", "a")]

_IDS = ["1", "2", "3", "4"]
_SPANS = st.builds(
    Span,
    st.sampled_from(["x", "y"]),
    st.sampled_from(_IDS),
    st.sampled_from(["", *_IDS]),
    st.sets(st.sampled_from("abpq")).map(lambda letters: "".join(sorted(letters))),
    st.integers(0, 9),
    st.integers(0, 9),
)
_MS = [0, 1, 400, WAIT_MS - 1, WAIT_MS, WAIT_MS + 1, 2 * WAIT_MS, 3 * WAIT_MS + 1]


@st.composite
def logs(draw: st.DrawFn, repeats: bool = True) -> list[Record]:
    """Records of spans in any order, some of them again."""
    pool = draw(st.lists(_SPANS, min_size=1, max_size=8))
    if not repeats:
        pool = list({(span.trace, span.id): span for span in pool}.values())
        order = draw(st.permutations(pool))
        return [Record(draw(st.sampled_from(_MS)), (span,)) for span in order] + [Record(9999)]
    some = st.lists(st.sampled_from(pool), max_size=4).map(tuple)
    records = draw(st.lists(st.builds(Record, st.sampled_from(_MS), some), max_size=12))
    return [*records, Record(WAIT_MS + 1)]


@settings(max_examples=300, deadline=None)
@given(logs())
def test_children_count_when_their_parents_are_known(records: list[Record]) -> None:
    seen = after(records, CHILDREN).seen
    assert Counter(seen) == Counter(NaiveParents(arrivals(records), CHILDREN).found())


@settings(max_examples=300, deadline=None)
@given(logs())
def test_traces_are_judged_once_and_as_a_whole(records: list[Record]) -> None:
    partition = after(records, TRACES)
    found, late = naive_traces(records, TRACES)
    assert Counter(partition.seen) == Counter(found)
    assert partition.totals.counts.get("match_trace_late_spans", 0) == late


@settings(max_examples=200, deadline=None)
@given(logs())
def test_a_trace_counts_once_in_a_window(records: list[Record]) -> None:
    assert after(records, [FIRST]).seen == naive_firsts(records, FIRST)


@settings(max_examples=300, deadline=None)
@given(
    logs(),
    st.lists(st.sampled_from(["", "checkpoint", "checkpoint", "death"]), max_size=12),
    st.sampled_from([{}, {"max_traces": 1, "max_spans": 2}, {"max_traces": 2, "max_spans": 3}]),
)
def test_what_is_found_does_not_depend_on_batches_checkpoints_and_deaths(
    records: list[Record], events: Sequence[str], bounds: dict[str, int]
) -> None:
    expected = after(records, EVERYTHING, **bounds)
    found = after_deaths(records, events, EVERYTHING, **bounds)
    assert found.seen == expected.seen
    assert found.totals == expected.totals
    assert found.relations.held == expected.relations.held


@settings(max_examples=200, deadline=None)
@given(logs(repeats=False), st.data())
def test_signals_that_stay_find_the_same_when_others_come_and_go(
    records: list[Record], data: st.DataObject
) -> None:
    staying = [CHILDREN[2], TRACES[1], FIRST, FIRST_CHILD]
    names = {"failed", "has", "first", "distinct"}
    expected = after(records, staying).seen
    partition = after([], staying)
    for record in records:
        others = data.draw(st.lists(st.sampled_from(EVERYTHING), max_size=3))
        partition.change(data.draw(st.permutations([*staying, *others])))
        partition.take(record)
    assert Counter(each for each in partition.seen if each.signal in names) == Counter(expected)


@settings(max_examples=150, deadline=None)
@given(logs())
def test_nothing_is_held_or_stored_when_all_has_passed(records: list[Record]) -> None:
    partition = after(records, EVERYTHING)
    partition.checkpoint()
    for _ in range(3):
        partition.take(Record(9999))
    partition.checkpoint()
    assert partition.relations.held == (0, 0, 0)
    assert partition.stored_bytes < 150
