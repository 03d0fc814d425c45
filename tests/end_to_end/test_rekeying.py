"""Producers that agree on nothing: a trace is one trace all the same."""

import asyncio
import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson
import pytest
from aiokafka import AIOKafkaProducer

from tailrace.schemas.otlp.json import encode_json
from tailrace.streams.broker import EmbeddedBroker
from tailrace_loadtest.check import Written
from tailrace_loadtest.histograms import BOUNDS_NS
from tailrace_loadtest.kafka import follow, read
from tailrace_loadtest.metric_check import CALLS, DURATION
from tailrace_loadtest.points import CumulativeSeries
from tailrace_loadtest.processes import Samples, total, wait_until
from tailrace_loadtest.report import Report
from tailrace_loadtest.routes import Message, Partitioner, partition_of
from tailrace_loadtest.workers import Worker
from tests.conftest import FreshTopic
from tests.otlp import ERROR, MS, Span, counted, message, unstamped
from tests.patience import PATIENCE_S

PARTITIONS = 3, 5
"""Of the two input topics."""
TRACES = 80
SERVER = 2


@dataclass(frozen=True)
class Producer:
    """A service's own way to write a trace ID as a key, to hash it, and where it sends."""

    service: str
    key: Callable[[bytes], bytes]
    partitioner: Partitioner
    topic: int


def _hex(trace_id: bytes) -> bytes:
    return trace_id.hex().encode()


PRODUCERS = (
    Producer("shop", _hex, "fnv1a", 0),
    Producer("cart", bytes, "murmur2", 0),
    Producer("stock", bytes, "crc32", 1),
    Producer("bank", _hex, "murmur2", 1),
)


def span_of(number: int, trace_id: bytes, producer: int) -> Span:
    """What the service of *producer* has to say of a trace; in one of them, a failure."""
    service, start = PRODUCERS[producer].service, 1_700_000_000_000 * MS
    return Span(
        trace_id,
        b"%08d" % producer,
        service,
        f"serve {service}",
        start + producer * MS,
        start + producer * MS + (number * 7 + producer) % 19 * MS + number,
        parent=b"%08d" % (producer - 1) if producer else b"",
        status=ERROR if producer == number % len(PRODUCERS) else 0,
        kind=SERVER,
    )


def spans() -> Iterator[tuple[Producer, Span]]:
    """Every span with who sends it."""
    for number in range(TRACES):
        trace_id = (0x9E3779B97F4A7C15F39CC0605CEDC835 * (number + 1) % 2**128).to_bytes(16, "big")
        for row, producer in enumerate(PRODUCERS):
            yield producer, span_of(number, trace_id, row)


def messages(topics: list[str], *, is_json: bool) -> Iterator[Message]:
    """A message for each of them, from so long ago that all is decided at once."""
    at = int(time.time() * 1000) - 60_000
    for producer, span in spans():
        key = producer.key(span.trace_id)
        place = partition_of(key, PARTITIONS[producer.topic], producer.partitioner)
        value = message(span)
        yield Message(
            topics[producer.topic], place, key, encode_json(value) if is_json else value, at
        )


async def send(bootstrap: str, sent: list[Message]) -> None:
    async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
        for each in sent:
            await producer.send(
                each.topic, each.value, each.key, each.partition, timestamp_ms=each.timestamp_ms
            )


def is_settled(samples: Samples) -> bool:
    """True when every span was kept or dropped, and that is committed."""
    names = ("tailrace_spans_kept_total", "tailrace_spans_dropped_total")
    return sum(total(samples, name) for name in names) == TRACES * len(PRODUCERS)


async def read_sums(bootstrap: str, topic: str) -> tuple[CumulativeSeries, Report]:
    """All series, once they count every span."""
    series, report = CumulativeSeries(), Report()
    deadline = time.monotonic() + PATIENCE_S

    def take(_: str, written: Written) -> None:
        series.read([written], report)

    def is_over() -> bool:
        return series.count(CALLS) >= TRACES * len(PRODUCERS) or time.monotonic() > deadline

    await follow(bootstrap, [topic], take, is_over)
    return series, report


@pytest.mark.parametrize(
    "encoding",
    [pytest.param("otlp_proto", id="protobuf"), pytest.param("otlp_json", id="JSON")],
)
def test_a_trace_from_producers_that_write_and_hash_its_id_differently_gets_one_decision(
    encoding: str, broker: EmbeddedBroker, fresh_topic: FreshTopic, tmp_path: Path
) -> None:
    topics = [fresh_topic("spans", partitions) for partitions in PARTITIONS]
    app = topics[0].removesuffix(".spans")
    names = ("sampled", "decisions", "metrics", "edges", "dead_letters")
    outputs = {name: f"{app}.{name}" for name in names}
    config = tmp_path / "config.json"
    content = {
        "app": app,
        "input": {"topics": topics, "encoding": encoding, "keyed_by_trace_id": False},
        "output": outputs,
        "span_metrics": {"metrics_flush_interval": "1s"},
    }
    config.write_bytes(orjson.dumps(content))
    sent = list(messages(topics, is_json=encoding == "otlp_json"))
    assert len({(each.topic, each.partition) for each in sent}) == sum(PARTITIONS)
    asyncio.run(send(broker.bootstrap, sent))
    worker = Worker(app, tmp_path, broker.bootstrap, config)
    try:
        worker.start()
        samples = wait_until([worker.port], is_settled, PATIENCE_S)
        series, report = asyncio.run(read_sums(broker.bootstrap, outputs["metrics"]))
    finally:
        worker.kill()
    assert total(samples, "tailrace_late_spans_total") == 0
    assert total(samples, "tailrace_balance_problems") == 0
    written = asyncio.run(read(broker.bootstrap, list(outputs.values())))
    assert written[outputs["dead_letters"]] == []
    check_decisions(written[outputs["decisions"]])
    check_kept(written[outputs["sampled"]])
    assert report.is_right, f"{report}"
    check_red(series)


def check_decisions(written: list[Written]) -> None:
    """One a trace, on all its spans."""
    decisions = [orjson.loads(each.value or b"") for each in written]
    traces = sorted({span.trace_id.hex() for _, span in spans()})
    assert sorted(each["trace_id"] for each in decisions) == traces
    for decision in decisions:
        assert (decision["decision"], decision["policy"]) == ("sampled", "errors")
        assert decision["late"] is False
        assert decision["spans"] == len(PRODUCERS)
        assert decision["services"] == sorted(each.service for each in PRODUCERS)
        assert decision["root"] == {"service": "shop", "name": "serve shop"}


def check_kept(written: list[Written]) -> None:
    """Every span once; those of one trace in one record."""
    kept = {each.key: each for each in written}
    assert len(kept) == len(written) == TRACES
    by_trace: defaultdict[bytes, list[Span]] = defaultdict(list)
    for _, span in spans():
        by_trace[span.trace_id].append(span)
    for trace_id, of_it in by_trace.items():
        assert counted(unstamped([kept[_hex(trace_id)].value or b""])) == counted(
            list(map(message, of_it))
        )


def check_red(series: CumulativeSeries) -> None:
    """Calls, sums of nanoseconds and buckets are those of the spans."""
    durations: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for _, span in spans():
        status = "STATUS_CODE_ERROR" if span.status == ERROR else "STATUS_CODE_UNSET"
        durations[span.service, status].append(span.end - span.start)
    found = {
        (each.metric, dict(each.attributes)["service.name"], dict(each.attributes)["status.code"]):
        (point.counts, point.total)
        for each, point in series.items()
        if each.metric in (CALLS, DURATION)
    }  # fmt: skip
    expected: dict[tuple[str, str, str], tuple[tuple[int, ...], float]] = {}
    for (service, status), lasted in durations.items():
        buckets = [0] * (len(BOUNDS_NS) + 1)
        for ns in lasted:
            buckets[bisect_left(BOUNDS_NS, ns)] += 1
        expected[CALLS, service, status] = (len(lasted),), 0.0
        expected[DURATION, service, status] = tuple(buckets), sum(lasted) / MS
    assert found == expected
