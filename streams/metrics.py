"""The worker's own metrics: each declared once, read from the engine when they are scraped.

Totals are those of the partitions' committed state, so that they survive restarts and moves: the
sum over a cluster's workers is exact, and a partition's total never goes back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
    """A number of each running task. Counters count what the task's state has committed."""

    name: str
    help: str
    read: Callable[[Runner], float]
    is_counter: bool = False


def _total(name: str) -> Callable[[Runner], float]:
    return lambda runner: runner.committed.counts.get(name, 0)


def _samplings(runner: Runner) -> list[SamplingLogic]:
    return [logic for logic in runner.task.logics.values() if isinstance(logic, SamplingLogic)]


def _open_traces(runner: Runner) -> float:
    return sum(logic.open_traces for logic in _samplings(runner))


def _pending_spans(runner: Runner) -> float:
    return sum(logic.pending_spans for logic in _samplings(runner))


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
    TaskMetric("checkpoints", "Checkpoints committed.", lambda r: r.checkpoints, True),
    TaskMetric("task_failures", "Times the task was started again from what was committed.",
               lambda r: r.failures, True),
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
)  # fmt: skip


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
        runners = [runner for runner in self._engine.runners.values() if runner.running]
        for metric in TASK_METRICS:
            kind = CounterMetricFamily if metric.is_counter else GaugeMetricFamily
            family = kind(f"tailrace_{metric.name}", metric.help, labels=_TASK)
            for runner in runners:
                family.add_metric(_labels(runner), metric.read(runner))
            yield family
        yield self._lag(runners)
        yield self._by_outcome(runners)
        yield self._dead_letters(runners)
        yield self._balance(runners)
        yield self._cpu(runners)
        engine, splits, codec = self._engine, self._spans.splits, self._spans.codec
        for name, text, value in (
            ("rebalances", "Times partitions were assigned.", engine.rebalances),
            ("records_expired", "Records that retention deleted unread.", engine.records_expired),
            (
                "key_mismatches",
                "Records whose key is not the trace ID.",
                codec.key_mismatches,
            ),
            (
                "traces_split",
                "Traces that came in two partitions of this worker.",
                splits.count,
            ),
        ):
            yield CounterMetricFamily(f"tailrace_{name}", text, value=value)

    def _lag(self, runners: list[Runner]) -> Metric:
        family = GaugeMetricFamily("tailrace_lag_records", "Records not yet read.", labels=_TASK)
        for runner in runners:
            lag = self._engine.lag(runner.id)
            if lag is not None:
                family.add_metric(_labels(runner), lag)
        return family

    def _by_outcome(self, runners: list[Runner]) -> Metric:
        family = CounterMetricFamily(
            "tailrace_traces", "Traces decided.", labels=(*_TASK, "decision", "policy")
        )
        for runner in runners:
            for name, count in runner.committed.counts.items():
                if name.startswith("traces."):
                    _, decision, policy = name.split(".", 2)
                    family.add_metric((*_labels(runner), decision, policy), count)
        return family

    def _dead_letters(self, runners: list[Runner]) -> Metric:
        family = CounterMetricFamily(
            "tailrace_dead_letters", "Dead letters written.", labels=(*_TASK, "reason")
        )
        for runner in runners:
            for name, count in runner.committed.counts.items():
                if name.startswith("dead_letters."):
                    family.add_metric((*_labels(runner), name.split(".", 1)[1]), count)
        return family

    def _cpu(self, runners: list[Runner]) -> Metric:
        family = CounterMetricFamily(
            "tailrace_task_cpu_seconds",
            "CPU time of decoding, of each capability, of checkpoints and of idle time.",
            labels=(*_TASK, "part"),
        )
        for runner in runners:
            for part, seconds in runner.cpu_seconds.items():
                family.add_metric((*_labels(runner), part), seconds)
        return family

    def _balance(self, runners: list[Runner]) -> Metric:
        family = GaugeMetricFamily(
            "tailrace_balance_problems", "Sums that did not add up at the last checkpoint.",
            labels=_TASK,
        )  # fmt: skip
        for runner in runners:
            family.add_metric(_labels(runner), len(runner.problems))
        return family


def _labels(runner: Runner) -> tuple[str, str]:
    return runner.id.stage, str(runner.id.partition)
