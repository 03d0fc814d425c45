"""The series of one partition as a receiver knows them, each made once from an OTLP stream.

A stream is what OTLP tells apart: resource, scope, metric and attributes. A series is what
Prometheus tells apart: labels. A stream may be several series, as a histogram is, and several
streams may be one series, as of resources with equal job and instance.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from tailrace.agents.remote_write.relabelling import Relabelling
from tailrace.schemas.otlp.attributes import plain_value
from tailrace.schemas.otlp.wire import framed
from tailrace.schemas.prometheus import naming
from tailrace.schemas.prometheus.remote_write import Format1, Format2, Metadata, Pairs, Series
from tailrace.schemas.series import TENANT
from tailrace.schemas.strings import AttributeValue

LEFT_OUT: Final = -1
"""In place of the number of a series that rules leave out."""
_NEVER: Final = 1 << 63
_TYPES: Final[Mapping[naming.Kind, Any]] = {"up_down_counter": "gauge"}


@dataclass(slots=True)
class Target:
    """What all streams of a resource have in common. `info`: labels of its `target_info`.

    `began`: when the first of them did, in ms.
    """

    labels: Mapping[str, str]
    info: Mapping[str, str] | None
    began: int = _NEVER


@dataclass(slots=True)
class Info:
    """The one `target_info` of a job and an instance, of which there may be several *targets*.

    `told`: the one that it tells of, by `stream`.
    """

    number: int
    tenant: str
    targets: dict[int, Target] = field(default_factory=dict)
    told: Target | None = None
    stream: Stream | None = None


class Stream(NamedTuple):
    """A stream: its number, those of its series, and the `target_info` that tells of it."""

    number: int
    series: array[int]
    info: Info | None = None


@dataclass(slots=True)
class Metric:
    """A metric of a target and a scope, with its streams by what tells them apart."""

    kind: naming.Kind
    name: str
    metadata: Metadata
    scope: str
    scope_version: str
    target: Target
    streams: dict[bytes, Stream] = field(default_factory=dict)
    bounds: dict[bytes, Sequence[float]] = field(default_factory=dict)
    """The last bounds of each histogram, by its attributes."""


class Book:
    """Streams and series by what tells them apart, under one config.

    `series`: by number; None until it has been met. `shared`: the numbers of those that are made
    of several streams. `gauges`: of those that are not to be added up.
    """

    def __init__(
        self,
        form: Format1 | Format2,
        relabel: Relabelling,
        external: Mapping[str, str],
        *,
        utf8: bool,
    ) -> None:
        self._form = form
        self._relabel = relabel
        self._external = {key: value for key, value in external.items() if value}
        self._utf8 = utf8
        self._targets: dict[bytes, Target] = {}
        self._metrics: dict[tuple[Any, ...], Metric] = {}
        self._numbers: dict[Pairs, int] = {}
        self._owners: list[int] = []
        self.streams = 0
        """How many there are, with those whose series are all left out."""
        self._infos: dict[tuple[str, str, str], Info] = {}
        self.series: list[Series] = []
        self.shared: set[int] = set()
        self.gauges: set[int] = set()
        self.newest_exemplars: dict[int, int] = {}
        """The time (ms) of the last exemplar of each series; a receiver takes no older one."""

    def target(self, encoded: bytes) -> Target:
        """Return what the resource *encoded* stands for; ValueError if it is none."""
        known = self._targets.get(encoded)
        if known is None:
            resource = _attributes(_parsed(Resource, encoded))
            info = naming.target_info(resource, utf8=self._utf8)
            told = None if info is None else dict(info)
            known = self._targets[encoded] = Target(naming.target(resource), told)
        return known

    def _info(self, target: Target, tenant: str) -> Info | None:
        """Return the `target_info` that tells of *target*.

        Where streams are told apart by *tenant*, so is this: no tenant is told of another's.
        """
        if target.info is None:
            return None
        key = target.info["job"], target.info["instance"], tenant
        info = self._infos.setdefault(key, Info(len(self._infos), tenant))
        info.targets[id(target)] = target
        return info

    def told(self, info: Info) -> tuple[Stream, Stream | None]:
        """Return the stream of *info* that is sent from now on, and the one that ends with that.

        Of several resources the one that began last tells of all: an instance that was started
        anew is what it is now, of another version perhaps.
        """
        target = max(info.targets.values(), key=_latest)
        if info.stream is not None and info.told is target:
            return info.stream, None
        before = info.stream
        told = {**(target.info or {}), **({TENANT: info.tenant} if info.tenant else {})}
        metadata = Metadata(naming.TARGET_INFO, "gauge", naming.TARGET_INFO_HELP)
        info.stream = self._stream([(naming.TARGET_INFO, told)], metadata, True)
        info.told = target
        is_other = before is not None and before.series != info.stream.series
        return info.stream, before if is_other else None

    def metric(self, target: bytes, scope: bytes, kind: naming.Kind, metric: Any) -> Metric:
        """Return what *metric* of a resource and a scope is; ValueError if it can have no name.

        UnicodeError, which is one, if what it says of itself is no UTF-8.
        """
        if not all(
            isinstance(each, str) for each in (metric.name, metric.unit, metric.description)
        ):
            raise UnicodeError("its name, unit or description is no UTF-8")  # read as bytes, then
        key = target, scope, kind, metric.name, metric.unit
        known = self._metrics.get(key)
        if known is None:
            said = _parsed(InstrumentationScope, scope)
            name = naming.metric_name(metric.name, metric.unit, kind, utf8=self._utf8)
            type_ = _TYPES.get(kind, kind)
            metadata = Metadata(name, type_, metric.description, naming.unit_name(metric.unit))
            known = self._metrics[key] = Metric(
                kind, name, metadata, said.name, said.version, self.target(target)
            )
        return known

    def labels(self, metric: Metric, encoded: Iterable[bytes]) -> dict[str, str]:
        """Return the labels that all series of a stream have; ValueError if malformed."""
        attributes = _attributes(_parsed(Resource, framed(encoded)))
        found = dict(
            naming.labels(attributes.items(), metric.scope, metric.target.labels, utf8=self._utf8)
        )
        if metric.scope_version:
            found["otel_scope_version"] = metric.scope_version
        return found

    def made(
        self,
        metric: Metric,
        key: bytes,
        encoded: Iterable[bytes],
        names: Iterable[Named],
        began: int,
    ) -> Stream:
        """Return the new stream of *metric* under *key*, whose series are *names*."""
        metric.target.began = min(metric.target.began, began)
        common = self.labels(metric, encoded)
        series = [(f"{metric.name}{suffix}", {**common, **more}) for suffix, more in names]
        is_gauge = metric.kind in ("gauge", "summary")
        info = self._info(metric.target, common.get(TENANT, ""))
        stream = self._stream(series, metric.metadata, is_gauge)
        made = metric.streams[key] = stream._replace(info=info)
        return made

    def _stream(
        self, series: Iterable[tuple[str, dict[str, str]]], metadata: Metadata, is_gauge: bool
    ) -> Stream:
        number, self.streams = self.streams, self.streams + 1
        found = array("q")
        for name, labels in series:
            pairs = self._final(name, labels)
            found.append(LEFT_OUT if pairs is None else self._number(pairs, metadata, number))
            if is_gauge and pairs is not None:
                self.gauges.add(found[-1])
        return Stream(number, found)

    def _final(self, name: str, labels: Mapping[str, str]) -> Pairs | None:
        """Return the labels as the receiver sees them, or None; an empty one is none."""
        own = {key: value for key, value in labels.items() if value}
        whole = {**self._external, **own, "__name__": name}
        if self._relabel:
            changed = self._relabel(whole)
            if not changed:
                return None
            whole = changed
        return tuple(sorted(whole.items()))

    def _number(self, pairs: Pairs, metadata: Metadata, stream: int) -> int:
        number = self._numbers.setdefault(pairs, len(self.series))
        if number == len(self.series):
            self.series.append(self._form.series(pairs, metadata))
            self._owners.append(stream)
        elif self._owners[number] != stream:
            self.shared.add(number)
        return number


Named = tuple[str, Mapping[str, str]]
"""What the name of a series ends with, and the labels that it has beside those of its stream."""


def _latest(target: Target) -> tuple[int, list[tuple[str, str]]]:
    return target.began, sorted((target.info or {}).items())


def _parsed(message: Callable[[], Any], encoded: bytes) -> Any:
    try:
        return message.FromString(encoded)  # type: ignore[attr-defined]  # of protobuf's classes
    except DecodeError as error:
        raise ValueError(f"is malformed: {error}") from error


def _attributes(resource: Resource) -> dict[str, AttributeValue]:
    found: dict[str, AttributeValue] = {}
    for each in resource.attributes:
        if each.key not in found:
            found[each.key] = plain_value(each.value)
    return found
