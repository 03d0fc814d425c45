"""What the demo makes of the output topics: rates, p95, edges, its page, and its verdict."""

from collections.abc import Iterable, Sequence
from io import StringIO

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console, RenderableType

from tailrace.schemas.config import load
from tailrace.schemas.durations import SECOND
from tailrace.streams.demo.edges import EdgeRates, Edges
from tailrace.streams.demo.run import CONFIG, part
from tailrace.streams.demo.services import SECOND_NS, Services, quantile
from tailrace.streams.demo.state import DECISIONS, EDGES, METRICS, SAMPLED, Evidence, Flow
from tailrace.streams.demo.summary import summary
from tailrace.streams.demo.view import Worker, block, page
from tailrace_loadtest.counting import truth_of
from tailrace_loadtest.load import Load
from tailrace_loadtest.report import Written
from tailrace_loadtest.truth import Truth
from tests.loadtest import perfect
from tests.loadtest.perfect_sums import BOUNDS_MS, START_NS, Row, edges, rows, written

WIDTHS = [(80, 24), (100, 30), (120, 40), (200, 60)]


@pytest.fixture(scope="module")
def truth() -> Truth:
    return truth_of(Load(spans=4_000, seconds=2.0, decision_wait_s=2.0, late_share=0.0))


@pytest.fixture
def flow(truth: Truth) -> Flow:
    flow = Flow(evidence=Evidence(), worker_pid=4_194_303)
    for topic, records in outputs(truth):
        for record in records:
            flow.add(topic, record)
    return flow


def outputs(truth: Truth) -> list[tuple[str, Sequence[Written]]]:
    return [
        (SAMPLED, perfect.sampled(truth)),
        (DECISIONS, perfect.decisions(truth)),
        (METRICS, written(rows(truth))),
        (EDGES, edges(truth)),
    ]


def flush(
    second: int, durations: Sequence[int], *, failed: int = 0, partition: int = 0,
    service: str = "cart", kind: str = "SERVER", status: str = "UNSET",
) -> Written:  # fmt: skip
    """A flush of one service: its cumulative buckets, of which *failed* more calls failed."""
    labels = {
        "service.name": service, "span.name": "GET /", "span.kind": f"SPAN_KIND_{kind}",
    }  # fmt: skip
    at = START_NS + second * SECOND_NS
    buckets = [*durations, *[0] * (len(BOUNDS_MS) + 1 - len(durations))]
    points = []
    for code, counts in ((status, buckets), ("ERROR", [failed, *[0] * len(BOUNDS_MS)])):
        about = b"", {**labels, "status.code": f"STATUS_CODE_{code}"}, partition
        points.append(Row("traces.span.metrics.calls", *about, at, [sum(counts)]))
        bounds = [float(bound) for bound in BOUNDS_MS]
        points.append(Row("traces.span.metrics.duration", *about, at, counts, 1.0, bounds))
    (record,) = written(points)
    return record


def edge(second: int, calls: int, failed: int, seconds: float, client: str = "gateway") -> Written:
    to = f"{np.datetime64(START_NS + second * SECOND_NS, 'ns')}Z"
    said = {
        "client": client, "server": "cart", "connection_type": "", "calls": calls,
        "failed": failed, "client_seconds_sum": seconds, "to": to,
    }  # fmt: skip
    return Written(b"", orjson.dumps(said))


def lines(what: Iterable[RenderableType], width: int) -> list[str]:
    console = Console(file=StringIO(), width=width)
    for each in what:
        console.print(each, markup=not isinstance(each, str))
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]  # a StringIO


def test_totals_of_services_are_the_truth_of_their_server_and_consumer_spans(
    flow: Flow, truth: Truth
) -> None:
    handled = {service: [0, 0] for service in sorted({each.service for each in truth.red})}
    for series, calls in truth.calls.items():
        if series.kind in (2, 5):
            handled[series.service][0] += calls
            handled[series.service][1] += truth.errors[series]
    told = {each.service: [each.calls, each.errors] for each in flow.services.totals()}
    assert told == {name: counts for name, counts in handled.items() if counts[0]}
    assert sum(errors for _, errors in told.values()) > 0


def test_rates_are_of_the_window_alone() -> None:
    services = Services(window_s=2)
    for second, calls in enumerate([4, 10, 30, 60], 1):
        services.add(flush(second, [0, calls], failed=second))
    (rates,) = services.rates()
    assert (rates.calls, rates.errors, rates.seconds) == (60 - 10 + 2, 2, 2.0)
    assert rates.p95_ms == pytest.approx(2 + 2 * (0.95 * 52 - 2) / 50)


def test_before_the_window_is_full_rates_are_since_the_beginning() -> None:
    services = Services(window_s=5)
    services.add(flush(1, [3]))
    services.add(flush(2, [7]))
    (rates,) = services.rates()
    assert (rates.calls, rates.seconds) == (7, 2.0)


def test_what_is_told_waits_for_the_partition_that_is_behind() -> None:
    services = Services(window_s=5)
    services.add(flush(1, [1]))
    services.add(flush(1, [2], partition=1))
    services.add(flush(2, [100]))
    assert [each.calls for each in services.rates()] == [3]
    services.add(flush(2, [3], partition=1))
    assert [each.calls for each in services.rates()] == [103]


def test_a_partition_that_passed_a_flush_over_is_told_as_of_its_last() -> None:
    services = Services(window_s=2)
    for second in range(1, 6):
        services.add(flush(second, [second]))
    services.add(flush(1, [10], partition=1))
    services.add(flush(5, [30], partition=1))
    assert [each.calls for each in services.rates()] == [5 - 3 + 30 - 10]


def test_calls_that_a_service_makes_are_not_calls_that_it_handles() -> None:
    services = Services(window_s=2)
    services.add(flush(1, [5], kind="CLIENT"))
    assert services.rates() == []


def test_a_service_that_handled_nothing_has_no_p95() -> None:
    services = Services(window_s=1)
    services.add(flush(1, [5]))
    services.add(flush(2, [5]))
    (rates,) = services.rates()
    assert (rates.calls, rates.p95_ms) == (0, None)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        pytest.param([100, 0, 0, 0], 9.5, id="the first bucket begins with 0"),
        pytest.param([90, 10, 0, 0], 30.0, id="a quantile lies in its bucket by proportion"),
        pytest.param([95, 0, 5, 0], 10.0, id="on a boundary it is the boundary"),
        pytest.param([10, 0, 0, 90], 100.0, id="above the last bound it is the last bound"),
        pytest.param([0, 0, 0, 0], None, id="of nothing there is none"),
    ],
)
def test_p95_is_what_prometheus_says(counts: list[int], expected: float | None) -> None:
    assert quantile(0.95, (10.0, 50.0, 100.0), counts) == expected


@given(st.lists(st.integers(0, 1000), min_size=4, max_size=4).filter(any))
def test_p95_lies_in_the_bucket_of_the_95th_percent(counts: list[int]) -> None:
    bounds = (10.0, 50.0, 100.0)
    upper = [bound for bound, count in zip((*bounds, 100.0), counts, strict=True)
             for _ in range(count)]  # fmt: skip
    highest = upper[-(-95 * len(upper) // 100) - 1]
    found = quantile(0.95, bounds, counts)
    assert found is not None
    assert max((0.0, *(bound for bound in bounds if bound < highest))) <= found <= highest


def test_edges_tell_the_window_and_the_whole() -> None:
    graph = Edges(window_s=2)
    for second in range(1, 6):
        graph.add(edge(second, calls=10 * second, failed=second, seconds=second))
    graph.add(edge(1, calls=7, failed=0, seconds=0.0, client="user"))
    assert graph.rates(START_NS + 4 * SECOND_NS) == [
        EdgeRates("gateway", "cart", "request", 30 + 40, 3 + 4, 100.0),
        EdgeRates("user", "cart", "request", 0, 0, None),
    ]
    assert graph.totals() == [
        EdgeRates("gateway", "cart", "request", 150, 15, 100.0),
        EdgeRates("user", "cart", "request", 7, 0, None),
    ]


def test_totals_of_edges_are_the_truth(flow: Flow, truth: Truth) -> None:
    told = {(each.client, each.server): (each.calls, each.failed) for each in flow.edges.totals()}
    for each, calls in truth.edge_calls.items():
        if each.connection_type != "messaging_system":
            assert told[each.client, each.server] == (calls, truth.edge_failures[each])


def test_a_run_without_a_fault_is_found_right(flow: Flow, truth: Truth) -> None:
    assert flow.evidence is not None
    assert flow.evidence.is_whole(truth)
    report = flow.evidence.compare(truth)
    assert report.is_right, report


@pytest.mark.parametrize("topic", [SAMPLED, DECISIONS, METRICS, EDGES])
def test_a_record_that_is_missing_is_found(topic: str, truth: Truth) -> None:
    evidence = Evidence()
    for name, records in outputs(truth):
        for record in records[:-1] if name == topic else records:
            evidence.add(name, record)
    assert not evidence.compare(truth).is_right
    assert evidence.is_whole(truth) == (topic in (SAMPLED, DECISIONS))


def test_a_point_that_comes_twice_is_found(flow: Flow, truth: Truth) -> None:
    flow.add(METRICS, written(rows(truth))[-1])
    assert flow.evidence is not None
    assert not flow.evidence.compare(truth).is_right


@pytest.mark.parametrize(("width", "height"), WIDTHS)
def test_the_page_fits_its_terminal(flow: Flow, width: int, height: int) -> None:
    shown = lines([page(flow, Worker(), 12.0, width, height)], width)
    assert len(shown) <= height
    assert not any("…" in line for line in shown), shown
    for service in ("accounts", "storefront", "recommendations"):
        assert any(service in line for line in shown)
    assert any("→" in line for line in shown)


@pytest.mark.parametrize(("width", "height"), WIDTHS)
def test_the_page_has_the_same_lines_when_numbers_grow(flow: Flow, width: int, height: int) -> None:
    before = lines([page(flow, Worker(), 12.0, width, height)], width)
    busy = Worker(open_traces=123_456, lag=98_765, rollup_lag=4_321, spans_a_second=1e5)
    flow.repeated = 10_000
    after = lines([page(flow, busy, 0.0, width, height)], width)
    assert [line for line in before if "→" in line] == [line for line in after if "→" in line]
    assert len(before) == len(after)


def test_before_the_first_flush_the_page_says_what_it_waits_for() -> None:
    assert any("first flush" in line for line in lines([page(Flow(), Worker(), None, 80, 24)], 80))


def test_a_name_with_brackets_is_shown_as_it_is() -> None:
    flow = Flow()
    flow.add(METRICS, flush(1, [5], service="[red]cart"))
    assert any("[red]cart" in line for line in lines(block(flow, Worker(), 1.0), 100))


def test_blocks_and_summary_are_lines_that_a_person_can_read(flow: Flow) -> None:
    for line in lines([*block(flow, Worker(), 5.0), *summary(flow)], 100):
        assert len(line.rstrip()) <= 100


def test_the_halves_of_every_call_of_the_load_meet_within_the_time_to_live() -> None:
    config = load(CONFIG)
    wait_s = config.tail_sampling.decision_wait / SECOND
    planned = part(1, 10.0, 0, wait_s)
    # Records of a trace lie within half of the wait; a second is for those out of order.
    assert planned.late_share == 0
    assert config.service_graph.store.ttl / SECOND >= wait_s / 2 + 1
