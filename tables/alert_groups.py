"""Alert groups: what is remembered of one group of one definition, between its records.

Laws:

- What is marked as changed is as it was after a restart; what was changed and not marked is not.
- A checkpoint writes the groups that were marked since the last, one value each, in which there
  are of long windows only the buckets that changed. A window with more of them than
  `CHANGED_BUCKETS` is written whole under a key of its own, and what changes counts from there.
- Evidence is the newest spans that were ever added, whatever the order in which they came.

In the store, after the table's prefix: `g`, owner and group: the group; `w`, owner, what is
counted (4 bytes), the window's length (u64, big endian) and the group: a whole window. A group's
value: version, the lengths of its JSON and of its evidence (u32), both, then for each window what
is counted, its length (u64), the length of what follows (u32), whether there is a whole one, and
what changed. Little endian. Windows of metrics have rows of their own: see `metric_rows.py`.

Memory: 1.3 KB a group with a window of five minutes and five buckets, its key included, and 0.3 KB
for what finds it; 24 bytes a bucket and 450 a window more, 180 bytes a span of evidence. In the
store that is 140 bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import orjson

from tailrace.schemas.alert_events import EvidenceSpan
from tailrace.tables.metric_rows import MetricPlace, MetricRows
from tailrace.tables.metric_windows import MetricWindow
from tailrace.tables.store import PartitionStore
from tailrace.tables.windows import SlidingWindow

WindowKey: TypeAlias = tuple[bytes, int]
"""What is counted (4 bytes), and the length of the window (ms)."""

CHANGED_BUCKETS: Final = 8

_VERSION: Final = 1
_HEAD = struct.Struct("<BII")
_WINDOW = struct.Struct("<4sQI?")
_WHOLE = struct.Struct(">8s4sQ")
_GROUPS, _WHOLES = b"g", b"w"
_OWNER_BYTES: Final = 8

_NO_METRICS: Final[Mapping[WindowKey, MetricWindow]] = MappingProxyType({})
"""One for the 100,000 groups that have none."""


@dataclass(slots=True)
class AlertGroup:
    """One group of one definition. Times in ms; `last_event_ms` is event time, by what is counted.

    `alerts` are the state machine's cells by severity, and `notes` what rules remember besides:
    anything that JSON can say. `due_ms`: when the group is to be looked at again; 0: never.
    """

    owner: bytes
    group: bytes
    first_seen_ms: int
    last_event_ms: dict[bytes, int] = field(default_factory=dict)
    windows: dict[WindowKey, SlidingWindow] = field(default_factory=dict)
    alerts: dict[str, list[Any]] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)
    due_ms: int = 0
    whole: tuple[WindowKey, ...] = ()
    """The windows that stand whole in the store."""
    metrics: Mapping[WindowKey, MetricWindow] = field(default_factory=lambda: _NO_METRICS)
    spans: bytes = b""
    """The evidence as JSON. Most of 100,000 groups are not asked for it, and as objects it would
    be twice as large."""

    def window(self, counted: bytes, length_ms: int) -> SlidingWindow:
        """Return the window of *counted*, which is there from now on."""
        key = (counted, length_ms)
        window = self.windows.get(key)
        if window is None:
            window = self.windows[key] = SlidingWindow(length_ms)
        return window

    def metric(self, counted: bytes, length_ms: int) -> MetricWindow:
        """Return the window of the metric *counted*, which is there from now on."""
        found = self.metrics.get((counted, length_ms))
        if found is None:
            found = MetricWindow(length_ms)
            self.metrics = {**self.metrics, (counted, length_ms): found}
        return found

    @property
    def moving(self) -> Iterator[SlidingWindow | MetricWindow]:
        """All that changes as time passes."""
        yield from self.windows.values()
        yield from self.metrics.values()

    def saw(self, counted: bytes, at_ms: int) -> None:
        """Remember an event of *counted* at *at_ms* of event time."""
        self.last_event_ms[counted] = max(at_ms, self.last_event_ms.get(counted, at_ms))

    @property
    def evidence(self) -> list[EvidenceSpan]:
        """The newest spans that matched, the newest last."""
        return [EvidenceSpan(*cells) for cells in orjson.loads(self.spans or b"[]")]

    def add_evidence(self, spans: Sequence[EvidenceSpan], limit: int) -> bool:
        """Add *spans*, and keep the *limit* newest of all; True if that is a change."""
        held = {_place(each): each for each in self.evidence}
        decided = {each.trace_id: each.sampled for each in held.values()}
        for span in spans:
            if span.sampled is None:
                held.setdefault(_place(span), replace(span, sampled=decided.get(span.trace_id)))
            else:
                held[_place(span)] = span
        newest = sorted(held)[max(0, len(held) - limit) :]
        return self._keep([held[place] for place in newest])

    def set_sampled(self, trace_id: str, *, is_sampled: bool) -> bool:
        """Say what became of the trace *trace_id*; True if its spans are here and it is news."""
        return self._keep(
            [
                replace(each, sampled=is_sampled) if each.trace_id == trace_id else each
                for each in self.evidence
            ]
        )

    def _keep(self, evidence: list[EvidenceSpan]) -> bool:
        spans = _fitted(orjson.dumps([astuple(each) for each in evidence])) if evidence else b""
        is_changed = spans != self.spans
        self.spans = spans
        return is_changed


def _metric_place(group: AlertGroup, key: WindowKey) -> MetricPlace:
    return MetricPlace(group.owner, group.group, *key)


def _fitted(value: bytes) -> bytes:
    """Return a copy of *value* that is as large as it looks: what orjson returns has 4 KB."""
    return bytes(memoryview(value))


def _place(span: EvidenceSpan) -> tuple[int, str, str]:
    return span.at, span.span_id, span.trace_id


class AlertGroups:
    """The groups of one partition. *prefix* is this table's in *store*, one byte."""

    def __init__(self, store: PartitionStore, prefix: bytes) -> None:
        self._store = store
        self._prefix = prefix
        self._metrics = MetricRows(store, prefix)
        self._groups: dict[bytes, dict[bytes, AlertGroup]] = {}
        self._changed: dict[tuple[bytes, bytes], AlertGroup] = {}
        # One object for what 100,000 groups have in common.
        self._counted: dict[bytes, bytes] = {}
        self._windows: dict[WindowKey, WindowKey] = {}

    def __len__(self) -> int:
        return sum(map(len, self._groups.values()))

    @property
    def owners(self) -> list[bytes]:
        """The owners that have groups, in order."""
        return sorted(self._groups)

    def of(self, owner: bytes) -> list[AlertGroup]:
        """Return the groups of *owner*, in the order of their names."""
        groups = self._groups.get(owner, {})
        return [groups[name] for name in sorted(groups)]

    def number_of(self, owner: bytes) -> int:
        """Return how many groups *owner* has."""
        return len(self._groups.get(owner, ()))

    def __iter__(self) -> Iterator[AlertGroup]:
        """All groups, in an order that no restart changes."""
        for owner in self.owners:
            yield from self.of(owner)

    def get(self, owner: bytes, group: bytes) -> AlertGroup | None:
        """Return the group, if it was ever met."""
        return self._groups.get(owner, {}).get(group)

    def meet(self, owner: bytes, group: bytes, now_ms: int) -> AlertGroup:
        """Return the group; if it is new, it is first seen at *now_ms*."""
        groups = self._groups.setdefault(owner, {})
        found = groups.get(group)
        if found is None:
            group = _fitted(group)
            found = groups[group] = AlertGroup(owner, group, now_ms)
        return found

    def mark(self, group: AlertGroup) -> None:
        """Let the next checkpoint have *group* as it will be then."""
        self._changed[group.owner, group.group] = group

    def keep_metrics(self, group: AlertGroup, wanted: Collection[WindowKey]) -> None:
        """Forget the windows of metrics of *group* that are not *wanted*."""
        gone = group.metrics.keys() - set(wanted)
        for key in gone:
            self._metrics.delete(_metric_place(group, key))
        if gone:
            kept = {key: each for key, each in group.metrics.items() if key not in gone}
            group.metrics = kept or _NO_METRICS

    def delete(self, group: AlertGroup) -> None:
        """Forget *group*."""
        self.keep_metrics(group, ())
        groups = self._groups[group.owner]
        del groups[group.group]
        if not groups:
            del self._groups[group.owner]
        self._changed.pop((group.owner, group.group), None)
        self._store.delete(self._key(group))
        self._delete_whole(group, group.whole)

    # Store

    def restore(self) -> None:
        """Read what the store has."""
        first, owner = len(self._prefix + _GROUPS), b"?"
        for key, value in self._store.scan(self._prefix + _GROUPS):
            name = key[first + _OWNER_BYTES :]
            if not key.startswith(owner, first):
                owner = key[first : first + _OWNER_BYTES]
            self._groups.setdefault(owner, {})[name] = self._decoded(owner, name, value)
        for place, metric in self._metrics.restore():
            counted = self._counted.setdefault(place.counted, place.counted)
            group = self._groups[place.owner][place.group]
            group.metrics = {**group.metrics, (counted, place.length_ms): metric}

    def seal(self) -> None:
        """Put into the store what was marked since the last time."""
        for group in self._changed.values():
            for key, window in group.windows.items():
                if window.changed > CHANGED_BUCKETS:
                    self._store.put(self._whole_key(group, key), window.encode())
                    window.keep()
            whole = tuple(key for key, window in group.windows.items() if window.is_kept)
            self._delete_whole(group, set(group.whole) - set(whole))
            group.whole = whole
            for key, metric in group.metrics.items():
                self._metrics.seal(_metric_place(group, key), metric)
            self._store.put(self._key(group), _encode(group))
        self._changed = {}

    def _key(self, group: AlertGroup) -> bytes:
        return self._prefix + _GROUPS + group.owner + group.group

    def _whole_key(self, group: AlertGroup, key: WindowKey) -> bytes:
        return self._prefix + _WHOLES + _WHOLE.pack(group.owner, *key) + group.group

    def _delete_whole(self, group: AlertGroup, keys: Iterable[WindowKey]) -> None:
        for key in keys:
            self._store.delete(self._whole_key(group, key))

    def _decoded(self, owner: bytes, name: bytes, value: bytes) -> AlertGroup:
        if value[0] != _VERSION:
            raise ValueError(
                f"an alert group has state of version {value[0]}; this tailrace reads version "
                f"{_VERSION}. Run the version that wrote it."
            )
        _, told, spans = _HEAD.unpack_from(value)
        at = _HEAD.size + told
        first_seen_ms, last, alerts, notes, due_ms = orjson.loads(value[_HEAD.size : at])
        group = AlertGroup(
            owner,
            name,
            first_seen_ms,
            alerts=alerts,
            spans=value[at : at + spans],
            notes=notes,
            due_ms=due_ms,
        )
        for each, ms in last.items():
            counted = bytes.fromhex(each)
            group.last_event_ms[self._counted.setdefault(counted, counted)] = ms
        at += spans
        while at < len(value):
            counted, length_ms, size, is_kept = _WINDOW.unpack_from(value, at)
            at += _WINDOW.size
            window = (self._counted.setdefault(counted, counted), length_ms)
            window = self._windows.setdefault(window, window)
            whole = self._store.get(self._whole_key(group, window)) if is_kept else None
            group.windows[window] = SlidingWindow.decode(value[at : at + size], whole)
            group.whole += (window,) if is_kept else ()
            at += size
        return group


def _encode(group: AlertGroup) -> bytes:
    last = {counted.hex(): ms for counted, ms in group.last_event_ms.items()}
    told = orjson.dumps([group.first_seen_ms, last, group.alerts, group.notes, group.due_ms])
    parts = [_HEAD.pack(_VERSION, len(told), len(group.spans)), told, group.spans]
    for key, window in group.windows.items():
        changed = window.encode(only_changed=True)
        parts += (_WINDOW.pack(*key, len(changed), window.is_kept), changed)
    return b"".join(parts)
