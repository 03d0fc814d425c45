"""Passes on, record by record, the samples that definitions ask for. Laws:

- What is sent is a function of the records, their times and the definitions; nothing is kept of
  any stream. Points seen = points asked for + points not asked for.
- A source that has nothing to say says at least how far it has come: once an interval, when it
  falls idle, and every hour as long as it is. While nobody asks for anything it is idle.
- A definition sees the points of its tenant: what the record's header says, or else the resource.
- Only the start of what was watched from before it is passed on: a counter that was there before
  may be anything, for a collector that starts anew calls its own start that of everything.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final

import orjson

from tailrace.agents.metric_samples.watches import Watch, Watches, watches_for
from tailrace.schemas.config.tenancy import ONE_TENANT, TenancyConfig
from tailrace.schemas.definitions import Definitions
from tailrace.schemas.definitions.definition import DEFAULT_TENANT
from tailrace.schemas.matches import Series, SignalId, place
from tailrace.schemas.metric_samples import (
    Meaning,
    Sample,
    SampleBatch,
    encode_samples,
    encoded_bytes,
)
from tailrace.schemas.otlp.metrics import Point, Request, point_counts, points
from tailrace.schemas.records import Arrivals, Outbox, Output, Record, Totals
from tailrace.schemas.tenants import is_tenant, said_tenant
from tailrace.tables.interval_sums import RollupTopic
from tailrace.tables.source_marks import SourceMarks
from tailrace.tables.store import PartitionStore

_MARKS: Final = b"i"
_SINCE: Final = b"s"
_AHEAD_MS: Final = 300_000
"""How far a point may be ahead of its record; one that is further ahead counts as just that."""
_MS: Final = 1_000_000


class MetricSamplesLogic:
    """A Logic of a stage of metrics; *source* names this partition in watermarks."""

    def __init__(
        self,
        store: PartitionStore,
        topic: RollupTopic,
        source: str,
        tenancy: TenancyConfig = ONE_TENANT,
    ) -> None:
        self._store = store
        self._tenancy = tenancy
        self._topic = topic
        self._marks = SourceMarks(store, _MARKS, topic, source)
        self._watches: Watches = {}
        self._since: dict[str, int] = {}
        """When each signal was first asked for (ms); of `_new` ones no time has come yet."""
        self._new: set[str] = set()

    def restore(self, now: int) -> None:
        self._marks.restore(now)
        self._since = orjson.loads(self._store.get(_SINCE) or b"{}")

    def inform(self, definitions: Definitions, outbox: Outbox, totals: Totals) -> None:
        self._watches = watches_for(definitions)
        asked = {_id(watch) for each in self._watches.values() for watch in each}
        self._new = asked - self._since.keys()
        if self._since.keys() - asked:
            self._since = {each: since for each, since in self._since.items() if each in asked}
            self._keep_since()

    def process(
        self, arrivals: Arrivals[Sequence[Request | None]], outbox: Outbox, totals: Totals
    ) -> None:
        rows = zip(arrivals.decoded, arrivals.times, arrivals.records, strict=True)
        for request, now, record in rows:
            if not self._watches:
                self._marks.idle(now - now % self._topic.interval_ms, outbox)
            else:
                self._begin(now)
                self._marks.roll(now, outbox)
            if request is not None:
                self._pass_on(request, now, record, outbox, totals)

    def advance(self, now: int, outbox: Outbox, totals: Totals) -> None:
        self._begin(now)
        self._marks.idle(now, outbox)

    def before_checkpoint(self) -> None:
        """All is in the store already."""

    def close(self) -> None:
        """Nothing to release."""

    def problems(self, totals: Totals) -> Sequence[str]:
        counts = totals.counts
        seen, asked = counts.get("metric_points", 0), counts.get("metric_points_asked", 0)
        unasked = counts.get("metric_points_unasked", 0)
        if seen == asked + unasked:
            return []
        return [f"{seen} points of metrics seen, but {asked} asked for and {unasked} not"]

    def _begin(self, now: int) -> None:
        """From now on, what is asked for now is watched."""
        if self._new:
            self._since |= dict.fromkeys(self._new, now)
            self._new = set()
            self._keep_since()

    def _keep_since(self) -> None:
        self._store.put(_SINCE, orjson.dumps(self._since, option=orjson.OPT_SORT_KEYS))

    def _pass_on(
        self, request: Request, now: int, record: Record, outbox: Outbox, totals: Totals
    ) -> None:
        seen, asked = point_counts(request), 0
        found: dict[int, list[Sample]] = {}
        for point in points(request, self._watches):
            tenant = self._tenant(point, record, totals)
            samples = list(self._samples(point, tenant, now, totals))
            asked += bool(samples)
            for sample in samples:
                found.setdefault(self._place(sample), []).append(sample)
        totals.add("metric_points", seen)
        totals.add("metric_points_asked", asked)
        totals.add("metric_points_unasked", seen - asked)
        for partition in sorted(found):
            for part in self._parts(found[partition]):
                value = encode_samples(SampleBatch(now, part))
                outbox.send(self._topic.name, Output(None, value, now, (), partition))
            totals.add("metric_samples_sent", len(found[partition]))

    def _tenant(self, point: Point, record: Record, totals: Totals) -> str:
        """Return whose *point* of *record* is."""
        if not self._tenancy.is_on:
            return DEFAULT_TENANT
        said = said_tenant(self._tenancy, record.headers, point.origin.resource)
        if is_tenant(said):
            return said
        totals.add("metric_points_refused_tenants", 1)
        return DEFAULT_TENANT

    def _samples(self, point: Point, tenant: str, now: int, totals: Totals) -> Iterator[Sample]:
        """Yield a sample for each watch that wants *point* and finds in it what it is of."""
        for watch in self._watches[point.origin.metric]:
            if not watch.wants(point, tenant):
                continue
            value = point.measured(watch.of)
            if value is None and point.has_value:
                totals.add("metric_points_unfit", 1)
                continue
            yield self._sample(watch, point, value, now)

    def _sample(self, watch: Watch, point: Point, value: float | None, now: int) -> Sample:
        owner, counted = watch.id
        meaning = point.origin.meaning
        if value is None or math.isnan(value) or not point.has_value:
            value, meaning = 0.0, Meaning.NOTHING
        time_ns = min(point.time_ns or now * _MS, (now + _AHEAD_MS) * _MS)
        start_ns = point.start_ns
        # A start at the point's own time is how a collector says that it does not know it.
        if not self._since[_id(watch)] * _MS < start_ns < time_ns:
            start_ns = 0
        group = watch.group(point)
        return Sample(owner, counted, group, point.stream, time_ns, meaning, start_ns, value)

    def _place(self, sample: Sample) -> int:
        key = Series(SignalId(sample.owner, sample.counted), sample.group).encode()
        return place(key) % self._topic.partitions

    def _parts(self, samples: list[Sample]) -> Iterator[list[Sample]]:
        """Yield *samples* in parts that fit into a record."""
        part: list[Sample] = []
        size = 0
        for sample in samples:
            size += encoded_bytes(sample)
            if part and size > self._topic.record_bytes // 2:
                yield part
                part, size = [], encoded_bytes(sample)
            part.append(sample)
        yield part


def _id(watch: Watch) -> str:
    return (watch.id.owner + watch.id.counted).hex()
