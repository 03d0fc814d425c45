"""The life of an alert: each row of its tables by example, and its laws."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import pairwise
from typing import NamedTuple, TypeAlias

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.agents.alerts.states import Step, Told, ended, next_due, step
from tailrace.agents.alerts.transitions import DUE, END, READ, Effect, Reading, Timing
from tailrace.schemas.definitions.alert import AlertSpec
from tailrace.schemas.definitions.slo import SloSpec
from tailrace.tables.alert_states import NOTHING, AlertState, Phase

B, OK, ND, F = Reading.BREACH, Reading.OK, Reading.NO_DATA, Reading.FAILED
Heard: TypeAlias = tuple[int, str, int]
"""When something was told, what, and of the episode that started when."""

calm = partial(Timing, changes=100)
PLAIN = calm()


class Case(NamedTuple):
    timing: Timing
    readings: Sequence[tuple[int, Reading]]
    heard: Sequence[Heard]


CASES = {
    "a breach without `for` fires at once and resolves at once": Case(
        PLAIN,
        [(1, OK), (2, B), (3, B), (4, OK), (5, OK)],
        [(2, "FIRE", 2), (4, "RESOLVE", 2)],
    ),
    "with `for` it is pending first and keeps the start of the breach": Case(
        calm(for_ms=10),
        [(5, B), (14, B), (15, B), (16, OK)],
        [(5, "PENDING", 5), (15, "FIRE", 5), (16, "RESOLVE", 5)],
    ),
    "a breach shorter than `for` comes to nothing": Case(
        calm(for_ms=10),
        [(5, B), (14, OK), (15, B), (24, OK)],
        [(5, "PENDING", 5), (15, "PENDING", 15)],
    ),
    "a breach again within keep_firing_for is the same episode": Case(
        calm(keep_ms=10),
        [(1, B), (2, OK), (11, B), (12, OK), (21, OK), (22, OK)],
        [(1, "FIRE", 1), (22, "RESOLVE", 1)],
    ),
    "a breach after the resolution is another episode": Case(
        PLAIN,
        [(1, B), (2, OK), (3, B)],
        [(1, "FIRE", 1), (2, "RESOLVE", 1), (3, "FIRE", 3)],
    ),
    "a breach in the millisecond of the one before is another episode": Case(
        PLAIN,
        [(1, B), (1, OK), (1, B), (1, OK), (1, B)],
        [
            *((1, "FIRE", 1), (1, "RESOLVE", 1), (1, "FIRE", 2)),
            *((1, "RESOLVE", 2), (1, "FIRE", 3)),
        ],
    ),
    "a pending alert in the millisecond of the one before is another episode": Case(
        calm(for_ms=10),
        [(1, B), (1, OK), (1, B), (12, B)],
        [(1, "PENDING", 1), (1, "PENDING", 2), (12, "FIRE", 2)],
    ),
    "data that go away while it fires leave it as it is": Case(
        PLAIN,
        [(1, B), (2, ND), (3, ND), (4, B), (5, OK)],
        [(1, "FIRE", 1), (2, "NO_DATA", 1), (4, "REFRESH", 1), (5, "RESOLVE", 1)],
    ),
    "what fired before data went away resolves when they are back and good": Case(
        PLAIN,
        [(1, B), (2, ND), (3, OK)],
        [(1, "FIRE", 1), (2, "NO_DATA", 1), (3, "RESOLVE", 1)],
    ),
    "what fired before data went away goes through keep_firing_for when they are back": Case(
        calm(keep_ms=10),
        [(1, B), (2, ND), (3, OK), (13, OK)],
        [(1, "FIRE", 1), (2, "NO_DATA", 1), (3, "REFRESH", 1), (13, "RESOLVE", 1)],
    ),
    "an evaluation that fails while it fires leaves it as it is": Case(
        PLAIN,
        [(1, B), (2, F), (3, F), (4, ND), (5, F), (6, B), (7, OK)],
        [
            *((1, "FIRE", 1), (2, "UNKNOWN", 1), (4, "NO_DATA", 1), (5, "UNKNOWN", 1)),
            *((6, "REFRESH", 1), (7, "RESOLVE", 1)),
        ],
    ),
    "no data while nothing is wrong is an episode of its own": Case(
        PLAIN,
        [(1, OK), (2, ND), (3, ND), (4, OK), (5, ND), (6, B)],
        [
            *((2, "NO_DATA", 2), (4, "RESOLVE", 2), (5, "NO_DATA", 5)),
            *((6, "RESOLVE", 5), (6, "FIRE", 6)),
        ],
    ),
    "a failing evaluation while nothing is wrong is an episode of its own": Case(
        PLAIN,
        [(2, F), (3, ND), (4, F), (5, OK)],
        [(2, "UNKNOWN", 2), (3, "NO_DATA", 2), (4, "UNKNOWN", 2), (5, "RESOLVE", 2)],
    ),
    "`for` runs on while the evaluation fails": Case(
        calm(for_ms=10),
        [(1, B), (5, F), (6, B), (10, F), (11, B), (22, OK)],
        [(1, "PENDING", 1), (11, "FIRE", 1), (22, "RESOLVE", 1)],
    ),
    "an evaluation that failed while pending and is good again comes to nothing": Case(
        calm(for_ms=10), [(1, B), (5, F), (6, OK), (20, OK)], [(1, "PENDING", 1)]
    ),
    "an evaluation that fails when `for` is over is told, and fires when it works again": Case(
        calm(for_ms=10),
        [(1, B), (5, F), (11, F), (20, F), (21, B), (22, OK)],
        [(1, "PENDING", 1), (11, "UNKNOWN", 1), (21, "FIRE", 1), (22, "RESOLVE", 1)],
    ),
    "an evaluation that fails when `for` is over and is good again is resolved": Case(
        calm(for_ms=10),
        [(1, B), (11, F), (12, ND), (13, F), (14, OK)],
        [
            *((1, "PENDING", 1), (11, "UNKNOWN", 1), (12, "NO_DATA", 1)),
            *((13, "UNKNOWN", 1), (14, "RESOLVE", 1)),
        ],
    ),
    "`for` begins anew when data were away": Case(
        calm(for_ms=10),
        [(1, B), (5, ND), (12, B), (22, B)],
        [
            *((1, "PENDING", 1), (5, "NO_DATA", 5), (12, "RESOLVE", 5)),
            *((12, "PENDING", 12), (22, "FIRE", 12)),
        ],
    ),
    "what is long without data is gone, and told so once": Case(
        calm(gone_after_ms=100, within_ms=50),
        [(1, B), (2, ND), (101, ND), (102, ND), (500, ND), (501, F), (502, B)],
        [(1, "FIRE", 1), (2, "NO_DATA", 1), (102, "RESOLVE", 1), (502, "FIRE", 502)],
    ),
    "what never fired and is long without data is gone too": Case(
        calm(gone_after_ms=100, within_ms=50),
        [(1, ND), (101, ND), (500, ND), (502, OK), (503, ND)],
        [(1, "NO_DATA", 1), (101, "RESOLVE", 1), (503, "NO_DATA", 503)],
    ),
    "nothing is gone before flapping is over": Case(
        Timing(changes=2, within_ms=100, gone_after_ms=10),
        [(0, B), (1, ND), (100, ND), (101, ND)],
        [(0, "FIRE", 0), (1, "NO_DATA", 0), (101, "RESOLVE", 0)],
    ),
    "no data taken for a good reading resolves": Case(
        calm(no_data="ok"),
        [(1, B), (2, ND)],
        [(1, "FIRE", 1), (2, "RESOLVE", 1)],
    ),
    "no data taken for a breach fires": Case(
        calm(no_data="breach"), [(1, ND), (2, B)], [(1, "FIRE", 1)]
    ),
    "while it fires it is told again every repeat": Case(
        calm(repeat_ms=10, keep_ms=15),
        [(1, B), (10, B), (11, B), (20, OK), (21, OK), (34, OK), (35, OK), (50, OK)],
        [
            *((1, "FIRE", 1), (11, "REFRESH", 1), (21, "REFRESH", 1)),
            *((34, "REFRESH", 1), (35, "RESOLVE", 1)),
        ],
    ),
    "an alert that changes too often stays firing until it is calm": Case(
        Timing(changes=4, within_ms=100),
        [(0, B), (10, OK), (20, B), (30, OK), (40, B), (50, OK), (119, OK), (120, OK)],
        # Withheld at 30, the fourth change. At 120, that of 20 is as old as the window.
        [(0, "FIRE", 0), (10, "RESOLVE", 0), (20, "FIRE", 20), (120, "RESOLVE", 20)],
    ),
    "a change that is as old as the window does not count": Case(
        Timing(changes=4, within_ms=100),
        [(0, B), (10, OK), (20, B), (100, OK)],
        [(0, "FIRE", 0), (10, "RESOLVE", 0), (20, "FIRE", 20), (100, "RESOLVE", 20)],
    ),
    "flapping is remembered when the resolved alert is long forgotten": Case(
        Timing(changes=4, within_ms=100, resolved_retention_ms=5),
        [(0, B), (10, OK), (40, OK), (50, B), (60, OK), (99, OK), (100, OK)],
        [(0, "FIRE", 0), (10, "RESOLVE", 0), (50, "FIRE", 50), (100, "RESOLVE", 50)],
    ),
}


def heard(now: int, told: Iterable[Told]) -> list[Heard]:
    return [(now, each.effect.name, each.starts_at) for each in told]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_life(case: Case) -> None:
    state, events = NOTHING, list[Heard]()
    for now, reading in case.readings:
        state, told, _ = step(state, reading, now, case.timing)
        events += heard(now, told)
    assert events == list(case.heard)


def test_each_phase_has_a_move_for_each_reading() -> None:
    assert set(READ) == {(phase, reading) for phase in Phase for reading in Reading}


def test_a_resolution_says_when_it_was() -> None:
    state = step(NOTHING, B, 1, PLAIN).state
    assert step(state, OK, 7, PLAIN).told == (Told(Effect.RESOLVE, 1, 7),)


ENDED = {
    "nothing": ([(1, OK)], []),
    "a pending alert is told nothing": ([(1, B)], []),
    "a pending alert that fails is told nothing": ([(1, B), (2, F)], []),
    "an overdue alert is resolved": ([(1, B), (11, F)], [("RESOLVE", 1)]),
    "a firing alert is resolved": ([(1, B), (11, B)], [("RESOLVE", 1)]),
    "one that keeps firing is resolved": ([(1, B), (11, B), (12, OK)], [("RESOLVE", 1)]),
    "one that fires without data is resolved": ([(1, B), (11, B), (12, ND)], [("RESOLVE", 1)]),
    "one that fires unseen is resolved": ([(1, B), (11, B), (12, F)], [("RESOLVE", 1)]),
    "one without data is resolved": ([(1, ND)], [("RESOLVE", 1)]),
    "one of which nothing is known is resolved": ([(1, F)], [("RESOLVE", 1)]),
    "a resolved one is told nothing": ([(1, B), (11, B), (12, OK), (22, OK)], []),
}


@pytest.mark.parametrize(("readings", "told"), ENDED.values(), ids=ENDED)
def test_the_definition_goes(
    readings: list[tuple[int, Reading]], told: list[tuple[str, int]]
) -> None:
    timing = calm(for_ms=10, keep_ms=10)
    state = NOTHING
    for now, reading in readings:
        state = step(state, reading, now, timing).state
    left = ended(state, 30, timing)
    assert [(each.effect.name, each.starts_at) for each in left.told] == told
    assert not ended(left.state, 30, timing).told


def test_timing_is_what_the_definition_says() -> None:
    where = {"where": {"status": "error"}, "when": ">= 1"}
    flapping = {"changes": 2, "within": "1m"}
    alert = {**where, "for": "2m", "keep_firing_for": "3s", "flapping": flapping}
    assert Timing.of(AlertSpec.model_validate(alert)) == Timing(
        120_000, 3000, 2, 60_000, gone_after_ms=3_600_000
    )
    news = {**where, "no_data_after": "5m"}
    assert Timing.of(AlertSpec.model_validate(news)) == Timing(0, 0, 6, 1_800_000)
    slo = {"sli": {"availability": {"of": {}}}, "objective": 99.9, "keep_firing_for": "3s"}
    assert Timing.of(SloSpec.model_validate(slo)) == Timing(0, 3000, 6, 1_800_000)


@pytest.mark.parametrize("cells", [[], [2, "firing", 1, 1, 1, []]], ids=["none", "newer"])
def test_cells_of_another_version_are_refused(cells: list[object]) -> None:
    with pytest.raises(ValueError, match="this reads 1"):
        AlertState.from_cells(cells)


TIMES = st.sampled_from([0, 1, 3, 10, 50])
timings = st.builds(
    Timing,
    for_ms=TIMES,
    keep_ms=TIMES,
    changes=st.integers(2, 6),
    within_ms=st.sampled_from([1, 10, 50, 200]),
    repeat_ms=st.sampled_from([1, 7, 60_000]),
    resolved_retention_ms=TIMES,
    gone_after_ms=st.sampled_from([5, 60_000]),
    no_data=st.sampled_from(["tell", "tell", "ok", "breach"]),
)
MOSTLY = st.sampled_from([B, B, B, OK, OK, OK, ND, F])
histories = st.lists(st.tuples(st.integers(0, 30), MOSTLY), max_size=60)
"""Readings, each as long as the next one lets it be."""


class Run:
    """A life as the engine leads it: evaluated when something is new, and when something is due."""

    def __init__(self, timing: Timing) -> None:
        self.timing = timing
        self.state = NOTHING
        self.reading = OK
        self.now = 0
        self.heard: list[Heard] = []

    def read(self, reading: Reading) -> Step:
        self.reading = reading
        taken = step(self.state, reading, self.now, self.timing)
        self.state = taken.state
        self.heard += heard(self.now, taken.told)
        assert taken.next_due == next_due(self.state, self.timing)
        return taken

    def until(self, end: int) -> None:
        """Let time go on to *end*, and do then what is due."""
        while (due := next_due(self.state, self.timing)) is not None and due <= end:
            assert due > self.now, "what is due is done"
            self.now = due
            self.read(self.reading)
        self.now = end


def lived(timing: Timing, history: Sequence[tuple[int, Reading]]) -> Run:
    run = Run(timing)
    for length, reading in history:
        run.until(run.now + length)
        run.read(reading)
    return run


EPISODE = re.compile(
    "(PENDING )?(UNKNOWN )?FIRE (REFRESH |(NO_DATA |UNKNOWN )+(REFRESH )?)*(RESOLVE )?"
    "|(PENDING )?((NO_DATA |UNKNOWN )+(RESOLVE )?)?"
)
"""What may be told of an episode: it fires once, or never and there is something to resolve."""


def episodes(events: Iterable[Heard]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for _, effect, starts_at in events:
        found.setdefault(starts_at, []).append(effect)
    return found


def check_episodes(events: Sequence[Heard]) -> None:
    assert [start for _, _, start in events] == sorted(start for _, _, start in events)
    for told in episodes(events).values():
        assert told.count("FIRE") <= 1
        assert EPISODE.fullmatch("".join(f"{effect} " for effect in told)), told
    for before, after in pairwise(episodes(events).values()):
        is_over = before[-1] == "RESOLVE" or set(before) == {"PENDING"}
        assert is_over, (before, after)


@given(timings, histories)
def test_each_episode_fires_once_and_is_over_before_the_next(
    timing: Timing, history: list[tuple[int, Reading]]
) -> None:
    check_episodes(lived(timing, history).heard)


@given(st.lists(st.tuples(st.integers(0, 30), MOSTLY, timings), max_size=40))
def test_a_definition_may_change_at_any_time(history: list[tuple[int, Reading, Timing]]) -> None:
    state, now, events = NOTHING, 0, list[Heard]()
    for length, reading, timing in history:
        now += length
        state, told, _ = step(state, reading, now, timing)
        events += heard(now, told)
    check_episodes(events)


@given(timings, histories)
def test_who_stays_good_is_resolved_and_forgotten(
    timing: Timing, history: list[tuple[int, Reading]]
) -> None:
    run = lived(timing, history)
    run.read(OK)
    waits = timing.keep_ms + timing.within_ms + timing.resolved_retention_ms
    run.until(run.now + waits + 1 + len(history))  # episodes of one millisecond start later
    assert run.state == NOTHING
    check_episodes([*run.heard, (run.now, "PENDING", run.now)])


@given(timings, histories)
def test_a_flapping_alert_does_not_fire_often(
    timing: Timing, history: list[tuple[int, Reading]]
) -> None:
    fired = [now for now, effect, _ in lived(timing, history).heard if effect == "FIRE"]
    for now in fired:
        recent = [at for at in fired if now - timing.within_ms < at <= now]
        assert len(recent) <= -(-timing.changes // 2)


@given(timings, histories, st.data())
def test_evaluating_more_often_changes_nothing(
    timing: Timing, history: list[tuple[int, Reading]], data: st.DataObject
) -> None:
    run = Run(timing)
    for length, reading in history:
        begin = run.now
        for extra in sorted(data.draw(st.lists(st.integers(0, length), max_size=3))):
            run.until(begin + extra)
            before = run.state
            taken = run.read(run.reading)
            assert (taken.state, taken.told) == (before, ())
        run.until(begin + length)
        run.read(reading)
    assert run.heard == lived(timing, history).heard


@given(timings, histories)
def test_a_restart_changes_nothing(timing: Timing, history: list[tuple[int, Reading]]) -> None:
    run = Run(timing)
    for length, reading in history:
        run.until(run.now + length)
        run.read(reading)
        cells = orjson.loads(orjson.dumps(run.state.to_cells()))
        assert AlertState.from_cells(cells) == run.state
        run.state = AlertState.from_cells(cells)
    assert run.heard == lived(timing, history).heard


@given(timings, histories)
def test_what_ends_leaves_nothing_open(timing: Timing, history: list[tuple[int, Reading]]) -> None:
    run = lived(timing, history)
    left = ended(run.state, run.now, timing)
    events = [*run.heard, *heard(run.now, left.told)]
    check_episodes([*events, (run.now, "PENDING", run.now + 1 + len(history))])


def test_what_ends_or_waits_is_of_known_phases() -> None:
    assert set(DUE) <= set(Phase)
    assert set(Phase) - set(END) == {Phase.INACTIVE, Phase.RESOLVED, Phase.GONE}
