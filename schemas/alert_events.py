"""Alert events: what the alerts topic carries, one JSON object a record.

`alert_event.schema.json` beside this file says the same to everybody else. Keys may be added to the
format; those that are here stay. Times are RFC 3339 in UTC with nanoseconds, `window` is a duration
as in the config, and what is no number (a rate of nothing) is null.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import NoneType
from typing import Any, Final, Literal, TypeAlias, get_args

import numpy as np
import orjson

from tailrace.schemas import compact_json, durations
from tailrace.schemas.durations import MILLISECOND

Kind: TypeAlias = Literal["trace", "formula", "burn_rate"]
Status: TypeAlias = Literal["pending", "firing", "resolved", "no_data", "unknown"]

SEVERITY_LABEL: Final = "severity"


@dataclass(frozen=True, slots=True)
class EvidenceSpan:
    """A span that matched; `at` is its end, ns. `sampled` None: its trace is not decided yet.

    `url` leads to the trace where the user looks at traces.
    """

    trace_id: str
    span_id: str
    service: str
    name: str
    duration_ns: int
    at: int
    sampled: bool | None = None
    url: str | None = None


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


def partition_of(tenant: str, partitions: int) -> int:
    """Return the one of *partitions* that has all alerts of *tenant*."""
    return zlib.crc32(tenant.encode()) % partitions


_RANKS: Final = {"critical": 3, "page": 3, "error": 2, "warning": 1, "ticket": 1, "info": 0}


def severity_rank(severity: str) -> int:
    """Return how bad it is, from 0; one that nobody knows is a warning."""
    return _RANKS.get(severity.lower(), _RANKS["warning"])


def encode(event: AlertEvent) -> bytes:
    """Return *event* as the topic has it."""
    return compact_json.dumps(
        {
            "id": event.id,
            "fingerprint": event.fingerprint,
            "tenant": event.tenant,
            "name": event.name,
            "kind": event.kind,
            "status": event.status,
            "severity": event.severity,
            "labels": dict(event.labels),
            "annotations": dict(event.annotations),
            "value": event.value,
            "threshold": event.threshold,
            "window": durations.spell(event.window_ms * MILLISECOND),
            "starts_at": _spelled(event.starts_at * MILLISECOND),
            "ends_at": None if event.ends_at is None else _spelled(event.ends_at * MILLISECOND),
            "evaluated_at": _spelled(event.evaluated_at * MILLISECOND),
            "spans": [_encoded(span) for span in event.spans],
            "definition_version": event.definition_version,
            "replay": event.replay,
        }
    )


def _encoded(span: EvidenceSpan) -> dict[str, Any]:
    link = {} if span.url is None else {"url": span.url}
    return {
        "trace_id": span.trace_id,
        "span_id": span.span_id,
        "service": span.service,
        "name": span.name,
        "duration_ms": span.duration_ns / MILLISECOND,
        "at": _spelled(span.at),
        "sampled": span.sampled,
        **link,
    }


def decode(value: bytes) -> AlertEvent:
    """Return the event that *value* is; keys that it has besides are ignored.

    Raises ValueError that says what is wrong with it.
    """
    try:
        document = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"is not JSON: {error}") from None
    return AlertEvent(**_read(document, _EVENT))


_Reader: TypeAlias = Callable[[Any], Any]


def _read(document: Any, keys: Mapping[str, tuple[str, _Reader]]) -> dict[str, Any]:
    """Return *document* by the names of fields."""
    if type(document) is not dict:
        raise ValueError("is not an object")
    read = {}
    for key, (name, reader) in keys.items():
        if key not in document:
            if key in _OPTIONAL:
                continue
            raise ValueError(f"has no {key}")
        try:
            read[name] = reader(document[key])
        except ValueError as error:
            raise ValueError(f"has {key}, which {error}") from None
    return read


def _of(*types: type) -> _Reader:
    """Accepts values of exactly these *types*: true is no number."""
    names = " or ".join(_WORDS[each] for each in types)

    def read(value: Any) -> Any:
        if type(value) not in types:
            raise ValueError(f"is not {names}")
        return value

    return read


def _one_of(*known: str) -> _Reader:
    def read(value: Any) -> Any:
        if value not in known:
            raise ValueError(f"is not one of {', '.join(known)}")
        return value

    return read


def _hex(digits: int) -> _Reader:
    pattern = re.compile(rf"[0-9a-f]{{{digits}}}")

    def read(value: Any) -> Any:
        if type(value) is not str or not pattern.fullmatch(value):
            raise ValueError(f"is not {digits} hexadecimal digits in lower case")
        return value

    return read


def _texts(value: Any) -> Mapping[str, str]:
    if type(value) is not dict or not all(type(each) is str for each in value.values()):
        raise ValueError("is not an object of texts")
    return value


def _number(value: Any) -> float | None:
    """As a double, like every number of JSON; orjson writes those that are not finite as null."""
    return None if value is None else float(_finite(value))


def _window_ms(value: Any) -> int:
    return durations.parse(_text(value)) // MILLISECOND


def _duration_ns(value: Any) -> int:
    number: float = _finite(value)
    if not 0 <= number * MILLISECOND <= _LAST:
        raise ValueError("is not a duration of 0 or more")
    return round(number * MILLISECOND)


def _spelled(at: int) -> str:
    """Return *at* (ns) as text; what is after 2262, which producers may say, as the last moment."""
    return f"{np.datetime64(min(at, _LAST), 'ns')}Z"


def _nanos(value: Any) -> int:
    if type(value) is not str or not _TIME.fullmatch(value):
        raise ValueError("is not a time from 1970 to 2262 in RFC 3339, in UTC with nanoseconds")
    at = int(np.datetime64(value[:-1], "ns").astype(np.int64))
    return at if at >= 0 else _LAST  # the last of them do not fit


def _millis(value: Any) -> int:
    return _nanos(value) // MILLISECOND


def _millis_or_none(value: Any) -> int | None:
    return None if value is None else _millis(value)


def _spans(value: Any) -> tuple[EvidenceSpan, ...]:
    if type(value) is not list:
        raise ValueError("is not a list")
    return tuple(EvidenceSpan(**_read(each, _SPAN)) for each in value)


_WORDS: Final = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    NoneType: "null",
}
_TIME: Final = re.compile(
    r"(?:19[7-9]\d|2[01]\d\d|22[0-5]\d|226[0-2])-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", re.ASCII
)
_LAST: Final = (1 << 63) - 1
_OPTIONAL: Final = frozenset({"url"})
_text: Final = _of(str)
_finite: Final = _of(int, float)

_SPAN: Final[Mapping[str, tuple[str, _Reader]]] = {
    "trace_id": ("trace_id", _hex(32)),
    "span_id": ("span_id", _hex(16)),
    "service": ("service", _text),
    "name": ("name", _text),
    "duration_ms": ("duration_ns", _duration_ns),
    "at": ("at", _nanos),
    "sampled": ("sampled", _of(bool, NoneType)),
    "url": ("url", _text),
}
_EVENT: Final[Mapping[str, tuple[str, _Reader]]] = {
    "id": ("id", _hex(32)),
    "fingerprint": ("fingerprint", _hex(32)),
    "tenant": ("tenant", _text),
    "name": ("name", _text),
    "kind": ("kind", _one_of(*get_args(Kind))),
    "status": ("status", _one_of(*get_args(Status))),
    "severity": ("severity", _text),
    "labels": ("labels", _texts),
    "annotations": ("annotations", _texts),
    "value": ("value", _number),
    "threshold": ("threshold", _number),
    "window": ("window_ms", _window_ms),
    "starts_at": ("starts_at", _millis),
    "ends_at": ("ends_at", _millis_or_none),
    "evaluated_at": ("evaluated_at", _millis),
    "spans": ("spans", _spans),
    "definition_version": ("definition_version", _of(int)),
    "replay": ("replay", _of(bool)),
}
