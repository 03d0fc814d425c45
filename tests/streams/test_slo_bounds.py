"""The threshold of a latency SLO is a bound of the histogram, so its good share can be read off."""

from __future__ import annotations

import re
from pathlib import Path

from tailrace.schemas.config import parse
from tailrace.streams.simulate import defined, simulate
from tests.otlp import MS, Span, message
from tests.streams.test_simulate import as_frames

CONFIG = """
span_metrics: {{histogram: {{explicit: {{buckets: [50ms, 100ms]}}}}}}
slos: [{slos}]
"""
SLO = "{name: fast, sli: {latency: {of: {service: api}, threshold: 75ms}}, objective: 99}"
TOOK_MS = (10, 60, 75, 76, 99, 300)


def buckets(slos: str, tmp_path: Path) -> dict[str, int]:
    """The cumulative counts of the histogram's buckets."""
    begin = 1_700_000_000_000 * MS
    spans = [
        Span(bytes([65 + n]) * 16, start=begin, end=begin + took * MS)
        for n, took in enumerate(TOOK_MS)
    ]
    file = as_frames(tmp_path / "spans.pb", [message(*spans)])
    config = parse(CONFIG.format(slos=slos))
    simulate(config, [file], "at-once", tmp_path / "out", defined(config, ()))
    text = (tmp_path / "out" / "metrics.prom").read_text()
    found = re.findall(r'duration_milliseconds_bucket\{.*le="([^"]+)".*\} (\d+)', text)
    return {bound: int(count) for bound, count in found}


def test_the_threshold_is_a_bound(tmp_path: Path) -> None:
    assert buckets(SLO, tmp_path) == {"50": 1, "75": 3, "100": 5, "+Inf": 6}


def test_without_the_slo_there_are_the_configured_bounds(tmp_path: Path) -> None:
    assert buckets("", tmp_path) == {"50": 1, "100": 5, "+Inf": 6}
