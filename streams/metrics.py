"""Exposes the worker's own metrics, read from the engine when they are scraped."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from tailrace.streams.declared_metrics import (
    LANE_METRICS,
    RECEIVER_METRICS,
    SPLIT_METRICS,
    TASK_METRICS,
    WORKER_METRICS,
)
from tailrace.streams.metric_kinds import Around, declared
from tailrace.streams.runner import Runner

CONTENT_TYPE = CONTENT_TYPE_LATEST


class Metrics(Collector):
    """Collects from what is *around* when asked; `exposition` is what `/metrics` answers."""

    def __init__(self, around: Around) -> None:
        self._around = around
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def exposition(self) -> bytes:
        """Return all metrics in the OpenMetrics text format."""
        text: bytes = generate_latest(self._registry)  # type: ignore[no-untyped-call]  # theirs
        return text

    def collect(self) -> Iterator[Metric]:
        yield from self._of_tasks()
        for counter in WORKER_METRICS:
            family = declared(counter).empty()
            family.add_metric((), counter.read(self._around))
            yield family
        yield from self._around.engine.distributions.collect()
        yield from self._of_receivers()

    def _of_tasks(self) -> Iterator[Metric]:
        engine = self._around.engine
        runners = [runner for runner in engine.runners.values() if runner.running]
        for metric in TASK_METRICS:
            family = declared(metric).empty()
            for runner in _those_with(metric.capabilities, runners):
                family.add_metric(_labels(runner), metric.read(runner))
            yield family
        for split in SPLIT_METRICS:
            family = declared(split).empty()
            for runner in _those_with(split.capabilities, runners):
                for labels, value in split.read(engine, runner).items():
                    family.add_metric((*_labels(runner), *labels), value)
            yield family

    def _of_receivers(self) -> Iterator[Metric]:
        """Yield what is told of those who are sent notifications, and of those who are metrics."""
        lanes = self._around.sender.statuses()
        for gauge in LANE_METRICS:
            family = declared(gauge).empty()
            for lane in lanes:
                _, tenant, name = lane.contact_point
                family.add_metric((tenant, name), gauge.read(lane))
            yield family
        for figure in RECEIVER_METRICS:
            family = declared(figure).empty()
            for receiver in self._around.receivers:
                for labels, value in figure.read(receiver).items():
                    family.add_metric((receiver.sink, receiver.name, *labels), value)
            yield family


def _labels(runner: Runner) -> tuple[str, str]:
    return runner.id.stage, str(runner.id.partition)


def _those_with(capabilities: tuple[str, ...], runners: list[Runner]) -> list[Runner]:
    if not capabilities:
        return runners
    return [each for each in runners if any(name in each.task.logics for name in capabilities)]
