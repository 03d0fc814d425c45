"""Alert events: what the alerts topic carries, one JSON object a record."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

import orjson

Kind: TypeAlias = Literal["trace", "formula", "burn_rate"]
Status: TypeAlias = Literal["pending", "firing", "resolved", "no_data", "unknown"]

SEVERITY_LABEL: Final = "severity"


@dataclass(frozen=True, slots=True)
class EvidenceSpan:
    """A span that matched; `at` is its end, ns. `sampled` None: its trace is not decided yet."""

    trace_id: str
    span_id: str
    service: str
    name: str
    duration_ns: int
    at: int
    sampled: bool | None = None


@dataclass(frozen=True, slots=True)
class AlertEvent:
    """One state of one alert. Times in ms since 1970; `window` in ms.

    `fingerprint` is the same for as long as the definition has that name, tenant and group; `id`
    is of one time that it fires.
    """

    id: str
    fingerprint: str
    tenant: str
    name: str
    kind: Kind
    status: Status
    severity: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    value: float | None
    threshold: float | None
    window_ms: int
    starts_at: int
    ends_at: int | None
    evaluated_at: int
    spans: Sequence[EvidenceSpan] = field(default_factory=tuple)
    definition_version: int = 0
    replay: bool = False


def fingerprint(tenant: str, name: str, severity: str, group: Mapping[str, str]) -> str:
    """Return 32 hex characters, the same in every process and for ever."""
    said = orjson.dumps([tenant, name, severity, sorted(group.items())])
    return hashlib.blake2b(said, digest_size=16, person=b"tailrace.alert").hexdigest()


def event_id(of: str, starts_at: int) -> str:
    """Return the id of the alert with fingerprint *of* that began at *starts_at* (ms)."""
    said = f"{of} {starts_at}".encode()
    return hashlib.blake2b(said, digest_size=16, person=b"tailrace.event").hexdigest()
