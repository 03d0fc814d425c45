"""The worker's own metrics: each declared once, read from the engine when they are scraped.

Totals of records, spans, traces and dead letters are those of the partitions' committed state, so
that they survive restarts and moves: the sum over a cluster's workers is exact, and a partition's
total never goes back. The other counters say since when they count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from tailrace.agents.sampling.logic import SamplingLogic
from tailrace.streams.engine import Engine
from tailrace.streams.runner import Runner
from tailrace.streams.spans import SpanTasks

CONTENT_TYPE = CONTENT_TYPE_LATEST
_TASK = ("stage", "partition")


@dataclass(frozen=True, slots=True)
class TaskMetric:
    """A number of each running task."""

    name: str
    help: str
    read: Callable[[Runner], float]
    is_counter: bool = False


@dataclass(frozen=True, slots=True)
class SplitMetric:
    """Numbers of each running task by the values of *labels*."""

    name: str
    help: str
    labels: tuple[str, ...]
    read: Callable[[Engine, Runner], Mapping[tuple[str, ...], float]]
    is_counter: bool = False


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


def _samplings(runner: Runner) -> list[SamplingLogic]:
    return [logic for logic in runner.task.logics.values() if isinstance(logic, SamplingLogic)]


def _open_traces(runner: Runner) -> float:
    return sum(logic.open_traces for logic in _samplings(runner))


def _pending_spans(runner: Runner) -> float:
    return sum(logic.pending_spans for logic in _samplings(runner))


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


def _dead_letters(engine: Engine, runner: Runner) -> Mapping[tuple[str, ...], float]:
    return {
        (name.split(".", 1)[1],): count
        for name, count in runner.committed.counts.items()
        if name.startswith("dead_letters.")
    }


def _cpu(engine: Engine, runner: Runner) -> Mapping[tuple[str, ...], float]:
    return {(part,): seconds for part, seconds in runner.cpu_seconds.items()}


TASK_METRICS = (
    TaskMetric("records", "Records read.", lambda r: r.committed.records, True),
    TaskMetric("records_processed", "Records with a good part.",
               lambda r: r.committed.processed, True),
    TaskMetric("records_dead_lettered", "Records without a good part.",
               lambda r: r.committed.dead_lettered, True),
    TaskMetric("spans_decoded", "Spans decoded.", _total("spans_decoded"), True),
    TaskMetric("spans_kept", "Spans written as part of kept traces.", _total("spans_kept"), True),
    TaskMetric("spans_dropped", "Spans of traces that were not sampled.",
               _total("spans_dropped"), True),
    TaskMetric("spans_late", "Spans that came after their trace's decision.",
               _total("late_spans"), True),
    TaskMetric("checkpoints", "Checkpoints committed since the partition was assigned.",
               lambda r: r.checkpoints, True),
    TaskMetric("task_failures", "Failures since the partition was assigned; after each, the task "
               "is started again from what was committed.", lambda r: r.failures, True),
    TaskMetric("spans_pending", "Spans of undecided traces.", _pending_spans),
    TaskMetric("traces_open", "Traces that wait for their decision.", _open_traces),
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
    SplitMetric("traces", "Traces decided.", ("decision", "policy"), _traces, True),
    SplitMetric("dead_letters", "Dead letters written.", ("reason",), _dead_letters, True),
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


def _family(metric: TaskMetric | SplitMetric | WorkerMetric) -> Family:
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
    return [_family(metric) for metric in (*TASK_METRICS, *SPLIT_METRICS, *WORKER_METRICS)]


class Metrics(Collector):
    """Collects from *engine* when asked; `exposition` is what `/metrics` answers."""

    def __init__(self, engine: Engine, spans: SpanTasks) -> None:
        self._engine = engine
        self._spans = spans
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def exposition(self) -> bytes:
        """Return all metrics in the OpenMetrics text format."""
        text: bytes = generate_latest(self._registry)  # type: ignore[no-untyped-call]  # theirs
        return text

    def collect(self) -> Iterator[Metric]:
        engine = self._engine
        runners = [runner for runner in engine.runners.values() if runner.running]
        for metric in TASK_METRICS:
            family = _family(metric).empty()
            for runner in runners:
                family.add_metric(_labels(runner), metric.read(runner))
            yield family
        for split in SPLIT_METRICS:
            family = _family(split).empty()
            for runner in runners:
                for labels, value in split.read(engine, runner).items():
                    family.add_metric((*_labels(runner), *labels), value)
            yield family
        for counter in WORKER_METRICS:
            family = _family(counter).empty()
            family.add_metric((), counter.read(engine, self._spans))
            yield family


def _labels(runner: Runner) -> tuple[str, str]:
    return runner.id.stage, str(runner.id.partition)
