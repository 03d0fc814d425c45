"""The alerts of one group, one a severity: as its cells, and as the state machine has them.

Also which groups there are before anything came: where there is one group only, and it is too
little that is alerted on, that nothing ever came is what has to be told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from tailrace.agents.alerts.rules import Finding, Rule
from tailrace.agents.alerts.transitions import Reading
from tailrace.schemas.matches import Series, SignalId, encode_group, place
from tailrace.tables.alert_groups import AlertGroup, AlertGroups
from tailrace.tables.alert_states import NOTHING, AlertState, Phase

_QUIET: Final = frozenset({Phase.INACTIVE, Phase.RESOLVED, Phase.PENDING, Phase.PENDING_UNKNOWN})
_FIRES: Final = frozenset({Phase.FIRING, Phase.FIRING_NO_DATA, Phase.FIRING_UNKNOWN})
THE_ONLY: Final = encode_group(())
"""The group of a definition without `group_by`."""


def state_of(group: AlertGroup, severity: str) -> AlertState:
    """Return the state of the alert with that severity."""
    cells = group.alerts.get(severity)
    return NOTHING if cells is None else AlertState.from_cells(cells)


def remember(group: AlertGroup, severity: str, state: AlertState) -> None:
    """Let *state* be that of the alert with that severity."""
    if state.is_blank:
        group.alerts.pop(severity, None)
    else:
        group.alerts[severity] = state.to_cells()


def reading_of(finding: Finding, rule: Rule, state: AlertState) -> Reading:
    """Return the reading: that there are no data is news only where it was asked for, or fires."""
    if finding.if_firing is not None and state.phase in _FIRES:
        return finding.if_firing
    if finding.reading is Reading.NO_DATA and not rule.tells_no_data and state.phase in _QUIET:
        return Reading.OK
    return finding.reading


def is_over(group: AlertGroup) -> bool:
    """True if nothing is left that could matter to anyone."""
    is_empty = not any(map(len, group.moving))
    return is_empty and all(
        AlertState.from_cells(cells).phase is Phase.GONE for cells in group.alerts.values()
    )


def unmet(
    rules: Mapping[bytes, Rule], groups: AlertGroups, partition: int, partitions: int
) -> Iterator[bytes]:
    """Yield the owners, in order, whose only group should be here though nothing of it came yet.

    It is in the one of *partitions* to which its first event would go.
    """
    for owner in sorted(owner for owner, rule in rules.items() if rule.is_awaited):
        key = Series(SignalId(owner, bytes(4)), THE_ONLY).encode()
        if place(key) % partitions == partition and groups.get(owner, THE_ONLY) is None:
            yield owner
