"""Alerts as the engine runs them: matches of all partitions in, alert events out.

A group is looked at on the ticks of its definition, and only on those on which something can have
changed: events came, a bucket of a window begins or leaves, or the alert's own time has come. Laws:

- An evaluation is of the seconds that are over, all of them, whichever source was faster.
- What is due at or before a time is done in order of its due time, then of owner and group, before
  time goes on; so outputs do not depend on how records were cut into batches.
- An alert's state, its windows and when it is due next are in the store: a restart changes nothing.
- A definition that changed keeps the windows of what it still counts, and its alerts' states; of
  what it has no more, whoever was told is told that it is over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from heapq import heapify, heappop, heappush

import numpy as np

from tailrace.agents.alerts import early_counts, instances, states
from tailrace.agents.alerts.early_counts import Early, over_ms
from tailrace.agents.alerts.events import ending, event, news_of
from tailrace.agents.alerts.instances import THE_ONLY
from tailrace.agents.alerts.places import Places, cadence_of
from tailrace.agents.alerts.rulebook import Marks, has_other_groups, mark_of, rules_of
from tailrace.agents.alerts.rules import ANEW, Finding, Moment, Rule
from tailrace.agents.alerts.samples import MetricSamples
from tailrace.agents.alerts.transitions import Effect, Reading, Timing
from tailrace.schemas.alert_events import AlertEvent, decode, encode, partition_of
from tailrace.schemas.definitions import Definitions
from tailrace.schemas.matches import EvidenceBatch, MatchCounts, RollupRecord, counted_of
from tailrace.schemas.metric_samples import SampleBatch
from tailrace.schemas.records import Arrivals, Outbox, Output, Totals
from tailrace.tables.alert_groups import AlertGroup, AlertGroups
from tailrace.tables.alert_states import AlertState
from tailrace.tables.store import PartitionStore

_PREFIX = b"a"
_LEVEL = _PREFIX + b"l"
_WAITING = _PREFIX + b"q"
_TOLD = "told"
_STALE_ENTRIES = 1000
"""So many of the heap may be of no use, beside as many as there are useful ones."""


@dataclass(frozen=True, slots=True)
class AlertsSettings:
    """Where events go: a tenant's all to one partition of *partitions*. `is_replay` marks them.

    `rollups`: which partition of the rollup topic this is, and of how many.
    """

    topic: str
    partitions: int
    is_replay: bool = False
    rollups: tuple[int, int] = (0, 1)


class AlertsLogic:
    """A Logic of the rollups stage.

    Rows of matches = rows added to windows + rows that no definition of now asks for.
    """

    def __init__(self, settings: AlertsSettings, store: PartitionStore) -> None:
        self._settings = settings
        self.groups = AlertGroups(store, _PREFIX)
        self._marks = Marks(store, _PREFIX)
        self._samples = MetricSamples(store, _WAITING, self.groups)
        self.rules: Mapping[bytes, Rule] = {}
        self._heap: list[tuple[int, bytes, bytes]] = []
        self._due: dict[tuple[bytes, bytes], int] = {}
        self._unmet: list[bytes] = []
        self._places = Places(self.groups)
        self._store = store
        self._now = 0
        self.has_input = False
        self.level = 0
        """How far evaluation backs off; it is remembered, for ticks depend on it."""

    @property
    def now(self) -> int:
        """Stream time of the last record, ms."""
        return self._now

    def restore(self, now: int) -> None:
        self._now = now
        self.level = int(self._store.get(_LEVEL) or 0)
        self.groups.restore()
        self._marks.restore()
        for group in self.groups:
            if group.due_ms:
                self._due[group.owner, group.group] = group.due_ms
        self._order()
        self._samples.restore()

    def inform(self, definitions: Definitions, outbox: Outbox, totals: Totals) -> None:
        """Go by *definitions*; whoever was told of what is gone is told that it is over."""
        self._mark_owners()
        before, self.rules = self.rules, rules_of(definitions, self.rules)
        self._places.clear()
        for owner in self._marks.owners():
            rule = self.rules.get(owner)
            if rule is None or rule is not before.get(owner):
                self._reconsider(owner, rule, outbox, totals)
        self._unmet = [*instances.unmet(self.rules, self.groups, *self._settings.rollups)]

    def back_off(self, level: int) -> None:
        """Look at groups less often, by *level*: what follows cannot keep up. 0: as ever."""
        if level != self.level:
            self.level = level
            self._store.put(_LEVEL, b"%d" % level)

    def process(
        self, arrivals: Arrivals[Sequence[RollupRecord]], outbox: Outbox, totals: Totals
    ) -> None:
        self.has_input = True
        rows = zip(arrivals.records, arrivals.decoded, arrivals.times, strict=True)
        for read, record, now in rows:
            # What the record has is of the time before its watermark, so it comes first.
            if isinstance(record, EvidenceBatch):
                self._add_evidence(record, now)
            elif isinstance(record, SampleBatch):
                self._samples.add(record, read.offset, totals)
            elif isinstance(record, MatchCounts):
                self._add(record, now, totals)
            self._pass(now, outbox, totals)

    def advance(self, now: int, outbox: Outbox, totals: Totals) -> None:
        self.has_input = False
        self._pass(now, outbox, totals)

    def before_checkpoint(self) -> None:
        self._mark_owners()
        self.groups.seal()

    def close(self) -> None:
        """Nothing to release."""

    def problems(self, totals: Totals) -> Sequence[str]:
        counts = totals.counts
        rows, added = counts.get("match_rows", 0), counts.get("match_rows_added", 0)
        ignored = counts.get("match_rows_ignored", 0)
        found = list(self._samples.problems(totals))
        if rows != added + ignored:
            found.append(f"{rows} rows of matches, but {added} added and {ignored} ignored")
        return found

    # Records

    def _add(self, found: MatchCounts, now: int, totals: Totals) -> None:
        """Let what was counted wait in its groups until they are looked at."""
        added = 0
        ends = np.searchsorted(found.series, np.arange(len(found.keys)), side="right").tolist()
        seconds, events, matches = (column.tolist() for column in found[4:])
        first, last = 0, 0
        for key, last in zip(found.keys, ends, strict=True):
            group = self._places.of(key, self.rules, now)
            if group is not None:
                waiting = early_counts.waiting(group, counted_of(key))
                for row in range(first, last):
                    early_counts.wait(waiting, seconds[row], events[row], matches[row])
                if early_counts.are_many(waiting, self._now):
                    # Whatever is over by now, the next evaluation is of.
                    self._take_in(group, self.rules[group.owner], self._now)
                self.groups.mark(group)
                at = max(self._now + 1, over_ms(seconds[first]))
                if group.due_ms == 0 or group.due_ms > at:
                    self._look_at(group, self.rules[group.owner], at)
                added += last - first
            first = last
        totals.add("match_rows", last)
        totals.add("match_rows_added", added)
        if added < last:
            totals.add("match_rows_ignored", last - added)

    def _add_evidence(self, batch: EvidenceBatch, now: int) -> None:
        for signal, name, span in batch.spans:
            rule = self.rules.get(signal.owner)
            if rule is not None and signal.counted in rule.lengths:
                group = self.groups.meet(signal.owner, name, now)
                if group.add_evidence([span], rule.definition.spec.evidence):
                    self.groups.mark(group)
        for signal, name, trace_id, is_sampled in batch.outcomes:
            known = self.groups.get(signal.owner, name)
            if known is not None and known.set_sampled(trace_id, is_sampled=is_sampled):
                self.groups.mark(known)

    # Time

    def _look_at(self, group: AlertGroup, rule: Rule, at: int) -> None:
        """Let *group* be due on the first tick at or after *at*, if it is not before."""
        due = cadence_of(group, rule).tick_from(at, self.level)
        place = group.owner, group.group
        known = self._due.get(place)
        if known is None or due < known:
            self._due[place] = group.due_ms = due
            heappush(self._heap, (due, *place))
            if len(self._heap) > 2 * len(self._due) + _STALE_ENTRIES:
                self._order()

    def _order(self) -> None:
        """Let the heap be of what is due, and of nothing else."""
        self._heap[:] = [(due, *place) for place, due in self._due.items()]
        heapify(self._heap)

    def _pass(self, now: int, outbox: Outbox, totals: Totals) -> None:
        heap, dues = self._heap, self._due
        self._meet_awaited(max(self._now, now))
        while True:
            until = min(now, heap[0][0]) if heap else now
            if self._samples.are_due(until):
                for group, rule, at in self._samples.take(self.rules, self._now, until, totals):
                    self._look_at(group, rule, at)
                continue
            if not heap or heap[0][0] > now:
                break
            due, *place = heappop(heap)
            owner, name = place
            if dues.get((owner, name)) != due:
                continue  # it was moved forward, or its group is gone
            del dues[owner, name]
            known, rule_now = self.groups.get(owner, name), self.rules.get(owner)
            if known is not None and rule_now is not None:
                self._evaluate(known, rule_now, due, outbox, totals)
        self._now = max(self._now, now)

    def _meet_awaited(self, now: int) -> None:
        """Let there be groups that should have events, and count from now on that they have not."""
        for owner in self._unmet:
            group = self.groups.meet(owner, THE_ONLY, now)
            self.groups.mark(group)
            self._look_at(group, self.rules[owner], now + 1)
        self._unmet = []

    def _evaluate(
        self, group: AlertGroup, rule: Rule, at: int, outbox: Outbox, totals: Totals
    ) -> None:
        totals.add("alert_evaluations", 1)
        self._take_in(group, rule, at)
        findings = self._findings(group, rule, at, totals)
        dues = [rule.next_due(group, at), early_counts.next_due(group)]
        for severity in rule.severities:
            state = instances.state_of(group, severity)
            reading = instances.reading_of(findings[severity], rule, state)
            step = states.step(state, reading, at, rule.timing)
            instances.remember(group, severity, step.state)
            dues.append(step.next_due)
            for told in step.told:
                self._tell(group, rule, severity, findings[severity], told, at, outbox, totals)
        dues += [window.next_change_ms for window in group.moving]
        group.due_ms = 0
        later = [due for due in dues if due is not None]
        if later:
            self._look_at(group, rule, max(at + 1, min(later)))
        elif instances.is_over(group):
            totals.add("alert_groups_forgotten", 1)
            self._places.forget(group, rule)
            self.groups.delete(group)
            return
        self.groups.mark(group)

    @staticmethod
    def _take_in(group: AlertGroup, rule: Rule, now: int) -> None:
        """Let what is over at *now* (ms) wait no longer."""
        for early in early_counts.taken(group, now):
            _count(group, rule, early)

    def _findings(
        self, group: AlertGroup, rule: Rule, at: int, totals: Totals
    ) -> Mapping[str, Finding]:
        for window in group.moving:
            window.advance(at)
        try:
            return rule.evaluate(group, Moment(at, self.has_input))
        except ArithmeticError as error:
            totals.add("alert_evaluations_failed", 1)
            failed = Finding(Reading.FAILED, None, None, 0, f"The evaluation failed: {error}")
            return dict.fromkeys(rule.severities, failed)

    # Events

    def _tell(
        self,
        group: AlertGroup,
        rule: Rule,
        severity: str,
        finding: Finding,
        told: states.Told,
        at: int,
        outbox: Outbox,
        totals: Totals,
    ) -> None:
        said = event(rule, group, severity, finding, told, at)
        tellings = group.notes.setdefault(_TOLD, {})
        # Should the definition be gone when it ends, this is who was told, and of what.
        words = encode(replace(said, spans=(), evaluated_at=0)).decode()
        telling = [words, news_of(said)]
        if told.effect is Effect.REFRESH and tellings.get(severity, telling)[1:] == telling[1:]:
            return
        if told.ends_at is None:
            tellings[severity] = telling
        else:
            tellings.pop(severity, None)
        self._send(said, at, outbox, totals)

    def _send(self, said: AlertEvent, at: int, outbox: Outbox, totals: Totals) -> None:
        said = replace(said, replay=self._settings.is_replay)
        partition = partition_of(said.tenant, self._settings.partitions)
        output = Output(said.fingerprint.encode(), encode(said), at, (), partition)
        outbox.send(self._settings.topic, output)
        totals.add(f"alerts_told.{said.status}", 1)

    # Definitions

    def _mark_owners(self) -> None:
        """Remember by what the groups of definitions that had none are judged."""
        for owner in self.groups.owners:
            if owner not in self._marks and owner in self.rules:
                self._marks.put(owner, mark_of(self.rules[owner].definition))

    def _reconsider(self, owner: bytes, rule: Rule | None, outbox: Outbox, totals: Totals) -> None:
        """Let the groups of *owner* go by *rule*, if that says other than before."""
        known, mark = self._marks.get(owner), None if rule is None else mark_of(rule.definition)
        if mark == known:
            return
        self._marks.put(owner, mark)
        is_of_others = not known or not mark or has_other_groups(known, mark)
        for group in self.groups.of(owner):
            self._adapt(group, None if is_of_others else rule, outbox, totals)

    def _adapt(self, group: AlertGroup, rule: Rule | None, outbox: Outbox, totals: Totals) -> None:
        """Drop of *group* what *rule* has no use for; it is looked at again at once."""
        wanted = {
            (counted, length)
            for counted, lengths in (rule.lengths if rule else {}).items()
            for length in lengths
        }
        windows = {key: window for key, window in group.windows.items() if key in wanted}
        if group.alerts and len(windows) < len(group.windows):
            group.notes[ANEW] = self._now
        group.windows = windows
        self.groups.keep_metrics(group, wanted)
        severities = () if rule is None else rule.severities
        for severity in sorted(set(group.alerts) - set(severities)):
            self._end(group, severity, outbox, totals)
        if rule is None:
            self._due.pop((group.owner, group.group), None)
            self.groups.delete(group)
            return
        self._look_at(group, rule, self._now)
        self.groups.mark(group)

    def _end(self, group: AlertGroup, severity: str, outbox: Outbox, totals: Totals) -> None:
        state = AlertState.from_cells(group.alerts.pop(severity))
        last = last_told(group, severity)
        group.notes.get(_TOLD, {}).pop(severity, None)
        for told in states.ended(state, self._now, Timing()).told:
            if last is not None:
                self._send(ending(last, told, self._now), self._now, outbox, totals)


def last_told(group: AlertGroup, severity: str) -> AlertEvent | None:
    """Return the last event of what still lasts, without its spans; None if nothing was told."""
    telling = group.notes.get(_TOLD, {}).get(severity)
    return None if telling is None else decode(telling[0].encode())


def _count(group: AlertGroup, rule: Rule, early: Early) -> None:
    """Add to the windows of *group* what is known of a second that is over."""
    counted, second, counts = early
    if not group.last_event_ms and not group.windows:
        group.first_seen_ms = over_ms(second)
    wanted = rule.counts(group, second, counts)
    group.saw(counted, second * 1000)
    for length in rule.lengths.get(counted, ()):
        group.window(counted, length).add(second, *wanted)
