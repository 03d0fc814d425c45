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

from tailrace_loadtest import bench as benchmark
from tailrace_loadtest import kill as chaos
from tailrace_loadtest import latency as delay
from tailrace_loadtest import recovery as restart
from tailrace_loadtest.check import check as compare
from tailrace_loadtest.counting import counted
from tailrace_loadtest.files import write_records
from tailrace_loadtest.kafka import Compression, Partitioner, produce, read
from tailrace_loadtest.load import Load
from tailrace_loadtest.truth import Truth
from tailrace_loadtest.truth import read as read_truth

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
Bootstrap = Annotated[str, typer.Option(help="A broker, HOST:PORT.")]


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
    topic: Annotated[str, typer.Option(help="It must exist.")] = "otlp_spans",
    spans: Spans = 100_000,
    seed: Seed = 1,
    seconds: Seconds = 10.0,
    decision_wait: Wait = 10.0,
    late_share: LateShare = 0.003,
    paced: Annotated[bool, typer.Option(help="In real time, from now on.")] = False,
    partitioner: Annotated[str, typer.Option(help="murmur2 (Java) or fnv1a (Go).")] = "murmur2",
    compression: Annotated[str, typer.Option(help="gzip, snappy, lz4, zstd or none.")] = "lz4",
) -> None:
    """Send a load into a topic and write its truth. Timestamps start now."""
    _one_of("--partitioner", partitioner, get_args(Partitioner))
    _one_of("--compression", compression, (*get_args(Compression), "none"))
    start_ms = int(time.time() * 1000) + 500
    load = _load(spans, seed, seconds, decision_wait, late_share, start_ms)
    truth = Truth(load)
    began = time.perf_counter()
    try:
        asyncio.run(
            produce(
                counted(truth),
                bootstrap,
                topic,
                speed=1.0 if paced else None,
                partitioner=partitioner,  # type: ignore[arg-type]  # checked above
                compression=None if compression == "none" else compression,  # type: ignore[arg-type]
            )
        )
    except (KafkaError, OSError, LookupError) as error:
        _fail(f"cannot send to {topic} on {bootstrap}: {error}", 3)
    truth.write(out)
    elapsed = time.perf_counter() - began
    print(f"{topic}: {summary(truth)} in {elapsed:.1f} s")


@app.command()
def check(
    truth: Annotated[Path, typer.Option(help="The directory that generate or produce wrote.")],
    bootstrap: Bootstrap = "localhost:9092",
    sampled: Annotated[str, typer.Option(help="The topic of kept traces.")] = "otlp_sampled",
    decisions: Annotated[str, typer.Option(help="The topic of decisions.")] = "tailrace.decisions",
) -> None:
    """Compare the outputs in Kafka with the truth; exit 1 if they differ."""
    try:
        written = asyncio.run(read(bootstrap, [sampled, decisions]))
    except (KafkaError, OSError, LookupError, TimeoutError) as error:
        _fail(f"cannot read {sampled} and {decisions} on {bootstrap}: {error}", 3)
    report = compare(read_truth(truth), written[sampled], written[decisions])
    print(report)
    sys.exit(0 if report.is_right else 1)


@app.command()
def bench(
    spans: Spans = 1_000_000,
    seed: Seed = 1,
    seconds: Seconds = 10.0,
) -> None:
    """Measure what a span costs: one worker on one core drains a load, and is checked."""
    with _measuring():
        load = _load(spans, seed, seconds, 10.0, 0.003, _past_ms(seconds))
        print(benchmark.bench(load))


@app.command()
def kill(
    spans: Spans = 200_000,
    seconds: Seconds = 35.0,
    seed: Annotated[int | None, typer.Option(help="Of the chaos and the load.")] = None,
) -> None:
    """Kill two workers with -9 again and again, and the broker once, and check everything."""
    chosen = random.SystemRandom().randrange(1 << 20) if seed is None else seed
    print(f"seed {chosen}", flush=True)
    with _measuring(), tempfile.TemporaryDirectory(prefix="tailrace-kill-") as directory:
        outcome = chaos.kill(spans, seconds, chosen, Path(directory))
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


@contextmanager
def _measuring() -> Iterator[None]:
    """Outputs that are wrong end the command with 1, and a broker or worker that fails with 3."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # brokers die on purpose
    try:
        yield
    except (benchmark.Wrong, restart.Lost) as error:
        _fail(str(error), 1)
    except (KafkaError, OSError, RuntimeError, chaos.Interrupted) as error:
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
        f" {truth.samples['rest']:,} of the rest; {totals['late_records']:,} late records"
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
