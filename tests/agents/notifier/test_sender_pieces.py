"""What a sender decides with: circuits, paces, targets, secrets, and the order of what waits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.agents.notifier.backlog import Backlog
from tailrace.agents.notifier.channels.request import SecretMissing
from tailrace.agents.notifier.circuit import FAILURES, LONGEST_S, SHORTEST_S, Circuit
from tailrace.agents.notifier.contents import contents, trace_link
from tailrace.agents.notifier.lane import Lane
from tailrace.agents.notifier.pace import Allowance, backoff
from tailrace.agents.notifier.secrets import Discretion, Secrets
from tailrace.agents.notifier.targets import Blocked, Targets
from tailrace.agents.notifier.templates import words
from tailrace.schemas.definitions.contact_point import Retries
from tailrace.schemas.definitions.secrets import SecretRef
from tests.agents.notifier.notified import MINUTE, event
from tests.agents.notifier.receivers import alert, notification, span

PUBLIC = "93.184.216.34"


def opened(openings: int = 1) -> tuple[Circuit, float]:
    """A circuit after so many openings in a row, and when the last one ends."""
    circuit, now = Circuit(), 0.0
    for _ in range(FAILURES):
        circuit = circuit.failed(now, 0.0)
    for _ in range(openings - 1):
        now = circuit.open_until
        circuit = circuit.failed(now, 0.0)
    return circuit, circuit.open_until


def test_a_circuit_stays_closed_while_failures_are_few() -> None:
    circuit = Circuit()
    for _ in range(FAILURES - 1):
        circuit = circuit.failed(0.0, 0.0)
    assert circuit.state(0.0) == "closed"
    assert circuit.ready_at(0.0) == 0.0
    assert circuit.succeeded() == Circuit()


def test_a_circuit_opens_lets_one_try_and_closes_when_that_succeeds() -> None:
    circuit, until = opened()
    assert until == SHORTEST_S
    assert circuit.state(until - 0.1) == "open"
    assert circuit.ready_at(0.0) == until
    assert circuit.state(until) == "half_open"
    assert circuit.failed(until, 0.0).state(until + 0.1) == "open"
    assert circuit.succeeded().state(until) == "closed"


def test_openings_double_up_to_a_limit_and_are_spread() -> None:
    lengths = []
    for openings in range(1, 10):
        circuit, until = opened(openings)
        lengths.append(circuit.failed(until, 0.0).open_until - until)
    assert lengths[:4] == [10.0, 20.0, 40.0, 80.0]
    assert set(lengths[5:]) == {LONGEST_S}
    circuit, until = opened()
    assert circuit.failed(until, 0.5).open_until - until == 7.5


@given(st.lists(st.floats(0, 30), max_size=60), st.integers(1, 600))
def test_no_minute_has_more_requests_than_the_limit_and_what_was_saved_up(
    waits: list[float], per_minute: int
) -> None:
    allowance, now, sent = Allowance(per_minute), 0.0, []
    for wait in waits:
        now = allowance.ready_at(now + wait)
        allowance = allowance.used(now)
        sent.append(now)
    for begin in sent:
        in_it = [each for each in sent if begin <= each < begin + 60]
        assert len(in_it) <= per_minute + allowance.burst + 1


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_a_backoff_is_within_its_bounds(attempts: int, draw: float) -> None:
    retries = Retries.model_validate({"backoff": "1s", "max_backoff": "1m"})
    assert 0 <= backoff(retries, attempts, draw) <= min(60, 2 ** min(attempts - 1, 10))


Step = tuple[str, int, int]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["add", "deliver", "postpone", "withdraw"]),
        st.integers(0, 5),
        st.integers(0, 2),
    ),
    max_size=60,
)


@given(STEPS)
def test_a_backlog_loses_nothing_and_keeps_the_order_of_each_group(steps: list[Step]) -> None:
    backlog, added, gone = Backlog(), [], []
    for now, (step, number, group) in enumerate(steps):
        if step == "add":
            new = f"{len(added)}"
            added.append((new, group))
            backlog.add(notification(id=new, group=str(group)), lambda of, outcome: None, now)
        elif step == "withdraw" and added:
            of, _ = added[number % len(added)]
            gone.append(of)
            backlog.remove(of)
        elif backlog.due_at() is not None:
            first = backlog.first()
            of_group = [i for i, g in added if str(g) == first.notification.group_key]
            waiting = [i for i in of_group if i not in gone]
            assert first.notification.id == waiting[0]
            assert first.due == backlog.due_at()
            if step == "deliver":
                gone.append(first.notification.id)
                backlog.remove(first.notification.id)
            else:
                backlog.postpone(first, now + number)
    assert {each.notification.id for each in backlog} == {i for i, _ in added} - set(gone)
    while backlog.due_at() is not None:
        backlog.remove(backlog.first().notification.id)
    assert len(backlog) == 0


@pytest.mark.parametrize(
    ("allowed", "host", "address", "is_allowed"),
    [
        (("*",), "hooks.example", PUBLIC, True),
        (("*",), "hooks.example", "10.0.0.7", True),
        (("*",), "localhost", "127.0.0.1", False),
        (("*",), "hooks.example", "127.8.8.8", False),
        (("*",), "hooks.example", "169.254.169.254", False),
        (("*",), "hooks.example", "100.100.100.200", False),
        (("*",), "hooks.example", "fd00:ec2::254", False),
        (("*",), "hooks.example", "fd20:ce::254", False),
        (("*",), "hooks.example", "fd00:c1::a9fe:a9fe", False),
        (("*",), "hooks.example", "0.0.0.0", False),
        (("*",), "hooks.example", "::", False),
        (("*",), "hooks.example", "::1", False),
        (("*",), "hooks.example", "fe80::1%eth0", False),
        (("*",), "hooks.example", "::ffff:169.254.169.254", False),
        (("*",), "hooks.example", "64:ff9b::7f00:1", False),
        (("*",), "hooks.example", "2002:7f00:1::", False),
        (("*",), "hooks.example", "::7f00:1", False),
        (("*",), "hooks.example", "224.0.0.1", False),
        (("*",), "hooks.example", "255.255.255.255", False),
        (("*",), "hooks.example", "2606:2800:220:1::1", True),
        (("*", "localhost"), "LocalHost.", "127.0.0.1", True),
        (("*", "127.0.0.1"), "hooks.example", "127.0.0.1", True),
        (("127.0.0.0/8",), "hooks.example", "127.0.0.1", True),
        (("127.0.0.0/8",), "hooks.example", PUBLIC, False),
        (("*.example",), "hooks.example", PUBLIC, True),
        (("*.example",), "hooks.example", "127.0.0.1", False),
        (("*.example",), "hooks.example.evil", PUBLIC, False),
        (("hooks.example",), "other.example", PUBLIC, False),
        ((), "hooks.example", PUBLIC, False),
    ],
)
def test_targets_are_as_they_are_listed(
    allowed: tuple[str, ...], host: str, address: str, is_allowed: bool
) -> None:
    targets = Targets(allowed)
    if is_allowed:
        assert targets.check(host, [address]) == [address]
        return
    with pytest.raises(Blocked, match=r"notify\.allow_targets"):
        targets.check(host, [address])
    with pytest.raises(Blocked):  # one bad address is enough
        targets.check(host, [PUBLIC, address])


def test_secrets_are_read_where_they_are_and_are_one_line(tmp_path: Path) -> None:
    file, other = tmp_path / "token", tmp_path / "other"
    file.write_text("t0ken\n")
    other.write_text("a\nb")
    secrets = Secrets({"A": "a", "EMPTY": ""}, ["env:*", f"file:{tmp_path}/*"])
    assert secrets(SecretRef(env="A")) == "a"
    assert secrets(SecretRef(file=str(file))) == "t0ken"
    for missing in (
        SecretRef(env="B"),
        SecretRef(env="EMPTY"),
        SecretRef(file=str(tmp_path / "none")),
        SecretRef(file=str(other)),
        SecretRef(file="/etc/hostname"),
        SecretRef(file=f"{tmp_path}/../../../../../../etc/hostname"),
    ):
        with pytest.raises(SecretMissing):
            secrets(missing)


def test_a_secret_is_kept_out_of_what_is_said_even_part_by_part() -> None:
    discretion = Discretion(Secrets({"HOOK": "https://hooks.example/services/T0ABCDEF/s3cr3tpart"}))
    discretion(SecretRef(env="HOOK"))
    said = discretion.cleaned("404 at hooks.example: /services/T0ABCDEF/s3cr3tpart not found")
    assert "s3cr3tpart" not in said
    assert "T0ABCDEF" not in said
    assert "hooks.example" in said


@pytest.mark.parametrize(
    ("own", "template", "link"),
    [
        (None, "https://t.example/{trace_id}/{span_id}", f"https://t.example/{1:032x}/{1:016x}"),
        ("https://own.example/1", "https://t.example/{trace_id}", "https://own.example/1"),
        ("javascript:alert(1)", None, ""),
        ("https://t.example/a b|c>d", None, "https://t.example/a%20b%7Cc%3Ed"),
        (None, None, ""),
    ],
)
def test_links_lead_to_the_web_and_end_where_they_should(
    own: str | None, template: str | None, link: str
) -> None:
    assert trace_link(replace(span(0), url=own), template) == link


def test_the_end_of_a_burn_is_told_in_the_past() -> None:
    burnt = event("good", kind="burn_rate", value=20.0)
    over = replace(burnt, status="resolved", ends_at=burnt.evaluated_at + MINUTE)
    first, last = contents(notification(burnt, over))["alerts"]
    assert "burnt 20 times as fast as it may in the last 1m; the alert is at" in first["said"]
    assert last["said"] == (
        "Before it ended, the error budget burnt 20 times as fast as it may in the last 1m."
    )


def test_what_waits_because_of_the_rate_limit_says_so() -> None:
    lane = Lane(Allowance(60))
    for _ in range(10):
        lane.asked(0.0, 60)
    assert lane.held_up(0.0) == ""
    lane.add(notification(), lambda name, outcome: None, 0.0)
    assert lane.held_up(0.5) == "more waits than the rate_limit of 60 requests a minute"
    assert lane.held_up(1.0) == ""


def test_a_message_that_would_be_too_long_tells_of_fewer_alerts() -> None:
    many = [alert("&" * 200, spans=10, number="<" * 999 + str(each)) for each in range(50)]
    said = words(contents(notification(*many)), parts=("title", "text", "html"))
    assert len(said.html) <= 65_536
    assert "more alerts are in this group" in said.html
