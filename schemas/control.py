"""The control log: what the tasks of the spans stage tell each other, through one topic.

- A task reports what was asked of its part of each budget, and which allocation it holds.
- One task allocates: it says which part of each budget every partition has.
- A task that keeps a trace names the traces which that one links to.

Every record may be said again: it then means nothing new. JSON with a version; what cannot be read
raises ValueError.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import orjson

WHOLE: Final = 1_000_000
"""Parts of a budget add up to this."""
MAX_BYTES: Final = 512 << 10
"""Of a record of the topic."""
NAMED_BYTES: Final = 384 << 10
"""Of what a record says of budgets by their names; the rest is for what is around it."""
PART_BYTES: Final = 8
"""A part takes so many in a record, or less."""
AMOUNT_BYTES: Final = 20
"""What is asked of a budget takes so many in a record, or less."""
MAX_LINKS: Final = 100
"""Trace IDs in one record."""

_VERSION = 1
_AROUND_BYTES = len(":[],")
_TRACE_ID_BYTES = 16


class Report(NamedTuple):
    """What `partition` was asked for up to the stream second `second`, by budget, since the last.

    From its stream second `since` on it spends no more than allocation `holds` gives it.
    """

    partition: int
    partitions: int
    second: int
    asked: Mapping[str, int]
    holds: int
    since: int


class Allocation(NamedTuple):
    """By budget, the part of each partition in millionths of the cluster's budget.

    Until `since` is known, a partition spends the less of this and of what it had; from that
    stream second on, this.
    """

    number: int
    partitions: int
    parts: Mapping[str, Sequence[int]]
    since: int | None


class Keep(NamedTuple):
    """Traces that are wanted if they are decided at `until_ms` of stream time or before."""

    trace_ids: Sequence[bytes]
    until_ms: int


ControlRecord = Report | Allocation | Keep


class Heard(NamedTuple):
    """A record as it stands in the log."""

    offset: int
    record: ControlRecord


def encode(record: ControlRecord) -> bytes:
    """Return *record* as the value of a record of the topic."""
    kind = _NAMES[type(record)]
    body = record._asdict()
    if isinstance(record, Keep):
        body["trace_ids"] = [each.hex() for each in record.trace_ids]
    return orjson.dumps({"version": _VERSION, "kind": kind, **body}, option=orjson.OPT_SORT_KEYS)


def fitting(names: Iterable[str], bytes_each: int) -> list[str]:
    """Return the first of *names*, as many as a record has room for with *bytes_each* of each."""
    room, found = NAMED_BYTES, []
    for name in names:
        room -= len(orjson.dumps(name)) + bytes_each + _AROUND_BYTES
        if room < 0:
            break
        found.append(name)
    return found


def decode(value: bytes) -> ControlRecord:
    """Return the record of which *value* is; ValueError says what is wrong with it."""
    body = orjson.loads(value)
    if not isinstance(body, dict) or body.get("version") != _VERSION:
        version = body.get("version") if isinstance(body, dict) else None
        raise ValueError(f"is of version {version}; this tailrace reads version {_VERSION}")
    try:
        return _READERS[body["kind"]](body)
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"is no control record: {error!r}") from error


def _report(body: Mapping[str, Any]) -> Report:
    asked = {_text(name): _whole(amount) for name, amount in body["asked"].items()}
    partition, partitions = _whole(body["partition"]), _whole(body["partitions"])
    if partition >= partitions:
        raise ValueError(f"is of partition {partition}, of which there are {partitions}")
    second, holds, since = (_whole(body[name]) for name in ("second", "holds", "since"))
    return Report(partition, partitions, second, asked, holds, since)


def _allocation(body: Mapping[str, Any]) -> Allocation:
    partitions, since = _whole(body["partitions"]), body["since"]
    parts = {_text(name): tuple(map(_whole, each)) for name, each in body["parts"].items()}
    for name, each in parts.items():
        if len(each) != partitions or sum(each) != WHOLE:
            raise ValueError(f"has {len(each)} parts of {name}, which are {sum(each)} in all")
    since = None if since is None else _whole(since)
    return Allocation(_whole(body["number"]), partitions, parts, since)


def _keep(body: Mapping[str, Any]) -> Keep:
    ids = tuple(bytes.fromhex(each) for each in body["trace_ids"])
    if len(ids) > MAX_LINKS or any(len(each) != _TRACE_ID_BYTES for each in ids):
        raise ValueError(f"has {len(ids)} trace IDs, which are too many or no trace IDs")
    return Keep(ids, _whole(body["until_ms"]))


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"has {value!r} where a whole number belongs")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"has {value!r} where a name belongs")
    return value


_NAMES: Final = {Report: "report", Allocation: "allocation", Keep: "keep"}
_READERS: Final[Mapping[str, Callable[[Mapping[str, Any]], ControlRecord]]] = {
    "report": _report,
    "allocation": _allocation,
    "keep": _keep,
}
