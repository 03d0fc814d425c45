"""OTLP messages as a flush has them, and what of them a receiver was sent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from tailrace.agents.remote_write.translation import Translation
from tailrace.schemas.config.remote_write import WRITE_1, WRITE_2, RemoteWriteConfig
from tailrace.schemas.exports import Translated
from tailrace_loadtest.written_samples import Delivery, Written, read_delivery
from tests.otlp_metrics import write_attributes

MS = 1_000_000
START, AT = 1_800_000_000_000, 1_800_000_060_000
FORMATS = (WRITE_1, WRITE_2)
BOUNDS = (1.0, 2.5, 1_000_000.0)
SERVICE = {"service.name": "cart"}


@dataclass(frozen=True)
class Flushed:
    """A record of the topic of metrics."""

    value: bytes
    offset: int = 0
    timestamp: int = AT
    key: bytes | None = None
    headers: Sequence[tuple[str, bytes]] = ()


class Message:
    """A message that is built point by point."""

    def __init__(self) -> None:
        self.request = ExportMetricsServiceRequest()

    def _metric(self, name: str, resource: Mapping[str, Any], unit: str = "") -> Any:
        block = self.request.resource_metrics.add()
        write_attributes(block.resource.attributes, resource)
        scope = block.scope_metrics.add()
        scope.scope.name = "meter"
        return scope.metrics.add(name=name, unit=unit, description=f"About {name}.")

    def counter(
        self,
        value: float,
        at: int = AT,
        start: int = START,
        resource: Mapping[str, Any] = SERVICE,
        *,
        name: str = "calls",
        flags: int = 0,
        temporality: int = 2,
        is_monotonic: bool = True,
        **attributes: Any,
    ) -> Any:
        data = self._metric(name, resource).sum
        data.aggregation_temporality, data.is_monotonic = temporality, is_monotonic
        point = data.data_points.add(
            time_unix_nano=at * MS, start_time_unix_nano=start * MS, flags=flags
        )
        if isinstance(value, int):
            point.as_int = value
        else:
            point.as_double = value
        write_attributes(point.attributes, attributes)
        return point

    def gauge(self, value: float, at: int = AT, resource: Mapping[str, Any] = SERVICE) -> Any:
        data = self._metric("load", resource).gauge
        return data.data_points.add(time_unix_nano=at * MS, as_double=value)

    def histogram(
        self,
        counts: Iterable[int],
        total: float | None,
        at: int = AT,
        start: int = START,
        resource: Mapping[str, Any] = SERVICE,
        *,
        bounds: Iterable[float] = BOUNDS,
        flags: int = 0,
        **attributes: Any,
    ) -> Any:
        data = self._metric("duration", resource, "ms").histogram
        data.aggregation_temporality = 2
        counts = list(counts)
        point = data.data_points.add(
            time_unix_nano=at * MS, start_time_unix_nano=start * MS, flags=flags,
            bucket_counts=counts, explicit_bounds=list(bounds), count=sum(counts),
        )  # fmt: skip
        if total is not None:
            point.sum = total
        write_attributes(point.attributes, attributes)
        return point

    def exponential(
        self,
        scale: int,
        offset: int,
        counts: Iterable[int],
        zero: int = 0,
        at: int = AT,
        resource: Mapping[str, Any] = SERVICE,
        *,
        start: int = START,
        flags: int = 0,
    ) -> Any:
        data = self._metric("duration", resource, "s").exponential_histogram
        data.aggregation_temporality = 2
        counts = list(counts)
        point = data.data_points.add(
            time_unix_nano=at * MS, start_time_unix_nano=start * MS, scale=scale, flags=flags,
            count=sum(counts) + zero, sum=7.5, zero_count=zero,
        )  # fmt: skip
        point.positive.offset = offset
        point.positive.bucket_counts.extend(counts)
        return point

    def record(self, offset: int = 0) -> Flushed:
        value: bytes = self.request.SerializeToString()
        return Flushed(value, offset)


@dataclass(frozen=True)
class Sent:
    """What a receiver gets of some records, round by round."""

    translated: Translated
    rounds: list[list[Delivery]]
    bodies: list[bytes] = field(default_factory=list)

    @property
    def samples(self) -> list[Written]:
        return [each for round_ in self.rounds for got in round_ for each in got.samples]

    @property
    def histograms(self) -> list[Written]:
        return [each for round_ in self.rounds for got in round_ for each in got.histograms]

    @property
    def exemplars(self) -> list[Written]:
        return [each for round_ in self.rounds for got in round_ for each in got.exemplars]

    def values(self, name: str, label: str = "le") -> dict[str, list[tuple[int, float]]]:
        """Times and values of the series *name*, by the value of *label*."""
        found: dict[str, list[tuple[int, float]]] = {}
        for each in self.samples:
            if each.name == name:
                found.setdefault(dict(each.labels).get(label, ""), []).append((each.at, each.value))
        return found


def config(message: str = WRITE_1, **keys: Any) -> RemoteWriteConfig:
    return RemoteWriteConfig.model_validate(
        {"url": "http://receiver/write", "protobuf_message": message, **keys}
    )


def sent(
    *messages: Message, to: RemoteWriteConfig | None = None, by: Translation | None = None
) -> Sent:
    """What is sent of *messages*, each a record of one unit."""
    translation = by or Translation(to or config())
    records = [message.record(offset) for offset, message in enumerate(messages)]
    translated = translation.translate(records)
    rounds, bodies = [], []
    for make in translated.rounds:
        requests = list(make())
        bodies += [request.body for request in requests]
        rounds.append(
            [
                read_delivery({k.lower(): v for k, v in each.headers.items()}, each.body)
                for each in requests
            ]
        )
    return Sent(translated, rounds, bodies)
