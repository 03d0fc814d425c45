"""Labels of alerts, and what matches them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from tailrace.schemas.alert_events import AlertEvent
from tailrace.schemas.definitions.conditions import Condition
from tailrace.schemas.definitions.filters import Matcher

Labels: TypeAlias = Mapping[str, str]


def labels_of(event: AlertEvent) -> dict[str, str]:
    """Return the labels of *event*, and what it is by itself, which hides labels of that name.

    The name of its definition is `name`, and `alertname` as in Alertmanager.
    """
    return {
        **event.labels,
        "tenant": event.tenant,
        "name": event.name,
        "alertname": event.name,
        "kind": event.kind,
        "severity": event.severity,
    }


class LabelTest:
    """All of *matchers* hold. A missing label is like an empty one for the negative ones."""

    def __init__(self, matchers: Mapping[str, Matcher]) -> None:
        self._conditions = [(key, Condition(each)) for key, each in matchers.items()]

    def holds(self, labels: Labels) -> bool:
        """True if *labels* are as asked for."""
        return all(condition.holds(labels.get(key)) for key, condition in self._conditions)
