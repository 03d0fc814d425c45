"""The decision table, row by row: what it says, and when somebody hears of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.agents.notifier.decisions import TABLE, Action, Facts, Times, decide
from tailrace.schemas import rfc3339
from tailrace.schemas.definitions import Definition
from tests.agents.notifier.notified import (
    HOUR,
    MINUTE,
    SECOND,
    START,
    Notified,
    Said,
    define,
    event,
    policy,
)

ROWS = {row.name: row for row in TABLE}


class Case(NamedTuple):
    """The row, facts that it fits, and what is told in the end."""

    row: str
    facts: Facts
    plays: Callable[[], list[Said]]
    told: list[tuple[int, str, str]]
    """When (ms after START), the status, and the row that says why."""


def play(*acts: Callable[[Notified], Any], until: int, defined: Any = None) -> list[Said]:
    """What is told when each of *acts* is done in turn, until *until*."""
    notified = Notified(*(defined or [policy()]))
    for act in acts:
        act(notified)
    return notified.told(until)


def hear(*args: Any, at: int | None = None, **kwargs: Any) -> Callable[[Notified], None]:
    return lambda notified: notified.hear(event(*args, **kwargs, at=at))


def snooze(until: int, alert: str = "errors") -> Definition[Any]:
    spec = {"alert": alert, "until": rfc3339.spell(START + until), "reason": "I am at it"}
    return define("Snooze", "snooze", spec)


def silence(since: int, until: int, **matchers: Any) -> Definition[Any]:
    spec = {
        "matchers": matchers or {"name": "errors"},
        "starts_at": rfc3339.spell(START + since),
        "ends_at": rfc3339.spell(START + until),
        "reason": "maintenance",
    }
    return define("Silence", "silence", spec)


def informed(*defined: Definition[Any], at: int) -> Callable[[Notified], None]:
    def act(notified: Notified) -> None:
        notified.pass_to(at - 1)
        notified.define(*defined)

    return act


INHIBIT = {
    "inhibit": [{"source": {"name": "down"}, "target": {"name": "errors"}, "equal": ["service"]}]
}
NEW, REPEAT, END = "new", "still violating, repeat interval passed", "resolved"

CASES = [
    Case(
        "replay",
        Facts("firing", is_replay=True),
        lambda: play(hear(replay=True), hear(status="resolved", at=9, replay=True), until=HOUR),
        [],
    ),
    Case(
        "stale",
        Facts("firing", is_stale=True),
        lambda: play(
            hear(),
            hear(status="resolved", at=9 * SECOND),
            lambda notified: notified.hear(event(at=5 * SECOND), at=10 * SECOND),
            hear(at=11 * SECOND),
            until=5 * HOUR,
        ),
        [(0, "firing", NEW), (9 * SECOND, "resolved", END)],
    ),
    Case("pending", Facts("pending"), lambda: play(hear(status="pending"), until=HOUR), []),
    Case(
        "unknown",
        Facts("unknown", is_told=True),
        lambda: play(hear(), hear(status="unknown", at=MINUTE), until=4 * HOUR),
        [(0, "firing", NEW), (4 * HOUR, "firing", REPEAT)],
    ),
    Case(
        "resolved",
        Facts("resolved", is_told=True, held="silence"),
        lambda: play(
            hear(),
            hear("other", service="b"),
            hear(status="resolved", at=2 * SECOND),
            until=HOUR,
        ),
        [(0, "firing", NEW), (0, "firing", NEW), (2 * SECOND, "resolved", END)],
    ),
    Case(
        "resolved, never told",
        Facts("resolved"),
        lambda: play(
            hear(),
            hear(status="resolved", at=29 * SECOND),
            until=HOUR,
            defined=[policy(group_wait="30s")],
        ),
        [],
    ),
    Case(
        "no longer routed",
        Facts("firing", is_told=True, is_routed=False, is_repeat_due=True),
        lambda: play(
            hear(),
            informed(policy(receiver="others"), at=MINUTE),
            hear(status="resolved", at=5 * HOUR),
            until=6 * HOUR,
        ),
        [
            (0, "firing", NEW),
            (MINUTE, "firing", NEW),
            (4 * HOUR + MINUTE, "firing", REPEAT),
            (5 * HOUR, "resolved", END),
            (5 * HOUR, "resolved", END),
        ],
    ),
    Case(
        "no longer routed, never told",
        Facts("firing", is_routed=False),
        lambda: play(
            hear(),
            informed(policy(match={"name": "nothing"}), at=10 * SECOND),
            until=HOUR,
            defined=[policy(group_wait="30s")],
        ),
        [],
    ),
    Case(
        "snoozed",
        Facts("firing", held="snooze", is_told=True, is_repeat_due=True),
        lambda: play(
            hear(),
            informed(policy(), snooze(6 * HOUR), at=MINUTE),
            until=6 * HOUR - 1,
        ),
        [(0, "firing", NEW)],
    ),
    Case(
        "silenced",
        Facts("firing", held="silence"),
        lambda: play(hear(), until=HOUR - 1, defined=[policy(), silence(0, HOUR)]),
        [],
    ),
    Case(
        "inhibited",
        Facts("firing", held="inhibition"),
        lambda: play(
            hear("down", service="a"),
            hear(service="a", at=0),
            hear("down", "resolved", service="a", at=MINUTE),
            until=HOUR,
            defined=[policy(INHIBIT)],
        ),
        [(0, "firing", NEW), (MINUTE, "resolved", END), (MINUTE, "firing", NEW)],
    ),
    Case(
        "released, still violating",
        Facts("firing", is_told=True, is_released=True),
        lambda: play(
            hear(),
            informed(policy(), snooze(20 * SECOND), at=5 * SECOND),
            until=HOUR,
        ),
        [(0, "firing", NEW), (20 * SECOND, "firing", "released, still violating")],
    ),
    Case(
        "worse",
        Facts("firing", is_worse=True),
        lambda: play(
            hear(service="a"),
            lambda notified: notified.hear(
                event(service="a", severity="critical", began=SECOND), at=SECOND
            ),
            until=HOUR,
        ),
        [(0, "firing", NEW), (SECOND, "firing", "worse")],
    ),
    Case(
        "new",
        Facts("no_data"),
        lambda: play(
            hear(service="a"),
            hear(service="b", began=SECOND),
            hear(service="c", began=2 * SECOND),
            until=HOUR,
            defined=[policy(group_wait="30s", group_interval="5m")],
        ),
        [(30 * SECOND, "firing", NEW)],
    ),
    Case(
        REPEAT,
        Facts("firing", is_told=True, is_repeat_due=True),
        lambda: play(hear(), until=30 * MINUTE, defined=[policy(repeat_interval="10m")]),
        [
            (0, "firing", NEW),
            *((minutes * MINUTE, "firing", REPEAT) for minutes in (10, 20, 30)),
        ],
    ),
    Case(
        "still violating",
        Facts("firing", is_told=True),
        lambda: play(hear(), *(hear(at=m * MINUTE) for m in range(1, 240)), until=4 * HOUR - 1),
        [(0, "firing", NEW)],
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.row)
def test_the_row_decides_about_its_facts(case: Case) -> None:
    assert decide(case.facts, Times(1, 2, 3)).row == case.row


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.row)
def test_what_is_told_by_the_row_and_when(case: Case) -> None:
    told = [(each.at, each.status, *each.why) for each in case.plays()]
    assert told == case.told


def test_every_row_has_a_case() -> None:
    assert [case.row for case in CASES] == [row.name for row in TABLE]


@pytest.mark.parametrize(
    ("facts", "at"),
    [
        (Facts("firing", is_released=True), 10),
        (Facts("firing"), 20),
        (Facts("firing", is_told=True), 30),
        (Facts("firing", held="snooze"), None),
        (Facts("pending"), None),
    ],
    ids=["now", "when the group is due", "at the repeat", "held", "left aside"],
)
def test_the_time_of_a_decision(facts: Facts, at: int | None) -> None:
    assert decide(facts, Times(10, 20, 30)).at == at


@given(
    st.builds(
        Facts,
        st.sampled_from(["pending", "firing", "resolved", "no_data", "unknown"]),
        *[st.booleans()] * 4,
        st.sampled_from(["", "snooze", "silence", "inhibition"]),
        *[st.booleans()] * 3,
    )
)
def test_some_row_fits_whatever_is_so_and_what_is_held_is_never_told(facts: Facts) -> None:
    decision = decide(facts, Times(10, 20, 30))
    assert decision.row in ROWS
    if facts.held and facts.status != "resolved":
        assert decision.action in (Action.HOLD, Action.DROP)
