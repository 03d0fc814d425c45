"""The check of metrics and edges: silent about what is right, and it finds each planted fault."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from tailrace_loadtest.check import check
from tailrace_loadtest.counting import truth_of
from tailrace_loadtest.edge_check import EdgeFault
from tailrace_loadtest.load import Load
from tailrace_loadtest.metric_check import MetricFault, _without_more_bounds
from tailrace_loadtest.points import Point, PointFault
from tailrace_loadtest.report import Report, Written
from tailrace_loadtest.truth import Truth
from tests.loadtest import perfect, perfect_sums
from tests.loadtest.perfect_sums import FLUSH_NS, PARTITIONS, START_NS, Row

LOAD = Load(seed=3, spans=4_000, late_share=0.2, error_share=0.1)
CALLS, DURATION = "traces.span.metrics.calls", "traces.span.metrics.duration"
REQUESTS, SERVER = "traces_service_graph_request_total", "traces_service_graph_request_server"


class Outputs:
    """What a pipeline wrote; faults are planted in a series or an edge with enough calls."""

    def __init__(self, truth: Truth) -> None:
        self.truth = truth
        self.points = perfect_sums.rows(truth)
        self.extra: list[Written] = []
        self.edges = perfect_sums.edges(truth)

    def check(self) -> Report:
        return check(
            self.truth,
            perfect.sampled(self.truth),
            perfect.decisions(self.truth),
            [*perfect_sums.written(self.points), *self.extra],
            self.edges,
        )

    def at(self, metric: str, flush: int = 2) -> int:
        """The index of the point at *flush* of the series of *metric* that counts most."""
        last = START_NS + 2 * FLUSH_NS
        rows = [row for row in self.points if row.metric == metric and row.time_ns == last]
        most = max(rows, key=lambda row: sum(row.counts))
        (found,) = (
            index
            for index, row in enumerate(self.points)
            if (row.metric, row.resource, row.attributes)
            == (metric, most.resource, most.attributes)
            and row.time_ns == START_NS + flush * FLUSH_NS
        )
        return found

    def change(self, metric: str, change: Callable[[Row], Row], flush: int = 2) -> None:
        at = self.at(metric, flush)
        self.points[at] = change(self.points[at])

    def remove(self, metric: str) -> None:
        gone = self.points[self.at(metric)]
        about = gone.metric, gone.resource, gone.attributes
        self.points = [
            row for row in self.points if (row.metric, row.resource, row.attributes) != about
        ]

    def edge(self, **changes: Any) -> None:
        """Change the first record of the first edge."""
        self.edges[0] = self.edges[0]._replace(value=orjson.dumps({**self.said(), **changes}))

    def extra_edge(self, value: bytes, key: bytes | None = None) -> None:
        self.edges.append(Written(key, value))

    def said(self) -> dict[str, Any]:
        return dict(orjson.loads(self.edges[0].value or b""))


def _one_more(row: Row) -> Row:
    return row.but(counts=[row.counts[0] + 1, *row.counts[1:]])


def _one_less(row: Row) -> Row:
    largest = row.counts.index(max(row.counts))
    return row.but(counts=[n - (i == largest) for i, n in enumerate(row.counts)])


def _tenfold(row: Row) -> Row:
    return row.but(counts=[10 * n for n in row.counts])


def _doubled_bucket(row: Row) -> Row:
    largest = row.counts.index(max(row.counts))
    return row.but(counts=[n * (1 + (i == largest)) for i, n in enumerate(row.counts)])


def _next_bucket(row: Row) -> Row:
    largest = row.counts.index(max(row.counts))
    moved = [n - (i == largest) + (i == largest + 1) for i, n in enumerate(row.counts)]
    return row.but(counts=moved)


def _other_partition(row: Row) -> Row:
    return row.but(partition=(row.partition + 1) % PARTITIONS)


def _other_bounds(row: Row) -> Row:
    assert row.bounds
    return row.but(bounds=[bound * 2 for bound in row.bounds])


def _renamed(row: Row) -> Row:
    return row.but(attributes={**row.attributes, "service.name": "nobody"})


FAULTS: list[tuple[str, Callable[[Outputs], Any], set[Any]]] = [
    ("a call is lost", lambda o: o.change(CALLS, _one_less), {MetricFault.WRONG_COUNT}),
    ("a call is counted twice", lambda o: o.change(CALLS, _one_more), {MetricFault.WRONG_COUNT}),
    (
        "a request of an edge is counted twice",
        lambda o: o.change(REQUESTS, _one_more),
        {MetricFault.WRONG_COUNT},
    ),
    (
        "a bucket is doubled",
        lambda o: o.change(DURATION, _doubled_bucket),
        {MetricFault.WRONG_COUNT},
    ),
    (
        "a span is in the next bucket",
        lambda o: o.change(DURATION, _next_bucket),
        {MetricFault.WRONG_BUCKETS},
    ),
    (
        "a nanosecond is lost",
        lambda o: o.change(DURATION, lambda row: row.but(sum=row.sum - 1e-6)),
        {MetricFault.WRONG_SUM},
    ),
    (
        "a nanosecond of an edge is lost",
        lambda o: o.change(SERVER, lambda row: row.but(sum=row.sum - 1e-9)),
        {MetricFault.WRONG_SUM},
    ),
    ("a series is missing", lambda o: o.remove(CALLS), {MetricFault.MISSING}),
    ("an edge's series is missing", lambda o: o.remove(SERVER), {MetricFault.MISSING}),
    (
        "a series has an attribute of its own",
        lambda o: o.points.append(_renamed(o.points[o.at(CALLS)])),
        {MetricFault.FOREIGN},
    ),
    (
        "a series has another resource",
        lambda o: o.points.append(o.points[o.at(CALLS)].but(resource=b"")),
        {MetricFault.FOREIGN},
    ),
    (
        "a counter goes down",
        lambda o: o.change(CALLS, lambda row: row.but(counts=[10**6]), flush=1),
        {PointFault.DECREASE},
    ),
    (
        "a bucket goes down",
        lambda o: o.change(DURATION, _tenfold, flush=1),
        {PointFault.DECREASE},
    ),
    (
        "a sum goes down",
        lambda o: o.change(DURATION, lambda row: row.but(sum=1e12), flush=1),
        {PointFault.DECREASE},
    ),
    (
        "a series has two writers",
        lambda o: o.change(CALLS, _other_partition),
        {PointFault.TWO_WRITERS},
    ),
    (
        "a start changes",
        lambda o: o.change(CALLS, lambda row: row.but(start_ns=row.start_ns + 1)),
        {PointFault.CHANGED_START},
    ),
    (
        "a point is written twice",
        lambda o: o.points.append(o.points[o.at(CALLS)]),
        {PointFault.REPEATED_TIME},
    ),
    (
        "a point is from before its series",
        lambda o: o.change(CALLS, lambda row: row.but(time_ns=START_NS - 1), flush=0),
        {PointFault.EARLY_TIME},
    ),
    (
        "bounds change",
        lambda o: o.change(DURATION, _other_bounds),
        {PointFault.CHANGED_BOUNDS, MetricFault.WRONG_BUCKETS},
    ),
    (
        "a record is no metrics",
        lambda o: o.extra.append(Written(None, b"\xff", (), 0)),
        {PointFault.UNREADABLE},
    ),
    (
        "a counter is a delta",
        lambda o: o.extra.extend(
            perfect_sums.written([o.points[o.at(CALLS)].but(is_cumulative=False)])
        ),
        {PointFault.UNREADABLE},
    ),
    ("an edge record is no JSON", lambda o: o.extra_edge(b"{"), {EdgeFault.UNREADABLE}),
    (
        "an edge record has no time",
        lambda o: o.edge(to="now"),
        {
            EdgeFault.UNREADABLE,
            EdgeFault.WRONG_CALLS,
            EdgeFault.WRONG_FAILURES,
            EdgeFault.WRONG_SECONDS,
        },
    ),
    (
        "an edge record has another's key",
        lambda o: o.edges.__setitem__(0, o.edges[0]._replace(key=b'["default","a","b",""]')),
        {EdgeFault.WRONG_KEY},
    ),
    ("a call of an edge is lost", lambda o: o.edge(calls=0), {EdgeFault.WRONG_CALLS}),
    (
        "a failed call of an edge is counted twice",
        lambda o: o.edge(failed=o.said()["failed"] + 1),
        {EdgeFault.WRONG_FAILURES},
    ),
    (
        "a nanosecond of an edge record is lost",
        lambda o: o.edge(server_seconds_sum=o.said()["server_seconds_sum"] - 1e-9),
        {EdgeFault.WRONG_SECONDS},
    ),
    (
        "an edge record is written twice",
        lambda o: o.edges.append(o.edges[1]),
        {EdgeFault.WRONG_CALLS, EdgeFault.OVERLAP},
    ),
    (
        "two records are about one time",
        lambda o: o.edge(to="2026-05-28T20:26:41.500000000Z"),
        {EdgeFault.OVERLAP},
    ),
    (
        "an edge has two writers",
        lambda o: o.edges.__setitem__(0, o.edges[0]._replace(partition=PARTITIONS)),
        {EdgeFault.TWO_WRITERS},
    ),
    ("an edge is missing", lambda o: o.edges.__delitem__(slice(0, 2)), {EdgeFault.MISSING}),
    (
        "a call goes over a wrong edge",
        lambda o: o.extra_edge(
            orjson.dumps({**o.said(), "server": "nobody"}),
            orjson.dumps(["default", o.said()["client"], "nobody", o.said()["connection_type"]]),
        ),
        {EdgeFault.FOREIGN},
    ),
]


@pytest.fixture(scope="module")
def truth() -> Truth:
    return truth_of(LOAD)


def test_what_is_right_has_no_fault(truth: Truth) -> None:
    report = Outputs(truth).check()
    assert report.is_right, str(report)
    assert report.points == 3 * report.series
    assert report.series > 2 * len(truth.red)
    assert report.edge_records == 2 * report.edges == 2 * len(truth.edge_calls)


@pytest.mark.parametrize(
    ("plant", "expected"), [pytest.param(plant, found, id=name) for name, plant, found in FAULTS]
)
def test_a_fault_is_found(
    truth: Truth, plant: Callable[[Outputs], Any], expected: set[Any]
) -> None:
    outputs = Outputs(truth)
    plant(outputs)
    report = outputs.check()
    assert set(report.faults) == expected, str(report)
    assert all(report.examples[fault] for fault in expected)


def test_every_kind_of_fault_is_planted() -> None:
    assert set().union(*(found for _, _, found in FAULTS)) == {
        *PointFault,
        *MetricFault,
        *EdgeFault,
    }


def test_topics_that_are_not_given_are_not_checked(truth: Truth) -> None:
    report = check(truth, perfect.sampled(truth), perfect.decisions(truth))
    assert report.is_right, str(report)
    assert report.points == report.edge_records == 0


def test_bounds_besides_are_folded_into_those_of_the_truth() -> None:
    right = Point(0, 0, (3, 5, 1), 1.0, (10.0, 100.0), 0)
    found = Point(0, 0, (3, 2, 3, 1), 1.0, (10.0, 50.0, 100.0), 0)
    assert _without_more_bounds(found, right) == right
    fewer = Point(0, 0, (8, 1), 1.0, (100.0,), 0)
    assert _without_more_bounds(fewer, right) == fewer
