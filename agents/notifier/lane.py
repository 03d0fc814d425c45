"""What is between us and one contact point: who waits, and when the next may go. Seconds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from tailrace.agents.notifier.backlog import Backlog, Entry, Report
from tailrace.agents.notifier.channels.request import (
    Accepted,
    Answer,
    Refused,
    Unanswered,
)
from tailrace.agents.notifier.circuit import Circuit
from tailrace.agents.notifier.pace import LONGEST_WAIT_S, Allowance, backoff, gives_up
from tailrace.schemas.definitions.contact_point import Retries
from tailrace.schemas.notifications import Delivered, Failed, Notification, Outcome, Retrying


@dataclass(slots=True)
class Lane:
    """The state of one contact point; it decides, others act. `asking`: what is on its way."""

    allowance: Allowance
    backlog: Backlog = field(default_factory=Backlog)
    circuit: Circuit = field(default_factory=Circuit)
    paused_until: float = 0.0
    asking: Entry | None = None

    def add(self, notification: Notification, report: Report, now: float) -> None:
        """Let *notification* wait; if it was withdrawn on its way, *report* hears how it went."""
        entry = self.asking
        is_back = entry is not None and entry.notification.id == notification.id
        if entry is not None and is_back and entry not in self.backlog:
            entry.report = report
            self.backlog.put(entry)
        else:
            self.backlog.add(notification, report, now)

    def begun(self) -> Iterator[Entry]:
        """Yield what is on its way, and what is through in part."""
        if self.asking is not None:
            yield self.asking
        yield from (entry for entry in self.backlog if entry.accepted)

    def ready_at(self, now: float) -> float | None:
        """Return when the next request may go: *now* or later; None if nothing waits."""
        due = self.backlog.due_at()
        if due is None:
            return None
        ready = max(now, due, self.paused_until, self.circuit.ready_at(now))
        return max(ready, self.allowance.ready_at(now))

    def held_up(self, now: float) -> str:
        """Return why what waits has to, though nothing is wrong: there is more than may go."""
        if not self.backlog or self.allowance.ready_at(now) <= now:
            return ""
        return f"more waits than the rate_limit of {self.allowance.per_minute} requests a minute"

    def asked(self, now: float, per_minute: int) -> None:
        """Note that one request goes."""
        if self.allowance.per_minute != per_minute:
            self.allowance = Allowance(per_minute)
        self.allowance = self.allowance.used(now)

    def answered(self, answer: Answer, now: float, draw: float) -> None:
        """Note what it came to. Who answers at all is not down; who says when, is left alone."""
        if isinstance(answer, Unanswered) and answer.is_down:
            self.circuit = self.circuit.failed(now, draw)
        else:
            self.circuit = self.circuit.succeeded()
        if isinstance(answer, Unanswered) and answer.after_s is not None:
            self.paused_until = now + min(answer.after_s, LONGEST_WAIT_S)

    def settled(
        self, entry: Entry, answer: Answer, retries: Retries, now: float, draw: float
    ) -> Outcome:
        """Return what becomes of *entry*: it stays only if it is to be tried again."""
        entry.attempts += 1
        entry.first_at = now if entry.first_at is None else entry.first_at
        if isinstance(answer, Unanswered):
            entry.error = answer.reason
            if not gives_up(retries, entry.first_at, now):
                self.backlog.postpone(entry, now + backoff(retries, entry.attempts, draw))
                return Retrying(entry.attempts, answer.reason)
        self.backlog.remove(entry.notification.id)
        if isinstance(answer, Accepted):
            return Delivered()
        if isinstance(answer, Refused):
            return Failed(answer.reason)
        return Failed(f"given up after {entry.attempts} attempts: {answer.reason}")
