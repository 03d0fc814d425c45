"""The laws of matches, through the task that the worker runs, on encoded OTLP."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from operator import itemgetter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.agents.matches import agent
from tailrace.agents.matches.compiled import compiled_for
from tailrace.agents.matches.logic import MatchesLogic, MatchesSettings
from tailrace.agents.matches.tallies import Tallies
from tailrace.schemas.config.tenancy import TenancyConfig
from tailrace.schemas.definitions import Definition, Definitions
from tailrace.schemas.definitions.alert import AlertSpec
from tailrace.schemas.definitions.definition import ALERT, SLO, DefinitionKey
from tailrace.schemas.definitions.filters import KINDS, STATUSES, SpanFilter
from tailrace.schemas.definitions.signals import Signal, signals
from tailrace.schemas.definitions.slo import SloSpec
from tailrace.schemas.matches import (
    Evidence,
    Series,
    SignalId,
    decode_counts,
    decode_evidence,
    decode_group,
    decode_key,
    encode_group,
    is_evidence,
    place,
)
from tailrace.schemas.otlp.decoder import Decoder
from tailrace.schemas.records import DeadLetter, Output, Record
from tailrace.schemas.semconv import names
from tailrace.schemas.spans import SpanBatch
from tailrace.schemas.strings import text_of
from tailrace.schemas.tenants import SpanTenants
from tailrace.schemas.watermarks import read_watermark
from tailrace.streams.batch import Batch
from tailrace.streams.task import Task, TaskId
from tailrace.tables.interval_source import RollupTopic
from tailrace.tables.store import MemoryDisk, PartitionStore
from tests.agents.matches.naive_filters import FILTERS, is_of
from tests.agents.matches.span_messages import (
    BEGIN_MS,
    BEGIN_NS,
    END_MS,
    INTERVAL_MS,
    SECOND_NS,
    TRAFFIC,
    Sent,
    Span,
    message,
    rows,
    span_id,
)
from tests.streams import deaths
from tests.streams.deaths import EVENTS, Build, by_topic

ROLLUPS = RollupTopic("rollups", 3, 40_000, INTERVAL_MS)
OFF = TenancyConfig()
LATENESS_S = 299
SETTINGS = MatchesSettings(lateness_ms=LATENESS_S * 1000, tokens=3, max_groups=2, wait_ms=2000)


@dataclass
class Kept:
    """What was marked, by trace."""

    marks: list[tuple[bytes, int, SignalId, bytes]] = field(default_factory=list)

    def mark(self, trace_id: bytes, at_ms: int, signal: SignalId, group: bytes) -> None:
        self.marks.append((trace_id, at_ms, signal, group))


class Codec:
    """Decodes; who refuses what is not asked here."""

    def __init__(
        self, definitions: Definitions, interned_limit_bytes: int, tenancy: TenancyConfig = OFF
    ) -> None:
        columns = compiled_for(definitions).columns
        self._decoder = Decoder(columns, ids=True, interned_limit_bytes=interned_limit_bytes)
        self._tenants = SpanTenants(tenancy) if tenancy.is_on else None

    def decode(self, records: Sequence[Record]) -> tuple[SpanBatch, Sequence[DeadLetter]]:
        batch = self._decoder.decode([record.value for record in records])
        if self._tenants is not None:
            batch.tenant = self._tenants.of(batch, records)
        return batch, ()


def no_letter(*_: object) -> tuple[str, Output]:
    raise AssertionError("nothing is refused")


def builder(
    definitions: Definitions,
    interned_limit_bytes: int = 32 << 20,
    settings: MatchesSettings = SETTINGS,
    kept: Kept | None = None,
    tenancy: TenancyConfig = OFF,
) -> Build:
    """Builds tasks as a new process would, with nothing shared between two."""

    def build(store: PartitionStore) -> Task[SpanBatch]:
        own = Definitions(definitions.version, definitions.by_key)
        logic = MatchesLogic(settings, store, ROLLUPS, "matches-0", kept or Kept())
        codec = Codec(own, interned_limit_bytes, tenancy)
        task = Task(TaskId("spans", 0), store, codec, {agent.NAME: logic}, no_letter)
        task.inform(own)
        return task

    return build


def defined(number: int, spec: AlertSpec | SloSpec, tenant: str = "default") -> Definition[Any]:
    kind = SLO if isinstance(spec, SloSpec) else ALERT
    return Definition(DefinitionKey(kind, tenant, f"d{number}"), {}, {}, spec)


def definitions(*specs: AlertSpec | SloSpec) -> Definitions:
    return Definitions.of_all(defined(number, spec) for number, spec in enumerate(specs))


def alert(where: SpanFilter | None = None, **more: Any) -> AlertSpec:
    spec = AlertSpec.model_validate({"where": {}, "when": "> 1"})
    return spec.model_copy(update={"where": where or SpanFilter(), **more})


def signals_of(all: Definitions) -> dict[SignalId, Signal]:
    return {each.id: each for one in all.by_key.values() for each in signals(one).values()}


_GROUPS = st.sampled_from(
    [
        (),
        (),
        ("service",),
        ("attributes.http.method",),
        ("kind", "status"),
        ("name", "resource.tier"),
    ]
)


@st.composite
def _specs(draw: Callable[..., Any]) -> AlertSpec | SloSpec:
    group_by, evidence = draw(_GROUPS), draw(st.sampled_from([0, 10]))
    shared = {"group_by": group_by, "evidence": evidence}
    if draw(st.booleans()):
        return alert(draw(FILTERS), **shared)
    sli = {"availability": {"of": {}}}
    spec = SloSpec.model_validate({"sli": sli, "objective": 99}).model_copy(update=shared)
    of = spec.sli.availability
    assert of is not None
    own = of.model_copy(update={"of": draw(FILTERS), "bad": draw(FILTERS)})
    return spec.model_copy(update={"sli": spec.sli.model_copy(update={"availability": own})})


SPECS = _specs()
DEFINITIONS = st.lists(SPECS, max_size=5).map(lambda specs: definitions(*specs))

_PARENT = SpanFilter.model_validate({"kind": "server", "parent": {"name": {"ne": "a"}}})
_TRACE = AlertSpec.model_validate({"trace": {"spans": {"gte": 2}}, "when": "> 1"})
RELATED = (
    alert(_PARENT),
    alert(_PARENT, group_by=("name",)),
    alert(SpanFilter(), aggregate="traces", group_by=("kind",)),
    _TRACE,
)
"""Those for which one span is not enough."""
WITH_RELATED = st.builds(
    lambda specs, more: definitions(*specs, *more),
    st.lists(SPECS, max_size=3),
    st.lists(st.sampled_from(RELATED), max_size=3),
)

# What is counted, span by span


Key = tuple[SignalId, int, tuple[str, ...]]


@dataclass
class Expected:
    """By interval, signal, second and group: events and matches. Evidence as sent, in order."""

    events: Counter[tuple[int, Key]] = field(default_factory=Counter)
    matches: Counter[tuple[int, Key]] = field(default_factory=Counter)
    evidence: list[tuple[int, SignalId, tuple[str, ...], str]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


def group_of(of: Signal, span: Span) -> tuple[str, ...]:
    def text(name: str) -> str:
        where, _, key = name.partition(".")
        if where in ("attributes", "resource"):
            has = span.attributes if where == "attributes" else span.resource
            return next((text_of(has[each]) for each in names(key) if each in has), "")
        return {
            "service": text_of(span.resource.get("service.name", "")),
            "name": span.name,
            "kind": KINDS[span.kind],
            "status": STATUSES[span.status],
        }[where]

    return tuple(map(text, of.group_by))


def expected(told: Definitions, sent: Sequence[Sent]) -> Expected:
    found = Expected()
    groups: dict[tuple[int, SignalId], list[tuple[str, ...]]] = {}
    buckets: dict[tuple[SignalId, tuple[str, ...]], tuple[int, int]] = {}
    for interval, number, index, span in arrived(sent):
        second, clamped = clamp(span.end // SECOND_NS, interval)
        is_counted = False
        for signal in signals_of(told).values():
            assert signal.matched is not None
            match = is_of(signal.matched, span)
            event = match if signal.of is None else is_of(signal.of, span)
            found.counts["match_failures"] += event is None or bool(event and match is None)
            if not event:
                continue
            is_counted = True
            group = admitted(group_of(signal, span), groups.setdefault((interval, signal.id), []))
            found.counts["match_overflow_spans"] += "__overflow__" in group
            found.events[interval, (signal.id, second, group)] += 1
            found.matches[interval, (signal.id, second, group)] += match is True
            if match and signal.has_evidence:
                tokens, at = buckets.get((signal.id, group), (SETTINGS.tokens, interval))
                tokens = min(SETTINGS.tokens, tokens + interval - at)
                buckets[signal.id, group] = max(0, tokens - 1), interval
                if tokens:
                    by = span_id(number, index).hex()
                    found.evidence.append((interval, signal.id, group, by))
        found.counts["match_seen_spans"] += 1
        found.counts["match_counted_spans" if is_counted else "match_uncounted_spans"] += 1
        found.counts[clamped] += is_counted and clamped != ""
    return found


def clamp(second: int, interval: int) -> tuple[int, str]:
    if second > interval:
        return interval, "match_early_spans"
    if second <= interval - LATENESS_S:
        return interval - LATENESS_S + 1, "match_late_spans"
    return second, ""


def admitted(group: tuple[str, ...], known: list[tuple[str, ...]]) -> tuple[str, ...]:
    if group and group not in known:
        if len(known) >= SETTINGS.max_groups:
            return ("__overflow__",) * len(group)
        known.append(group)
    return group


def arrived(sent: Sequence[Sent]) -> Iterator[tuple[int, int, int, Span]]:
    """Yield every span with its interval, and the places of its record and of itself."""
    now = 0
    for number, (row, record) in enumerate(zip(rows(sent), sent, strict=True)):
        now = max(now, row.timestamp)
        # A message is cut into one fragment for each trace, in the order of their appearance.
        traces = list(dict.fromkeys(span.trace for span in record.spans))
        spans = sorted(enumerate(record.spans), key=lambda each: traces.index(each[1].trace))
        for index, span in spans:
            yield now // INTERVAL_MS, number, index, span


def counted(sent: deaths.Sent) -> Expected:
    found = Expected()
    evidence: list[tuple[int, Evidence]] = []
    for output in sent.get(ROLLUPS.name, []):
        if is_evidence(output.value):
            assert len(output.value) <= ROLLUPS.record_bytes // 2
            for each in decode_evidence(output.value).spans:
                assert place(Series(each.signal, each.group).encode()) % 3 == output.partition
                evidence.append((output.timestamp, each))
        elif output.value:
            counts = decode_counts(output.value)
            assert all(place(key) % 3 == output.partition for key in counts.keys)
            for number, second, events, matches in zip(
                *(each.tolist() for each in counts[3:]), strict=True
            ):
                key = decode_key(counts.keys[number])
                of = key.signal, second, tuple(decode_group(key.group))
                found.events[counts.start // INTERVAL_MS, of] += events
                found.matches[counts.start // INTERVAL_MS, of] += matches
    for stamp, each in evidence:
        group = tuple(decode_group(each.group))
        found.evidence.append((stamp, each.signal, group, each.span.span_id))
    return found


@settings(max_examples=200, deadline=None)
@given(DEFINITIONS, TRAFFIC)
def test_sums_and_evidence_are_what_counting_span_by_span_gives(
    all: Definitions, sent: list[Sent]
) -> None:
    outputs = deaths.uninterrupted(builder(all), rows(sent), END_MS)
    found, truth = counted(outputs), expected(all, sent)
    assert found.events == truth.events
    assert +found.matches == truth.matches
    key = itemgetter(1, 2)
    told = [each[1:] for each in sorted(found.evidence, key=key)]
    assert told == [each[1:] for each in sorted(truth.evidence, key=key)]


@settings(max_examples=200, deadline=None)
@given(DEFINITIONS, TRAFFIC)
def test_every_span_is_counted_or_not_and_every_oddity_too(
    all: Definitions, sent: list[Sent]
) -> None:
    kept = Kept()
    task = builder(all, kept=kept)(PartitionStore(MemoryDisk()))
    assert task.process(Batch(deaths.TOPIC, 0, 0, len(sent), rows(sent)), deaths.FAR)
    truth = expected(all, sent)
    assert {name: count for name, count in task.totals.counts.items() if count} == +truth.counts
    assert task.problems() == []
    of_spans = {(number, index): span for _, number, index, span in arrived(sent)}
    expected_marks = []
    for _, signal, group, by in truth.evidence:
        place_of = bytes.fromhex(by)
        span = of_spans[int(place_of[:4]), int(place_of[4:])]
        expected_marks.append((span.trace_id, signal, encode_group(group)))
    assert sorted(mark[:1] + mark[2:] for mark in kept.marks) == sorted(expected_marks)
    task.totals.add("match_counted_spans", 1)
    assert len(task.problems()) == 1


@settings(max_examples=200, deadline=None)
@given(
    WITH_RELATED,
    TRAFFIC,
    st.sets(st.integers(0, 10)),
    st.sets(st.integers(0, 10)),
    st.sampled_from([32 << 20, 3000, 0]),
)
def test_outputs_and_marks_do_not_depend_on_cuts_or_checkpoints_or_interned_ids(
    all: Definitions, sent: list[Sent], cuts: set[int], checkpoints: set[int], limit: int
) -> None:
    one, other = Kept(), Kept()
    build = builder(all, limit, kept=one)
    outputs = deaths.cut(build, rows(sent), sorted(cuts), sorted(checkpoints), END_MS)
    assert outputs == deaths.uninterrupted(builder(all, kept=other), rows(sent), END_MS)
    assert sorted(one.marks) == sorted(other.marks)


@settings(max_examples=200, deadline=None)
@given(WITH_RELATED, TRAFFIC, st.lists(EVENTS, max_size=10))
def test_outputs_are_those_of_one_uninterrupted_run(
    all: Definitions, sent: list[Sent], events: list[object]
) -> None:
    build = builder(all)
    log = deaths.interrupted(build, rows(sent), events, END_MS)
    assert by_topic(log.committed) == deaths.uninterrupted(build, rows(sent), END_MS)


@settings(max_examples=100, deadline=None)
@given(WITH_RELATED, st.tuples(TRAFFIC, TRAFFIC), st.sets(st.integers(0, 10)))
def test_tasks_that_share_what_they_found_out_say_what_each_says_alone(
    all: Definitions, sent: tuple[list[Sent], list[Sent]], forgotten: set[int]
) -> None:
    shared = Definitions(all.version, all.by_key)
    compiled = compiled_for(shared)
    tasks = []
    for _ in sent:
        logic = MatchesLogic(SETTINGS, PartitionStore(MemoryDisk()), ROLLUPS, "matches-0", Kept())
        store = PartitionStore(MemoryDisk())
        task = Task(TaskId("spans", 0), store, Codec(shared, 0), {agent.NAME: logic}, no_letter)
        task.inform(shared)
        tasks.append((task, logic))
    for at in range(max(map(len, sent), default=0)):
        for (task, _), records in zip(tasks, map(rows, sent), strict=True):
            if at < len(records):
                batch = Batch(deaths.TOPIC, 0, at, at + 1, records[at : at + 1])
                assert task.process(batch, deaths.FAR)
        if at in forgotten:
            compiled.tallies = Tallies(compiled.counters, compiled.verdicts)
    for (task, _), records in zip(tasks, sent, strict=True):
        task.advance(END_MS)
        alone = deaths.uninterrupted(builder(all), rows(records), END_MS)
        assert dict(task.snapshot().outputs) == alone


@pytest.mark.parametrize("is_dying", [False, True])
def test_which_groups_are_open_is_forgotten_with_the_signals_that_opened_them(
    is_dying: bool,
) -> None:
    """A signal comes while an interval is open, then the one goes whose events it shares."""
    one, other = defined(0, alert(group_by=("name",))), defined(1, alert(group_by=("name",)))
    last = Definitions.of_all([other], 2)
    told = {2: Definitions.of_all([one, other], 1), 3: last}
    sent = rows([Sent(0, (Span(name=name),)) for name in "abcbd"] + [Sent(1000, (Span(),))])
    store = PartitionStore(MemoryDisk())
    task = builder(Definitions.of_all([one]))(store)
    for at in range(len(sent)):
        if at in told:
            task.inform(told[at])
        assert task.process(Batch(deaths.TOPIC, 0, at, at + 1, sent[at : at + 1]), deaths.FAR)
        if is_dying and at == 3:
            task.snapshot()
            store.finish_checkpoint(0)
            task = builder(last)(store)
    (owner,) = signals_of(last)
    found = counted(dict(task.snapshot().outputs)).events
    groups = sorted(group for _, (signal, _, (group,)) in found if signal == owner)
    assert groups == ["__overflow__", "b", "d"]


def test_evidence_stands_before_the_watermark_of_its_interval() -> None:
    sent = [Sent(0, (Span(),)), Sent(1000, (Span(trace=1),))]
    outputs = deaths.uninterrupted(builder(definitions(alert())), rows(sent), END_MS)
    told: list[object] = []
    for output in outputs[ROLLUPS.name]:
        if is_evidence(output.value):
            told.append("evidence")
        elif output.value:
            told += [read_watermark(value).time - BEGIN_MS for _, value in output.headers]
    assert told == ["evidence", 1000, "evidence", END_MS - BEGIN_MS]


def test_a_bucket_has_a_token_more_each_interval() -> None:
    burst = tuple(Span(trace=trace, end=BEGIN_NS) for trace in range(5))
    sent = [Sent(0, burst), Sent(1000, burst), Sent(2000, burst), Sent(9000, burst)]
    outputs = deaths.uninterrupted(builder(definitions(alert())), rows(sent), END_MS)
    by_record = Counter(bytes.fromhex(span)[:4] for _, _, _, span in counted(outputs).evidence)
    assert by_record == {b"0000": 3, b"0001": 1, b"0002": 2, b"0003": 3}


def test_definitions_change_between_batches_and_what_goes_on_keeps_its_counts() -> None:
    stays, goes, comes = alert(), alert(SpanFilter(root=True)), alert(SpanFilter(kind=("server",)))
    before, after = (
        definitions(stays, goes),
        Definitions.of_all([defined(0, stays), defined(2, comes)], 1),
    )
    task = builder(before)(PartitionStore(MemoryDisk()))
    sent = rows([Sent(0, (Span(),)), Sent(0, (Span(),)), Sent(1000, (Span(),))])
    assert task.process(Batch(deaths.TOPIC, 0, 0, 1, sent[:1]), deaths.FAR)
    task.inform(after)
    assert task.process(Batch(deaths.TOPIC, 0, 1, 3, sent[1:]), deaths.FAR)
    found = counted(dict(task.snapshot().outputs)).events
    owners = signals_of(before) | signals_of(after)
    assert sorted(found.values()) == [1, 1, 2]
    assert {key[0] for _, key in found} == owners.keys()


def test_groups_that_are_too_long_are_counted_together() -> None:
    sent = [Sent(0, tuple(Span(name=letter * 1001) for letter in "ab"))]
    told = definitions(alert(group_by=("name",)))
    outputs = deaths.uninterrupted(builder(told), rows(sent), END_MS)
    ((_, (_, _, group)),) = counted(outputs).events
    assert group == ("__overflow__",)


def test_spans_that_are_related_are_counted_when_both_are_there() -> None:
    caller = Span(kind=3, name="call", end=BEGIN_NS + SECOND_NS)
    called = Span(kind=2, is_root=False)
    lonely = Span(kind=2, is_root=False, trace=1)
    sent = [Sent(0, (lonely,)), Sent(1000, (caller, called)), Sent(2500, (Span(trace=2),))]
    kept = Kept()
    of_parent, by_trace, of_trace = definitions(RELATED[0], RELATED[2], RELATED[3]).by_key.values()
    told = Definitions.of_all([of_parent, by_trace, of_trace])
    outputs = deaths.uninterrupted(builder(told, kept=kept), rows(sent), END_MS)
    found = counted(outputs)
    (parent_id,), (first_id,), (trace_id,) = (
        [signal.id for signal in signals(each).values()] for each in (of_parent, by_trace, of_trace)
    )
    begin = BEGIN_MS // 1000
    assert {key: count for key, count in found.matches.items() if key[1][0] == parent_id} == {
        (begin + 1, (parent_id, begin, ())): 1
    }
    firsts = [key[1][1:] for key in found.matches if key[1][0] == first_id]
    assert sorted(firsts) == [
        (begin, ("server",)), (begin, ("server",)), (begin, ("server",)), (begin + 1, ("client",))
    ]  # fmt: skip
    assert [key[1][1:] for key, count in found.matches.items() if key[1][0] == trace_id] == [
        (begin + 3, ())  # when it is judged
    ]
    assert {mark[0] for mark in kept.marks if mark[2] == parent_id} == {called.trace_id}
    shown = [span for _, signal, _, span in found.evidence if signal == parent_id]
    assert shown == [span_id(1, 1).hex()]


def test_a_span_that_waits_for_its_parent_goes_on_waiting_when_definitions_change() -> None:
    called = SpanFilter.model_validate({"kind": "server", "parent": {"kind": "client"}})
    waits = definitions(alert(called))
    task = builder(waits)(PartitionStore(MemoryDisk()))
    child, parent = Span(kind=2, is_root=False), Span(kind=3)
    first, second, third = rows([Sent(0, (child, child)), Sent(0, ()), Sent(1000, ())])
    assert task.process(Batch(deaths.TOPIC, 0, 0, 1, [first]), deaths.FAR)
    task.inform(Definitions.of_all([*waits.by_key.values(), defined(1, alert())], 1))
    # The second span of a message names the first as its parent.
    second = replace(second, value=message((parent,), 0))
    assert task.process(Batch(deaths.TOPIC, 0, 1, 3, [second, third]), deaths.FAR)
    (signal,) = signals_of(waits)
    found = counted(dict(task.snapshot().outputs)).matches
    assert sum(count for key, count in found.items() if key[1][0] == signal) == 1
