"""The truth: as a plain recount has it, and as it was written."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from tailrace_loadtest.counting import truth_of
from tailrace_loadtest.generator import records
from tailrace_loadtest.histograms import histograms
from tailrace_loadtest.load import Load
from tailrace_loadtest.red import RedSeries
from tailrace_loadtest.sampling import Sampling, hashes, threshold
from tailrace_loadtest.templates import resource
from tailrace_loadtest.truth import read
from tailrace_loadtest.wire import spans
from tests.loadtest.recount import ERROR, ReadSpan, Recount, attributes_of

LOAD = Load(seed=5, spans=20_000, late_share=0.03, error_share=0.05)
SAMPLING = Sampling(slow_ms=700, percentage=25, salt="pepper")


@pytest.fixture(scope="module")
def recount() -> Recount:
    return Recount.of(records(LOAD))


def test_red_is_that_of_a_recount(recount: Recount) -> None:
    truth = truth_of(LOAD)
    found = {
        (series.service, _pod(series), *series[2:]): (histogram.sum_ns, histogram.buckets)
        for series, histogram in truth.red.items()
    }
    expected = recount.red()
    assert found == {key: (each.total_ns, each.buckets) for key, each in expected.items()}
    assert truth.calls.total() == truth.totals["spans"] == calls_total(recount)
    errors = sum(sum(each.buckets) for key, each in expected.items() if key[-1] == ERROR)
    assert truth.errors.total() == truth.totals["errors"] == errors


def _pod(series: RedSeries) -> str:
    encoded = Resource.FromString(resource(series.service, series.pod))
    return str(attributes_of(encoded)["k8s.pod.name"])


def calls_total(recount: Recount) -> int:
    return sum(map(len, recount.traces.values()))


def test_edges_are_those_of_a_recount(recount: Recount) -> None:
    truth = truth_of(LOAD)
    found = {
        series: [(side.sum_ns, side.buckets) for side in (calls.client, calls.server)]
        for series, calls in truth.graph.items()
    }
    assert found == {
        key: [(side.total_ns, side.buckets) for side in sides]
        for key, sides in recount.graph().items()
    }
    types = {edge.connection_type for edge in truth.edge_calls}
    assert types == {"", "messaging_system", "database", "virtual_node"}
    assert {"user", "unknown", "card-network"} <= {
        name for edge in truth.edge_calls for name in edge[:2]
    }
    assert truth.edge_calls.total() == sum(
        sum(each.client.buckets) for each in truth.graph.values()
    )
    assert all(0 < n <= truth.edge_calls[edge] for edge, n in truth.edge_failures.items())


def test_a_duration_at_a_bound_is_below_it_and_a_negative_one_is_nothing() -> None:
    durations = np.array([-5, 0, 2_000_000, 2_000_001, 15_000_000_000, 15_000_000_001])
    (found,) = histograms(np.zeros(6, np.int64), durations, 1)
    assert found.sum_ns == 30_004_000_002
    assert (found.buckets[:2], found.buckets[-2:]) == ([3, 1], [1, 1])
    assert found.count == 6


def test_all_of_a_trace_comes_within_its_pairing_time(recount: Recount) -> None:
    longest = 0
    for spans_of_trace in recount.traces.values():
        at = [each.timestamp_ms for each in spans_of_trace]
        longest = max(longest, max(at) - min(at))
    assert LOAD.pairing_s * 1000 - 3_000 < longest < LOAD.pairing_s * 1000 - 500


def test_every_trace_is_that_of_a_recount_of_its_spans_on_time(recount: Recount) -> None:
    truth = truth_of(LOAD, SAMPLING)
    assert set(truth.traces) == set(recount.traces)
    lost_roots = 0
    for trace_id, found in recount.traces.items():
        trace = truth.traces[trace_id]
        first_ms = min(each.timestamp_ms for each in found)
        on_time = [each for each in found if each.timestamp_ms < first_ms + 10_000]
        start = min(each.span.start_time_unix_nano for each in on_time)
        duration = max(each.span.end_time_unix_nano for each in on_time) - start
        has_error = any(each.span.status.code == ERROR for each in on_time)
        roots = [(e.service, e.span.name) for e in on_time if not e.span.parent_span_id]
        lost_roots += not roots
        assert (trace.first_ms, trace.spans) == (first_ms, len(on_time))
        assert trace.late_spans == len(found) - len(on_time)
        assert trace.services == tuple(sorted({each.service for each in on_time}))
        assert trace.root == (roots[0] if roots else None)
        assert (trace.start_ns, trace.duration_ns) == (start, duration)
        assert trace.has_error == has_error
        assert trace.expected.policy == policy(trace_id, has_error, duration)
        assert set(trace.kept) == ids(found if trace.expected.policy else [])
    assert lost_roots > 0


def policy(trace_id: str, has_error: bool, duration_ns: int) -> str | None:
    """The first policy of `SAMPLING` that samples, one trace at a time."""
    hashed = 0xCBF29CE484222325
    for byte in b"pepper" + bytes.fromhex(trace_id):
        hashed = (hashed ^ byte) * 0x100000001B3 % 2**64
    votes = {
        "errors": has_error,
        "slow": duration_ns >= 700_000_000,
        "rest": hashed <= (2**64 - 1) // 4,
    }
    return next((name for name, vote in votes.items() if vote), None)


def ids(found: list[ReadSpan]) -> set[str]:
    return {each.span.span_id.hex() for each in found}


def test_the_digests_of_kept_spans_are_those_of_the_spans_that_were_sent() -> None:
    truth = truth_of(LOAD)
    sent = {
        span.span_id: span.digest
        for record in records(LOAD)
        if truth.traces[record.key.decode()].kept
        for span in spans(record.value)
    }
    kept = [trace.kept for trace in truth.traces.values()]
    assert {span_id: each[span_id] for each in kept for span_id in each} == sent


def test_the_truth_survives_its_files(tmp_path: Path) -> None:
    truth = truth_of(replace(LOAD, spans=3_000), SAMPLING)
    truth.write(tmp_path)
    found = read(tmp_path)
    assert found == truth


# As Go computes them: big.Float, 64 bits of mantissa, cut off.
@pytest.mark.parametrize(
    ("percentage", "expected"),
    [
        pytest.param(100, 2**64 - 1, id="all"),
        pytest.param(150, 2**64 - 1, id="more than all is all"),
        pytest.param(0, 0, id="none but a hash of 0"),
        pytest.param(50, 2**63 - 1, id="half, rounded down"),
        pytest.param(10, 1_844_674_407_370_955_263, id="a tenth as the nearest double has it"),
        pytest.param(0.001, 184_467_440_737_095, id="a small share"),
        pytest.param(33.3, 6_142_765_776_545_279_999, id="a share of many digits"),
    ],
)
def test_the_threshold_is_the_collectors(percentage: float, expected: int) -> None:
    assert threshold(percentage) == expected


def test_a_share_of_random_trace_ids_is_as_large_as_the_percentage() -> None:
    ids = np.random.default_rng(1).integers(0, 256, (100_000, 16), np.uint8)
    share = (hashes(ids, "") <= np.uint64(threshold(10))).mean()
    assert abs(Fraction(float(share)) - Fraction(1, 10)) < Fraction(1, 200)


def test_the_hash_is_fnv_1a() -> None:
    ids = np.array([list(b"0123456789abcdef")], np.uint8)
    assert hashes(ids, "a").tolist() == [13_326_062_251_812_255_096]
