"""`tailrace simulate` and the worker: the same arrivals, the same outputs."""

import time
from pathlib import Path
from typing import Any

import orjson
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tailrace.schemas.otlp.json import decode_json
from tailrace_loadtest.check import Written, check
from tailrace_loadtest.counting import counted as counted_load
from tailrace_loadtest.files import write_records
from tailrace_loadtest.load import Load, Record
from tailrace_loadtest.processes import Process
from tailrace_loadtest.truth import Truth
from tests.end_to_end.conftest import NewPipeline, Row
from tests.otlp import counted

HOURS_AGO_MS = 2 * 3600 * 1000
NO_OTLP = b"\xff\xffno message"


@pytest.mark.parametrize("arrivals", ["as the load says", "event"])
def test_simulate_decides_as_the_worker_does(
    arrivals: str, new_pipeline: NewPipeline, tmp_path: Path
) -> None:
    start_ms = int(time.time() * 1000) - HOURS_AGO_MS
    truth = Truth(Load(7, 10_000, 20.0, start_ms, late_share=0.02))
    records = list(counted_load(truth))
    records.insert(1_000, records[999]._replace(value=NO_OTLP))
    path = write_records(records, start_ms, tmp_path / "load", as_json=False)

    pipeline = new_pipeline()
    times = _times(records, start_ms, arrivals)
    order = sorted(range(len(records)), key=times.__getitem__)
    pipeline.send(Row(records[row].value, times[row], records[row].key) for row in order)
    pipeline.worker.start()
    pipeline.settle(len(records))
    worker = pipeline.read()

    how = "event" if arrivals == "event" else str(path.with_name("arrivals.json"))
    out = tmp_path / "out"
    arguments = ["-c", str(pipeline.config), "--out", str(out), "--arrivals", how, str(path)]
    simulation = Process(["simulate", *arguments], tmp_path / "simulate.log")
    assert simulation.wait(60) == 0, simulation.output

    decisions = [orjson.loads(record.value or b"") for record in worker[pipeline.decisions]]
    assert decisions == _lines(out / "decisions.jsonl")
    sampled = (out / "sampled.jsonl").read_bytes().splitlines()
    assert counted([record.value or b"" for record in worker[pipeline.sampled]]) == counted(
        list(map(decode_json, sampled))
    )
    letters = list(map(_letter, worker[pipeline.dead_letters]))
    assert letters == _lines(out / "dead_letters.jsonl")
    assert [letter["bytes"] for letter in letters] == [len(NO_OTLP)]
    if arrivals != "event":
        report = check(truth, worker[pipeline.sampled], worker[pipeline.decisions])
        assert report.is_right, f"{report}"


def _times(records: list[Record], start_ms: int, arrivals: str) -> list[int]:
    """When each record arrives, in ms: after the latest end of all, or at its own latest end."""
    ends: list[int] = []
    for record in records:
        ends.append(ends[-1] if record.value == NO_OTLP else _latest_end_ms(record.value))
    if arrivals == "event":
        return ends
    return [max(ends) + record.timestamp_ms - start_ms for record in records]


def _latest_end_ms(value: bytes) -> int:
    (block,) = ExportTraceServiceRequest.FromString(value).resource_spans
    (scope,) = block.scope_spans
    return max(int(span.end_time_unix_nano) for span in scope.spans) // 1_000_000


def _letter(written: Written) -> dict[str, Any]:
    headers = dict(written.headers)
    return {
        "offset": int(headers["tailrace.offset"]),
        "reason": headers["tailrace.reason"].decode(),
        "bytes": len(written.value or b""),
    }


def _lines(path: Path) -> list[Any]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]
