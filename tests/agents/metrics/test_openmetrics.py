"""Series in the OpenMetrics text format, read back by the Prometheus client's parser."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from tailrace.agents.metrics.family_series import Destination, FamilySeries, Manner
from tailrace.agents.metrics.instruments import Family, edge_family, red_family
from tailrace.agents.metrics.openmetrics import openmetrics
from tailrace.schemas.exemplars import Exemplar, ExemplarBatch
from tailrace.schemas.records import Outbox, Totals
from tailrace.schemas.series import (
    RedSeries,
    encoded_attributes,
    encoded_resource,
    red_layout,
)
from tailrace.tables.series_expiry import Expiry
from tailrace.tables.store import MemoryDisk, PartitionStore
from tests.agents.metrics.flushes import (
    EDGE_LAYOUT,
    MS,
    RED_LAYOUT,
    Durations,
    calls,
    edge_key,
    red_key,
    rollup,
)

RED = red_family(RED_LAYOUT, "traces.span.metrics", "ms")
CALLS, TOOK = "traces_span_metrics_calls", "traces_span_metrics_duration_milliseconds"
BEGIN_MS, FLUSH_MS = 1_700_000_000_000, 10_000


def kept(family: Family = RED, expiry: Expiry = Expiry()) -> FamilySeries:  # noqa: B008
    store = PartitionStore(MemoryDisk())
    manner = Manner(FLUSH_MS, expiry=expiry, exemplars=3)
    name = family.layout.family
    return FamilySeries(name, family, store, b"t", manner, Destination("m", "e", 1 << 20))


def flushed(
    series: FamilySeries, durations: dict[bytes, Durations], at: int = FLUSH_MS
) -> FamilySeries:
    end = BEGIN_MS + at
    if durations:
        series.table.add(rollup(series.family.layout, end - 1500, durations))
    series.flush(end, Outbox(), Totals())
    return series


def text(*series: FamilySeries) -> str:
    return b"".join(openmetrics(series)).decode()


def samples(*series: FamilySeries) -> dict[str, list[Sample]]:
    found: dict[str, list[Sample]] = {}
    for family in text_string_to_metric_families(text(*series)):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample)
    return found


def values(found: Iterable[Sample]) -> list[float]:
    return [sample.value for sample in found]


def test_series_are_told_as_of_the_last_flush_with_their_beginning() -> None:
    key = red_key("api", 'GET "/"', **{"service.instance.id": "one", "host.name": "web-1"})
    took = [10 * MS, 11 * MS, 2500 * MS]
    series = flushed(kept(), {key: {"duration": took}})
    series.table.add(rollup(RED_LAYOUT, BEGIN_MS + FLUSH_MS, {key: {"duration": took}}))
    found = samples(series)
    labels = {
        "instance": "one",
        "job": "api",
        "otel_scope_name": "spanmetricsconnector",
        "service_name": "api",
        "span_name": 'GET "/"',
    }
    [count] = found[f"{CALLS}_total"]
    assert (count.labels, count.value) == (labels, 3)
    assert values(found[f"{CALLS}_created"]) == [(BEGIN_MS + FLUSH_MS - 1500) / 1000]
    assert [(s.labels["le"], s.value) for s in found[f"{TOOK}_bucket"]] == [
        ("10.0", 1),
        ("100.0", 2),
        ("1000.0", 2),
        ("+Inf", 3),
    ]
    assert values(found[f"{TOOK}_sum"]) == [2521.0]
    assert values(found[f"{TOOK}_count"]) == [3]
    [info] = found["target_info"]
    assert info.labels == {"instance": "one", "job": "api", "host_name": "web-1"}
    assert f"# UNIT {TOOK} milliseconds\n" in text(series)


def test_an_instance_that_was_started_anew_is_told_as_it_is_now() -> None:
    of: dict[str, Any] = {"service.instance.id": "one", "service.namespace": "eu"}
    old, new = (red_key("api", version=version, **of) for version in ("1.0", "1.1"))
    for first, last in ((old, new), (new, old)):
        series = flushed(kept(), {first: {"duration": [MS]}})
        flushed(series, {first: {"duration": [MS]}, last: {"duration": [MS]}}, 2 * FLUSH_MS)
        [info] = samples(series)["target_info"]
        assert info.labels == {
            "job": "eu/api", "instance": "one", "version": "1.1" if last == new else "1.0",
        }  # fmt: skip


def test_tenants_are_told_each_of_their_own_target() -> None:
    """Of equal job and instance by chance."""
    keys = [
        RedSeries(
            encoded_resource({"service.name": "api", "service.instance.id": "one", "of": tenant}),
            encoded_attributes([("tenant", tenant)]),
        ).key()
        for tenant in ("acme", "globex")
    ]
    found = samples(flushed(kept(), {key: {"duration": [MS]} for key in keys}))
    assert [each.labels for each in found["target_info"]] == [
        {"job": "api", "instance": "one", "of": tenant, "tenant": tenant}
        for tenant in ("acme", "globex")
    ]


def test_what_has_no_instance_says_so() -> None:
    found = samples(flushed(kept(), {red_key("api"): {"duration": [MS]}}))
    assert [found[f"{CALLS}_total"][0].labels[name] for name in ("job", "instance")] == ["api", ""]


def test_series_with_equal_labels_are_one_whichever_partition_they_are_of() -> None:
    one = flushed(
        kept(),
        {red_key(host="a"): {"duration": [MS, 20 * MS]}, red_key(host="b"): {"duration": [MS]}},
    )
    other = flushed(kept(), {red_key(host="c"): {"duration": [5000 * MS]}})
    found = samples(one, other)
    assert values(found[f"{CALLS}_total"]) == [4]
    assert values(found[f"{TOOK}_bucket"]) == [2, 3, 3, 4]
    assert values(found[f"{TOOK}_sum"]) == [5022]


def test_a_label_without_a_value_makes_no_other_series() -> None:
    """Prometheus would take the first line of the two, and leave out the other."""
    resource = encoded_resource({"service.name": "api"})
    keys = [
        RedSeries(resource, encoded_attributes([("service.name", "api"), *more])).key()
        for more in ([], [("http.route", "")], [("http.route", "/")])
    ]
    series = flushed(kept(), {key: {"duration": [MS] * at} for at, key in enumerate(keys, 1)})
    found = samples(series)[f"{CALLS}_total"]
    assert [(each.labels.get("http_route"), each.value) for each in found] == [(None, 3), ("/", 3)]


def test_exemplars_stand_where_they_are_examples() -> None:
    series = kept()
    ids = b"t" * 16, b"s" * 8
    at = BEGIN_MS * MS + 250_000_000
    examples = [Exemplar(2 * MS, at, *ids), Exemplar(50 * MS, at + MS, *ids)]
    series.show(ExemplarBatch("red", {red_key(): examples}), BEGIN_MS)
    found = samples(flushed(series, {red_key(): {"duration": [2 * MS, 50 * MS]}}))
    buckets = [sample.exemplar for sample in found[f"{TOOK}_bucket"]]
    named = {"trace_id": (b"t" * 16).hex(), "span_id": (b"s" * 8).hex()}
    assert [each and (each.value, each.labels) for each in buckets] == [
        (2.0, named),
        (50.0, named),
        None,
        None,
    ]
    [count] = found[f"{CALLS}_total"]
    assert count.exemplar is not None
    assert (count.exemplar.value, float(count.exemplar.timestamp)) == (
        50.0,
        BEGIN_MS / 1000 + 0.251,
    )
    assert " # {" not in text(flushed(series, {}, 2 * FLUSH_MS))


def test_what_expired_is_not_there_any_more() -> None:
    series = kept(expiry=Expiry(series_ms=FLUSH_MS * 3 // 2))
    flushed(series, {red_key("api", "1"): {"duration": [MS]}})
    flushed(series, {red_key("api", "2"): {"duration": [MS]}}, 2 * FLUSH_MS)
    assert len(samples(series)[f"{CALLS}_total"]) == 2
    flushed(series, {red_key("api", "2"): {"duration": [MS]}}, 3 * FLUSH_MS)
    [left] = samples(series)[f"{CALLS}_total"]
    assert (left.labels["span_name"], left.value) == ("2", 2)


def test_what_is_given_up_during_a_scrape_breaks_nothing() -> None:
    series = kept(expiry=Expiry(series_ms=FLUSH_MS))
    flushed(series, {red_key("api", "1"): {"duration": [MS]}})
    pieces = openmetrics([series])
    assert next(pieces) == b""
    for at in (2, 3):
        flushed(series, {}, at * FLUSH_MS)
    assert list(text_string_to_metric_families(b"".join(pieces).decode())) == []


def test_a_slot_that_another_series_got_during_a_scrape_is_not_told_under_the_old_labels() -> None:
    series = kept(expiry=Expiry(series_ms=FLUSH_MS))
    stays = {red_key("api", "stays"): {"duration": [MS]}}
    flushed(series, {red_key("api", "old"): {"duration": [MS]}, **stays})
    pieces = openmetrics([series])
    assert next(pieces) == b""
    flushed(series, stays, 2 * FLUSH_MS)
    flushed(series, stays, 3 * FLUSH_MS)
    new = {red_key("api", "new"): {"duration": [MS] * 777}}
    flushed(series, {**new, **stays}, 4 * FLUSH_MS)
    assert series.table.keys.find(red_key("api", "new")) == 0
    told = {
        (sample.labels["span_name"], sample.value)
        for family in text_string_to_metric_families(b"".join(pieces).decode())
        for sample in family.samples
        if sample.name in (f"{CALLS}_total", f"{TOOK}_count")
    }
    assert told == {("stays", 4)}


def test_exponential_histograms_tell_their_sum_and_count() -> None:
    family = red_family(red_layout((), 4, MS), "", "ms")
    found = samples(flushed(kept(family), {red_key(): {"duration": [0, 3 * MS]}}))
    assert [(s.labels["le"], s.value) for s in found["duration_milliseconds_bucket"]] == [
        ("+Inf", 2)
    ]
    assert values(found["duration_milliseconds_sum"]) == [3.0]


def test_edges_are_told_by_their_outcome() -> None:
    durations = {**calls([10 * MS], [MS]), **calls([20 * MS] * 2, [MS] * 2, failed=True)}
    found = samples(flushed(kept(edge_family(EDGE_LAYOUT)), {edge_key(): durations}))
    prefix = "traces_service_graph_request"
    assert {s.labels["failed"]: s.value for s in found[f"{prefix}_total"]} == {
        "false": 1,
        "true": 2,
    }
    assert values(found[f"{prefix}_failed_total"]) == [2]
    assert sorted(values(found[f"{prefix}_client_seconds_sum"])) == [0.01, 0.04]


def test_nothing_is_an_exposition_too() -> None:
    assert text() == text(kept()) == "# EOF\n"


def test_pieces_are_small() -> None:
    keys = {red_key("api", str(number)): {"duration": [MS]} for number in range(1000)}
    pieces = list(openmetrics([flushed(kept(), keys)]))
    assert sum(piece == b"" for piece in pieces) >= 8
    assert max(piece.count(b"_count{") for piece in pieces) <= 128
    assert len(list(text_string_to_metric_families(b"".join(pieces).decode()))) == 2
