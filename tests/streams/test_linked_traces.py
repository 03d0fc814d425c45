"""Traces that kept ones link to, through the tasks that the worker runs and in a simulation."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tailrace.schemas.config import WorkerConfig, parse
from tailrace.schemas.otlp.json import encode_json
from tailrace.streams.simulate import simulate
from tests.otlp import ERROR, MS, Span, message
from tests.streams.sampling_cluster import BEGIN_MS, Decision, SamplingCluster

CAUSE, EFFECT, OTHER, NEXT = b"c" * 16, b"e" * 16, b"o" * 16, b"n" * 16


def of_status(name: str, code: str) -> dict[str, object]:
    """A policy that samples traces with a span of status *code*."""
    return {"name": name, "type": "status_code", "status_code": {"status_codes": [code]}}


def config(**keys: object) -> WorkerConfig:
    section = {
        "decision_wait": "10s",
        "keep_linked": "30s",
        "policies": [of_status("errors", "ERROR")],
        **keys,
    }
    return parse(orjson.dumps({"only": ["sampling"], "tail_sampling": section}).decode())


CONFIG = config()


def linking(span: Span, *trace_ids: bytes) -> bytes:
    """A message with *span*, which links to *trace_ids*."""
    request = ExportTraceServiceRequest.FromString(message(span))
    for each in trace_ids:
        request.resource_spans[0].scope_spans[0].spans[0].links.add(
            trace_id=each, span_id=b"linked.."
        )
    encoded: bytes = request.SerializeToString()
    return encoded


def outcome(cluster: SamplingCluster, trace_id: bytes) -> tuple[str, str | None]:
    """The one decision on *trace_id*, wherever it was."""
    [found] = [
        each
        for partition in cluster.partitions
        for each in partition.decisions
        if each.trace_id == trace_id and not each.is_late
    ]
    return found.decision, found.policy


def story(settings: WorkerConfig, *, effect_at: int = 0, cause_at: int = 3) -> SamplingCluster:
    """An error that links to a trace of another partition, which began at another time (s)."""
    cluster = SamplingCluster(settings, 2)
    for second in range(50):
        if second == effect_at:
            cluster.partitions[1].read(
                BEGIN_MS + 1000 * second, [linking(Span(EFFECT, status=ERROR), CAUSE)]
            )
        if second == cause_at:
            rows = [linking(Span(CAUSE), NEXT), message(Span(OTHER))]
            cluster.partitions[0].read(BEGIN_MS + 1000 * second, rows)
        if second == cause_at + 1:
            cluster.partitions[1].read(BEGIN_MS + 1000 * second, [message(Span(NEXT))])
        cluster.advance(BEGIN_MS + 1000 * second)
    return cluster


def test_a_trace_that_a_kept_one_links_to_is_kept_wherever_it_is() -> None:
    cluster = story(CONFIG)
    assert outcome(cluster, EFFECT) == ("sampled", "errors")
    assert outcome(cluster, CAUSE) == ("sampled", "linked")
    assert outcome(cluster, OTHER) == ("not_sampled", None)
    assert outcome(cluster, NEXT) == ("not_sampled", None)  # one step, and no further
    assert cluster.partitions[1].counts["links_announced"] == 1
    assert "links_announced" not in cluster.partitions[0].counts


@pytest.mark.parametrize(
    ("settings", "cause_at"),
    [
        pytest.param(config(keep_linked="0s"), 3, id="links are off"),
        pytest.param(config(keep_linked="5s"), 8, id="its decision comes after the window"),
        pytest.param(config(), -1, id="it never came"),
        pytest.param(
            config(policies=[{"name": "few", "type": "probabilistic",
                              "probabilistic": {"sampling_percentage": 0}}]),
            3, id="what links to it is not kept",
        ),
    ],
)  # fmt: skip
def test_a_trace_is_not_kept_when(settings: WorkerConfig, cause_at: int) -> None:
    cluster = story(settings, cause_at=cause_at)
    found: list[Decision] = [
        each
        for partition in cluster.partitions
        for each in partition.decisions
        if each.trace_id == CAUSE and each.decision == "sampled"
    ]
    assert found == []


def test_a_policy_that_drops_has_the_last_word() -> None:
    dropped = {"drop_sub_policy": [of_status("unset", "UNSET")]}
    drop = {"name": "cause", "type": "drop", "drop": dropped}
    cluster = story(config(policies=[of_status("errors", "ERROR"), drop]))
    assert outcome(cluster, EFFECT) == ("sampled", "errors")
    assert outcome(cluster, CAUSE) == ("dropped", "cause")


def test_a_trace_that_is_decided_already_is_not_brought_back_but_counted() -> None:
    cluster = story(CONFIG, effect_at=20)
    assert outcome(cluster, CAUSE) == ("not_sampled", None)
    assert cluster.partitions[0].counts["links_too_late"] == 1
    assert "links_too_late" not in cluster.partitions[1].counts


def test_what_was_heard_is_known_after_a_restart_and_not_before_it_is_heard() -> None:
    cluster = SamplingCluster(CONFIG, 2)
    first, second = cluster.partitions
    second.read(BEGIN_MS, [linking(Span(EFFECT, status=ERROR), CAUSE)])
    first.read(BEGIN_MS + 3000, [message(Span(CAUSE))])
    second.task.advance(BEGIN_MS + 10_001)
    cluster.commit(1)
    first.hear(cluster.held)
    assert first.logic.linked_traces == 1
    first.restart()  # before the checkpoint: it was never there
    assert first.logic.linked_traces == 0
    first.read(BEGIN_MS + 3000, [message(Span(CAUSE))])
    first.hear(cluster.held)
    first.commit()
    first.restart()
    assert first.logic.linked_traces == 1
    first.task.advance(BEGIN_MS + 20_000)
    first.commit()
    assert outcome(cluster, CAUSE) == ("sampled", "linked")


def test_when_the_topic_was_made_anew_what_is_in_it_is_heard() -> None:
    cluster = SamplingCluster(CONFIG, 2)
    first, second = cluster.partitions
    second.read(BEGIN_MS, [linking(Span(EFFECT, status=ERROR), CAUSE)])
    second.task.advance(BEGIN_MS + 10_001)
    cluster.commit(1)
    assert first.logic.control is not None
    first.logic.control.heard = cluster.held.end + 5
    first.hear(cluster.held)
    assert first.logic.linked_traces == 1
    assert first.logic.control.heard == cluster.held.end


@pytest.mark.parametrize("stamp", [True, False])
@pytest.mark.parametrize("arrivals", ["event", "at-once"])
def test_a_simulation_keeps_linked_traces(tmp_path: Path, arrivals: str, stamp: bool) -> None:
    def at(span: Span, seconds: float) -> Span:
        end = BEGIN_MS * MS + round(seconds * 1000) * MS
        return span.but(start=end - MS, end=end)

    values = [
        linking(at(Span(EFFECT, status=ERROR), 0), CAUSE),
        message(at(Span(CAUSE), 4.5)),
        message(at(Span(OTHER), 4.5)),
        message(at(Span(NEXT), 100)),
    ]
    source = tmp_path / "spans.jsonl"
    source.write_bytes(b"".join(encode_json(each) + b"\n" for each in values))
    simulate(config(stamp=stamp), [source], arrivals, tmp_path / "out")
    rows = map(orjson.loads, (tmp_path / "out" / "decisions.jsonl").read_bytes().splitlines())
    found = {bytes.fromhex(row["trace_id"]): row["policy"] for row in rows}
    # At once: both are due at one time, when nobody has heard of the link.
    linked = "linked" if arrivals == "event" else None
    assert found == {EFFECT: "errors", CAUSE: linked, OTHER: None, NEXT: None}
