"""Admission: under which key a series that nobody has met is counted.

Limits count the living series of one service of one tenant, and the values of their labels; edges
are those of their client. Laws:

- There are never more series than limits allow, but for one a resource that stands for the rest;
  nor more values of a label, but for one that stands for the rest.
- What is admitted depends on which series live, and on nothing else.
- Nothing is lost: what is refused is counted under another key of the same service.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from tailrace.agents.metrics.learned import Paths
from tailrace.agents.metrics.subjects import RedSubject, Service, Subject, SubjectOf
from tailrace.schemas.config.metric_labels import UNLIMITED
from tailrace.schemas.series import OTHER
from tailrace.schemas.strings import AttributeValue, text_of

_TOP: Final = 10
_WATCHED: Final = 4 * _TOP
_LONGEST_TOLD: Final = 200
"""Characters of a refused value that are told."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much there may be. None: as much as comes.

    `resource_series`: series of one resource. `service_series`: of one service. `values`: of each
    label of one service, or of those in `labels` as said there. `learned`: labels that are paths.
    """

    resource_series: int | None = None
    service_series: int | None = None
    values: int | None = None
    labels: Mapping[str, int] = field(default_factory=dict)
    learned: tuple[str, ...] = ()

    @property
    def is_idle(self) -> bool:
        """True if everything is admitted as it is."""
        return self == NO_LIMITS

    def of_label(self, name: str) -> int | None:
        """Return how many values the label *name* may have."""
        return None if name in UNLIMITED else self.labels.get(name, self.values)


NO_LIMITS: Final = Limits()


class Blame(NamedTuple):
    """A label that had more values than it may: whose, and those refused most often of late."""

    service: Service
    label: str
    limit: int
    refusals: int
    top: tuple[tuple[str, int], ...]


class _Refused:
    """Values of one label that were refused: how often, and the most frequent, about."""

    __slots__ = ("count", "values")

    def __init__(self) -> None:
        self.count = 0
        self.values: Counter[str] = Counter()

    def add(self, value: str) -> None:
        """Count *value*; of many, the rarest gives its place and its count to a new one."""
        self.count += 1
        if value not in self.values and len(self.values) >= _WATCHED:
            rarest, least = min(self.values.items(), key=lambda item: item[1])
            del self.values[rarest]
            self.values[value] = least
        self.values[value] += 1


class _Alive:
    """What lives of one service: series, values by label, paths by label."""

    __slots__ = ("paths", "series", "values")

    def __init__(self) -> None:
        self.series = 0
        self.values: dict[str, Counter[str]] = {}
        self.paths: dict[str, Paths] = {}


class SeriesAdmission:
    """The Admission of one table of series; *subject_of* says what their keys are about."""

    def __init__(self, limits: Limits, subject_of: SubjectOf = RedSubject.of_key) -> None:
        self._limits = limits
        self._subject_of = subject_of
        self._services: dict[Service, _Alive] = {}
        self._resources: Counter[bytes] = Counter()
        self._keys: set[int] = set()
        """Hashes of living keys, to know those that other keys became."""
        self._blamed: dict[tuple[Service, str], _Refused] = {}

    def admit(self, key: bytes) -> bytes:
        """Return the key under which *key*, which no series has, is counted; perhaps itself."""
        subject = self._subject_of(key)
        if subject.stands_for_others:
            return key
        service, labels = subject.service, subject.labels
        alive = self._services.get(service) or _Alive()
        fitted = [(name, self._fitted(service, alive, name, value)) for name, value in labels]
        if fitted != labels:
            key = subject.with_labels(fitted)
            if hash(key) in self._keys:
                return key
        return self._within(subject, alive) or key

    def _fitted(
        self, service: Service, alive: _Alive, name: str, value: AttributeValue
    ) -> AttributeValue:
        """Return what the label *name* is to say for *value*."""
        shown = value
        if name in self._limits.learned:
            paths = alive.paths.get(name)
            shown = text_of(value) if paths is None else paths.template(text_of(value))
        most = self._limits.of_label(name)
        if most is None:
            return shown
        values = alive.values.get(name, Counter())
        text = text_of(shown)
        if text in values or len(values) - (OTHER in values) < most:
            return shown
        self._blamed.setdefault((service, name), _Refused()).add(text[:_LONGEST_TOLD])
        return OTHER

    def _within(self, subject: Subject, alive: _Alive) -> bytes | None:
        """Return the key of the series that stands for others, if there are too many."""
        limits = self._limits
        of_resource = limits.resource_series
        if of_resource is not None and self._resources[subject.resource] >= of_resource:
            return subject.overflow_key(of_resource=True)
        if limits.service_series is not None and alive.series >= limits.service_series:
            return subject.overflow_key(of_resource=False)
        return None

    def met(self, key: bytes) -> None:
        """From now on there is a series with *key*."""
        self._count(key, 1)

    def gone(self, key: bytes) -> None:
        """There is no series with *key* any more."""
        self._count(key, -1)

    def _count(self, key: bytes, change: int) -> None:
        subject = self._subject_of(key)
        if subject.stands_for_others:
            return
        service, resource = subject.service, subject.resource
        alive = self._services.setdefault(service, _Alive())
        alive.series += change
        self._resources[resource] += change
        if not self._resources[resource]:
            del self._resources[resource]
        if change > 0:
            self._keys.add(hash(key))
        else:
            self._keys.discard(hash(key))
        for name, value in subject.labels:
            self._count_label(alive, name, text_of(value), change)
        if not alive.series:
            del self._services[service]
            for blamed in [each for each in self._blamed if each[0] == service]:
                del self._blamed[blamed]

    def _count_label(self, alive: _Alive, name: str, text: str, change: int) -> None:
        if name in self._limits.learned:
            paths = alive.paths.setdefault(name, Paths())
            (paths.met if change > 0 else paths.gone)(text)
        if self._limits.of_label(name) is not None:
            values = alive.values.setdefault(name, Counter())
            values[text] += change
            if not values[text]:
                del values[text]

    @property
    def blamed(self) -> list[Blame]:
        """The labels that had more values than they may, since the partition was assigned."""
        return [
            Blame(
                service,
                label,
                self._limits.of_label(label) or 0,
                refused.count,
                tuple(refused.values.most_common(_TOP)),
            )
            for (service, label), refused in self._blamed.items()
        ]
