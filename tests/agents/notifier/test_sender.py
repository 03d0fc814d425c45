"""The sender, to real servers: retries, limits, circuits, order, and what it reports."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime, timedelta

import pytest
from aiohttp import web

from tailrace.agents.notifier.channels import addresses
from tailrace.agents.notifier.secrets import Discretion, Secrets
from tailrace.agents.notifier.targets import Targets
from tailrace.agents.notifier.trial import notify_test
from tailrace.schemas.definitions.secrets import SecretRef
from tailrace.schemas.notifications import Delivered, Failed, Outcome, Retrying
from tests.agents.notifier.receivers import (
    CERTIFICATE,
    SECRET,
    Clock,
    Reports,
    alert,
    always,
    delivered,
    first,
    notification,
    outside,
    point,
    receiver,
    sender,
    server_tls,
)
from tests.patience import PATIENCE_S

DEAD_URL = "http://127.0.0.1:1"
"""Where nobody listens, nor will in a moment."""


async def test_a_failure_that_passes_is_tried_again_with_waits_that_double() -> None:
    clock, reports = Clock(), Reports()
    async with receiver(first(500, 503, 502)) as to:
        target = point(webhook={"url": to.url}, retries={"backoff": "2s", "max_backoff": "6s"})
        async with sender(outside(clock, random=lambda: 0.5), [target]) as running:
            running.submit(notification(), reports)
            assert await reports.ends("n1") == [Delivered()]
        assert len(to.received) == 4
        assert len({each.body for each in to.received}) == 1
        assert {each.headers["Idempotency-Key"] for each in to.received} == {"n1"}
    retried = reports.of("n1")[:-1]
    assert retried == [
        Retrying(1, "the receiver answered 500: no"),
        Retrying(2, "the receiver answered 503: no"),
        Retrying(3, "the receiver answered 502: no"),
    ]
    assert clock.slept == [1.0, 2.0, 3.0]
    assert running.counts == {"requests": 4, "retried": 3, "delivered": 1, "template_errors": 0}


@pytest.mark.parametrize(
    ("after", "waited"), [("7", 7.0), ("999999999", 3600.0), ("Mon, 01 Jan 2029 00:01:00 GMT", 60)]
)
async def test_the_receiver_says_when_to_come_back(after: str, waited: float) -> None:
    clock, reports = Clock(), Reports()
    date = "Mon, 01 Jan 2029 00:00:00 GMT"
    async with receiver(first(429, Retry_After=after, Date=date)) as to:
        target = point(webhook={"url": to.url}, retries={"backoff": "1ms"})
        async with sender(outside(clock), [target]) as running:
            running.submit(notification(), reports)
            running.submit(notification(id="n2", group="g2"), reports)
            assert await reports.ends("n1", "n2") == [Delivered(), Delivered()]
            assert running.statuses()[0].circuit == "closed"
    assert clock.slept == [waited]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 413, 422])
async def test_what_is_refused_is_not_tried_again(status: int) -> None:
    async with receiver(always(status, "no such thing")) as to:
        outcome = await delivered(point(webhook={"url": to.url}), notification())
        assert len(to.received) == 1
    assert outcome == Failed(f"the receiver answered {status}: no such thing")


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
async def test_what_may_pass_is_tried_again(status: int) -> None:
    async with receiver(first(status)) as to:
        assert await delivered(point(webhook={"url": to.url}), notification()) == Delivered()
        assert len(to.received) == 2


async def test_a_receiver_that_never_answers_is_left_after_the_timeout() -> None:
    async with receiver(silent=True) as to:
        target = point(webhook={"url": to.url}, timeout="50ms", retries={"max_elapsed": 0})
        outcome = await delivered(target, notification())
    assert outcome == Failed("given up after 1 attempts: no answer within 0.05 s")


async def test_what_fails_for_too_long_is_given_up_and_reported() -> None:
    clock = Clock()
    async with receiver(always(500)) as to:
        target = point(webhook={"url": to.url}, retries={"max_elapsed": "1m", "max_backoff": "10s"})
        outcome = await delivered(target, notification(), clock=clock, sleep=clock.sleep)
    assert isinstance(outcome, Failed)
    assert outcome.error.endswith("the receiver answered 500: ok")
    assert 60 <= clock.now < 200


async def test_a_circuit_opens_asks_one_at_a_time_and_closes_again() -> None:
    clock, reports = Clock(), Reports()
    is_down = True
    async with receiver(lambda number: always(500 if is_down else 200)(number)) as to:
        target = point(webhook={"url": to.url}, rate_limit=10_000, retries={"backoff": "1ms"})
        async with sender(outside(clock, random=lambda: 0.0), [target]) as running:
            ids = [f"n{each}" for each in range(20)]
            for each in ids:
                running.submit(notification(id=each, group=each), reports)
            await reports.until(lambda: [outcome for _, outcome in reports.all], 7)
            assert clock.now >= 5 + 10  # five failures at once, then two trials
            assert running.statuses()[0].circuit == "open"
            assert len(to.received) < len(ids)
            is_down = False
            assert await reports.ends(*ids) == [Delivered()] * 20
            assert running.statuses()[0].circuit == "closed"


async def test_a_dead_channel_and_a_silent_one_delay_no_other() -> None:
    reports = Reports()
    async with receiver() as to, receiver(silent=True) as mute:
        points = [
            point("dead", webhook={"url": DEAD_URL}),
            point("mute", webhook={"url": mute.url}, timeout="1h"),
            point("fine", webhook={"url": to.url}, rate_limit=1_000),
        ]
        async with sender(outside(), points) as running:
            for number in range(5):
                for each in ("dead", "mute", "fine"):
                    what = notification(id=f"{each}{number}", group=str(number), to=each)
                    running.submit(what, reports)
            assert await reports.ends(*(f"fine{n}" for n in range(5))) == [Delivered()] * 5
            await reports.until(lambda: reports.of("dead0"), 1)
            dead, fine, mute_lane = running.statuses()
    assert (dead.waiting, fine.waiting, mute_lane.waiting) == (5, 0, 5)
    assert dead.error.startswith("no connection")


async def test_nothing_overtakes_in_its_group_and_no_group_holds_up_others() -> None:
    reports, order = Reports(), []

    def reply(number: int):  # type: ignore[no-untyped-def]  # as aiohttp has it
        key = to.received[number].headers["Idempotency-Key"]
        order.append(key)
        return always(500 if key == "a1" and order.count("a1") < 4 else 200)(number)

    async with receiver(reply) as to:
        target = point(webhook={"url": to.url}, retries={"backoff": "1s"})
        async with sender(outside(), [target]) as running:
            for what in ("a1", "a2", "b1"):
                running.submit(notification(id=what, group=what[0]), reports)
            await reports.ends("a1", "a2", "b1")
    assert order == ["a1", "b1", "a1", "a1", "a1", "a2"]


async def test_no_more_requests_go_than_the_rate_limit_allows() -> None:
    clock, reports = Clock(), Reports()
    async with receiver() as to:
        target = point(webhook={"url": to.url}, rate_limit=60)
        async with sender(outside(clock), [target]) as running:
            ids = [f"n{each}" for each in range(70)]
            for each in ids:
                running.submit(notification(id=each), reports)
            await reports.ends(*ids)
    assert clock.now == pytest.approx(60)  # ten at once, then one a second


async def test_events_of_one_notification_that_are_through_are_not_sent_again() -> None:
    async with receiver(first(200, 200, 500)) as to:
        target = point(pagerduty={"url": to.url, "routing_key": {"env": "TOKEN"}})
        what = notification(*(alert(f"A{each}") for each in range(4)))
        assert await delivered(target, what) == Delivered()
        keys = [each.json["dedup_key"] for each in to.received]
    assert len(keys) == 5
    assert len(set(keys)) == 4
    assert keys[2] == keys[3]


async def test_what_is_submitted_twice_is_sent_once() -> None:
    reports = Reports()
    async with receiver() as to, sender(outside(), [point(webhook={"url": to.url})]) as running:
        running.submit(notification(), reports)
        running.submit(notification(), reports)
        await reports.ends("n1")
        running.submit(notification(id="n2"), reports)
        await reports.ends("n2")
        assert [each.headers["Idempotency-Key"] for each in to.received] == ["n1", "n2"]
    assert len(reports.all) == 2


async def test_what_is_withdrawn_is_not_sent_and_its_group_goes_on() -> None:
    reports = Reports()
    async with receiver() as to, sender(outside(), [point(webhook={"url": to.url})]) as running:
        running.submit(notification(), reports)
        running.submit(notification(id="n2"), reports)
        running.withdraw(notification())
        await reports.ends("n2")
        assert [each.headers["Idempotency-Key"] for each in to.received] == ["n2"]
    assert reports.of("n1") == []


async def test_what_is_withdrawn_on_its_way_is_not_reported() -> None:
    """It may have been submitted to another sender since: the one outcome is for that to tell."""
    reports = Reports()

    def withdrawing(number: int) -> web.Response:
        running.withdraw(notification())
        return always()(number)

    async with receiver(withdrawing) as to:
        async with sender(outside(), [point(webhook={"url": to.url})]) as running:
            running.submit(notification(), reports)
            await to.is_asked.wait()
            running.submit(notification(id="n2"), reports)
            await reports.ends("n2")
        assert len(to.received) == 2
    assert reports.of("n1") == []


@pytest.mark.parametrize("status", [200, 503])
async def test_what_comes_back_on_its_way_is_sent_once_and_reported_to_who_has_it_now(
    status: int,
) -> None:
    clock, before, reports = Clock(), Reports(), Reports()

    def returning(number: int) -> web.Response:
        if not number:
            running.withdraw(notification())
            running.submit(notification(), reports)
            running.submit(notification(id="n2"), reports)
        return web.Response(status=200 if number else status)

    async with receiver(returning) as to:
        async with sender(outside(clock), [point(webhook={"url": to.url})]) as running:
            running.submit(notification(), before)
            assert (await reports.ends("n1", "n2")) == [Delivered(), Delivered()]
        keys = [each.headers["Idempotency-Key"] for each in to.received]
        assert keys == (["n1", "n2"] if status == 200 else ["n1", "n1", "n2"])
    assert before.all == []


async def test_a_contact_point_that_changed_is_used_as_it_is_now() -> None:
    reports = Reports()
    async with receiver() as to:
        before = point(webhook={"url": DEAD_URL})
        async with sender(outside(), [before]) as running:
            running.submit(notification(), reports)
            await reports.until(lambda: [outcome for _, outcome in reports.all], 3)
            after = point(version=2, webhook={"url": to.url})
            running.use({after.key: after})
            assert await reports.ends("n1") == [Delivered()]


async def test_a_contact_point_that_is_not_there_is_told() -> None:
    outcome = await delivered(point("other", webhook={"url": DEAD_URL}), notification())
    assert outcome == Failed("there is no contact point oncall")


async def test_a_secret_that_is_missing_is_waited_for() -> None:
    environment: dict[str, str] = {}
    reports = Reports()
    async with receiver() as to:
        target = point(webhook={"url": to.url, "bearer_token": {"env": "LATER"}})
        async with sender(outside(reveal=Secrets(environment)), [target]) as running:
            running.submit(notification(), reports)
            [retried] = await reports.until(lambda: reports.of("n1")[:1], 1)
            assert retried == Retrying(
                1, "the secret in environment variable LATER is missing; set it"
            )
            environment["LATER"] = "here"
            assert await reports.ends("n1") == [Delivered()]
            assert to.received[0].headers["Authorization"] == "Bearer here"


async def test_a_redirect_is_not_followed() -> None:
    async with receiver() as elsewhere, receiver(always(307, Location=elsewhere.url)) as to:
        outcome = await delivered(point(webhook={"url": to.url}), notification())
        assert elsewhere.received == []
    assert isinstance(outcome, Failed)
    assert "redirects are not followed" in outcome.error


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("127.0.0.1", "this machine itself"),
        ("localhost", "this machine itself"),
        ("2130706433", "this machine itself"),
        ("0x7f.1", "this machine itself"),
        ("0.0.0.0", "this machine itself"),
        ("[::1]", "this machine itself"),
        ("[::ffff:127.0.0.1]", "this machine itself"),
        ("169.254.169.254", "link-local"),
        ("[fe80::1]", "link-local"),
        ("inside.example", "link-local"),
        ("both.example", "this machine itself"),
    ],
)
async def test_no_request_goes_to_this_machine_or_its_link_unless_allowed(
    host: str, said: str
) -> None:
    async def resolve(name: str, port: int) -> list[str]:
        known = {"inside.example": ["169.254.1.1"], "both.example": ["93.184.216.34", "127.0.0.1"]}
        return known.get(name) or await addresses.resolve(name, port)

    async with receiver() as to:
        target = point(webhook={"url": f"http://{host}:{to.port}/"})
        outcome = await delivered(target, notification(), targets=Targets(), resolve=resolve)
        assert to.received == []
    assert isinstance(outcome, Failed)
    assert said in outcome.error
    assert "notify.allow_targets" in outcome.error


async def test_the_address_that_was_checked_is_the_one_that_is_used() -> None:
    """A name that means this machine from the second look on is of no use."""
    asked: list[str] = []

    async def resolve(name: str, port: int) -> list[str]:
        asked.append(name)
        return ["127.0.0.2" if len(asked) == 1 else "127.0.0.1"]

    async with receiver() as to:
        target = point(
            webhook={"url": f"http://rebound.example:{to.port}"},
            retries={"max_elapsed": 0},
        )
        outcome = await delivered(
            target, notification(), resolve=resolve, targets=Targets(["127.0.0.2"])
        )
        assert to.received == []
    assert isinstance(outcome, Failed)
    assert "no connection" in outcome.error
    assert asked == ["rebound.example"]


async def test_a_host_goes_by_its_name_though_its_address_is_dialled() -> None:
    async def resolve(name: str, port: int) -> list[str]:
        return ["127.0.0.3", "127.0.0.1"]  # nobody listens at the first

    async with receiver() as to:
        target = point(webhook={"url": f"http://hooks.example:{to.port}/x"})
        assert await delivered(target, notification(), resolve=resolve) == Delivered()
        assert to.received[0].headers["Host"] == f"hooks.example:{to.port}"


@contextmanager
def blackhole(address: str, port: int) -> Iterator[None]:
    """Let nobody at *address* answer who connects: its queue is full."""
    with ExitStack() as opened:
        listening = opened.enter_context(socket.socket())
        listening.bind((address, port))
        listening.listen(0)
        for _ in range(4):
            one = opened.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex((address, port))
        yield


@pytest.mark.skipif(sys.platform != "linux", reason="127.0.0.3 is there on Linux only")
async def test_an_address_that_never_answers_leaves_time_for_the_others() -> None:
    async def resolve(name: str, port: int) -> list[str]:
        return ["127.0.0.3", "127.0.0.1"]

    async with receiver() as to:
        with blackhole("127.0.0.3", to.port):
            # Of an attempt that a slow machine took too long for, there is another.
            target = point(
                webhook={"url": f"http://hooks.example:{to.port}/x"},
                retries={"max_elapsed": "1m"},
                timeout="2s",
            )
            assert await delivered(target, notification(), resolve=resolve) == Delivered()
            there = await connected(["127.0.0.3", "127.0.0.1"], to.port)
            assert there.getpeername() == ("127.0.0.1", to.port)
            there.close()


async def connected(hosts: list[str], port: int) -> socket.socket:
    """The first connection that is made in time."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            with suppress(TimeoutError):
                return await addresses.connected(hosts, port, 2.0)


@pytest.mark.parametrize(
    ("host", "said"),
    [("hooks.example", ""), ("other.example", "CERTIFICATE_VERIFY_FAILED")],
)
async def test_a_certificate_is_of_the_name_and_not_of_the_address(
    host: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))

    async def resolve(name: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    async with receiver(tls=server_tls()) as to:
        target = point(webhook={"url": f"https://{host}:{to.port}/"}, retries={"max_elapsed": 0})
        outcome = await delivered(target, notification(), resolve=resolve)
        assert len(to.received) == (0 if said else 1)
    assert isinstance(outcome, Failed) == bool(said)
    assert said in getattr(outcome, "error", "")


async def test_no_secret_is_logged_reported_or_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    reports = Reports()
    async with receiver(always(400, f"bad token {SECRET}")) as to:
        hook = f"{to.url}/services/{SECRET}"
        targets = [
            point("slack", slack={"url": {"env": "HOOK"}}),
            point("token", webhook={"url": to.url, "bearer_token": {"env": "TOKEN"}}),
            point("header", webhook={"url": to.url, "headers": {"X-Api-Key": {"env": "TOKEN"}}}),
            point("pd", pagerduty={"url": to.url, "routing_key": {"env": "TOKEN"}}),
        ]
        around = outside(reveal=Secrets({"TOKEN": SECRET, "HOOK": hook}))
        async with sender(around, targets) as running:
            for each in targets:
                what = notification(id=each.name, to=each.name)
                running.submit(what, reports)
            await reports.ends(*(each.name for each in targets))
            shown = [repr(running.statuses()), repr(reports.all), caplog.text]
            shown += [f"{each!r} {each.spec.model_dump_json()}" for each in targets]
        assert len(to.received) == 4
        assert all(SECRET.encode() in str(each).encode() for each in to.received)
    assert SECRET not in "\n".join(shown)
    assert all("(secret)" in outcome.error for _, outcome in reports.all)  # type: ignore[union-attr]  # all failed


async def test_a_template_that_fails_is_replaced_by_ours_and_counted() -> None:
    reports = Reports()
    async with receiver() as to:
        target = point(
            pagerduty={"url": to.url, "routing_key": {"env": "TOKEN"}},
            templates={"title": "{{ alerts[0].value / 0 }}"},
        )
        async with sender(outside(), [target]) as running:
            running.submit(notification(), reports)
            assert await reports.ends("n1") == [Delivered()]
            assert running.counts["template_errors"] == 1
        assert to.received[0].json["payload"]["summary"] == "[FIRING] CheckoutErrors (critical)"


async def test_a_test_says_that_it_is_one_and_leaves_nothing_open() -> None:
    async with receiver() as to:
        target = point(pagerduty={"url": to.url, "routing_key": {"env": "TOKEN"}})
        assert await notify_test(target, outside()) == Delivered()
        trigger, resolve = (each.json for each in to.received)
    assert trigger["payload"]["summary"].startswith("[TEST] ")
    assert "do nothing" in str(trigger["payload"]["custom_details"])
    assert (resolve["event_action"], resolve["dedup_key"]) == ("resolve", trigger["dedup_key"])


async def test_a_test_of_an_alertmanager_is_over_after_five_minutes() -> None:
    async with receiver() as to:
        assert await notify_test(point(alertmanager={"url": to.url}), outside()) == Delivered()
        [[alert]] = (each.json for each in to.received)
    lasts = datetime.fromisoformat(alert["endsAt"]) - datetime.fromisoformat(alert["startsAt"])
    assert lasts == timedelta(minutes=5)


async def test_a_test_says_what_is_wrong() -> None:
    async with receiver(always(403, "no")) as to:
        outcome = await notify_test(point(webhook={"url": to.url}), outside())
    assert outcome == Failed("the receiver answered 403: no")
    outcome = await notify_test(point(webhook={"url": DEAD_URL}), outside())
    assert isinstance(outcome, Failed)
    assert outcome.error.endswith("it may pass: a real one is tried again")


async def test_a_report_that_fails_does_not_end_the_way_to_its_contact_point() -> None:
    reports, asked = Reports(), asyncio.Event()

    def failing(id: str, outcome: Outcome) -> None:
        asked.set()
        raise LookupError(id)

    async with (
        receiver(always(200)) as to,
        sender(outside(Clock()), [point(webhook={"url": to.url})]) as running,
    ):
        running.submit(notification(), failing)
        await asked.wait()
        await asyncio.sleep(0)
        running.submit(notification(id="n2"), reports)
        assert await reports.ends("n2") == [Delivered()]


async def test_a_secret_that_an_answer_has_cut_off_is_not_told() -> None:
    secret = "https://hooks.example.com/services/T000/abcdefghijklmnopqrstuvwxyz"
    discretion = Discretion(lambda reference: secret)
    discretion(SecretRef(env="HOOK"))
    for length in range(6, 27):
        told = discretion.cleaned(
            f"it answered 404: {secret[: -26 + length] if length < 26 else secret}"
        )
        assert "abcdef" not in told
    assert discretion.cleaned("it answered abcde") == "it answered abcde"


async def test_closing_stops_what_is_under_way() -> None:
    reports = Reports()
    async with receiver(silent=True) as to:
        target = point(webhook={"url": to.url}, timeout="1h")
        async with sender(outside(), [target]) as running:
            running.submit(notification(), reports)
            async with asyncio.timeout(PATIENCE_S):
                await to.is_asked.wait()
    assert reports.all == []
