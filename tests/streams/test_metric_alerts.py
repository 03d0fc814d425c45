"""Alerts on formulas over metrics that come in, from encoded OTLP to the events that are told."""

from __future__ import annotations

from collections.abc import Iterable

from tailrace.schemas.alert_events import AlertEvent
from tests.otlp import Span, message
from tests.otlp_metrics import MetricPoint, metrics_request
from tests.streams.metric_alerts import BEGIN_MS, Came, alert, events

TOTAL = MetricPoint(name="errors_total", attributes={"code": "500"}, start=BEGIN_MS)


def scrapes(*values: float, of: MetricPoint = TOTAL) -> list[Came]:
    """Records of *of*: one scrape every ten seconds, sent half a second after it."""
    return [
        Came(
            n * 10_000 + 500,
            metrics_request(of.but(value=float(value), at=BEGIN_MS + n * 10_000)),
        )
        for n, value in enumerate(values, 1)
    ]


def told(found: Iterable[AlertEvent]) -> list[tuple[str, int, float | None]]:
    """Status, second and value of each event."""
    return [(each.status, (each.evaluated_at - BEGIN_MS) // 1000, each.value) for each in found]


def test_an_increase_fires_in_the_second_after_its_sample_came_and_ends_with_its_window() -> None:
    definition = alert(
        formula="errors",
        series={"errors": {"metric": {"name": "errors_total", "attributes": {"code": 500}}}},
        within="30s",
        when="> 5",
    )
    found = events(definition, [scrapes(100, 102, 110, 110, 110, 110, 110, 110)])
    # 102 of 20 s and 110 of 30 s, which came at 30.5 s; the bucket of 30 s ends at 31 s.
    assert told(found) == [("firing", 31, 10.0), ("resolved", 61, 0.0)]


def test_a_formula_is_of_spans_and_of_a_metric_together() -> None:
    definition = alert(
        formula="bad / all",
        series={
            "bad": {"where": {"status": "error"}},
            "all": {"metric": {"name": "errors_total"}},
        },
        within="1m",
        when="> 10%",
        group_by=["service"],
    )
    end_ns = (BEGIN_MS + 21_000) * 1_000_000
    bad = Span(b"t" * 16, status=2, start=end_ns - 1, end=end_ns)
    spans = [
        Came(21_200, message(bad, bad.but(span_id=b"spanspa2"))),
        Came(22_500, message(bad.but(trace_id=b"u" * 16, status=0))),
    ]
    found = events(definition, [scrapes(100, 110, 140)], spans)
    # Two in ten at 22 s; two in forty when the next scrape has come.
    assert told(found) == [("firing", 22, 0.2), ("resolved", 31, 0.05)]
    assert {each.labels["service"] for each in found} == {"api"}


def test_a_gauge_is_the_sum_of_the_newest_of_every_stream_whatever_partition_it_came_through() -> (
    None
):
    definition = alert(
        formula="used / limit",
        series={
            "used": {"metric": {"name": "used"}, "value": "last"},
            "limit": {"metric": {"name": "limit"}, "value": "last"},
        },
        within="1m",
        when=">= 0.9",
    )
    gauge = MetricPoint(kind="gauge")
    one, two = gauge.but(name="used", resource={"pod": "1"}), gauge.but(name="used")
    found = events(
        definition,
        [
            scrapes(1, 1, 2.5, of=one),
            sorted(
                [*scrapes(1, 1, 2, 2, of=two), *scrapes(5, 5, 5, 5, 5, of=gauge.but(name="limit"))]
            ),
        ],
    )
    # Of pod 1 nothing came after 30.5 s; five minutes later it is one that is gone.
    assert told(found) == [("firing", 31, 0.9), ("resolved", 331, 0.4)]
