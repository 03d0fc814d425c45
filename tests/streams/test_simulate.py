"""Simulation over files: formats, arrivals, and what is said of wrong ones."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from tailrace.schemas.config import parse
from tailrace.schemas.errors import ConfigError, EnvironmentFailed
from tailrace.schemas.otlp.json import encode_json, read_json
from tailrace.streams.recordings import read, recorded
from tailrace.streams.simulate import Summary, defined, simulate
from tests.otlp import ERROR, MS, Span, counted, message
from tests.streams.span_traffic import Sent, traffic

A, B = b"A" * 16, b"B" * 16
SECOND = 1000 * MS
T0 = 1_700_000_000 * SECOND
CONFIG = parse("""
tail_sampling:
  stamp: false
  decision_wait: 1s
  decision_retention: 10s
  policies: [{name: errors, type: status_code, status_code: {status_codes: [ERROR]}}]
""")


def lines(path: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def as_json(path: Path, values: Sequence[bytes]) -> Path:
    path.write_bytes(b"".join(encode_json(value) + b"\n" for value in values))
    return path


def as_frames(path: Path, values: Sequence[bytes]) -> Path:
    path.write_bytes(b"".join(struct.pack(">I", len(value)) + value for value in values))
    return path


def decided(out: Path) -> list[tuple[str, str, int, str, bool]]:
    """Trace, decision, spans, second of the decision, lateness; as of the start of the story."""
    return [
        (
            bytes.fromhex(row["trace_id"]).decode()[0],
            row["decision"],
            row["spans"],
            row["decided_at"][17:23],
            row["late"],
        )
        for row in lines(out / "decisions.jsonl")
    ]


def at(seconds: float, trace_id: bytes = A, status: int = 0) -> bytes:
    """A message with a span that ends *seconds* after 22:13:20."""
    return message(Span(trace_id, start=T0, end=T0 + round(seconds * SECOND), status=status))


STORY = [at(5.0, A), at(0.0, B), at(2.0, A, ERROR)]


@pytest.mark.parametrize(
    ("arrivals", "expected"),
    [
        pytest.param(
            "at-once",
            [("A", "sampled", 2, "26.000", False), ("B", "not_sampled", 1, "26.000", False)],
            id="at once: all come at the latest end, in the order of the file",
        ),
        pytest.param(
            "event",
            [("B", "not_sampled", 1, "21.000", False), ("A", "sampled", 1, "23.000", False),
             ("A", "sampled", 1, "25.000", True)],
            id="event: each comes at its own latest end",
        ),
        pytest.param(
            "[0, 0.5, 1.001]",
            [("A", "not_sampled", 1, "26.000", False), ("A", "not_sampled", 1, "26.001", True),
             ("B", "not_sampled", 1, "26.500", False)],
            id="a file: seconds after the latest end",
        ),
        pytest.param(
            "[20, 0, 0]",
            [("B", "not_sampled", 1, "26.000", False), ("A", "sampled", 1, "26.000", False),
             ("A", "not_sampled", 1, "46.000", False)],
            id="a file: past the retention the same ID is a new trace",
        ),
    ],
)  # fmt: skip
def test_arrivals(
    tmp_path: Path, arrivals: str, expected: list[tuple[str, str, int, str, bool]]
) -> None:
    if arrivals.startswith("["):
        (tmp_path / "arrivals.json").write_text(arrivals)
        arrivals = str(tmp_path / "arrivals.json")
    simulate(CONFIG, [as_json(tmp_path / "in.jsonl", STORY)], arrivals, tmp_path / "out")
    assert decided(tmp_path / "out") == expected


def results(out: Path) -> list[bytes]:
    names = ("decisions.jsonl", "sampled.jsonl", "dead_letters.jsonl")
    return [(out / name).read_bytes() for name in names]


def ran(values: Sequence[Path], arrivals: str, out: Path) -> tuple[Summary, list[bytes]]:
    return simulate(CONFIG, values, arrivals, out), results(out)


@settings(max_examples=40, deadline=None)
@given(traffic())
def test_both_formats_and_arrivals_of_zeros_give_the_same(
    tmp_path_factory: pytest.TempPathFactory, records: list[Sent]
) -> None:
    path = tmp_path_factory.mktemp("simulate")
    values = [message(*record.spans) for record in records]
    zeros = path / "zeros.json"
    zeros.write_bytes(orjson.dumps([0] * len(values)))
    text, frames = as_json(path / "in.jsonl", values), as_frames(path / "in.pb", values)
    halves = [as_json(path / "1.jsonl", values[:3]), as_frames(path / "2.pb", values[3:])]
    first = ran([text], "at-once", path / "out")
    assert ran([frames], "at-once", path / "out") == first
    assert ran([text], str(zeros), path / "out") == first
    assert ran(halves, "at-once", path / "out") == first
    assert ran([text], "event", path / "out") == ran([frames], "event", path / "out")


def test_kept_spans_are_written_as_the_collectors_file_exporter_writes_them(tmp_path: Path) -> None:
    spans = [Span(A, service="api", status=ERROR), Span(A, service="cart", scope="sql"), Span(B)]
    source = as_frames(tmp_path / "in.pb", [message(*spans)])
    simulate(CONFIG, [source], "at-once", tmp_path / "out")
    [line] = (tmp_path / "out" / "sampled.jsonl").read_bytes().splitlines()
    assert counted([read_json(line)]) == counted([message(*spans[:2])])


@pytest.mark.parametrize("more", ["", "service_graph: {enabled: false}"], ids=["with", "without"])
def test_series_are_written_with_and_without_a_service_graph(tmp_path: Path, more: str) -> None:
    path = as_json(tmp_path / "in.jsonl", [message(Span(A, b"1" * 8, service="shop"))])
    simulate(parse(more or "{}"), [path], "at-once", tmp_path / "out")
    exposed = (tmp_path / "out" / "metrics.prom").read_text()
    (calls,) = [
        line for line in exposed.splitlines() if line.startswith("traces_span_metrics_calls")
    ]
    assert calls.endswith(" 1.0")


def test_every_message_of_metrics_is_written_where_that_is_asked_for(tmp_path: Path) -> None:
    source = as_frames(tmp_path / "in.pb", [message(Span(A, end=T0)), message(Span(B, end=T0))])
    arrivals = tmp_path / "arrivals.json"
    arrivals.write_text("[0.5, 70.5]")
    simulate(CONFIG, [source], str(arrivals), tmp_path / "plain")
    assert not (tmp_path / "plain" / "metrics.pb").exists()
    simulate(CONFIG, [source], str(arrivals), tmp_path / "out", flushes=True)
    calls = [
        point.as_int
        for value in read([tmp_path / "out" / "metrics.pb"])
        for block in ExportMetricsServiceRequest.FromString(value).resource_metrics
        for scope in block.scope_metrics
        for metric in scope.metrics
        if metric.name == "traces.span.metrics.calls"
        for point in metric.sum.data_points
    ]
    assert {1, 2} <= {*calls}
    assert calls == sorted(calls)


def test_a_garbage_line_is_a_dead_letter_and_the_others_are_read(tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    good = encode_json(at(0))
    source.write_bytes(b"\n".join([good, b"not JSON at all", b"", good, b'{"resourceSpans": 7}']))
    summary = simulate(CONFIG, [source], "at-once", tmp_path / "out")
    assert lines(tmp_path / "out" / "dead_letters.jsonl") == [
        {"offset": 1, "reason": "malformed", "bytes": 16},
        {"offset": 3, "reason": "malformed", "bytes": 21},
    ]
    assert (summary.records, summary.dead_lettered) == (4, 2)
    assert decided(tmp_path / "out") == [("A", "not_sampled", 2, "21.000", False)]


def test_bad_parts_of_good_records_are_told_by_reason(tmp_path: Path) -> None:
    bad = message(Span(A), Span(b"short"), Span(B, span_id=b""))
    source = as_frames(tmp_path / "in.pb", [bad, message(Span(A)), b"garbage"])
    summary = simulate(CONFIG, [source], "at-once", tmp_path / "out")
    [first, second, third, *_] = summary.text(tmp_path / "out").splitlines()
    assert first == "3 records, 2 spans, 0 of them late, 1 records dead-lettered"
    assert second == "dead letters: invalid_span_id 1, invalid_trace_id 1, malformed 1"
    assert third == "traces:"
    clean = simulate(CONFIG, [as_frames(source, [message(Span(A))])], "at-once", tmp_path / "out")
    assert "dead letters" not in clean.text(tmp_path / "out")


ALERTS = """
apiVersion: tailrace/v1
kind: Alert
metadata: {name: errors}
spec: {where: {}, when: "> 5"}
---
apiVersion: tailrace/v1
kind: Alert
metadata: {name: queue}
spec: {formula: a + b, series: {a: {where: {}}, b: {metric: {name: q}, value: last}}, when: "> 5"}
"""


@pytest.mark.parametrize(("arrivals", "late"), [("at-once", 3), ("event", 0)])
def test_what_alerts_do_not_see_as_it_was_is_told(tmp_path: Path, arrivals: str, late: int) -> None:
    (tmp_path / "alerts.yaml").write_text(ALERTS)
    definitions = defined(CONFIG, [tmp_path / "alerts.yaml"])
    values = [message(Span(A, end=T0 + minute * 60 * SECOND)) for minute in range(8)]
    source = as_json(tmp_path / "in.jsonl", values)
    summary = simulate(CONFIG, [source], arrivals, tmp_path / "out", definitions)
    said = summary.text(tmp_path / "out")
    assert (f"{late} spans were late for alerts" in said) is bool(late)
    assert "not simulated, for they are on metrics: queue\n" in said
    plain = simulate(CONFIG, [source], arrivals, tmp_path / "out")
    assert "late for alerts" not in plain.text(tmp_path / "out")
    assert plain.left_out == ()


POLICIES = """
apiVersion: tailrace/v1
kind: TailSampling
metadata: {name: all}
spec: {policies: [{name: all, type: always_sample}]}
"""


def test_policies_in_a_file_decide_as_if_they_were_applied(tmp_path: Path) -> None:
    (tmp_path / "policies.yaml").write_text(POLICIES)
    definitions = defined(CONFIG, [tmp_path / "policies.yaml"])
    source = as_json(tmp_path / "in.jsonl", [message(Span(A))])
    simulate(CONFIG, [source], "at-once", tmp_path / "out", definitions)
    [decision] = lines(tmp_path / "out" / "decisions.jsonl")
    assert (decision["policy"], decision["policy_version"]) == ("all", "1")


@pytest.mark.parametrize("arrivals", ["at-once", "event"])
def test_a_span_that_ends_at_the_end_of_time_is_decided(tmp_path: Path, arrivals: str) -> None:
    values = [message(Span(A, end=2**63 - 1, status=ERROR)), at(0, B)]
    summary = simulate(CONFIG, [as_json(tmp_path / "in.jsonl", values)], arrivals, tmp_path / "out")
    assert summary.counts["spans_kept"] == summary.counts["spans_dropped"] == 1


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        pytest.param("in.pb", as_frames, None, id="a whole .pb is right"),
        pytest.param("in.pb", b"\x00\x00\x00\x05abc", "is cut off at byte 0; each message follows "
                     "its length", id="a .pb that is cut off in a message"),
        pytest.param("in.pb", b"\x00\x00\x00\x01a\x00\x00", "is cut off at byte 5",
                     id="a .pb that is cut off in a length"),
        pytest.param("in.jsonl", None, "does not exist", id="a missing file"),
        pytest.param("in.json", b"{}", "is neither .jsonl .* nor .pb", id="another extension"),
    ],
)  # fmt: skip
def test_a_wrong_input_is_named(
    tmp_path: Path, name: str, content: Any, complaint: str | None
) -> None:
    source = tmp_path / name
    if callable(content):
        content(source, STORY)
    elif content is not None:
        source.write_bytes(content)
    if complaint is None:
        assert simulate(CONFIG, [source], "at-once", tmp_path / "out").records == 3
        return
    with pytest.raises(ConfigError, match=f"{source} {complaint}"):
        simulate(CONFIG, [source], "at-once", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_input_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.symlink_to("/proc/self/mem")  # opens, and has nothing at its start
    with pytest.raises(ConfigError, match=f"{source} cannot be read: input/output error"):
        simulate(CONFIG, [source], "at-once", tmp_path / "out")


def test_a_place_for_results_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    source, taken = as_json(tmp_path / "in.jsonl", STORY), tmp_path / "out" / "edges.jsonl"
    taken.mkdir(parents=True)
    with pytest.raises(EnvironmentFailed, match=f"written to {taken}: Is a directory\nName"):
        simulate(CONFIG, [source], "at-once", taken.parent)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        pytest.param(None, "--arrivals is .*; it must be at-once, event, or a file", id="missing"),
        pytest.param("later", "--arrivals is .*; it must be at-once", id="no JSON"),
        pytest.param("[0, 1]", "must be an array of 3 numbers, one a line of input", id="short"),
        pytest.param('{"0": 1}', "must be an array of 3 numbers", id="an object"),
        pytest.param('[0, "1", 2]', "must be an array of 3 numbers", id="a text in it"),
        pytest.param("[0, null, 2]", "must be an array of 3 numbers", id="a null in it"),
        pytest.param("[0, true, 2]", "must be an array of 3 numbers", id="a boolean in it"),
    ],
)
def test_a_wrong_file_of_arrivals_is_named(
    tmp_path: Path, content: str | None, complaint: str
) -> None:
    arrivals = tmp_path / "arrivals.json"
    if content is not None:
        arrivals.write_text(content)
    source = as_json(tmp_path / "in.jsonl", STORY)
    with pytest.raises(ConfigError, match=complaint) as caught:
        simulate(CONFIG, [source], str(arrivals), tmp_path / "out")
    assert str(arrivals) in str(caught.value)


def test_arrivals_beyond_all_time_are_the_first_and_the_last(tmp_path: Path) -> None:
    source, arrivals = as_json(tmp_path / "in.jsonl", STORY), tmp_path / "arrivals.json"
    arrivals.write_text("[1e308, 0, -1e308]")
    found = recorded([source], str(arrivals))
    assert [each.value for each in found] == list(read([source]))[::-1]


def test_json_that_is_no_trace_data_is_a_dead_letter(tmp_path: Path) -> None:
    lines = tmp_path / "in.jsonl"
    lines.write_text('{"hello": 1}\n{"resourceSpans": []}\n')
    summary = simulate(parse("{}"), [lines], "at-once", tmp_path / "out")
    assert (summary.records, summary.dead_lettered) == (2, 1)
