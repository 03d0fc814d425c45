"""Samples of metrics on their way into the windows of groups, in the order in which they came."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from tailrace.agents.alerts.rules import Rule
from tailrace.schemas.metric_samples import Meaning, Sample, SampleBatch
from tailrace.schemas.records import Totals
from tailrace.tables.alert_groups import AlertGroup, AlertGroups
from tailrace.tables.metric_windows import Added
from tailrace.tables.store import PartitionStore
from tailrace.tables.waiting_samples import WaitingSamples

MAX_GROUPS: Final = 10_000
"""Of one definition in one partition; samples of further ones are left out."""
_IGNORED: Final = "ignored"
_FATES: Final = (*Added, _IGNORED)


class News(NamedTuple):
    """A group that has something new, from `at` (ms) on."""

    group: AlertGroup
    rule: Rule
    at: int


class MetricSamples:
    """The samples of one partition. *prefix* is theirs in *store*.

    Samples = those that wait + those taken, ignored because no definition asks for them, out of
    order, late, or of a stream or group too many.
    """

    def __init__(self, store: PartitionStore, prefix: bytes, groups: AlertGroups) -> None:
        self._waiting = WaitingSamples(store, prefix)
        self._groups = groups

    def restore(self) -> None:
        """Read what waits."""
        self._waiting.restore()

    def add(self, batch: SampleBatch, offset: int, totals: Totals) -> None:
        """Let *batch* wait, which stood at *offset* of the log."""
        self._waiting.add(batch, offset)
        totals.add("metric_samples", len(batch.samples))

    def are_due(self, ms: int) -> bool:
        """True if some came before *ms*, or too many wait."""
        first = self._waiting.first_ms
        return first is not None and (first < ms or self._waiting.is_full)

    def take(
        self, rules: Mapping[bytes, Rule], now: int, until: int, totals: Totals
    ) -> Iterator[News]:
        """Put those that came first into their windows; yield whose those are.

        *now*: up to when time has passed; *until*: from when on it is too early for them.
        """
        came = self._waiting.first_ms
        assert came is not None
        taken = self._waiting.take()
        if came >= until:
            totals.add("metric_samples_early", len(taken))
        for sample in taken:
            rule = rules.get(sample.owner)
            asked = None if rule is None else rule.metrics.get(sample.counted)
            if rule is None or asked is None:
                totals.add(f"metric_samples.{_IGNORED}", 1)
                continue
            group = self._group(sample, came)
            if group is None:
                totals.add(f"metric_samples.{Added.OVERFLOW}", 1)
                continue
            fates = self._put(group, rule, sample, max(came, now), asked)
            totals.add(f"metric_samples.{fates[0]}", 1)
            # At `came` itself the group may have been looked at already.
            yield News(group, rule, max(came, now) + 1)

    def _group(self, sample: Sample, came: int) -> AlertGroup | None:
        known = self._groups.get(sample.owner, sample.group)
        if known is None and self._groups.number_of(sample.owner) >= MAX_GROUPS:
            return None
        return known or self._groups.meet(sample.owner, sample.group, came)

    def _put(
        self, group: AlertGroup, rule: Rule, sample: Sample, at: int, asked: frozenset[str]
    ) -> list[Added]:
        fates = []
        for length in rule.lengths[sample.counted]:
            window = group.metric(sample.counted, length)
            window.advance(at)
            fates.append(window.add(sample, at, asked))
        if sample.meaning is not Meaning.NOTHING:
            group.saw(sample.counted, min(sample.time_ns // 1_000_000, at))
        self._groups.mark(group)
        return fates

    def problems(self, totals: Totals) -> Sequence[str]:
        """Return what does not add up."""
        counts = totals.counts
        seen = counts.get("metric_samples", 0)
        done = {fate: counts.get(f"metric_samples.{fate}", 0) for fate in _FATES}
        if seen == len(self._waiting) + sum(done.values()):
            return []
        told = ", ".join(f"{count} {fate}" for fate, count in done.items())
        return [f"{seen} samples of metrics, but {len(self._waiting)} wait; {told}"]
