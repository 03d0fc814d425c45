"""The command `python -m tailrace_loadtest`.

Exit codes: 0 done, 1 the outputs differ from the truth, 2 usage, 3 the environment failed.
"""

import asyncio
import logging
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn, get_args

import typer
from aiokafka.errors import KafkaError

from tailrace_loadtest import alerts as alarm
from tailrace_loadtest import bench as benchmark
from tailrace_loadtest import data_points as points
from tailrace_loadtest import kill as chaos
from tailrace_loadtest import latency as delay
from tailrace_loadtest import open_traces as memory
from tailrace_loadtest import recovery as restart
from tailrace_loadtest import remote_write as writing
from tailrace_loadtest import series as scale
from tailrace_loadtest.check import check as compare
from tailrace_loadtest.counting import counted
from tailrace_loadtest.files import write_records
from tailrace_loadtest.kafka import Compression, produce, read
from tailrace_loadtest.load import Load
from tailrace_loadtest.routes import Keys, Partitioner, Routes
from tailrace_loadtest.truth import Truth
from tailrace_loadtest.truth import read as read_truth
from tailrace_loadtest.workers import DECISIONS, EDGES, METRICS, SAMPLED, SPANS, Input

app = typer.Typer(
    help="A load whose truth is known: made, sent, and checked against what came out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

_EPOCH_MS = Load().start_ms

Spans = Annotated[int, typer.Option(help="At least so many; the last trace is whole.")]
Seed = Annotated[int, typer.Option(help="The same seed, the same bytes.")]
Seconds = Annotated[float, typer.Option(help="Of record timestamps, without late fragments.")]
Wait = Annotated[float, typer.Option(help="The sampler's decision_wait, in seconds.")]
LateShare = Annotated[float, typer.Option(help="Of the traces: with a fragment after the wait.")]
Out = Annotated[Path, typer.Option(help="Where the truth goes.")]
KeyOption = Annotated[
    str,
    typer.Option(
        help="hex: by trace ID, as the collector; mixed: the parts of a trace from producers that "
        "write and hash keys differently; none: any key, and messages that mix traces."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="OTLP/JSON records.")]
Bootstrap = Annotated[str, typer.Option(help="A broker, HOST:PORT.")]

Definitions = Annotated[int, typer.Option(min=0, help="So many alerts and SLOs on the load.")]


@app.command()
def generate(
    out: Out,
    spans: Spans = 100_000,
    seed: Seed = 1,
    seconds: Seconds = 10.0,
    decision_wait: Wait = 10.0,
    late_share: LateShare = 0.003,
    jsonl: Annotated[bool, typer.Option(help="OTLP/JSON lines, not protobuf.")] = False,
) -> None:
    """Write a load into a file, with its arrivals and its truth beside it."""
    load = _load(spans, seed, seconds, decision_wait, late_share)
    truth = Truth(load)
    path = write_records(counted(truth), load.start_ms, out, as_json=jsonl)
    truth.write(out)
    print(f"{path}: {summary(truth)}")


@app.command("produce")
def send(
    out: Out,
    bootstrap: Bootstrap = "localhost:9092",
    topic: Annotated[
        list[str] | None, typer.Option(help="It must exist; several share the load.")
    ] = None,
    spans: Spans = 100_000,
    seed: Seed = 1,
    seconds: Seconds = 10.0,
    decision_wait: Wait = 10.0,
    late_share: LateShare = 0.003,
    paced: Annotated[bool, typer.Option(help="In real time, from now on.")] = False,
    partitioner: Annotated[
        str, typer.Option(help="Of hex keys: murmur2 (Java), fnv1a (Go) or crc32 (librdkafka).")
    ] = "murmur2",
    keys: KeyOption = "hex",
    json: Json = False,
    compression: Annotated[str, typer.Option(help="gzip, snappy, lz4, zstd or none.")] = "lz4",
) -> None:
    """Send a load into topics and write its truth. Timestamps start now."""
    _one_of("--partitioner", partitioner, get_args(Partitioner))
    _one_of("--keys", keys, get_args(Keys))
    _one_of("--compression", compression, (*get_args(Compression), "none"))
    start_ms = int(time.time() * 1000) + 500
    load = _load(spans, seed, seconds, decision_wait, late_share, start_ms)
    truth = Truth(load)
    began = time.perf_counter()
    topics = topic or [SPANS]
    routes = Routes(topics, keys, partitioner, is_json=json)  # type: ignore[arg-type]  # checked
    try:
        produced = asyncio.run(
            produce(
                counted(truth),
                bootstrap,
                routes,
                speed=1.0 if paced else None,
                compression=None if compression == "none" else compression,  # type: ignore[arg-type]
            )
        )
    except (KafkaError, OSError, LookupError) as error:
        _fail(f"cannot send to {' and '.join(topics)} on {bootstrap}: {error}", 3)
    truth.write(out)
    elapsed = time.perf_counter() - began
    print(
        f"{' and '.join(topics)}: {produced.records:,} messages of "
        f"{summary(truth)} in {elapsed:.1f} s"
    )


@app.command()
def check(
    truth: Annotated[Path, typer.Option(help="The directory that generate or produce wrote.")],
    bootstrap: Bootstrap = "localhost:9092",
    sampled: Annotated[str, typer.Option(help="The topic of kept traces.")] = SAMPLED,
    decisions: Annotated[str, typer.Option(help="The topic of decisions.")] = DECISIONS,
    metrics: Annotated[str, typer.Option(help="The topic of metrics; empty: none.")] = METRICS,
    edges: Annotated[str, typer.Option(help="The topic of edges; empty: none.")] = EDGES,
) -> None:
    """Compare the outputs in Kafka with the truth; exit 1 if they differ.

    Edges are those of the truth if service_graph.store.ttl is no less than what produce says, and
    once all time has passed that they need to expire and be flushed.
    """
    topics = [topic for topic in (sampled, decisions, metrics, edges) if topic]
    try:
        written = asyncio.run(read(bootstrap, topics))
    except (KafkaError, OSError, LookupError, TimeoutError) as error:
        _fail(f"cannot read {', '.join(topics)} on {bootstrap}: {error}", 3)
    report = compare(
        read_truth(truth),
        written[sampled],
        written[decisions],
        written.get(metrics),
        written.get(edges),
    )
    print(report)
    sys.exit(0 if report.is_right else 1)


@app.command()
def bench(
    spans: Spans = 1_000_000,
    seed: Seed = 1,
    seconds: Seconds = 10.0,
    definitions: Definitions = 0,
) -> None:
    """Measure what a span costs, part by part: one worker on one core, its outputs checked."""
    with _measuring():
        load = _load(spans, seed, seconds, 10.0, 0.003, _past_ms(seconds))
        print(benchmark.bench(load, definitions))


@app.command("open-traces")
def open_traces(
    traces: Annotated[int, typer.Option(min=200_000, help="So many are open in the end.")] = (
        1_000_000
    ),
) -> None:
    """Measure what open traces cost: memory, and a span's CPU with few and with many of them."""
    with _measuring():
        print(memory.open_traces(traces))


@app.command("remote-write")
def remote_write(
    flushes: Annotated[int, typer.Option(min=2, help="So many, a second apart.")] = 20,
    streams: Annotated[int, typer.Option(min=8, help="Series of calls and durations.")] = 2_000,
) -> None:
    """Measure what a sample costs on its way to a receiver, and compare all with the truth."""
    with _measuring():
        for cost in writing.remote_write(writing.Flushes(flushes, streams, _past_ms(flushes))):
            print(cost, flush=True)


@app.command("data-points")
def data_points(
    rates: Annotated[
        list[int] | None, typer.Option("--rate", min=100, help="Data points a second of output.")
    ] = None,
    seconds: Annotated[float, typer.Option(min=20, help="At each rate.")] = 60.0,
) -> None:
    """Measure what writing metrics costs: CPU and memory by data points a second."""
    with _measuring():
        print(points.HEAD)
        for row in points.data_points(rates or [1_000, 5_000, 10_000], seconds):
            print(row, flush=True)


@app.command()
def series(
    count: Annotated[int, typer.Option(min=10_000, help="So many, in one worker.")] = 200_000,
    seconds: Annotated[float, typer.Option(min=20, help="When all of them are there.")] = 60.0,
    rate: Annotated[int, typer.Option(min=100, help="Spans a second, once each had one.")] = 2_000,
    services: Annotated[
        int, typer.Option(min=1, max=20, help="All series of a service are in one partition.")
    ] = points.SERVICES,
) -> None:
    """Measure what very many series cost: checkpoints, flushes, memory, and starting again."""
    with _measuring():
        print(scale.series(count, seconds, rate, services))


@app.command()
def kill(
    spans: Spans = 200_000,
    seconds: Seconds = 35.0,
    seed: Annotated[int | None, typer.Option(help="Of the chaos and the load.")] = None,
    keys: KeyOption = "hex",
    json: Json = False,
) -> None:
    """Kill two workers with -9 again and again, and the broker once, and check everything.

    Decisions, kept traces, RED and edges; with other keys than hex, through re-keying.
    """
    _one_of("--keys", keys, get_args(Keys))
    given = Input.of(keys, is_json=json)  # type: ignore[arg-type]  # checked above
    chosen = random.SystemRandom().randrange(1 << 20) if seed is None else seed
    print(f"seed {chosen}", flush=True)
    with _measuring(), tempfile.TemporaryDirectory(prefix="tailrace-kill-") as directory:
        outcome = chaos.kill(spans, seconds, chosen, Path(directory), given)
    print(outcome)
    sys.exit(0 if outcome.is_right else 1)


@app.command()
def recovery(
    spans: Annotated[int, typer.Option(help="So many are pending.")] = 100_000,
    repetitions: Annotated[int, typer.Option(min=1, help="Of each measurement.")] = 3,
) -> None:
    """Measure how long after a kill -9 there is work again: same data, lost data, failover."""
    with _measuring():
        print(restart.recovery(spans, repetitions))


@app.command()
def latency(
    rate: Annotated[int, typer.Option(min=1, help="Spans a second.")] = 5_000,
    seconds: Seconds = 60.0,
) -> None:
    """Measure how long after its decision is due a kept trace can be read."""
    with _measuring():
        figures = delay.latency(rate, seconds)
    print(figures)
    sys.exit(0 if figures.report.is_right else 1)


@app.command()
def alerts(
    rate: Annotated[int, typer.Option(min=1, help="Spans a second.")] = 5_000,
    seconds: Seconds = 60.0,
    definitions: Definitions = 100,
) -> None:
    """Measure how long after a span has made an alert fire its event can be read."""
    with _measuring():
        figures = alarm.latency(rate, seconds, definitions)
    print(figures)
    sys.exit(0 if figures.report.is_right else 1)


@contextmanager
def _measuring() -> Iterator[None]:
    """Outputs that are wrong end the command with 1, and a broker or worker that fails with 3."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # brokers die on purpose
    try:
        yield
    except (benchmark.Wrong, restart.Lost) as error:
        _fail(str(error), 1)
    except (KafkaError, OSError, RuntimeError) as error:
        _fail(f"the measurement failed: {error}", 3)


def _past_ms(seconds: float) -> int:
    """A start so long ago that everything is due by now."""
    return int((time.time() - seconds - 110) * 1000)


def summary(truth: Truth) -> str:
    """The shape of the load, in one line."""
    totals = truth.totals
    return (
        f"{totals['spans']:,} spans, {totals['traces']:,} traces, {totals['records']:,} records"
        f" of {totals['bytes'] / totals['records']:,.0f} bytes;"
        f" sampled: {truth.samples['errors']:,} errors, {truth.samples['slow']:,} slow,"
        f" {truth.samples['rest']:,} of the rest; {totals['late_records']:,} late records;"
        f" {len(truth.red):,} series; {len(truth.edge_calls):,} edges if store.ttl is"
        f" {truth.load.pairing_s:g}s or more"
    )


def _load(
    spans: int,
    seed: int,
    seconds: float,
    decision_wait: float,
    late_share: float,
    start_ms: int = _EPOCH_MS,
) -> Load:
    try:
        return Load(
            seed=seed,
            spans=spans,
            seconds=seconds,
            start_ms=start_ms,
            decision_wait_s=decision_wait,
            late_share=late_share,
        )
    except ValueError as error:
        _fail(str(error), 2)


def _one_of(option: str, value: str, options: tuple[str, ...]) -> None:
    if value not in options:
        _fail(f"{option} is {value}; it must be one of {', '.join(options)}", 2)


def _fail(message: str, exit_code: int) -> NoReturn:
    print(f"tailrace_loadtest: {message}", file=sys.stderr)
    sys.exit(exit_code)


if __name__ == "__main__":
    app(prog_name="python -m tailrace_loadtest")
