"""Loads as files."""

from pathlib import Path

import orjson
from google.protobuf.json_format import Parse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from typer.testing import CliRunner

from tailrace_loadtest.__main__ import app
from tailrace_loadtest.files import json_line
from tailrace_loadtest.generator import records
from tailrace_loadtest.load import Load
from tailrace_loadtest.truth import read


def test_generate_writes_the_load_its_arrivals_and_its_truth(tmp_path: Path) -> None:
    result = CliRunner().invoke(
        app, ["generate", "--out", str(tmp_path), "--spans", "500", "--seed", "4"]
    )
    assert result.exit_code == 0, result.output
    sent = list(records(Load(seed=4, spans=500)))
    data, values = (tmp_path / "load.pb").read_bytes(), []
    while data:
        end = 4 + int.from_bytes(data[:4], "big")
        values.append(data[4:end])
        data = data[end:]
    assert values == [record.value for record in sent]
    assert len(orjson.loads((tmp_path / "arrivals.json").read_bytes())) == len(sent)
    assert read(tmp_path).totals["records"] == len(sent)


def test_a_load_that_cannot_be_is_refused(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["generate", "--out", str(tmp_path), "--spans", "-5"])
    assert result.exit_code == 2
    assert "spans is -5; it must be over 0" in result.output


def test_a_json_line_says_what_the_protobuf_says() -> None:
    for record in records(Load(seed=4, spans=500)):
        line = orjson.loads(json_line(record.value))
        (block,) = line["resourceSpans"]
        (scope,) = block["scopeSpans"]
        for span in scope["spans"]:
            assert span["traceId"] == record.key.decode()
            assert isinstance(span["kind"], int)
            for name in ("traceId", "spanId", "parentSpanId"):
                span.pop(name, None)
        message = ExportTraceServiceRequest.FromString(record.value)
        for each in message.resource_spans[0].scope_spans[0].spans:
            for name in ("trace_id", "span_id", "parent_span_id"):
                each.ClearField(name)
        assert Parse(orjson.dumps(line), ExportTraceServiceRequest()) == message
