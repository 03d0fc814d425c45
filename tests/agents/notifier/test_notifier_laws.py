"""Whatever happens, in whatever order: nobody is paged twice for one id, and every end is told."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from hypothesis import event as note
from hypothesis import example, given
from hypothesis import strategies as st

from tailrace.schemas.alert_events import AlertEvent, Status
from tailrace.schemas.definitions import Definition
from tailrace.schemas.notifications import Delivered, Failed, Notification, Retrying
from tests.agents.notifier.notified import (
    HOUR,
    MINUTE,
    SECOND,
    START,
    Notified,
    Said,
    event,
    policy,
)
from tests.agents.notifier.test_decision_table import silence, snooze

REPEAT_MS = 10 * MINUTE
TIMES = {"group_interval": "1m", "repeat_interval": "10m"}
WORSE = {
    "inhibit": [
        {"source": {"name": "down"}, "target": {"name": ["errors", "slow"]}},
        {"source": {"name": "slow"}, "target": {"name": ["errors", "down"]}, "equal": ["service"]},
    ]
}
SERIES: Sequence[dict[str, Any]] = [
    {"name": "errors", "service": "a"},
    {"name": "errors", "service": "a", "severity": "critical"},
    {"name": "errors", "service": "b"},
    {"name": "slow", "service": "a"},
    {"name": "down", "service": "a"},
]
POLICIES: Sequence[Definition[Any]] = [
    policy(**TIMES),
    policy(WORSE, **TIMES, group_wait="30s"),
    policy(**TIMES, routes=[{"match": {"service": "a"}, "receiver": "team"}]),
    policy(
        **TIMES,
        group_by=["..."],
        routes=[
            {"match": {"severity": "critical"}, "receiver": "team", "continue": True},
            {"match": {"name": "errors"}, "group_by": ["service"]},
        ],
    ),
]
MUTES: Sequence[Sequence[Definition[Any]]] = [
    (),
    (silence(0, 5 * MINUTE),),
    (silence(2 * MINUTE, 40 * MINUTE, service="a"), snooze(20 * MINUTE)),
    (snooze(30 * MINUTE, "slow"),),
]
STATUSES: Sequence[Status] = ["pending", "firing", "firing", "firing", "no_data", "unknown"]


class Act(NamedTuple):
    """One thing that happens; what it is about, and how long that takes."""

    what: str
    number: int = 0
    status: Status = "firing"
    wait: int = 0


WAITS = st.sampled_from([0, 0, 0, 1, SECOND, 29 * SECOND, MINUTE, 5 * MINUTE, 10 * MINUTE, HOUR])
SERIES_NUMBERS = st.integers(0, len(SERIES) - 1)
HEARD = st.builds(
    Act,
    st.just("hear"),
    SERIES_NUMBERS,
    st.sampled_from([*STATUSES, "resolved", "resolved"]),
    WAITS,
)
ACTS = st.lists(
    st.one_of(
        HEARD,
        HEARD,
        HEARD,
        st.builds(Act, st.just("again"), st.integers(0, 30)),
        st.builds(Act, st.just("pass"), wait=WAITS),
        st.builds(Act, st.just("define"), st.integers(0, 15)),
        st.builds(Act, st.just("deliver"), st.integers(0, 3)),
        st.builds(Act, st.just("lose"), SERIES_NUMBERS),
        st.builds(Act, st.sampled_from(["die", "checkpoint", "restart"])),
    ),
    min_size=20,  # shorter ones tell nobody anything
    max_size=60,
)
QUIET = ("die", "checkpoint", "restart")


class Play:
    """Does one act after the other.

    `made` is every notification that was handed out, once; `delivered` is what arrived.
    """

    def __init__(self, notified: Notified | None = None) -> None:
        self.notified = notified or Notified(POLICIES[0])
        self.made: dict[str, Notification] = {}
        self.delivered: list[Notification] = []
        self.now = 0
        self._open: dict[int, AlertEvent] = {}
        self._heard: list[AlertEvent] = []

    def do(self, act: Act) -> None:
        does: dict[str, Callable[[Act], None]] = {
            "hear": self._hear,
            "again": self._again,
            "pass": self._pass,
            "define": self._define,
            "deliver": self._deliver,
            "die": lambda act: self.notified.die(),
            "checkpoint": lambda act: self.notified.checkpoint(),
            "restart": lambda act: self._restart(),
            "lose": self._lose,
        }
        does[act.what](act)

    def _hear(self, act: Act) -> None:
        """A series does as stage 2 has it: one episode after the other, each later than before."""
        self.now += act.wait
        before = self._open.get(act.number)
        if before is None or before.status == "resolved":
            if act.status == "resolved":
                return
            self.now += 1
        began = (
            self.now
            if before is None or before.status == "resolved"
            else (before.starts_at - START)
        )
        told = event(status=act.status, began=began, at=self.now, **SERIES[act.number])
        self._open[act.number] = told
        self._heard.append(told)
        self.notified.hear(told)

    def _restart(self) -> None:
        self.notified.checkpoint()
        self.notified.die()

    def _lose(self, act: Act) -> None:
        """An episode is over and nobody says so."""
        self._open.pop(act.number, None)

    def _again(self, act: Act) -> None:
        if self._heard:
            old = self._heard[-1 - act.number % len(self._heard)]
            self.notified.hear(old, at=self.now)

    def _pass(self, act: Act) -> None:
        self.now += act.wait
        self.notified.pass_to(self.now)

    def _define(self, act: Act) -> None:
        self.notified.define(POLICIES[act.number % 4], *MUTES[act.number // 4])

    def _deliver(self, act: Act) -> None:
        self.notified.checkpoint()
        overtaken = self.notified.logic.overtaken()
        self.notified.supersede(overtaken)
        for each in self.notified.logic.pending():
            self.made.setdefault(each.id, each)
            outcome = [Delivered(), Delivered(), Failed("no"), Retrying(each.attempts + 1, "wait")]
            self.notified.outcome(each.id, outcome[act.number])
            if act.number < 2:
                self.delivered.append(each)
        assert self.notified.logic.problems(self.notified.totals) == []

    def end(self) -> None:
        """Let everything end, and be told."""
        for number in range(len(SERIES)):
            self.do(Act("hear", number, "unknown", SECOND))
            self.do(Act("hear", number, "resolved", SECOND))
        for _ in range(3):
            self.do(Act("pass", wait=HOUR))
            self.do(Act("deliver"))


def played(acts: Sequence[Act]) -> Play:
    play = Play()
    for act in acts:
        play.do(act)
    play.end()
    return play


class Page(NamedTuple):
    at: int
    status: str
    row: str
    is_news: bool


def pages(made: Sequence[Notification]) -> dict[tuple[str, str], list[Page]]:
    """What each contact point heard of each id, in order."""
    found: dict[tuple[str, str], list[Page]] = defaultdict(list)
    for each in sorted(made, key=lambda each: each.sequence):
        for alert in each.alerts:
            row = each.news.get(alert.id, "")
            page = Page(each.created_at, alert.status, row, bool(row))
            found[each.contact_point, alert.id].append(page)
    return found


@given(ACTS)
@example(
    [
        Act("hear", 1),
        Act("pass", wait=SECOND),
        Act("deliver"),
        Act("hear", 0, "pending", 10 * MINUTE),
        Act("define", 1),
        Act("hear", 0, "pending", 10 * MINUTE),
        Act("deliver", 2),
        Act("pass", wait=MINUTE),
    ]
)
@example(
    [
        Act("hear", 0),
        Act("hear", 1),
        Act("lose", 1),
        Act("hear", 1),
        Act("hear", 0, "pending", 1),
        Act("deliver", 2),
    ]
)
def test_nobody_is_paged_twice_for_one_id_but_by_a_row_that_says_so(acts: Sequence[Act]) -> None:
    for told in pages(played(acts).delivered).values():
        first = [page for page in told if page.row == "new" or page.row == "worse"]
        assert len(first) <= 1 + any(page.status == "no_data" for page in told)
        # Who is told of news alone hears of it, whatever failed before or was overtaken.
        fires = [page for page in told if page.status != "resolved"]
        assert any(page.is_news for page in fires) or not fires
        for before, page in pairwise(told):
            note(page.row or "along with the group")
            if page.row.endswith("interval passed"):
                assert page.at - before.at >= REPEAT_MS


@given(ACTS)
def test_whoever_was_told_that_it_fires_is_told_once_that_it_ended(acts: Sequence[Act]) -> None:
    for told in pages(list(played(acts).made.values())).values():
        ends = [page for page in told if page.status == "resolved"]
        assert len(ends) == 1
        assert told[-1] == ends[0]
        assert len(told) > 1


@given(ACTS)
def test_what_fails_is_told_in_the_end_if_it_is_worth_it(acts: Sequence[Act]) -> None:
    play = played(acts)
    arrived = pages(play.delivered)
    for heard_by, told in pages(list(play.made.values())).items():
        assert told[-1] == arrived[heard_by][-1]
        assert [page.status for page in arrived[heard_by]].count("resolved") == 1


@given(ACTS)
def test_no_notification_is_without_news(acts: Sequence[Act]) -> None:
    for each in played(acts).made.values():
        assert each.news
        assert each.news.keys() <= {alert.id for alert in each.alerts}
        assert (each.status == "firing") == any(a.status != "resolved" for a in each.alerts)


@given(ACTS)
def test_nothing_is_kept_of_what_is_over_for_long(acts: Sequence[Act]) -> None:
    play = played(acts)
    play.do(Act("pass", wait=8 * 24 * HOUR))
    play.do(Act("checkpoint"))
    left = {key[:2] for key, _ in play.notified.store.scan(b"n")}
    assert left <= {b"nf", b"ns"}
    assert play.notified.logic.undelivered() == []


@given(ACTS)
def test_deaths_and_checkpoints_change_nothing(acts: Sequence[Act]) -> None:
    calm = played([act for act in acts if act.what not in QUIET])
    assert list(played(acts).made.values()) == list(calm.made.values())


@given(st.lists(st.tuples(st.integers(0, 4), st.sampled_from(["firing", "resolved"])), max_size=12))
def test_how_events_are_cut_into_batches_changes_nothing(
    heard: Sequence[tuple[int, Status]],
) -> None:
    events = [
        event(status=status, began=number, at=at * 7 * SECOND, **SERIES[number])
        for at, (number, status) in enumerate(heard, 1)
    ]
    one_by_one, at_once = Notified(POLICIES[1]), Notified(POLICIES[1])
    for each in events:
        one_by_one.hear(each)
    now = [each.evaluated_at for each in events]
    at_once.hear_at(events, now)
    until = 2 * HOUR
    assert at_once.told(until) == one_by_one.told(until)


def test_an_alert_that_ends_while_silenced_is_told_to_whom_its_firing_was_told() -> None:
    notified = Notified(policy())
    notified.hear(event())
    assert [each.status for each in notified.told(SECOND)] == ["firing"]
    notified.define(policy(), silence(0, HOUR))
    notified.hear(event(status="resolved", at=MINUTE))
    assert notified.told(MINUTE) == [
        Said(MINUTE, "ops", "resolved", ("errors! resolved",), ("resolved",))
    ]


def test_definitions_told_again_change_nothing() -> None:
    notified = Notified(policy(), snooze(HOUR))
    notified.hear(event())
    for _ in range(3):
        notified.define(policy(), snooze(HOUR))
        notified.pass_to(MINUTE)
    assert notified.deliver() == []
    assert [each.at for each in notified.told(HOUR)] == [HOUR]
