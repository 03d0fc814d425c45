"""One tenant's rules, and which of its alerts are not over."""

from __future__ import annotations

from dataclasses import dataclass, field

from tailrace.agents.notifier.inhibition import Calls, Inhibitor
from tailrace.agents.notifier.labels import Labels, labels_of
from tailrace.agents.notifier.rules import NO_RULES, Rules
from tailrace.schemas.alert_events import AlertEvent


@dataclass(slots=True)
class Tenant:
    """In memory only: all of it follows from the definitions, the calls and the alerts."""

    rules: Rules = NO_RULES
    is_informed: bool = False
    """`rules` are those that the definitions have; never before they were told."""
    active: dict[str, Labels] = field(default_factory=dict)
    """The labels by event id."""
    inhibitor: Inhibitor = field(default_factory=lambda: Inhibitor((), {}))

    def put(self, event: AlertEvent) -> Labels:
        """Let *event* be there, or be there as it is now; return its labels."""
        labels = self.active[event.id] = labels_of(event)
        self.inhibitor.put(event, labels)
        return labels

    def remove(self, id: str) -> None:
        """Let the alert *id* be over."""
        self.active.pop(id, None)
        self.inhibitor.remove(id)

    def go_by(self, rules: Rules, calls: Calls, events: list[AlertEvent]) -> None:
        """Go by *rules* and *calls* from now on; *events* are there."""
        self.rules = rules
        self.inhibitor = Inhibitor(rules.inhibit, calls)
        for event in events:
            self.put(event)
