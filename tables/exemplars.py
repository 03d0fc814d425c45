"""Exemplars: spans of kept traces, on their way to the series that counted them.

The sampler offers what it keeps, when it has decided; a few traces of each interval are taken, the
first of each policy of each tenant, because one error tells more than a second trace by chance.
Laws:

- Only spans of traces that were kept are exemplars.
- What is taken, and in which order, is a function of the decisions with their times; never of how
  records were cut into batches, of checkpoints or restarts.
- What was taken in an interval is sent when it is over, stamped with its end. Who says that the
  interval is over, by a watermark, says it afterwards.

In the store, under the table's prefix: a byte of version, JSON of what was taken in which interval
for which policy, with the sizes of the fragments, and these.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import orjson

from tailrace.schemas.exemplars import Exemplar, ExemplarBatch, encode_exemplars, encoded_bytes
from tailrace.schemas.records import Outbox, Output
from tailrace.tables.interval_source import RollupTopic
from tailrace.tables.store import PartitionStore

TRACES: Final = 8
"""Of an interval, one of each tenant and policy; all of them are decoded once more, which costs."""
TRACE_BYTES: Final = 64 << 10
"""A larger trace is no example."""
A_SERIES: Final = 2
"""Exemplars of one series in an interval."""
_VERSION: Final = b"\x01"
_LENGTH: Final = struct.Struct(">I")


class SeriesExemplar(NamedTuple):
    """An exemplar of the series *key* of *family*."""

    family: str
    key: bytes
    exemplar: Exemplar


Describe = Callable[[Sequence[bytes], Sequence[str]], Iterable[SeriesExemplar]]
"""The spans of messages, each with its tenant, as exemplars of the series that count them."""


class _Taken(NamedTuple):
    """A trace that was taken."""

    tenant: str
    raw: Sequence[bytes]


class Exemplars:
    """Those of one partition. *prefix* is this table's in *store*, one byte.

    *describe* turns kept fragments into exemplars; *place* is the hash of a series' key that
    decides its partition.
    """

    def __init__(
        self,
        store: PartitionStore,
        prefix: bytes,
        topic: RollupTopic,
        describe: Describe,
        place: Callable[[bytes], int],
    ) -> None:
        self._store = store
        self._key = prefix
        self._topic = topic
        self._describe = describe
        self._place = place
        # By the number of the interval, and the tenant with the policy.
        self._taken: dict[int, dict[str, _Taken]] = {}
        self._stored = b""

    def offer(self, policy: str, at_ms: int, tenant: str, raw: Sequence[bytes]) -> None:
        """Take a trace of *tenant* that *policy* kept at *at_ms*, if there is room.

        *raw* are its fragments.
        """
        taken = self._taken.setdefault(at_ms // self._topic.interval_ms, {})
        whose = f"{tenant}\0{policy}"
        if whose not in taken and len(taken) < TRACES and sum(map(len, raw)) <= TRACE_BYTES:
            taken[whose] = _Taken(tenant, raw)

    def tell(self, now_ms: int, outbox: Outbox) -> None:
        """Send what was taken in intervals that are over at *now_ms*, in order."""
        now = now_ms // self._topic.interval_ms
        for number in sorted(each for each in self._taken if each < now):
            families = self._described(self._taken.pop(number).values())
            self._send(families, (number + 1) * self._topic.interval_ms, outbox)

    def _described(self, taken: Iterable[_Taken]) -> Mapping[str, dict[bytes, list[Exemplar]]]:
        families: dict[str, dict[bytes, list[Exemplar]]] = {}
        messages = [(value, each.tenant) for each in taken for value in each.raw]
        raw, tenants = [each[0] for each in messages], [each[1] for each in messages]
        for family, key, exemplar in self._describe(raw, tenants):
            of_key = families.setdefault(family, {}).setdefault(key, [])
            if len(of_key) < A_SERIES:
                of_key.append(exemplar)
        return families

    def _send(
        self, families: Mapping[str, dict[bytes, list[Exemplar]]], stamp: int, outbox: Outbox
    ) -> None:
        for family, by_key in families.items():
            parts: dict[int, dict[bytes, list[Exemplar]]] = {}
            for key, exemplars in by_key.items():
                partition = self._place(key) % self._topic.partitions
                parts.setdefault(partition, {})[key] = exemplars
            for partition, part in sorted(parts.items()):
                for batch in _cut(family, part, self._topic.record_bytes // 2):
                    value = encode_exemplars(batch)
                    outbox.send(self._topic.name, Output(None, value, stamp, (), partition))

    def seal(self) -> None:
        """Put what waits into the store."""
        waiting = {number: taken for number, taken in self._taken.items() if taken}
        value = _packed(waiting) if waiting else b""
        if value == self._stored:
            return
        self._stored = value
        if value:
            self._store.put(self._key, value)
        else:
            self._store.delete(self._key)

    def restore(self) -> None:
        """Read what waits from the store; once, before anything else."""
        value = self._store.get(self._key)
        if value is None:
            return
        if value[:1] != _VERSION:
            raise ValueError(
                f"exemplars have state of version {value[0]}; this tailrace reads version "
                f"{_VERSION[0]}. Run the version that wrote it."
            )
        self._stored = value
        self._taken = _unpacked(value)


def _packed(taken: Mapping[int, Mapping[str, _Taken]]) -> bytes:
    heads, raw = [], []
    for number, policies in sorted(taken.items()):
        heads.append(
            (
                number,
                [(name, each.tenant, list(map(len, each.raw))) for name, each in policies.items()],
            )
        )
        raw += [value for each in policies.values() for value in each.raw]
    head = orjson.dumps(heads)
    return b"".join((_VERSION, _LENGTH.pack(len(head)), head, *raw))


def _unpacked(value: bytes) -> dict[int, dict[str, _Taken]]:
    begin = 1 + _LENGTH.size
    at = begin + _LENGTH.unpack_from(value, 1)[0]
    taken: dict[int, dict[str, _Taken]] = {}
    for number, policies in orjson.loads(value[begin:at]):
        for policy, tenant, sizes in policies:
            raw = []
            for size in sizes:
                raw.append(value[at : at + size])
                at += size
            taken.setdefault(number, {})[policy] = _Taken(tenant, raw)
    return taken


def _cut(family: str, by_key: dict[bytes, list[Exemplar]], room: int) -> Iterable[ExemplarBatch]:
    """Yield *by_key* in batches of about *room* bytes."""
    part: dict[bytes, list[Exemplar]] = {}
    size = 0
    for key, exemplars in by_key.items():
        more = encoded_bytes(key, len(exemplars))
        if part and size + more > room:
            yield ExemplarBatch(family, part)
            part, size = {}, 0
        part[key] = exemplars
        size += more
    if part:
        yield ExemplarBatch(family, part)
