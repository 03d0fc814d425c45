"""The load: what it is a function of, and what it looks like."""

import hashlib
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tailrace_loadtest.counting import truth_of
from tailrace_loadtest.generator import records
from tailrace_loadtest.load import Load
from tests.loadtest.recount import Recount, attributes_of

LOAD = Load(seed=11, spans=20_000, late_share=0.02, error_share=0.05)


def fingerprint(load: Load) -> str:
    hashed = hashlib.sha256()
    for record in records(load):
        hashed.update(repr(record).encode())
    return hashed.hexdigest()


def test_the_same_load_is_the_same_bytes_and_another_seed_is_not() -> None:
    load = replace(LOAD, spans=5_000)
    assert fingerprint(load) == fingerprint(load)
    assert fingerprint(load) != fingerprint(replace(load, seed=12))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"spans": 0}, "spans is 0; it must be over 0", id="no spans"),
        pytest.param({"seconds": -1.0}, "seconds is -1.0; it must be over 0", id="no time"),
        pytest.param(
            {"late_share": 2.0}, "late_share is 2.0; it must be in 0..1", id="more late than all"
        ),
    ],
)
def test_an_impossible_load_says_what_is_wrong(change: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(LOAD, **change)


@pytest.mark.parametrize(
    "load",
    [
        pytest.param(LOAD, id="a wait as long as the load"),
        pytest.param(replace(LOAD, decision_wait_s=1, seconds=3), id="a wait shorter than traces"),
        pytest.param(replace(LOAD, seconds=0.5), id="a load shorter than traces"),
    ],
)
def test_no_decision_depends_on_the_partitioning(load: Load) -> None:
    by_trace: dict[int, list[tuple[int, int]]] = {}
    stream_ms = 0
    for record in records(load):
        stream_ms = max(stream_ms, record.timestamp_ms)
        by_trace.setdefault(record.trace, []).append((record.timestamp_ms, stream_ms))
    wait_ms, late_records = load.decision_wait_s * 1000, 0
    for sent in by_trace.values():
        # Stream time of its partition is at least its timestamp, at most that of the whole log.
        first, first_latest = min(each[0] for each in sent), sent[0][1]
        for timestamp, latest in sent:
            is_late = timestamp - first > wait_ms / 2
            late_records += is_late
            if is_late:
                assert timestamp - first_latest >= wait_ms + 4_500
            else:
                assert latest - first < wait_ms / 2
                assert load.start_ms <= timestamp < load.start_ms + load.seconds * 1000
    assert late_records == truth_of(load).totals["late_records"] > 0


def test_spans_end_before_they_are_sent_and_children_follow_their_parents() -> None:
    for spans in Recount.of(records(LOAD)).traces.values():
        ids = {each.span.span_id for each in spans}
        assert len(ids) == len(spans)
        assert [each for each in spans if not each.span.parent_span_id].__len__() == 1
        for each in spans:
            assert each.span.end_time_unix_nano <= each.timestamp_ms * 1_000_000
            assert each.span.start_time_unix_nano < each.span.end_time_unix_nano
            assert not each.span.parent_span_id or each.span.parent_span_id in ids


def test_traces_overlap_and_some_records_are_out_of_order() -> None:
    sent = list(records(LOAD))
    behind = sum(later.timestamp_ms < earlier.timestamp_ms for earlier, later in pairwise(sent))
    assert 0.003 < behind / len(sent) < 0.03
    neighbours = sum(earlier.trace == later.trace for earlier, later in pairwise(sent))
    assert neighbours / len(sent) < 0.2


def test_the_load_looks_like_a_fleets() -> None:
    load = Load(seed=2, spans=40_000)
    truth = truth_of(load)
    totals, traces = truth.totals, truth.traces.values()
    assert load.spans <= totals["spans"] < load.spans + 30
    assert 7.5 < totals["spans"] / totals["traces"] < 8.5
    assert 3.1 < totals["records"] / totals["traces"] < 3.7
    assert 1_200 < totals["bytes"] / totals["records"] < 1_450
    assert 0.01 < sum(each.has_error for each in traces) / len(traces) < 0.02
    assert 0.01 < sum(each.duration_ns >= 10**9 for each in traces) / len(traces) < 0.05
    assert 0.001 < totals["late_records"] / len(traces) < 0.006
    assert len({service for each in traces for service in each.services}) == 12
    assert {kind for _, _, kind in truth.calls} == {1, 2, 3, 4, 5}


def test_messages_are_what_a_collector_writes() -> None:
    attribute_counts: Counter[int] = Counter()
    user_ids = set()
    for record in records(replace(LOAD, spans=5_000)):
        message = ExportTraceServiceRequest.FromString(record.value)
        assert message.SerializeToString(deterministic=True) == record.value
        (block,) = message.resource_spans
        assert len(attributes_of(block.resource)) == 5
        (scope,) = block.scope_spans
        assert scope.scope.name
        for span in scope.spans:
            attributes = attributes_of(span)
            attribute_counts[len(attributes)] += 1
            user_ids.add(attributes.get("enduser.id"))
    assert 11 <= sum(n * count for n, count in attribute_counts.items()) / 5_000 <= 13
    assert len(user_ids) > 1_000
