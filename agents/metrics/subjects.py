"""Subjects: what limits know of a series by its key."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from tailrace.schemas.series import (
    NAMESPACE,
    OVERFLOW,
    SERVER,
    SERVICE,
    TENANT,
    VIRTUAL_NODE,
    Attributes,
    EdgeSeries,
    RedSeries,
    decoded_attributes,
    encoded_attributes,
    encoded_resource,
)
from tailrace.schemas.strings import text_of


class Service(NamedTuple):
    """Whose series are limited together."""

    tenant: str
    namespace: str
    name: str


class Subject(Protocol):
    """What a key is about."""

    @property
    def service(self) -> Service:
        """Whose series it is."""
        ...

    @property
    def resource(self) -> bytes:
        """What the series of one resource have in common."""
        ...

    @property
    def labels(self) -> Attributes:
        """The labels whose values may be limited."""
        ...

    @property
    def stands_for_others(self) -> bool:
        """True if limits made it: there is one of it, however many it stands for."""
        ...

    def with_labels(self, labels: Attributes) -> bytes:
        """Return the key that says *labels* instead of its own, which have the same names."""
        ...

    def overflow_key(self, *, of_resource: bool) -> bytes:
        """Return the key that stands for others of its resource, or of its service."""
        ...


SubjectOf = Callable[[bytes], Subject]


@dataclass(frozen=True, slots=True)
class RedSubject:
    """What a RED series is about."""

    service: Service
    resource: bytes
    labels: Attributes

    @classmethod
    def of_key(cls, key: bytes) -> RedSubject:
        """Return what *key* is about."""
        series = RedSeries.of_key(key)
        labels = decoded_attributes(series.dimensions)
        about = dict(reversed(decoded_attributes(series.resource)))
        tenant = next((text_of(value) for name, value in labels if name == TENANT), "")
        namespace, name = (text_of(about.get(each, "")) for each in (NAMESPACE, SERVICE))
        return cls(Service(tenant, namespace, name), series.resource, labels)

    @property
    def stands_for_others(self) -> bool:
        """Users may call a label of theirs the same, so it is this label alone."""
        return [pair for pair in self.labels if pair[0] != TENANT] == [(OVERFLOW, True)]

    def with_labels(self, labels: Attributes) -> bytes:
        return RedSeries(self.resource, encoded_attributes(labels)).key()

    def overflow_key(self, *, of_resource: bool) -> bytes:
        resource = self.resource
        if not of_resource:
            about = {SERVICE: self.service.name}
            if self.service.namespace:
                about[NAMESPACE] = self.service.namespace
            resource = encoded_resource(about)
        return RedSeries(resource, encoded_attributes(self.labels)).overflow_key


@dataclass(frozen=True, slots=True)
class EdgeSubject:
    """What an edge is about: its client's. Types of connections are few, so nothing limits them."""

    edge: EdgeSeries

    @classmethod
    def of_key(cls, key: bytes) -> EdgeSubject:
        """Return what *key* is about."""
        return cls(EdgeSeries.of_key(key))

    @property
    def service(self) -> Service:
        return Service(self.edge.tenant, "", self.edge.client)

    @property
    def resource(self) -> bytes:
        """Edges have none."""
        return b""

    @property
    def labels(self) -> Attributes:
        dimensions = (pair for pair in self.edge.dimensions if pair[0] != VIRTUAL_NODE)
        return [(SERVER, self.edge.server), *dimensions]

    @property
    def stands_for_others(self) -> bool:
        return self.edge.is_overflow

    def with_labels(self, labels: Attributes) -> bytes:
        said = {name: text_of(value) for name, value in labels}
        dimensions = ((name, said.get(name, text)) for name, text in self.edge.dimensions)
        return self.edge._replace(server=said[SERVER], dimensions=tuple(dimensions)).key()

    def overflow_key(self, *, of_resource: bool) -> bytes:
        return self.edge.overflow_key
