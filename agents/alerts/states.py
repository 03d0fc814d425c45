"""The life of one alert instance: a definition, a group and a severity.

Each evaluation is one reading at one time, and times never go back. `READ` says what a reading
does, then `DUE` what time does, for as long as something is due; both name what is told. Laws:

- An *episode* begins with a breach (or when data or the evaluation fail while nothing is wrong) and
  has its `starts_at`, later than that of every episode before it. All events of an episode carry
  it, so its id is a function of stream time: the same after restarts and replays.
- An episode is told `FIRE` at most once, and what was told firing, no_data or unknown is told
  `RESOLVE` in the end, once. Of a pending alert that comes to nothing, no more is told.
- While data are away or the evaluation fails, an alert that fires is told so under its id; when
  they are back it goes on (`REFRESH`), or is resolved. Nothing resolves because nothing was seen,
  but for what has been without data for `gone_after_ms`.
- A breach again within `keep_ms` is the same episode. One after the resolution is another.
- `REFRESH` is for values and evidence, every `repeat_ms` while an alert fires: who pages for it
  has misread it.
- *Flapping*: beginning to fire is a change, and so is the moment at which it would be resolved. If
  there have been `changes` of them in the last `within_ms`, this one included, the resolution is
  withheld until there have been fewer. So of any `within_ms`, an instance begins to fire at most
  changes/2 times, rounded up.
- Of one episode and evaluation, only the last thing is told: an alert without `for` is not pending.

- A failed evaluation leaves `for` running, and is told when `for` is over and it still fails;
  missing data are the end of a pending alert.

Prometheus agrees on `for` and `keep_firing_for`; Grafana on no data and errors as states of their
own.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, NamedTuple

from tailrace.agents.alerts.transitions import DUE, END, READ, Effect, Move, Reading, Timing
from tailrace.tables.alert_states import NOTHING, AlertState, Phase


class Told(NamedTuple):
    """An event to send. `ends_at` is set if it is a resolution."""

    effect: Effect
    starts_at: int
    ends_at: int | None = None


class Step(NamedTuple):
    """What an evaluation comes to. `next_due`: when time alone may do something; None: never.

    Nobody needs to evaluate before then but for new data. A blank state needs no row.
    """

    state: AlertState
    told: tuple[Told, ...]
    next_due: int | None


_FIRES: Final = frozenset({Phase.FIRING, Phase.KEEP_FIRING, Phase.FLAPPING})


def step(state: AlertState, reading: Reading, now: int, timing: Timing) -> Step:
    """Return what *reading* at *now* makes of *state*, and what is told of it.

    *now* (ms) is not before that of the step before.
    """
    if reading is Reading.NO_DATA:
        reading = _TAKEN_FOR[timing.no_data]
    if reading is Reading.OK and state is NOTHING:
        return _NOTHING_NEW
    life = _Life(state, now, timing)
    life.move(READ[state.phase, reading])
    life.pass_time()
    return life.step()


def ended(state: AlertState, now: int, timing: Timing) -> Step:
    """Return what is left of *state*: who was told of it is told that it is over."""
    life = _Life(state, now, timing)
    if state.phase in END:
        life.move(END[state.phase])
    return life.step()


def next_due(state: AlertState, timing: Timing) -> int | None:
    """Return when *state* is to be evaluated again though nothing new came; None: never."""
    refresh = state.told_at + timing.repeat_ms if state.phase in _FIRES else None
    if state.phase not in DUE or state == NOTHING:
        return refresh
    due = DUE[state.phase][0](state, timing)
    return due if refresh is None else min(due, refresh)


_TAKEN_FOR: Final = {"tell": Reading.NO_DATA, "ok": Reading.OK, "breach": Reading.BREACH}
_NOTHING_NEW: Final = Step(NOTHING, (), None)


class _Life:
    """The moves of one step."""

    def __init__(self, state: AlertState, now: int, timing: Timing) -> None:
        self._state = state
        self._now = now
        self._timing = timing
        self._told: dict[int, Effect] = {}

    def move(self, move: Move) -> None:
        for effect in move.effects:
            self._do(effect)
        if move.to is not self._state.phase:
            self._state = replace(self._state, phase=move.to, since=self._now)

    def pass_time(self) -> None:
        """Do what is due, and what is due by that."""
        while self._state.phase in DUE and self._state != NOTHING:
            when, move = DUE[self._state.phase]
            if when(self._state, self._timing) > self._now:
                break
            self.move(move)
        repeat_at = self._state.told_at + self._timing.repeat_ms
        if self._state.phase in _FIRES and not self._told and repeat_at <= self._now:
            self._do(Effect.REFRESH)

    def step(self) -> Step:
        """Return what it came to."""
        state = self._state
        if self._told and state != NOTHING:
            state = replace(state, told_at=self._now)
        told = tuple(
            Told(effect, starts_at, self._now if effect is Effect.RESOLVE else None)
            for starts_at, effect in self._told.items()
        )
        return Step(state, told, next_due(state, self._timing))

    def _do(self, effect: Effect) -> None:
        state = self._state
        if effect is Effect.BEGIN:
            self._state = replace(state, starts_at=max(self._now, state.starts_at + 1))
        elif effect is Effect.NOTE:
            changes = (*state.changes, self._now)[-self._timing.changes :]
            self._state = replace(state, changes=changes)
        elif effect is Effect.FORGET:
            self._state = NOTHING
        else:
            self._told[state.starts_at] = effect
