"""All names of the load have their turn as soon as there are more; bounds of checkpoints hold."""

from __future__ import annotations

from itertools import islice

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client import CollectorRegistry, Histogram

from tailrace_loadtest.checkpoint_times import checkpoint_times
from tailrace_loadtest.data_points import SERVICES, SPANS_A_MESSAGE
from tailrace_loadtest.load import Record
from tailrace_loadtest.processes import Samples
from tailrace_loadtest.series import FIRST_SPANS_A_SECOND, NameLoad

_BOUNDS = (0.1, 0.5, 1.0, 2.5)
_SECONDS = st.lists(st.sampled_from([0.05, 0.1, 0.3, 1.0, 1.5, 9.0]), max_size=30)


def _names(records: list[Record]) -> set[tuple[str, str]]:
    return {
        (block.resource.attributes[0].value.string_value, span.name)
        for record in records
        for block in ExportTraceServiceRequest.FromString(record.value).resource_spans
        for scope in block.scope_spans
        for span in scope.spans
    }


def test_all_names_have_a_turn_at_once_when_they_grow_and_time_goes_on_evenly_after_it() -> None:
    load = NameLoad(1_000, SERVICES * 50, at_ms=1_700_000_000_000.0)
    records = load.records()
    few = list(islice(records, 40))
    assert len(_names(few)) == SERVICES * 50
    load.grow(SERVICES * 100)
    new = list(islice(records, SERVICES * 100 // SPANS_A_MESSAGE))
    assert len(_names(new)) == SERVICES * 100
    took_ms = SERVICES * 100 * 1000 // FIRST_SPANS_A_SECOND
    assert new[-1].timestamp_ms - few[-1].timestamp_ms == took_ms
    after = list(islice(records, 20))
    assert after[-1].timestamp_ms - new[-1].timestamp_ms == 20 * SPANS_A_MESSAGE
    assert load.spans == (40 + 40 + 20) * SPANS_A_MESSAGE
    assert len({record.key for record in (*few, *new, *after)}) == 100


@given(_SECONDS, _SECONDS)
def test_times_are_those_between_two_scrapes(before: list[float], then: list[float]) -> None:
    registry = CollectorRegistry()
    name = "tailrace_checkpoint_seconds"
    histogram = Histogram(name, "", ["stage"], buckets=_BOUNDS, registry=registry)
    for stage, seconds in (("spans", before), ("rollups", before)):
        for each in seconds:
            histogram.labels(stage).observe(each)
    first = _scraped(registry)
    for number, each in enumerate(then):
        histogram.labels(("spans", "rollups")[number % 2]).observe(each)
    times = checkpoint_times(first, _scraped(registry))
    assert times.count == len(then)
    assert times.over == sum(each > 1.0 for each in then)
    for bound, share in ((times.p99, 0.99), (times.longest, 1.0)):
        assert sum(each <= bound for each in then) >= share * len(then)
        lower = [each for each in (0.0, *_BOUNDS) if each < bound]
        assert not then or sum(each <= lower[-1] for each in then) < share * len(then)


def _scraped(registry: CollectorRegistry) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in registry.collect()
        for sample in family.samples
    }
