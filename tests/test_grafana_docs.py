"""What Grafana asks Prometheus for is there, by the names of Tempo."""

from __future__ import annotations

import re
from pathlib import Path

import orjson
import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from tailrace.schemas.config import parse
from tailrace.streams.simulate import simulate
from tests.pages import read

PAGE = "docs/grafana.md"
QUERIES = re.findall(r"^\| [^|]+ \| `([^`]*traces_[^`]*\{[^`]*)` \|$", read(PAGE), re.MULTILINE)
METRICS = re.findall(r"^\| `(traces_\w+)` \| (counter|histogram)", read(PAGE), re.MULTILINE)
MS = 1_000_000
BEGIN_NS = 1_700_000_000 * 10**9


def span(service: str, number: int, kind: int, **fields: object) -> dict[str, object]:
    """A message with one span of a service, as OTLP/JSON."""
    named = {"key": "service.name", "value": {"stringValue": service}}
    body = {
        "traceId": f"{1:032x}",
        "spanId": f"{number:016x}",
        "name": "GET /cart",
        "kind": kind,
        "startTimeUnixNano": str(BEGIN_NS),
        "endTimeUnixNano": str(BEGIN_NS + 1500 * MS),
        "status": {"code": 2},
        "events": [
            {"name": "e", "attributes": [{"key": "exception.type", "value": {"intValue": "1"}}]}
        ],
        **fields,
    }
    scopes = [{"scope": {}, "spans": [body]}]
    return {"resourceSpans": [{"resource": {"attributes": [named]}, "scopeSpans": scopes}]}


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    out = tmp_path_factory.mktemp("grafana")
    messages = [span("shop", 1, 3), span("cart", 2, 2, parentSpanId=f"{1:016x}")]
    lines = b"".join(orjson.dumps(message) + b"\n" for message in messages)
    (out / "spans.jsonl").write_bytes(lines)
    events = "{enabled: true, dimensions: [{name: exception.type}]}"
    config = parse(f"{{naming: tempo, span_metrics: {{events: {events}}}}}")
    simulate(config, [out / "spans.jsonl"], "at-once", out)
    text = Path(out / "metrics.prom").read_text()
    return [each for family in text_string_to_metric_families(text) for each in family.samples]


@pytest.mark.parametrize("query", QUERIES)
def test_what_a_query_names_is_there(query: str, samples: list[Sample]) -> None:
    [(metric, matchers)] = re.findall(r"(traces_\w+)\{([^}]*)\}", query)
    found = [each for each in samples if each.name == metric]
    for label, operator, value in re.findall(r'(\w+)(=~?)"([^"]*)"', matchers):
        pattern = value if operator == "=~" else re.escape(value)
        found = [each for each in found if re.fullmatch(pattern, each.labels.get(label, ""))]
    assert found
    for group in re.findall(r"by \(([^)]*)\)", query):
        assert {*group.split(", ")} <= {*found[0].labels}


def test_every_query_and_metric_of_the_page_is_looked_at() -> None:
    assert len(QUERIES) == 9
    assert len(METRICS) == 7


@pytest.mark.parametrize(("name", "kind"), METRICS)
def test_every_metric_of_the_page_is_written(name: str, kind: str, samples: list[Sample]) -> None:
    assert any(each.name == (name if kind == "counter" else f"{name}_bucket") for each in samples)


def test_durations_are_seconds(samples: list[Sample]) -> None:
    sums = {each.name: each.value for each in samples if each.labels.get("service") == "cart"}
    assert sums["traces_spanmetrics_latency_sum"] == 1.5
    assert not any("failed" in each.labels for each in samples)
