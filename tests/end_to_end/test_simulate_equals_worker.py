"""`tailrace simulate` and the worker: the same arrivals, the same outputs."""

import asyncio
import time
from pathlib import Path
from typing import Any

import orjson
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tailrace.schemas.otlp.json import read_json
from tailrace.streams.broker import EmbeddedBroker
from tailrace_loadtest.check import check
from tailrace_loadtest.counting import counted as counted_load
from tailrace_loadtest.edge_check import EdgeRecords, check_edges
from tailrace_loadtest.files import write_records
from tailrace_loadtest.generator import records
from tailrace_loadtest.kafka import produce
from tailrace_loadtest.load import Load, Record
from tailrace_loadtest.outputs import check_outputs, wait_for_sums
from tailrace_loadtest.processes import Process, wait_until
from tailrace_loadtest.report import Report, Written
from tailrace_loadtest.truth import Truth
from tailrace_loadtest.workers import Topics, Worker, is_settled, sums_sections
from tests.conftest import FreshTopic
from tests.end_to_end.conftest import NewPipeline, Row
from tests.end_to_end.exposition import expected, samples
from tests.otlp import counted
from tests.patience import PATIENCE_S

HOURS_AGO_MS = 2 * 3600 * 1000
NO_OTLP = b"\xff\xffno message"


@pytest.mark.parametrize("arrivals", ["as the load says", "event"])
def test_simulate_decides_as_the_worker_does(
    arrivals: str, new_pipeline: NewPipeline, tmp_path: Path
) -> None:
    start_ms = int(time.time() * 1000) - HOURS_AGO_MS
    truth = Truth(Load(7, 10_000, 20.0, start_ms, late_share=0.02))
    sent = list(counted_load(truth))
    sent.insert(1_000, sent[999]._replace(value=NO_OTLP))
    path = write_records(sent, start_ms, tmp_path / "load", as_json=False)

    pipeline = new_pipeline()
    times = _times(sent, start_ms, arrivals)
    order = sorted(range(len(sent)), key=times.__getitem__)
    pipeline.send(Row(sent[row].value, times[row], sent[row].key) for row in order)
    pipeline.worker.start()
    pipeline.settle(len(sent))
    worker = pipeline.read()

    how = "event" if arrivals == "event" else str(path.with_name("arrivals.json"))
    out = tmp_path / "out"
    arguments = ["-c", str(pipeline.config), "--out", str(out), "--arrivals", how, str(path)]
    simulation = Process(["simulate", *arguments], tmp_path / "simulate.log")
    assert simulation.wait(PATIENCE_S) == 0, simulation.output

    decisions = [orjson.loads(record.value or b"") for record in worker[pipeline.decisions]]
    assert decisions == _lines(out / "decisions.jsonl")
    sampled = (out / "sampled.jsonl").read_bytes().splitlines()
    assert counted([record.value or b"" for record in worker[pipeline.sampled]]) == counted(
        list(map(read_json, sampled))
    )
    letters = list(map(_letter, worker[pipeline.dead_letters]))
    assert letters == _lines(out / "dead_letters.jsonl")
    assert [letter["bytes"] for letter in letters] == [len(NO_OTLP)]
    if arrivals != "event":
        report = check(truth, worker[pipeline.sampled], worker[pipeline.decisions])
        assert report.is_right, f"{report}"


def test_simulate_counts_as_two_workers_do(
    broker: EmbeddedBroker, fresh_topic: FreshTopic, tmp_path: Path
) -> None:
    start_ms = int(time.time() * 1000) - HOURS_AGO_MS
    truth = Truth(Load(8, 10_000, 20.0, start_ms, late_share=0.05, error_share=0.1))
    path = write_records(counted_load(truth), start_ms, tmp_path / "load", as_json=False)
    spans = fresh_topic("spans", 4)
    app = spans.removesuffix(".spans")
    topics = Topics(*(f"{app}.{name}" for name in Topics._fields))
    config = tmp_path / "config.json"
    content = {
        "app": app,
        "input": {"topics": [spans]},
        "output": topics._asdict() | {"dead_letters": f"{app}.dead_letters"},
        **sums_sections(truth.load),
    }
    config.write_bytes(orjson.dumps(content))
    report = _through_two_workers(broker.bootstrap, truth, config, topics, tmp_path)
    assert report.is_right, f"{report}"

    out = tmp_path / "out"
    arrivals = path.with_name("arrivals.json")
    arguments = ["-c", str(config), "--out", str(out), "--arrivals", str(arrivals), str(path)]
    simulation = Process(["simulate", *arguments], tmp_path / "simulate.log")
    assert simulation.wait(PATIENCE_S) == 0, simulation.output
    assert samples((out / "metrics.prom").read_text()) == expected(truth)
    edges, simulated = EdgeRecords(), Report()
    edges.read(map(_edge_record, _lines(out / "edges.jsonl")), simulated)
    check_edges(truth, edges, simulated)
    assert simulated.is_right, f"{simulated}"


def _through_two_workers(
    bootstrap: str, truth: Truth, config: Path, topics: Topics, directory: Path
) -> Report:
    spans = orjson.loads(config.read_bytes())["input"]["topics"][0]
    workers = [Worker(name, directory, bootstrap, config) for name in ("one", "two")]
    # Before they start: the time of a partition that has been idle is now, and no span late.
    asyncio.run(produce(records(truth.load), bootstrap, spans))
    try:
        for worker in workers:
            worker.start()
        ports = [worker.port for worker in workers]
        wait_until(ports, lambda found: is_settled(found, truth), PATIENCE_S)
        asyncio.run(wait_for_sums(bootstrap, truth, PATIENCE_S, topics))
        return asyncio.run(check_outputs(bootstrap, truth, topics))
    finally:
        for worker in workers:
            worker.kill()


def _edge_record(said: dict[str, Any]) -> Written:
    key = [said["tenant"], said["client"], said["server"], said["connection_type"]]
    return Written(orjson.dumps(key), orjson.dumps(said))


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
