"""The worker's own metrics, each declared once.

Totals of records, spans, traces, edges and dead letters are those of the partitions' committed
state, so that they survive restarts and moves: the sum over a cluster's workers is exact, and a
partition's total never goes back. The other counters say since when they count.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from tailrace.agents.metrics.agent import NAME as METRICS
from tailrace.agents.metrics.logic import MetricsLogic
from tailrace.agents.red.agent import NAME as RED
from tailrace.agents.rekey.agent import NAME as REKEY
from tailrace.agents.sampling.agent import NAME as SAMPLING
from tailrace.agents.sampling.logic import SamplingLogic
from tailrace.agents.service_graph.agent import NAME as SERVICE_GRAPH
from tailrace.agents.service_graph.logic import ServiceGraphLogic
from tailrace.streams.engine import Engine
from tailrace.streams.runner import Runner
from tailrace.streams.spans import SpanTasks

_TASK = ("stage", "partition")


@dataclass(frozen=True, slots=True)
class TaskMetric:
    """A number of each running task; of those with one of *capabilities*, if there are any."""

    name: str
    help: str
    read: Callable[[Runner], float]
    is_counter: bool = False
    capabilities: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SplitMetric:
    """Numbers of each running task by the values of *labels*; which tasks, as with TaskMetric."""

    name: str
    help: str
    labels: tuple[str, ...]
    read: Callable[[Engine, Runner], Mapping[tuple[str, ...], float]]
    is_counter: bool = False
    capabilities: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WorkerMetric:
    """A counter of the process."""

    name: str
    help: str
    read: Callable[[Engine, SpanTasks], float]


@dataclass(frozen=True, slots=True)
class Family:
    """A metric as it is exposed."""

    name: str
    help: str
    labels: tuple[str, ...]
    is_counter: bool

    @property
    def sample_name(self) -> str:
        """The name of its samples, by which it is asked for."""
        return f"{self.name}_total" if self.is_counter else self.name

    def empty(self) -> CounterMetricFamily | GaugeMetricFamily:
        """Return it without samples."""
        kind = CounterMetricFamily if self.is_counter else GaugeMetricFamily
        return kind(self.name, self.help, labels=self.labels)


def _total(name: str) -> Callable[[Runner], float]:
    return lambda runner: runner.committed.counts.get(name, 0)


def _parts(prefix: str) -> Callable[[Engine, Runner], Mapping[tuple[str, ...], float]]:
    """Read the totals `prefix.a`, `prefix.b`, … by what comes after the dot."""

    def read(engine: Engine, runner: Runner) -> Mapping[tuple[str, ...], float]:
        return {
            (name.partition(".")[2],): count
            for name, count in runner.committed.counts.items()
            if name.startswith(f"{prefix}.")
        }

    return read


def _sampler(runner: Runner) -> SamplingLogic:
    logic = runner.task.logics[SAMPLING]
    assert isinstance(logic, SamplingLogic)
    return logic


def _waiting_half_edges(runner: Runner) -> float:
    logic = runner.task.logics[SERVICE_GRAPH]
    assert isinstance(logic, ServiceGraphLogic)
    return logic.pending


def _series(engine: Engine, runner: Runner) -> Mapping[tuple[str, ...], float]:
    logic = runner.task.logics[METRICS]
    assert isinstance(logic, MetricsLogic)
    return {(family.layout.family,): len(table) for family, table in logic.parts}


def _lag(engine: Engine, runner: Runner) -> Mapping[tuple[str, ...], float]:
    lag = engine.lag(runner.id)
    return {} if lag is None else {(): lag}


def _traces(engine: Engine, runner: Runner) -> Mapping[tuple[str, ...], float]:
    return {
        (decision, policy): count
        for name, count in runner.committed.counts.items()
        if name.startswith("traces.")
        for _, decision, policy in [name.split(".", 2)]
    }


def _cpu(engine: Engine, runner: Runner) -> Mapping[tuple[str, ...], float]:
    return {(part,): seconds for part, seconds in runner.cpu_seconds.items()}


_OF_SAMPLING, _OF_RED, _OF_GRAPH, _OF_METRICS = (SAMPLING,), (RED,), (SERVICE_GRAPH,), (METRICS,)

TASK_METRICS = (
    TaskMetric("records", "Records read.", lambda r: r.committed.records, True),
    TaskMetric("records_processed", "Records with a good part.",
               lambda r: r.committed.processed, True),
    TaskMetric("records_dead_lettered", "Records without a good part.",
               lambda r: r.committed.dead_lettered, True),
    TaskMetric("records_early", "Re-keyed records that were processed before their time, because "
               "another source was too far behind.", _total("records_early"), True, _OF_SAMPLING),
    TaskMetric("spans_decoded", "Spans decoded.", _total("spans_decoded"), True,
               (SAMPLING, REKEY)),
    TaskMetric("spans_kept", "Spans written as part of kept traces.", _total("spans_kept"), True,
               _OF_SAMPLING),
    TaskMetric("spans_dropped", "Spans of traces that were not sampled.",
               _total("spans_dropped"), True, _OF_SAMPLING),
    TaskMetric("spans_late", "Spans that came after their trace's decision.",
               _total("late_spans"), True, _OF_SAMPLING),
    TaskMetric("red_spans", "Spans counted in RED metrics.", _total("red_spans"), True, _OF_RED),
    TaskMetric("red_spans_skipped", "Spans not counted in RED metrics: their resource has no "
               "service.name.", _total("red_skipped_spans"), True, _OF_RED),
    TaskMetric("red_spans_overflowed", "Spans counted in an overflow series: the key of their own "
               "is too long.", _total("red_overflow_spans"), True, _OF_RED),
    TaskMetric("half_edges_unnamed", "Sides of calls left out: their resource has no "
               "service.name.", _total("half_edges_unnamed"), True, _OF_GRAPH),
    TaskMetric("half_edges_shared", "Further servers of a client that had met one already.",
               _total("half_edges_shared"), True, _OF_GRAPH),
    TaskMetric("half_edges_repeated", "Clients of calls that came twice; the second is left out.",
               _total("half_edges_repeated"), True, _OF_GRAPH),
    TaskMetric("half_edges_dropped", "Sides of calls left out because store.max_items waited.",
               _total("half_edges_dropped"), True, _OF_GRAPH),
    TaskMetric("rollups", "Partial sums taken into series.", _total("rollups"), True,
               _OF_METRICS),
    TaskMetric("rollups_late", "Those of them that came after the flush of their time; they count "
               "in the next one.", _total("late_rollups"), True, _OF_METRICS),
    TaskMetric("rollups_ignored", "Partial sums of metrics that this config has turned off.",
               _total("ignored_rollups"), True, _OF_METRICS),
    TaskMetric("metrics_too_large", "Times a series was left out of a flush: no record can hold "
               "it.", _total("metrics_too_large"), True, _OF_METRICS),
    TaskMetric("edges_too_large", "Edges of which a record was left out: none can hold it.",
               _total("edges_too_large"), True, _OF_METRICS),
    TaskMetric("checkpoints", "Checkpoints committed since the partition was assigned.",
               lambda r: r.checkpoints, True),
    TaskMetric("task_failures", "Failures since the partition was assigned; after each, the task "
               "is started again from what was committed.", lambda r: r.failures, True),
    TaskMetric("spans_pending", "Spans of undecided traces.",
               lambda r: _sampler(r).pending_spans, False, _OF_SAMPLING),
    TaskMetric("traces_open", "Traces that wait for their decision.",
               lambda r: _sampler(r).open_traces, False, _OF_SAMPLING),
    TaskMetric("half_edges_waiting", "Sides of calls that wait for the other.",
               _waiting_half_edges, False, _OF_GRAPH),
    TaskMetric("stream_time_seconds", "Stream time, in seconds since 1970.",
               lambda r: r.task.stream_time / 1000),
    TaskMetric("last_batch_records", "Records of the last batch.", lambda r: r.batch_records),
    TaskMetric("last_checkpoint_seconds", "How long the last checkpoint took.",
               lambda r: r.checkpoint_seconds),
    TaskMetric("last_restore_seconds", "How long taking the partition over took.",
               lambda r: r.restore_seconds),
    TaskMetric("unwritten_bytes", "About how much the next checkpoint writes.",
               lambda r: r.unwritten_bytes),
    TaskMetric("store_bytes", "Size of the task's files.", lambda r: r.task.store.disk_bytes),
    TaskMetric("balance_problems", "Sums that did not add up at the last checkpoint.",
               lambda r: len(r.problems)),
)  # fmt: skip

SPLIT_METRICS = (
    SplitMetric("lag_records", "Offsets from the task's position to the log's end.", (), _lag),
    SplitMetric("traces", "Traces decided.", ("decision", "policy"), _traces, True, _OF_SAMPLING),
    SplitMetric("half_edges", "Sides of calls that came.", ("side",), _parts("half_edges"), True,
                _OF_GRAPH),
    SplitMetric("edges", "Calls counted in the service graph: by two sides, by a client of a "
                "database, or with a virtual node.", ("kind",), _parts("edges"), True, _OF_GRAPH),
    SplitMetric("edges_expired", "Sides of calls that waited in vain, by the side that was "
                "missing.", ("missing",), _parts("edges_expired"), True, _OF_GRAPH),
    SplitMetric("series", "Series that this worker is the one writer of.", ("family",), _series,
                False, _OF_METRICS),
    SplitMetric("dead_letters", "Dead letters written.", ("reason",), _parts("dead_letters"),
                True),
    SplitMetric("task_cpu_seconds", "CPU time since the partition was assigned: of decoding, of "
                "each capability, of checkpoints and of idle time.", ("part",), _cpu, True),
)  # fmt: skip

WORKER_METRICS = (
    WorkerMetric("rebalances", "Times partitions were assigned, since the worker started.",
                 lambda engine, spans: engine.rebalances),
    WorkerMetric("records_expired", "Records that retention deleted unread, found since the "
                 "worker started.", lambda engine, spans: engine.records_expired),
    WorkerMetric("key_mismatches", "Records whose key is not the trace ID, since the worker "
                 "started.", lambda engine, spans: spans.codec.key_mismatches),
    WorkerMetric("traces_split", "Traces that came in two partitions of this worker, since it "
                 "started.", lambda engine, spans: spans.splits.count),
)  # fmt: skip


def declared(metric: TaskMetric | SplitMetric | WorkerMetric) -> Family:
    name = f"tailrace_{metric.name}"
    match metric:
        case TaskMetric():
            return Family(name, metric.help, _TASK, metric.is_counter)
        case SplitMetric():
            return Family(name, metric.help, (*_TASK, *metric.labels), metric.is_counter)
        case WorkerMetric():
            return Family(name, metric.help, (), True)


def families() -> list[Family]:
    """Return every metric of ours, in the order of the exposition."""
    return [declared(metric) for metric in (*TASK_METRICS, *SPLIT_METRICS, *WORKER_METRICS)]
