"""Runs a config over files: the same tasks as the worker, without Kafka or a clock."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from tailrace.agents.metrics import agent as metrics_agent
from tailrace.agents.metrics.logic import MetricsLogic
from tailrace.agents.sampling import agent as sampling_agent
from tailrace.agents.sampling.logic import SamplingLogic
from tailrace.schemas import topics
from tailrace.schemas.config import WorkerConfig
from tailrace.schemas.config.definitions import configured
from tailrace.schemas.config.source import read_text
from tailrace.schemas.config.worker import ALERTS, InputConfig
from tailrace.schemas.definitions import Definitions, files, tail_sampling
from tailrace.schemas.definitions.definition import ALERT, TAIL_SAMPLING, Definition
from tailrace.schemas.definitions.signals import signals
from tailrace.schemas.durations import MILLISECOND
from tailrace.schemas.errors import EnvironmentFailed
from tailrace.schemas.otlp.json import encode_json
from tailrace.schemas.records import Output
from tailrace.streams.batch import Batch
from tailrace.streams.cluster import Cluster
from tailrace.streams.control import HeldRecords, tell
from tailrace.streams.ledger import REQUEST_BYTES
from tailrace.streams.recordings import RecordedMessage, recorded
from tailrace.streams.rollups import RollupTasks
from tailrace.streams.spans import SpanTasks
from tailrace.streams.stages import ROLLUPS, SPANS, has_links, stage_topics
from tailrace.streams.task import Task, TaskId
from tailrace.tables.store import MemoryDisk, PartitionStore

_TOPIC = "simulate"
_BATCH_RECORDS = 4000
_FLUSHES = "metrics"
_SECOND_MS = 1000
_LATEST_MS = 9_000_000_000_000
"""Later arrivals count as this (in 2255): with a wait added, they still are times in ns."""
_ALERTS_END_MS = 31 * 24 * 3_600_000
"""How long alerts are followed after the last span: the longest window they may have."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What a simulation did. `counts` are the totals of its only partition of spans.

    `left_out`: the alerts on metrics, which no file of spans has.
    """

    records: int
    dead_lettered: int
    counts: dict[str, int]
    left_out: tuple[str, ...] = ()

    def text(self, out: Path) -> str:
        """Return it for a person."""
        traces = [
            f"  {count:>9,} {decision.replace('_', ' ')}" + (f" by {policy}" if policy else "")
            for name, count in self.counts.items()
            if name.startswith("traces.")
            for _, decision, policy in [name.split(".", 2)]
        ]
        late = self.counts.get("late_spans", 0)
        return "\n".join(
            [
                f"{self.records:,} records, {self.counts.get('spans_decoded', 0):,} spans, "
                f"{late:,} of them late, {self.dead_lettered:,} records dead-lettered",
                *self._about_letters(),
                "traces:",
                *traces,
                *self._about_alerts(),
                f"results are in {out}/",
            ]
        )

    def _about_letters(self) -> Iterator[str]:
        reasons = {
            name.removeprefix("dead_letters."): count
            for name, count in self.counts.items()
            if name.startswith("dead_letters.")
        }
        if reasons:  # of parts of records too
            told = ", ".join(f"{reason} {count:,}" for reason, count in reasons.items())
            yield f"dead letters: {told}"

    def _about_alerts(self) -> Iterator[str]:
        if late := self.counts.get("match_late_spans", 0):
            yield (
                f"{late:,} spans were late for alerts: they came more than 5 minutes after their "
                f"end, and count as 5 minutes old; --arrivals event lets them come in time"
            )
        if self.left_out:
            yield f"not simulated, for they are on metrics: {', '.join(self.left_out)}"


def simulate(
    config: WorkerConfig,
    inputs: Sequence[Path],
    arrivals: str,
    out: Path,
    definitions: Definitions | None = None,
    *,
    flushes: bool = False,
) -> Summary:
    """Write into *out* what *config* makes of *inputs*; *arrivals* as `recorded` takes them.

    Alerts are those of *definitions*; nobody is notified. With *flushes*, every message of metrics
    is written too.
    """
    simulation = simulated(config, recorded(inputs, arrivals), out, definitions, flushes=flushes)
    totals = simulation.spans.totals
    return Summary(
        totals.records,
        totals.dead_lettered,
        dict(sorted(totals.counts.items())),
        _on_metrics(definitions or Definitions()),
    )


def simulated(
    config: WorkerConfig,
    records: Sequence[RecordedMessage],
    out: Path,
    definitions: Definitions | None = None,
    *,
    flushes: bool = False,
) -> Simulation:
    """Return the simulation of *config* after *records*; its results are in *out*."""
    with ExitStack() as files:
        simulation = Simulation(config, _results(out, files, flushes=flushes), definitions)
        for batch in _batches(records, by_second=config.tail_sampling.keep_linked > 0):
            simulation.process(batch)
        simulation.run_out()
    (out / "metrics.prom").write_bytes(simulation.exposition())
    return simulation


def _batches(
    records: Sequence[RecordedMessage], *, by_second: bool
) -> Iterator[Sequence[RecordedMessage]]:
    """Yield *records* in pieces; *by_second*: so small that links are heard of in time."""
    start = 0
    for end in range(1, len(records) + 1):
        is_over = end == len(records) or end - start == _BATCH_RECORDS
        if is_over or (by_second and _second(records[end]) != _second(records[start])):
            yield records[start:end]
            start = end


def _second(record: RecordedMessage) -> int:
    return record.timestamp // _SECOND_MS


def _on_metrics(definitions: Definitions) -> tuple[str, ...]:
    """Return the names of the alerts that nothing is known for here."""
    return tuple(
        each.name
        for each in definitions.of(ALERT)
        if any(signal.metric is not None for signal in signals(each).values())
    )


def defined(config: WorkerConfig, paths: Iterable[Path]) -> Definitions:
    """Return the definitions of *config* and of the files *paths*; raises ConfigError."""
    own = configured(config.alerts, config.slos, config.notify)
    found = [each for path in paths for each in files.read(read_text(path), str(path)).definitions]
    section = config.tail_sampling
    tail_sampling.refuse_unfit(found, section)
    read = {each.key: _as_applied(each, at) for at, each in enumerate(found, 1)}
    policies = section.policies_file
    watched = [] if policies is None else [tail_sampling.at(policies, section)]
    return Definitions.of_all([*watched, *{**own.by_key, **read}.values()])


def _as_applied(definition: Definition[Any], version: int) -> Definition[Any]:
    """Return *definition* with *version* if it decides by that: the last to be applied stands."""
    return (
        replace(definition, version=version) if definition.key.kind == TAIL_SAMPLING else definition
    )


def _results(out: Path, files: ExitStack, *, flushes: bool) -> dict[str, BinaryIO]:
    """Return the files of results in *out*, by name; *files* closes them."""
    names = ("decisions", "sampled", "edges", "alerts", "dead_letters")
    paths = {name: out / f"{name}.jsonl" for name in names}
    if flushes:
        paths[_FLUSHES] = out / "metrics.pb"
    try:
        out.mkdir(parents=True, exist_ok=True)
        return {name: files.enter_context(path.open("wb")) for name, path in paths.items()}
    except OSError as error:
        raise EnvironmentFailed(
            f"results cannot be written to {error.filename}: {error.strerror}",
            "Name a directory that can be written with --out.",
        ) from error


class Simulation:
    """Both stages with one partition each; what the first sends reaches the second at once."""

    def __init__(
        self,
        config: WorkerConfig,
        results: Mapping[str, BinaryIO],
        definitions: Definitions | None = None,
    ) -> None:
        config = config.model_copy(update={"input": InputConfig(topics=(_TOPIC,))})
        rollups = topics.rollups(config.app)
        cluster = Cluster(
            "simulation",
            {_TOPIC: 1, rollups: 1, config.output.alerts: 1},
            REQUEST_BYTES,
            sys.maxsize,
            REQUEST_BYTES,
            {},
        )
        definitions = definitions or Definitions()
        self._config = config
        self._results = results
        self._rollups = rollups
        routes = [route.topic for route in config.tail_sampling.routes]
        self._sampled = list(dict.fromkeys([config.output.sampled, *routes]))
        self.written: Counter[str] = Counter()
        """How many bytes of each kept trace were written, by its ID as hex."""
        self._exposition = b""
        self._control = HeldRecords()
        tasks = SpanTasks(config, cluster, self._control)
        self.spans: Task[Any] = tasks.build(TaskId(SPANS, 0), PartitionStore(MemoryDisk()))
        self.spans.inform(definitions)
        self.series: Task[Any] | None = None
        if ROLLUPS in stage_topics(config):
            series = RollupTasks(config, cluster)
            self.series = series.build(TaskId(ROLLUPS, 0), PartitionStore(MemoryDisk()))
            self.series.inform(definitions)

    def process(self, records: Sequence[RecordedMessage]) -> None:
        """Let *records* arrive, next after those before."""
        if self._config.tail_sampling.keep_linked:
            self._wait_for(records[0].timestamp)
        _feed(self.spans, _TOPIC, records)
        self._pass_on()

    def _wait_for(self, at_ms: int) -> None:
        """Let time pass before *at_ms* as the clock does: what links to what is heard meanwhile."""
        now = self.spans.stream_time
        ends = now + self._config.tail_sampling.decision_wait // MILLISECOND
        for step in range(now + _SECOND_MS, min(ends, at_ms) if now else 0, _SECOND_MS):
            self.spans.advance(step)
            self._pass_on()

    def run_out(self) -> None:
        """Let time pass until everything that is due has been done."""
        config = self._config
        graph, red = config.service_graph, config.span_metrics
        wait, interval = config.tail_sampling.decision_wait, config.engine.rollup_interval
        # As the clock does: a window is looked at while what came last is still in it.
        for _ in range(-(-wait // interval) + 1):
            self.spans.advance(self.spans.stream_time + interval // MILLISECOND)
            self._pass_on()
        flushes = (red.metrics_flush_interval, graph.metrics_flush_interval)
        rest = sum((graph.store.ttl, interval, *flushes)) // MILLISECOND + 1
        self.spans.advance(self.spans.stream_time + rest)
        self._pass_on()
        if self.series is not None and has_links(config):
            for wait in (graph.links.wait + 2 * interval, graph.metrics_flush_interval):
                self.series.advance(self.series.stream_time + wait // MILLISECOND)
                self._count(self._counted())
        if self.series is not None:
            # The clock does so too, once all that came is known.
            self.series.advance(max(self.series.stream_time, self.spans.stream_time))
            self._exposition = self._exposed()  # before alerts are followed for a month
            if ALERTS in config.capabilities:
                self.series.advance(self.series.stream_time + _ALERTS_END_MS)
            self._write(_taken(self.series))

    def _pass_on(self) -> None:
        """Let what was sent arrive in the order of its time, as it would from many partitions."""
        outputs = _taken(self.spans)
        for said in outputs.pop(topics.control(self._config.app), ()):
            self._control.take(said.value, self._control.end)
        sampler = self.spans.logics.get(sampling_agent.NAME)
        if isinstance(sampler, SamplingLogic):
            tell(self.spans, sampler, self._control)
        rollups = outputs.pop(self._rollups, ())
        self._write(outputs)
        self._count(rollups)

    def _count(self, rollups: Sequence[Output]) -> None:
        """Let *rollups* reach the second stage, and what links bring together reach it again."""
        while self.series is not None and rollups:
            at = self.series.positions.get(self._rollups, 0)
            rows = [
                RecordedMessage(at + row, each.timestamp, each.value, each.key, each.headers)
                for row, each in enumerate(sorted(rollups, key=lambda each: each.timestamp))
            ]
            _feed(self.series, self._rollups, rows)
            rollups = self._counted()

    def _counted(self) -> Sequence[Output]:
        """Write what the second stage has sent; return what of it is for itself."""
        assert self.series is not None
        outputs = _taken(self.series)
        rollups = outputs.pop(self._rollups, ())
        self._write(outputs)
        return rollups

    def _write(self, outputs: dict[str, Sequence[Output]]) -> None:
        names, files = self._config.output, self._results
        decisions, edges = outputs.get(names.decisions, ()), outputs.get(names.edges, ())
        files["decisions"].writelines(row.value + b"\n" for row in decisions)
        files["edges"].writelines(row.value + b"\n" for row in edges)
        files["alerts"].writelines(row.value + b"\n" for row in outputs.get(names.alerts, ()))
        if _FLUSHES in files:
            files[_FLUSHES].writelines(map(_framed, outputs.get(names.metrics, ())))
        for row in (row for topic in self._sampled for row in outputs.get(topic, ())):
            files["sampled"].write(encode_json(row.value) + b"\n")
            self.written[(row.key or b"").decode()] += len(row.value)
        files["dead_letters"].writelines(map(_dead_letter, outputs.get(names.dead_letters, ())))

    def exposition(self) -> bytes:
        """Return the final cumulative samples as Prometheus text."""
        return self._exposition

    def _exposed(self) -> bytes:
        if self.series is None or metrics_agent.NAME not in self.series.logics:
            return b""
        logic = self.series.logics[metrics_agent.NAME]
        assert isinstance(logic, MetricsLogic)
        return logic.exposition()


def _feed(task: Task[Any], topic: str, records: Sequence[RecordedMessage]) -> None:
    first, end = records[0].offset, records[-1].offset + 1
    task.process(Batch(topic, 0, first, end, records), _LATEST_MS)


def _taken(task: Task[Any]) -> dict[str, Sequence[Output]]:
    """Return what *task* has sent since the last time."""
    snapshot = task.snapshot()
    task.store.finish_checkpoint(0)
    return dict(snapshot.outputs)


def _framed(output: Output) -> bytes:
    return len(output.value).to_bytes(4, "big") + output.value


def _dead_letter(output: Output) -> bytes:
    headers = dict(output.headers)
    record = {
        "offset": int(headers[topics.OFFSET_HEADER]) if topics.OFFSET_HEADER in headers else None,
        "reason": headers[topics.REASON_HEADER].decode(),
        "bytes": len(output.value),
    }
    return orjson.dumps(record) + b"\n"
