"""Tenants through both stages, as `tailrace simulate` runs them: each is told of its own alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tailrace.schemas.config import WorkerConfig, parse
from tailrace.schemas.definitions import Definition, Definitions
from tailrace.schemas.otlp.json import encode_json
from tailrace.streams.recordings import RecordedMessage
from tailrace.streams.simulate import defined, simulate, simulated
from tests.agents.alerts.alert_partition import BAD, alert, slo
from tests.otlp import ERROR, MS, Span, message

KEY = "tenant.id"
TENANTS = ("default", "acme", "beta")
BEGIN_MS = 1_700_000_000_000
CLIENT, SERVER = 3, 2
CONFIG = parse(f"only: [service_graph, alerts]\ntenancy: {{resource_attribute: {KEY}}}")
SAMPLING = parse(
    f"only: [sampling, service_graph, alerts]\ntenancy: {{resource_attribute: {KEY}}}\n"
    "tail_sampling: {policies: [{name: all, type: always_sample}], decision_wait: 2s}"
)
EDGES = {"edges": {"client": "api"}}
TIERS = [{"severity": "page", "long": "1m", "short": "5s", "factor": 1.5}]


def definitions(tenant: str) -> list[Definition[Any]]:
    """One of each aggregation."""
    of = {"of": {}, "minimum_events": 1}
    child = {**BAD, "parent": {"kind": "client"}}
    return [
        alert("matches", tenant, when=">= 2"),
        alert("rate", tenant, aggregate="rate", when="> 0.1/s"),
        alert("share", tenant, aggregate="share", when="> 20%", **of),
        alert("slow", tenant, where={}, aggregate="quantile", quantile=0.5, when="> 20ms"),
        alert("traces", tenant, aggregate="traces", when=">= 2"),
        alert("grouped", tenant, when=">= 1", group_by=["service", "name"]),
        alert("children", tenant, where=child, when=">= 1"),
        alert("whole", tenant, trace={"contains": [BAD], "spans": {"gte": 2}}, when=">= 1"),
        alert("lone", tenant, trace={"spans": {"lt": 2}}, when=">= 1"),
        alert("calls", tenant, formula="n", series={"n": EDGES}, when="> 1"),
        slo("good", tenant, period="1h", objective=60, minimum_events=1, confidence=0, tiers=TIERS),
    ]


@st.composite
def records(draw: Callable[..., Any]) -> list[RecordedMessage]:
    """Messages of spans of three tenants, who share services and traces."""
    span = st.builds(
        Span,
        trace_id=st.integers(0, 3).map(lambda number: b"trace id %07d" % number),
        span_id=st.sampled_from([b"span one", b"span two"]),
        parent=st.sampled_from([b"", b"span one", b"span one"]),
        service=st.sampled_from(["api", "cart"]),
        kind=st.sampled_from([CLIENT, SERVER]),
        status=st.sampled_from([0, ERROR, ERROR]),
        resource=st.sampled_from([{}, *({KEY: tenant} for tenant in (*TENANTS, "acme", "acme"))]),
    )
    found, at = [], BEGIN_MS
    steps = st.sampled_from([0, 1, 1000, 1000, 2500, 61_000])
    for offset in range(draw(st.integers(1, 6))):
        at += draw(steps)
        spans = draw(st.lists(span, max_size=5))
        ended = [each.but(start=(at - 30) * MS, end=at * MS) for each in spans]
        # Traces in order: what is shown first is what is read first.
        value = message(*sorted(ended, key=attrgetter("trace_id")))
        found.append(RecordedMessage(offset, at, value))
    return found


def only(tenant: str, sent: Sequence[RecordedMessage]) -> list[RecordedMessage]:
    """The same records, in which nobody else's spans are."""
    found = []
    for each in sent:
        request = ExportTraceServiceRequest.FromString(each.value)
        mine = [block for block in request.resource_spans if _tenant(block) == tenant]
        del request.resource_spans[:]
        request.resource_spans.extend(mine)
        value = request.SerializeToString()
        found.append(RecordedMessage(each.offset, each.timestamp, value))
    return found


def _tenant(block: Any) -> str:
    said = {each.key: each.value.string_value for each in block.resource.attributes}
    return said.get(KEY, "default")


def told(
    config: WorkerConfig, sent: Sequence[RecordedMessage], of: Sequence[Definition[Any]]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The alert events, and the edges, that *sent* brings."""
    with TemporaryDirectory() as out:
        simulated(config, sent, Path(out), Definitions.of_all(of))
        return lines(Path(out) / "alerts.jsonl"), lines(Path(out) / "edges.jsonl")


def untimed(event: dict[str, Any]) -> dict[str, Any]:
    """What *event* says, but for when; its id is made of when it began."""
    times = ("id", "starts_at", "ends_at", "evaluated_at")
    return {key: value for key, value in event.items() if key not in times}


def lines(path: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


@settings(max_examples=25, deadline=None)
@given(records())
def test_a_tenant_is_told_what_it_would_be_told_alone(sent: list[RecordedMessage]) -> None:
    """Whoever else sends spans, and whoever else asks about them.

    But for when: a call that lacks a side is told of when time moves, and everybody's records and
    sides move the time of a partition.
    """
    own = {tenant: definitions(tenant) for tenant in TENANTS}
    alerts, edges = told(CONFIG, sent, [each for of_one in own.values() for each in of_one])
    for tenant in TENANTS:
        alone = told(CONFIG, only(tenant, sent), own[tenant])
        mine = [each for each in alerts if each["tenant"] == tenant]
        assert [*map(untimed, mine)] == [*map(untimed, alone[0])]
        assert [each for each in edges if each["tenant"] == tenant] == alone[1]


def story(tenant: str, trace: int, second: int) -> bytes:
    """A call of which both sides failed, and which took two seconds."""
    begin = (BEGIN_MS + 1000 * second) * MS
    client = Span(
        b"trace id %07d" % trace, b"span one", "api", f"of {tenant}", begin, begin + 2000 * MS,
        status=ERROR, kind=CLIENT, resource={KEY: tenant},
    )  # fmt: skip
    return message(client, client.but(span_id=b"span two", parent=b"span one", kind=SERVER))


DOCUMENTS = """
apiVersion: tailrace/v1
kind: Alert
metadata: {{name: failures, tenant: {tenant}}}
spec: {{where: {{status: error}}, within: 10s, when: "> 3", group_by: [service]}}
---
apiVersion: tailrace/v1
kind: Alert
metadata: {{name: failed-traces, tenant: {tenant}}}
spec: {{where: {{status: error}}, aggregate: traces, within: 10s, when: "> 1"}}
---
apiVersion: tailrace/v1
kind: Alert
metadata: {{name: broken-calls, tenant: {tenant}}}
spec:
  formula: n
  series: {{n: {{edges: {{failed: true}}}}}}
  within: 10s
  when: "> 1"
"""


def test_two_tenants_are_each_told_of_their_own(tmp_path: Path) -> None:
    """Traces, spans and services of equal names, as if one had copied the other's."""
    sent = [
        story(tenant, trace, second)
        for second, trace in enumerate((1, 2))
        for tenant in ("acme", "beta")
    ]
    (tmp_path / "spans.jsonl").write_bytes(b"".join(encode_json(each) + b"\n" for each in sent))
    files = []
    for tenant in ("acme", "beta", "nobody"):
        files.append(tmp_path / f"{tenant}.yaml")
        files[-1].write_text(DOCUMENTS.format(tenant=tenant))
    out = tmp_path / "out"
    simulate(SAMPLING, [tmp_path / "spans.jsonl"], "event", out, defined(SAMPLING, files))
    events = lines(out / "alerts.jsonl")
    for tenant in ("acme", "beta"):
        own = [each for each in events if each["tenant"] == tenant]
        assert {each["name"]: each["value"] for each in own if each["status"] == "firing"} == {
            "failures": 4,
            "failed-traces": 2,
            "broken-calls": 2,
        }
        shown = {span["name"] for each in own for span in each["spans"]}
        assert shown == {f"of {tenant}"}
    assert {each["tenant"] for each in events} == {"acme", "beta"}
    edges = lines(out / "edges.jsonl")
    assert sorted((each["tenant"], each["calls"]) for each in edges) == [("acme", 2), ("beta", 2)]
