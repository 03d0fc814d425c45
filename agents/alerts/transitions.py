"""What readings and time do to an alert, as tables. Its laws: see `states`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, Literal, NamedTuple, TypeAlias

from tailrace.schemas.alert_events import Status
from tailrace.schemas.definitions.alert import AlertSpec, FlapDamping
from tailrace.schemas.definitions.slo import SloSpec
from tailrace.schemas.durations import HOUR, MILLISECOND
from tailrace.tables.alert_states import AlertState, Phase


class Reading(Enum):
    """What an evaluation found."""

    BREACH = auto()
    OK = auto()
    NO_DATA = auto()
    FAILED = auto()
    """There is no saying: the evaluation itself went wrong."""


class Effect(Enum):
    """What a move does."""

    BEGIN = auto()
    """Begins an episode; told nobody, nor is NOTE or FORGET."""
    NOTE = auto()
    """Counts for flapping."""
    FORGET = auto()
    PENDING = auto()
    FIRE = auto()
    REFRESH = auto()
    """It still fires, or fires again after it was not known: no news to whoever was paged."""
    RESOLVE = auto()
    NO_DATA = auto()
    UNKNOWN = auto()

    @property
    def status(self) -> Status:
        """The status of the event that tells it."""
        return _STATUSES[self]


_STATUSES: Final[Mapping[Effect, Status]] = {
    Effect.PENDING: "pending",
    Effect.FIRE: "firing",
    Effect.REFRESH: "firing",
    Effect.RESOLVE: "resolved",
    Effect.NO_DATA: "no_data",
    Effect.UNKNOWN: "unknown",
}


@dataclass(frozen=True, slots=True)
class Timing:
    """How long, in ms. A state means the same under another timing: what waits goes by the new one.

    `no_data` is `tell`, or what a reading without data is taken for.
    """

    for_ms: int = 0
    keep_ms: int = 0
    changes: int = 6
    within_ms: int = 1_800_000
    repeat_ms: int = 60_000
    resolved_retention_ms: int = 900_000
    gone_after_ms: int = 86_400_000
    no_data: Literal["tell", "ok", "breach"] = "tell"

    @classmethod
    def of(cls, spec: AlertSpec | SloSpec) -> Timing:
        """Return what *spec* says, and defaults for what it cannot say."""
        pending_for, flapping, gone_after = 0, FlapDamping(), 24 * HOUR
        if isinstance(spec, AlertSpec):
            pending_for, flapping = spec.pending_for, spec.flapping
            gone_after = spec.is_gone_after
        return cls(
            pending_for // MILLISECOND,
            spec.keep_firing_for // MILLISECOND,
            flapping.changes,
            flapping.within // MILLISECOND,
            gone_after_ms=gone_after // MILLISECOND,
        )


class Move(NamedTuple):
    """Where an alert goes, and what is done on the way."""

    to: Phase
    effects: tuple[Effect, ...] = ()


_BREACHES = Move(Phase.PENDING, (Effect.BEGIN, Effect.PENDING))
_BEGINS_NO_DATA = Move(Phase.NO_DATA, (Effect.BEGIN, Effect.NO_DATA))
_BEGINS_UNKNOWN = Move(Phase.UNKNOWN, (Effect.BEGIN, Effect.UNKNOWN))
_IS_ANOTHER = Move(Phase.PENDING, (Effect.RESOLVE, Effect.BEGIN, Effect.PENDING))
_RESOLVES = Move(Phase.RESOLVED, (Effect.RESOLVE,))
_COMES_TO_NOTHING = Move(Phase.INACTIVE)
_FIRES_ON = Move(Phase.FIRING)
_FLAPS = Move(Phase.FIRING, (Effect.NOTE,))
_CALMS = Move(Phase.KEEP_FIRING)
_STILL_FIRES = Move(Phase.FIRING, (Effect.REFRESH,))
_HAS_CALMED = Move(Phase.KEEP_FIRING, (Effect.REFRESH,))
_PENDS_ON = Move(Phase.PENDING)
_PENDS_UNKNOWN = Move(Phase.PENDING_UNKNOWN)
_FIRES = Move(Phase.FIRING, (Effect.NOTE, Effect.FIRE))
_NO_DATA = Move(Phase.NO_DATA, (Effect.NO_DATA,))
_IS_UNKNOWN = Move(Phase.UNKNOWN, (Effect.UNKNOWN,))
_FIRES_NO_DATA = Move(Phase.FIRING_NO_DATA, (Effect.NO_DATA,))
_FIRES_UNKNOWN = Move(Phase.FIRING_UNKNOWN, (Effect.UNKNOWN,))
_STAYS = None

# fmt: off
_ROWS: Final[Mapping[Phase, tuple[Move | None, ...]]] = {
    # it is                BREACH        OK                   NO_DATA           FAILED
    Phase.INACTIVE:       (_BREACHES,    _STAYS,              _BEGINS_NO_DATA,  _BEGINS_UNKNOWN),
    Phase.RESOLVED:       (_BREACHES,    _STAYS,              _BEGINS_NO_DATA,  _BEGINS_UNKNOWN),
    Phase.PENDING:        (_STAYS,       _COMES_TO_NOTHING,   _BEGINS_NO_DATA,  _PENDS_UNKNOWN),
    Phase.PENDING_UNKNOWN:(_PENDS_ON,    _COMES_TO_NOTHING,   _BEGINS_NO_DATA,  _STAYS),
    Phase.OVERDUE:        (_FIRES,       _RESOLVES,           _NO_DATA,         _STAYS),
    Phase.FIRING:         (_STAYS,       _CALMS,              _FIRES_NO_DATA,   _FIRES_UNKNOWN),
    Phase.KEEP_FIRING:    (_FIRES_ON,    _STAYS,              _FIRES_NO_DATA,   _FIRES_UNKNOWN),
    Phase.FLAPPING:       (_FLAPS,       _STAYS,              _FIRES_NO_DATA,   _FIRES_UNKNOWN),
    Phase.FIRING_NO_DATA: (_STILL_FIRES, _HAS_CALMED,         _STAYS,           _FIRES_UNKNOWN),
    Phase.FIRING_UNKNOWN: (_STILL_FIRES, _HAS_CALMED,         _FIRES_NO_DATA,   _STAYS),
    Phase.NO_DATA:        (_IS_ANOTHER,  _RESOLVES,           _STAYS,           _IS_UNKNOWN),
    Phase.UNKNOWN:        (_IS_ANOTHER,  _RESOLVES,           _NO_DATA,         _STAYS),
    Phase.GONE:           (_BREACHES,    _COMES_TO_NOTHING,   _STAYS,           _STAYS),
}
# fmt: on
READ: Final = {
    (phase, reading): move or Move(phase)
    for phase, moves in _ROWS.items()
    for reading, move in zip(Reading, moves, strict=True)
}
"""What a reading does, by the phase in which it comes."""


def _fires_at(state: AlertState, timing: Timing) -> int:
    """When `for` is over. Without one it always is."""
    return state.starts_at + timing.for_ms if timing.for_ms else 0


def _calm_at(state: AlertState, timing: Timing) -> int:
    """When there will have been fewer than `changes` changes in `within_ms`."""
    changes = state.changes[-timing.changes :]
    return changes[0] + timing.within_ms if len(changes) == timing.changes else 0


def _forgotten_at(state: AlertState, timing: Timing) -> int:
    """When neither the next episode's start nor flapping depends on it any more."""
    changed_at = state.changes[-1] + timing.within_ms if state.changes else 0
    return max(state.starts_at + 1, changed_at)


def _gone_at(state: AlertState, timing: Timing) -> int:
    """When nobody waits for data any more: not before flapping is over."""
    return state.since + max(timing.gone_after_ms, timing.within_ms)


_When: TypeAlias = Callable[[AlertState, Timing], int]

DUE: Final[Mapping[Phase, tuple[_When, Move]]] = {
    Phase.PENDING: (_fires_at, _FIRES),
    Phase.PENDING_UNKNOWN: (_fires_at, Move(Phase.OVERDUE, (Effect.UNKNOWN,))),
    Phase.KEEP_FIRING: (
        lambda state, timing: state.since + timing.keep_ms,
        Move(Phase.FLAPPING, (Effect.NOTE,)),
    ),
    Phase.FLAPPING: (_calm_at, _RESOLVES),
    Phase.RESOLVED: (
        lambda state, timing: state.since + timing.resolved_retention_ms,
        Move(Phase.INACTIVE),
    ),
    Phase.INACTIVE: (_forgotten_at, Move(Phase.INACTIVE, (Effect.FORGET,))),
    Phase.NO_DATA: (_gone_at, Move(Phase.GONE, (Effect.RESOLVE,))),
    Phase.FIRING_NO_DATA: (_gone_at, Move(Phase.GONE, (Effect.NOTE, Effect.RESOLVE))),
}
"""What time does, and when. An alert passes through phases that are over when they begin."""

_STOPS = Move(Phase.RESOLVED, (Effect.NOTE, Effect.RESOLVE))
END: Final[Mapping[Phase, Move]] = {
    Phase.PENDING: _COMES_TO_NOTHING,
    Phase.PENDING_UNKNOWN: _COMES_TO_NOTHING,
    Phase.OVERDUE: _RESOLVES,
    Phase.FIRING: _STOPS,
    Phase.KEEP_FIRING: _STOPS,
    Phase.FLAPPING: _RESOLVES,
    Phase.FIRING_NO_DATA: _STOPS,
    Phase.FIRING_UNKNOWN: _STOPS,
    Phase.NO_DATA: _RESOLVES,
    Phase.UNKNOWN: _RESOLVES,
}
"""What it does to an alert that its definition is gone, or has this severity no more."""
