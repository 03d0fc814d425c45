"""Which labels a series has, as they are asked for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tailrace.agents.red.dimensions import LabelSet
from tailrace.agents.red.logic import RedLogic
from tailrace.agents.red.series import SeriesKeys
from tailrace.agents.red.settings import RedSettings
from tailrace.schemas.config.metric_labels import MetricLabelsConfig
from tailrace.schemas.label_rules import LabelRules
from tailrace.schemas.records import Arrivals, Outbox, Totals
from tailrace.schemas.series import CALLS, EVENTS, RED, RedSeries, decoded_attributes
from tailrace.schemas.sums import decode, histogram
from tailrace.tables.interval_sums import RollupTopic
from tailrace.tables.store import MemoryDisk, PartitionStore
from tests.agents.red.counting import API, batch_of, keys_of, labels_by, rollups_of
from tests.agents.red.traffic import ALL_APART, BOUNDS_NS, HUGE, Event, Span


def test_what_each_label_is_called_and_in_which_order() -> None:
    span = Span(
        API,
        state="ot=th:8",
        scope=("io.lib", "2"),
        attributes={"tier": "gold", "http.b": 1, "http.a": 2},
        events=(Event(attributes={"other": "x"}),),
    )
    always = ["service.name", "span.name", "span.kind", "status.code", "sampling.method"]
    scope = ["span.instrumentation.scope.name", "span.instrumentation.scope.version"]
    found = labels_by(ALL_APART, span, tenant="acme")
    assert [list(labels) for labels in found] == [
        [*always, *scope, "http.request.method", "tier", "tenant"],
        [*always, *scope, "tier", "http.a", "http.b", "tenant"],
        [*always, *scope, "tier", "other", "tenant"],
    ]
    assert {labels["sampling.method"] for labels in found} == {"extrapolated"}
    assert {labels["tenant"] for labels in found} == {"acme"}


@pytest.mark.parametrize(
    ("scope", "labels"),
    [
        pytest.param(("express", "1.0"), {"name": "express", "version": "1.0"}, id="named"),
        pytest.param(("express", ""), {"name": "express"}, id="named, without a version"),
        pytest.param(("other", "1.0"), {}, id="another"),
        pytest.param(("", "1.0"), {}, id="one without a name"),
    ],
)
def test_a_scope_is_a_label_if_it_is_named(scope: tuple[str, str], labels: dict[str, str]) -> None:
    settings = RedSettings(LabelSet(), BOUNDS_NS, scopes=frozenset({"express", ""}))
    (found,) = labels_by(settings, Span(API, scope=scope))
    prefix = "span.instrumentation.scope."
    shown = {key.removeprefix(prefix): found[key] for key in found if key.startswith(prefix)}
    assert shown == labels


def test_scopes_that_are_named_tell_series_apart() -> None:
    settings = RedSettings(LabelSet(), BOUNDS_NS, scopes=frozenset({"a", "b"}))
    scopes = [("a", "1"), ("b", "1"), ("a", "2"), ("c", "1"), ("d", "1")]
    assert len(keys_of(*(Span(API, scope=scope) for scope in scopes), settings=settings)) == 4


@pytest.mark.parametrize(
    ("state", "method"),
    [("", "counted"), ("ot=th:0", "extrapolated"), ("ot=th:c", "extrapolated"), ("x", "counted")],
)
def test_the_method_says_if_a_span_stands_for_others(state: str, method: str) -> None:
    settings = RedSettings(LabelSet(), BOUNDS_NS, tells_method=True)
    assert [each["sampling.method"] for each in labels_by(settings, Span(API, state=state))] == [
        method
    ]


def test_spans_that_differ_in_what_is_excluded_are_one_series() -> None:
    excluded = frozenset({"service.name", "span.name", "span.kind", "status.code"})
    settings = RedSettings(LabelSet((("tier", None),)), BOUNDS_NS, excluded=excluded)
    spans = [Span(API, name, kind, status) for name in "ab" for kind in (1, 2) for status in (0, 2)]
    (rollup,) = rollups_of(settings, batch_of(settings, *spans))
    assert decoded_attributes(RedSeries.of_key(rollup.keys[0]).dimensions) == []
    assert histogram(rollup.layout, rollup.rows[0], "duration").count == len(spans)


def test_resources_that_differ_beyond_the_keys_are_one() -> None:
    settings = RedSettings(
        LabelSet((("pod", None),)), BOUNDS_NS, resource_keys=frozenset({"service.name", "zone"})
    )
    spans = [Span({**API, "pod": pod, "zone": "a"}) for pod in ("p", "q")]
    keys = keys_of(*spans, settings=settings)
    assert {RedSeries.of_key(key).resource for key in keys} == {
        RedSeries.of_key(keys_of(Span({**API, "zone": "a"}), settings=settings)[0]).resource
    }
    assert len(keys) == 2, "the labels are still of the whole resource"


def test_a_span_without_a_service_is_skipped_whatever_the_keys_are() -> None:
    settings = RedSettings(LabelSet(), BOUNDS_NS, resource_keys=frozenset({"zone"}))
    assert keys_of(Span({"zone": "a"}), settings=settings) == []
    (key,) = keys_of(Span({**API, "zone": "a"}), settings=settings)
    assert decoded_attributes(RedSeries.of_key(key).resource) == [("zone", "a")]


@pytest.mark.parametrize(
    ("of_span", "of_event", "of_resource", "found"),
    [
        pytest.param({"k": 1}, {"k": 2}, {"k": 3}, 1, id="span first"),
        pytest.param({}, {"k": 2}, {"k": 3}, 2, id="then event"),
        pytest.param({}, {}, {"k": 3}, 3, id="then resource"),
        pytest.param({}, {}, {}, "none", id="then default"),
    ],
)
@pytest.mark.parametrize("is_glob", [False, True], ids=["by name", "by pattern"])
def test_a_dimension_of_events(
    of_span: dict[str, Any],
    of_event: dict[str, Any],
    of_resource: dict[str, Any],
    found: Any,
    is_glob: bool,
) -> None:
    labels = LabelSet(globs=("k",)) if is_glob else LabelSet((("k", "none"),))
    settings = RedSettings(LabelSet(), BOUNDS_NS, events=labels)
    span = Span({**API, **of_resource}, attributes=of_span, events=(Event("e", of_event),))
    event = labels_by(settings, span)[1]
    assert event.get("k", "none") == found


def test_events_count_as_often_as_their_span_and_take_no_time() -> None:
    settings = RedSettings(LabelSet(), BOUNDS_NS, events=LabelSet((("k", None),)))
    events = (Event("e", {"k": "a"}), Event("e", {"k": "a"}), Event("e", {"k": "b"}))
    spans = [Span(API, events=events, state="ot=th:8"), Span(API), Span({}, events=events)]
    rollups = rollups_of(settings, batch_of(settings, *spans))
    assert [rollup.layout.family for rollup in rollups] == [RED, EVENTS]
    counts = [
        (dict(decoded_attributes(RedSeries.of_key(key).dimensions))["k"], row.tolist())
        for key, row in zip(rollups[1].keys, rollups[1].rows, strict=True)
    ]
    assert sorted(counts) == [("a", [4]), ("b", [2])]


def test_calls_apart_have_their_own_labels() -> None:
    settings = RedSettings(
        LabelSet((("a", None),)), BOUNDS_NS, calls=LabelSet((("b", None),), ("x.*",))
    )
    span = Span(API, attributes={"a": 1, "b": 2, "x.y": 3, "x.y.z": 4})
    durations, calls = labels_by(settings, span)
    assert list(durations)[4:] == ["a"]
    assert list(calls)[4:] == ["b", "x.y"]


def test_rules_hold_for_labels_and_resources_but_not_for_the_tenant() -> None:
    rules = LabelRules(
        MetricLabelsConfig.model_validate(
            {
                "drop": ["user.*", "tenant"],
                "hash": ["mail"],
                "templates": [{"attribute": "span.name", "ids": True}],
            }
        )
    )
    settings = RedSettings(
        LabelSet((("mail", None), ("user.id", None))),
        BOUNDS_NS,
        calls=LabelSet(globs=("user.*",)),
        tells_tenant=True,
        rules=rules,
    )
    spans = [
        Span({**API, "user.name": "ann", "mail": "a@b.example"}, f"GET /users/{number}")
        for number in (1, 2)
    ]
    rollups = rollups_of(settings, batch_of(settings, *spans, tenant="acme"))
    assert [(rollup.layout.family, len(rollup.keys)) for rollup in rollups] == [
        (RED, 1),
        (CALLS, 1),
    ]
    series = RedSeries.of_key(rollups[0].keys[0])
    resource = dict(decoded_attributes(series.resource))
    assert resource.keys() == {"service.name", "mail"}
    assert len(str(resource["mail"])) == 16
    labels = dict(decoded_attributes(series.dimensions))
    assert labels["span.name"] == "GET /users/{id}"
    assert (labels["mail"], labels["tenant"]) == (resource["mail"], "acme")
    assert "user.id" not in labels
    assert b"ann" not in b"".join(key for rollup in rollups for key in rollup.keys)


def test_the_tenant_is_the_last_label_whatever_spans_say() -> None:
    settings = RedSettings(LabelSet((("tenant", None), ("a", None))), BOUNDS_NS, tells_tenant=True)
    spans = [Span(API, attributes={"tenant": "forged", "a": 1}), Span(API, attributes={"a": 1})]
    (labels,) = labels_by(settings, *spans, tenant="acme")
    assert [*labels.items()][4:] == [("a", 1), ("tenant", "acme")]


@pytest.mark.parametrize("family", [RED, CALLS, EVENTS])
def test_keys_are_those_under_which_spans_are_counted(family: str) -> None:
    spans = [
        Span(API, attributes={"tier": 1}, events=(Event(), Event("e", {"other": 2}))),
        Span({}, events=(Event(),)),
        Span(API, HUGE),
        Span({**API, "tier": "x"}, events=(Event(),), scope=("io.lib", "1")),
    ]
    batch = batch_of(ALL_APART, *spans)
    keys = SeriesKeys(ALL_APART, family)
    found = keys.of(batch)
    of_rollups = {
        key
        for rollup in rollups_of(ALL_APART, batch)
        if rollup.layout.family == family
        for key in rollup.keys
    }
    assert batch.events is not None
    owners = batch.events.row.tolist() if family == EVENTS else [0, 1, 2, 3]
    nobody = [row for row, key in zip(owners, found, strict=True) if key is None]
    assert nobody == ([1] if family == EVENTS else [1, 2]), "no service, or too large"
    counted = {key for key in of_rollups if b"otel.metric.overflow" not in key}
    assert {key for key in found if key is not None} == counted
    again = batch_of(ALL_APART, *reversed(spans))
    assert set(keys.of(again)) == set(found), "ids of another decoder mean something else"


def test_durations_go_over_to_other_bounds_in_the_middle_of_an_interval() -> None:
    settings = RedSettings(LabelSet(), (1_000, 5_000), calls=LabelSet((("tier", None),)))
    store = PartitionStore(MemoryDisk())
    logic = RedLogic(settings, store, RollupTopic("rollups", 1, 1 << 20, 1000), "red-0")
    logic.restore(0)
    outbox, totals = Outbox(), Totals()
    spans = [Span(API, start=0, end=duration) for duration in (500, 2_000, 4_000, 9_000)]
    batch = batch_of(settings, *spans)
    logic.process(Arrivals((), [1], batch), outbox, totals)
    logic.use((1_000, 3_000, 5_000))
    logic.process(Arrivals((), [2], batch), outbox, totals)
    logic.advance(1000, outbox, totals)
    rollup = decode(outbox.topics["rollups"][0].value)
    assert rollup.layout.bounds == (1_000, 3_000, 5_000)
    seen = histogram(rollup.layout, rollup.rows[0], "duration")
    # What came before has no bound between 1 and 5 µs, so it counts below the upper one.
    assert (seen.buckets, seen.sum_ns) == ([2, 1, 3, 2], 31_000)


def test_an_exponential_histogram_has_no_bounds_to_go_over_to() -> None:
    settings = RedSettings(LabelSet(), max_size=4, unit_ns=1_000_000)
    logic = RedLogic(
        settings, PartitionStore(MemoryDisk()), RollupTopic("rollups", 1, 1 << 20, 1000), "red-0"
    )
    logic.restore(0)
    logic.use((1, 2))
    outbox = Outbox()
    logic.process(Arrivals((), [1], batch_of(settings, Span(API))), outbox, Totals())
    logic.advance(1000, outbox, Totals())
    assert decode(outbox.topics["rollups"][0].value).layout.max_size == 4


def test_what_is_not_counted_any_more_does_not_come_back_later() -> None:
    both = RedSettings(LabelSet(), BOUNDS_NS, events=LabelSet((("k", None),)))
    store, topic = PartitionStore(MemoryDisk()), RollupTopic("rollups", 1, 1 << 20, 1000)
    batch = batch_of(both, Span(API, events=(Event(),)))
    families = []
    for settings, spans in ((both, batch), (replace(both, events=None), None), (both, None)):
        logic = RedLogic(settings, store, topic, "red-0")
        logic.restore(0)
        outbox, totals = Outbox(), Totals()
        if spans is not None:
            logic.process(Arrivals((), [1], spans), outbox, totals)
        logic.before_checkpoint()
        families.append([key[:2] for key, _ in store.scan(b"r")])
    assert [[b"re" in found, b"ro" in found] for found in families] == [
        [True, True],
        [False, True],
        [False, True],
    ]
