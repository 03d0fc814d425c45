"""What RED is told: which metrics there are, and which labels each of them has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tailrace.agents.red.dimensions import Dimensions, LabelSet, Names
from tailrace.schemas.label_rules import LabelRules
from tailrace.schemas.series import CALLS, EVENTS, RED, calls_layout, events_layout, red_layout
from tailrace.schemas.spans import AttributeColumn
from tailrace.schemas.sums import Layout

NO_LABELS: Final = LabelSet()


def _only(key: str) -> tuple[str, ...]:
    return (key,)


@dataclass(frozen=True, slots=True)
class RedSettings:
    """Each metric with its labels; None: it is not counted.

    `durations` tell calls too, unless `calls` have labels of their own. One of the two is there.
    `bounds_ns`: of the buckets, inclusive; or `max_size`, if the histogram is exponential, in a
    unit of `unit_ns`.
    """

    durations: LabelSet | None = NO_LABELS
    bounds_ns: tuple[int, ...] = ()
    names: Names = _only
    calls: LabelSet | None = None
    events: LabelSet | None = None
    max_size: int = 0
    unit_ns: int = 0
    excluded: frozenset[str] = frozenset()
    """Of the labels that every series has, those that are left out."""
    scopes: frozenset[str] = frozenset()
    """Instrumentation scopes that are labels."""
    resource_keys: frozenset[str] = frozenset()
    """The attributes that series keep of a resource; none: all."""
    tells_method: bool = False
    """True if a label tells spans that stand for others from those that were all counted."""
    tells_tenant: bool = False
    """True if the tenant is a label."""
    rules: LabelRules | None = None
    """What resources and labels have to be before anything is written of them."""

    @property
    def families(self) -> dict[str, LabelSet]:
        """The labels of each family of series; the first has every span."""
        found = {RED: self.durations, CALLS: self.calls, EVENTS: self.events}
        return {family: labels for family, labels in found.items() if labels is not None}

    def layout(self, family: str) -> Layout:
        """Return what rows of *family* mean."""
        if family == RED:
            return red_layout(self.bounds_ns, self.max_size, self.unit_ns if self.max_size else 0)
        return calls_layout() if family == CALLS else events_layout()

    @property
    def asks_for_scopes(self) -> bool:
        """True if batches must have instrumentation scopes."""
        return bool(self.scopes)

    @property
    def asks_for_events(self) -> bool:
        """True if batches must have events."""
        return self.events is not None

    @property
    def columns(self) -> tuple[AttributeColumn, ...]:
        """The columns that batches must have; resources come whole with every batch."""
        found = [
            column
            for family, labels in self.families.items()
            for column in Dimensions(labels, self.names, of_events=family == EVENTS).columns
        ]
        return tuple(dict.fromkeys(found))
