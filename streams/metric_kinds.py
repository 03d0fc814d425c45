"""What kinds of metrics there are, and how their numbers are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from tailrace.agents.notifier.sender import LaneStatus, Sender
from tailrace.streams.definitions import Follower
from tailrace.streams.distributions import Distribution
from tailrace.streams.engine import Engine
from tailrace.streams.exports.figures import Figures
from tailrace.streams.policies_file import PoliciesFile
from tailrace.streams.runner import Runner
from tailrace.streams.spans import SpanTasks

_TASK = ("stage", "partition")

Split: TypeAlias = Mapping[tuple[str, ...], float]
"""Numbers by the values of labels."""
ReadSplit: TypeAlias = Callable[[Engine, Runner], Split]


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
    read: ReadSplit
    is_counter: bool = False
    capabilities: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Around:
    """What a worker has besides its tasks."""

    engine: Engine
    spans: SpanTasks
    definitions: Follower
    sender: Sender
    policies: PoliciesFile | None = None
    receivers: Sequence[Figures] = ()


@dataclass(frozen=True, slots=True)
class WorkerMetric:
    """A number of the process."""

    name: str
    help: str
    read: Callable[[Around], float]
    is_counter: bool = True


@dataclass(frozen=True, slots=True)
class LaneMetric:
    """A number of each contact point that this worker has told of something."""

    name: str
    help: str
    read: Callable[[LaneStatus], float]


@dataclass(frozen=True, slots=True)
class ReceiverMetric:
    """Numbers of each receiver of metrics, by the values of *labels*."""

    name: str
    help: str
    read: Callable[[Figures], Split]
    is_counter: bool = True
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Family:
    """A metric as it is exposed."""

    name: str
    help: str
    labels: tuple[str, ...]
    kind: str

    @property
    def is_counter(self) -> bool:
        """True if it only rises."""
        return self.kind == "counter"

    @property
    def sample_name(self) -> str:
        """The name of its samples, or what they begin with, by which it is asked for."""
        return f"{self.name}_total" if self.is_counter else self.name

    def empty(self) -> CounterMetricFamily | GaugeMetricFamily:
        """Return it without samples."""
        kind = CounterMetricFamily if self.is_counter else GaugeMetricFamily
        return kind(self.name, self.help, labels=self.labels)


def total(name: str) -> Callable[[Runner], float]:
    """Read the total *name* as of the last checkpoint."""
    return lambda runner: runner.committed.counts.get(name, 0)


def parts(prefix: str) -> ReadSplit:
    """Read the totals `prefix.a`, `prefix.b`, … by what comes after the dot."""

    def read(engine: Engine, runner: Runner) -> Split:
        return {
            (name.partition(".")[2],): count
            for name, count in runner.committed.counts.items()
            if name.startswith(f"{prefix}.")
        }

    return read


Declared: TypeAlias = TaskMetric | SplitMetric | WorkerMetric | LaneMetric | ReceiverMetric


def declared(metric: Declared) -> Family:
    """Return the family of *metric*."""
    name = f"tailrace_{metric.name}"
    match metric:
        case TaskMetric():
            return Family(name, metric.help, _TASK, _kind(metric))
        case SplitMetric():
            return Family(name, metric.help, (*_TASK, *metric.labels), _kind(metric))
        case WorkerMetric():
            return Family(name, metric.help, (), _kind(metric))
        case LaneMetric():
            return Family(name, metric.help, ("tenant", "contact_point"), "gauge")
        case ReceiverMetric():
            return Family(name, metric.help, ("sink", "receiver", *metric.labels), _kind(metric))


def distributed(metric: Distribution) -> Family:
    """Return the family of *metric*."""
    return Family(f"tailrace_{metric.name}", metric.help, metric.labels, metric.kind)


def _kind(metric: TaskMetric | SplitMetric | WorkerMetric | ReceiverMetric) -> str:
    return "counter" if metric.is_counter else "gauge"
