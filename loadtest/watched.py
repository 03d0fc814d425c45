"""Definitions of a shop's teams, by the thousand, and the spans of the load that each speaks of.

A filter is data that is told twice: as a worker's config has it, and as flags of the model's
columns, so that what a worker counts can be compared with what is so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tailrace_loadtest.encoding import attribute
from tailrace_loadtest.fleet import PODS, SERVICES, Kind, Operation
from tailrace_loadtest.generator import slices
from tailrace_loadtest.load import Load
from tailrace_loadtest.shapes import OPERATIONS
from tailrace_loadtest.templates import pod_name
from tailrace_loadtest.traffic import Flags, Ints

TIERS = ("free", "gold", "team")
_TIER = "enduser.tier"
_SPAN_ATTRIBUTE = 9
_SYSTEMS = ("postgresql", "redis", "elasticsearch")
_NANOS = 1_000_000


@dataclass(frozen=True, slots=True)
class Population:
    """All spans of a load, a row each."""

    operation: Ints
    pod: Ints
    duration: Ints
    is_error: Flags
    tier: Ints
    """A place in TIERS, or -1."""
    rows: tuple[Ints, ...]
    """Of each operation."""

    @classmethod
    def of(cls, load: Load) -> Population:
        """Make *load* once more, and look at its spans."""
        parts = [
            (
                spans.operation,
                part.traffic.fragments.pod[spans.fragment],
                spans.end - spans.start,
                spans.is_error,
                _tiers(part.spans),
            )
            for part in slices(load)
            for spans in [part.traffic.spans]
        ]
        operation, pod, duration, is_error, tier = map(np.concatenate, zip(*parts, strict=True))
        rows = tuple(np.flatnonzero(operation == each) for each in range(len(OPERATIONS)))
        return cls(operation, pod, duration, is_error, tier, rows)


def _tiers(spans: list[bytes]) -> Ints:
    """Looked for in the bytes: what is drawn when spans are encoded stands nowhere else."""
    found = np.full(len(spans), -1)
    for number, tier in enumerate(TIERS):
        said = attribute(_SPAN_ATTRIBUTE, _TIER, tier).data
        found[np.fromiter((said in span for span in spans), np.bool_, len(spans))] = number
    return found


@dataclass(frozen=True, slots=True)
class Filter:
    """Spans of which all of this holds."""

    service: str | None = None
    name: str | None = None
    kind: Kind | None = None
    system: str | None = None
    """Of the database."""
    route: str | None = None
    pod: tuple[str, int] | None = None
    tier: str | None = None
    is_error: bool = False
    slower_ms: int | None = None

    @property
    def spec(self) -> dict[str, Any]:
        """As a definition says it."""
        given = {
            "service": self.service,
            "name": self.name,
            "kind": self.kind and self.kind.name.lower(),
            "db": self.system and {"system": self.system},
            "attributes": {
                key: value
                for key, value in (("http.route", self.route), (_TIER, self.tier))
                if value is not None
            },
            "resource": self.pod and {"k8s.pod.name": pod_name(*self.pod)},
            "status": "error" if self.is_error else None,
            "duration": None if self.slower_ms is None else f"> {self.slower_ms}ms",
        }
        return {key: value for key, value in given.items() if value}

    def rows(self, population: Population) -> Ints:
        """The rows of the spans that are of it."""
        operations = [at for at, each in enumerate(OPERATIONS) if self._takes(each)]
        rows = np.concatenate([population.rows[at] for at in operations] or [np.zeros(0, np.int64)])
        if self.pod is not None:
            rows = rows[population.pod[rows] == self.pod[1]]
        if self.tier is not None:
            rows = rows[population.tier[rows] == TIERS.index(self.tier)]
        if self.is_error:
            rows = rows[population.is_error[rows]]
        if self.slower_ms is not None:
            rows = rows[population.duration[rows] > self.slower_ms * _NANOS]
        return rows

    def _takes(self, operation: Operation) -> bool:
        said = dict(operation.attributes)
        wanted = (
            (self.service, operation.service),
            (self.name, operation.name),
            (self.kind, operation.kind),
            (self.system, said.get("db.system")),
            (self.route, said.get("http.route")),
            (self.pod and self.pod[0], operation.service),
        )
        return all(want is None or want == has for want, has in wanted)


@dataclass(frozen=True, slots=True)
class Watched:
    """A definition of *kind*. Events are spans of `of` (None: the matches), by `group_by`."""

    kind: str
    name: str
    matched: Filter
    of: Filter | None = None
    group_by: tuple[str, ...] = ()

    @property
    def spec(self) -> dict[str, Any]:
        """The spec, as the worker's config and a document have it."""
        shared: dict[str, Any] = {"group_by": list(self.group_by), "evidence": 0}
        if self.kind == "Alert":
            if self.of is None:
                return {**shared, "where": self.matched.spec, "when": "> 20/s", **_RATE}
            share = {"of": self.of.spec, "where": self.matched.spec, "aggregate": "share"}
            return {**shared, **share, "when": {"critical": "> 90%", "warning": "> 50%"}}
        assert self.of is not None
        sli: dict[str, Any] = {"availability": {"of": self.of.spec}}
        if not self.matched.is_error:
            sli = {"latency": {"of": self.of.spec, "threshold": f"{self.matched.slower_ms}ms"}}
        return {**shared, "sli": sli, "objective": 99.5}


_RATE = {"aggregate": "rate", "within": "5m"}


def watched(count: int, seed: int = 1) -> list[Watched]:
    """As many definitions, no two of which speak of the same as a rule."""
    rng = np.random.default_rng(seed)
    kinds = [kind for kind, (often, _) in _KINDS.items() for _ in range(often)]
    return [
        _KINDS[kind][1](f"{kind}-{number}", rng)
        for number in range(count)
        for kind in [kinds[number % len(kinds)]]
    ]


def sections(definitions: list[Watched]) -> dict[str, Any]:
    """The sections of a config that have them."""
    found: dict[str, list[Any]] = {"Alert": [], "SLO": []}
    for each in definitions:
        found[each.kind].append({"name": each.name, "labels": {"owner": "shop"}, **each.spec})
    return {"alerts": found["Alert"], "slos": found["SLO"]}


def _errors(name: str, rng: np.random.Generator) -> Watched:
    where = Filter(service=_service(rng), is_error=True, slower_ms=_bound_ms(rng))
    return Watched("Alert", name, where, None, ("name",))


def _slow(name: str, rng: np.random.Generator) -> Watched:
    operation = _operation(rng, lambda each: True)
    where = Filter(operation.service, operation.name, slower_ms=_bound_ms(rng))
    return Watched("Alert", name, where)


def _available(name: str, rng: np.random.Generator) -> Watched:
    operation = _operation(rng, lambda each: each.kind is Kind.SERVER)
    of = Filter(operation.service, kind=Kind.SERVER, slower_ms=1 + _bound_ms(rng) // 80)
    return Watched("SLO", name, replace(of, is_error=True), of, ("resource.k8s.pod.name",))


def _fast(name: str, rng: np.random.Generator) -> Watched:
    operation = _operation(rng, lambda each: True)
    of = Filter(operation.service, operation.name)
    return Watched("SLO", name, replace(of, slower_ms=_bound_ms(rng)), of)


def _route(name: str, rng: np.random.Generator) -> Watched:
    operation = _operation(rng, lambda each: each.kind is Kind.SERVER)
    route = str(dict(operation.attributes)["http.route"])
    of = Filter(operation.service, route=route)
    return Watched("Alert", name, replace(of, slower_ms=_bound_ms(rng)), of)


def _pod(name: str, rng: np.random.Generator) -> Watched:
    where = Filter(pod=(_service(rng), int(rng.integers(PODS))), slower_ms=_bound_ms(rng))
    return Watched("Alert", name, where, None, ("name",))


def _tier(name: str, rng: np.random.Generator) -> Watched:
    operation = _operation(rng, lambda each: each.kind is Kind.SERVER)
    tier = str(rng.choice(TIERS))
    where = Filter(operation.service, tier=tier, slower_ms=_bound_ms(rng))
    return Watched("Alert", name, where, None, ("attributes.http.route",))


def _database(name: str, rng: np.random.Generator) -> Watched:
    where = Filter(system=str(rng.choice(_SYSTEMS)), slower_ms=_bound_ms(rng))
    return Watched("Alert", name, where, None, ("service",))


_KINDS: dict[str, tuple[int, Callable[[str, np.random.Generator], Watched]]] = {
    "errors": (6, _errors),
    "slow": (6, _slow),
    "pod": (2, _pod),
    "tier": (2, _tier),
    "database": (1, _database),
    "available": (1, _available),
    "fast": (1, _fast),
    "route": (1, _route),
}
"""How many of twenty are of a kind."""


def _service(rng: np.random.Generator) -> str:
    return str(rng.choice(SERVICES))


def _operation(rng: np.random.Generator, is_asked: Callable[[Operation], bool]) -> Operation:
    asked = [each for each in OPERATIONS if is_asked(each)]
    return asked[int(rng.integers(len(asked)))]


def _bound_ms(rng: np.random.Generator) -> int:
    """Mostly what one span of some hundred exceeds."""
    return int(rng.lognormal(np.log(800), 0.8))


def groups(each: Watched, rows: Ints, population: Population) -> Iterator[tuple[list[str], int]]:
    """How many of *rows* each group of a definition has; the group as its values."""
    codes = population.operation[rows] * PODS + population.pod[rows]
    found: dict[tuple[str, ...], int] = {}
    for code, count in zip(*np.unique(codes, return_counts=True), strict=True):
        operation, pod = OPERATIONS[int(code) // PODS], int(code) % PODS
        values = tuple(_FIELDS[field](operation, pod) for field in each.group_by)
        found[values] = found.get(values, 0) + int(count)
    return ((list(values), count) for values, count in found.items())


_FIELDS: dict[str, Callable[[Operation, int], str]] = {
    "service": lambda operation, pod: operation.service,
    "name": lambda operation, pod: operation.name,
    "resource.k8s.pod.name": lambda operation, pod: pod_name(operation.service, pod),
    "attributes.http.route": lambda operation, pod: str(dict(operation.attributes)["http.route"]),
}
