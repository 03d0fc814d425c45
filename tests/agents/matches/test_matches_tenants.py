"""A definition counts what is of its tenant, as if nothing else were there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from operator import attrgetter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tailrace.schemas.config.tenancy import TenancyConfig
from tailrace.schemas.definitions import Definition, Definitions
from tailrace.schemas.definitions.alert import AlertSpec
from tailrace.schemas.definitions.filters import SpanFilter
from tailrace.schemas.definitions.signals import signals
from tailrace.schemas.definitions.slo import SloSpec
from tailrace.streams.batch import Batch
from tailrace.tables.store import MemoryDisk, PartitionStore
from tests.agents.matches.span_messages import (
    BEGIN_NS,
    END_MS,
    SECOND_NS,
    TRAFFIC,
    Sent,
    Span,
    rows,
)
from tests.agents.matches.test_matches_laws import (
    RELATED,
    SPECS,
    Kept,
    alert,
    builder,
    counted,
    defined,
)
from tests.streams import deaths
from tests.streams.deaths import EVENTS, Row, by_topic

KEY = "tenant.id"
BY_KEY = TenancyConfig(resource_attribute=KEY)
TENANTS = ("default", "acme", "beta")

SERVED = SpanFilter.model_validate({"kind": "server", "parent": {"kind": "client"}})
LONE = AlertSpec.model_validate({"trace": {"spans": {"lt": 2}}, "when": "> 1"})


@st.composite
def _owned(draw: Callable[..., Any]) -> list[Sent]:
    """Traffic whose spans are of tenants, or say nothing.

    Traces are in order in each message: otherwise in what order it is read, and so what is shown
    first, depends on all that is in it.
    """
    said = st.sampled_from([None, *TENANTS, "acme"])

    def own(span: Span) -> Span:
        tenant = draw(said)
        return span if tenant is None else replace(span, resource={**span.resource, KEY: tenant})

    return [
        replace(each, spans=tuple(map(own, sorted(each.spans, key=attrgetter("trace")))))
        for each in draw(TRAFFIC)
    ]


@st.composite
def _definitions(draw: Callable[..., Any]) -> Definitions:
    """Definitions of all kinds, of which each is there for some tenants."""
    specs = draw(st.lists(SPECS | st.sampled_from((*RELATED, LONE)), min_size=1, max_size=4))
    tenants = st.sets(st.sampled_from(TENANTS), min_size=1)
    return Definitions.of_all(
        defined(number, spec, tenant)
        for number, spec in enumerate(specs)
        for tenant in draw(tenants)
    )


def only(tenant: str, records: Sequence[Row]) -> list[Row]:
    """The same records, in which nobody else's spans are."""
    found = []
    for row in records:
        request = ExportTraceServiceRequest.FromString(row.value or b"")
        mine = [each for each in request.resource_spans if _tenant(each) == tenant]
        del request.resource_spans[:]
        request.resource_spans.extend(mine)
        found.append(replace(row, value=request.SerializeToString()))
    return found


def _tenant(block: Any) -> str:
    said = {each.key: each.value.string_value for each in block.resource.attributes}
    return said.get(KEY, "default")


def told_of(all: Definitions, records: Sequence[Row], tenant: str) -> tuple[object, ...]:
    """What *records* bring for the definitions of *tenant* among *all*: counts, evidence, marks."""
    kept = Kept()
    build = builder(all, kept=kept, tenancy=BY_KEY)
    found = counted(deaths.uninterrupted(build, records, END_MS))
    mine = {
        signal.id: (one.name, operand)
        for one in all.by_key.values()
        if one.tenant == tenant
        for operand, signal in signals(one).items()
    }

    def named(counts: Mapping[tuple[int, Any], int]) -> dict[tuple[Any, ...], int]:
        keys = ((at, key, count) for (at, key), count in counts.items() if key[0] in mine)
        return {(at, mine[key[0]], *key[1:]): count for at, key, count in keys}

    return (
        named(found.events),
        named(found.matches),
        sorted((mine[each[1]], each[0], *each[2:]) for each in found.evidence if each[1] in mine),
        sorted((mine[each[2]], *each[:2], each[3]) for each in kept.marks if each[2] in mine),
    )


@settings(max_examples=400, deadline=None)
@given(_definitions(), _owned())
def test_a_tenant_has_the_numbers_evidence_and_marks_that_it_would_have_alone(
    all: Definitions, sent: list[Sent]
) -> None:
    """Whoever else sends spans, and whoever else asks about them."""
    records = rows(sent)
    for tenant in TENANTS:
        own = Definitions.of_all(each for each in all.by_key.values() if each.tenant == tenant)
        alone = told_of(own, only(tenant, records), tenant)
        assert told_of(all, records, tenant) == alone


@settings(max_examples=200, deadline=None)
@given(_definitions(), _owned())
def test_a_tenant_has_the_numbers_that_default_would_have_of_its_spans(
    all: Definitions, sent: list[Sent]
) -> None:
    acme = [each for each in all.by_key.values() if each.tenant == "acme"]
    same = [replace(each, key=each.key._replace(tenant="default")) for each in acme]
    records = only("acme", rows(sent))
    unsaid = [
        replace(row, value=(row.value or b"").replace(KEY.encode(), b"tenant_id"))
        for row in records
    ]
    assert told_of(Definitions.of_all(acme), records, "acme") == told_of(
        Definitions.of_all(same), unsaid, "default"
    )


@settings(max_examples=200, deadline=None)
@given(
    _definitions(),
    _owned(),
    st.sets(st.integers(0, 10)),
    st.sets(st.integers(0, 10)),
    st.sampled_from([32 << 20, 3000, 0]),
)
def test_tenants_stay_apart_however_batches_are_cut(
    all: Definitions, sent: list[Sent], cuts: set[int], checkpoints: set[int], limit: int
) -> None:
    build, whole = builder(all, limit, tenancy=BY_KEY), builder(all, tenancy=BY_KEY)
    outputs = deaths.cut(build, rows(sent), sorted(cuts), sorted(checkpoints), END_MS)
    assert outputs == deaths.uninterrupted(whole, rows(sent), END_MS)


@settings(max_examples=200, deadline=None)
@given(_definitions(), _owned(), st.lists(EVENTS, max_size=10))
def test_tenants_stay_apart_whenever_a_worker_dies(
    all: Definitions, sent: list[Sent], events: list[object]
) -> None:
    build = builder(all, tenancy=BY_KEY)
    log = deaths.interrupted(build, rows(sent), events, END_MS)
    assert by_topic(log.committed) == deaths.uninterrupted(build, rows(sent), END_MS)


def of(tenant: str, span: Span) -> Span:
    return replace(span, resource={**span.resource, KEY: tenant})


SLOW = SpanFilter.model_validate({"duration": "> 1s"})
SHARE = AlertSpec.model_validate(
    {"of": {}, "where": {"status": "error"}, "aggregate": "share", "when": "> 5%"}
)
QUANTILE = AlertSpec.model_validate(
    {"where": {}, "aggregate": "quantile", "quantile": 0.95, "when": "> 500ms"}
)
SLO = SloSpec.model_validate({"sli": {"availability": {"of": {}}}, "objective": 99})
ERROR, GOOD = Span(status=2), Span(duration=SECOND_NS, trace=1)


@pytest.mark.parametrize(
    ("spec", "events", "matches"),
    [
        pytest.param(alert(), 3, 3, id="matches"),
        pytest.param(SHARE, 3, 1, id="a share"),
        pytest.param(QUANTILE, 3, 2, id="a quantile"),
        pytest.param(SLO, 3, 1, id="an SLO"),
        pytest.param(alert(group_by=("service",)), 3, 3, id="by group"),
        pytest.param(RELATED[2], 3, 3, id="distinct traces by kind"),
        pytest.param(RELATED[3], 1, 1, id="whole traces"),
        pytest.param(alert(SERVED), 1, 1, id="children of parents"),
    ],
)
def test_each_aggregation_sees_one_tenant(
    spec: AlertSpec | SloSpec, events: int, matches: int
) -> None:
    """Spans of two tenants in two traces, the same spans for both."""
    spans = [Span(kind=3, status=2), Span(is_root=False, duration=SECOND_NS)]
    spans.append(Span(duration=SECOND_NS, trace=1))
    sent = [
        Sent(0, tuple(of("acme", each) for each in spans)),
        Sent(0, tuple(of("beta", each) for each in spans)),
        Sent(0, tuple(spans)),
        Sent(2500, ()),
    ]
    for tenants in (["acme"], ["beta", "acme"], ["default"], list(TENANTS)):
        asked = Definitions.of_all(defined(0, spec, tenant) for tenant in tenants)
        found = counted(deaths.uninterrupted(builder(asked, tenancy=BY_KEY), rows(sent), END_MS))
        assert found.events.total() == events * len(tenants)
        assert found.matches.total() == matches * len(tenants)


def test_without_tenancy_all_spans_are_of_default() -> None:
    sent = [Sent(0, (of("acme", Span()), Span()))]
    one, other = defined(0, alert(), "acme"), defined(1, alert())
    asked = Definitions.of_all([one, other])
    found = counted(deaths.uninterrupted(builder(asked), rows(sent), END_MS))
    (own,) = (each.id for each in signals(other).values())
    assert {key[0] for _, key in found.events} == {own}
    assert found.events.total() == 2


def test_what_a_tenant_waits_for_goes_on_when_another_begins_to_ask() -> None:
    """Of what is kept of spans that wait, each tenant's stays; a tenant's goes with its alerts."""
    acme, beta = defined(0, alert(SERVED), "acme"), defined(1, alert(SERVED), "beta")
    child = of("acme", Span(kind=2, is_root=False))
    parent = of("acme", Span(kind=3))
    disk = MemoryDisk()
    store = PartitionStore(disk)
    first, second = rows([Sent(0, (child, child)), Sent(0, (parent,))])
    task = builder(Definitions.of_all([acme]), tenancy=BY_KEY)(store)
    assert task.process(Batch(deaths.TOPIC, 0, 0, 1, [first]), deaths.FAR)
    both = Definitions.of_all([acme, beta], 1)
    task.inform(both)
    task.snapshot()
    store.finish_checkpoint(0)
    task = builder(both, tenancy=BY_KEY)(PartitionStore(disk))
    # The second span of a message names the first as its parent.
    second = replace(second, value=rows([Sent(0, (parent,))])[0].value)
    assert task.process(Batch(deaths.TOPIC, 0, 1, 2, [second]), deaths.FAR)
    task.advance(END_MS)
    found = counted(dict(task.snapshot().outputs)).matches
    assert found.total() == 1


def test_nothing_is_kept_of_a_tenant_who_asks_for_nothing_any_more() -> None:
    acme: Definition[Any] = defined(0, alert(SERVED), "acme")
    store = PartitionStore(MemoryDisk())
    task = builder(Definitions.of_all([acme]), tenancy=BY_KEY)(store)
    waiting = of("acme", Span(kind=2, is_root=False, end=BEGIN_NS))
    (record,) = rows([Sent(0, (waiting, waiting))])
    assert task.process(Batch(deaths.TOPIC, 0, 0, 1, [record]), deaths.FAR)
    task.snapshot()
    store.finish_checkpoint(0)
    assert list(store.scan(b"wt"))
    task.inform(Definitions.of_all([], 1))
    assert not list(store.scan(b"wt"))
