"""Samples reach every receiver, whatever it answers and whoever dies, and each at its own pace."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from aiohttp import web

from tailrace.schemas import topics
from tailrace.streams.broker import EmbeddedBroker
from tests.agents.notifier.receivers import always, first, receiver
from tests.agents.remote_write.messages import AT, START, Message
from tests.conftest import FreshTopic
from tests.patience import PATIENCE_S
from tests.streams.exports.lives import Life, header, samples, samples_of, until

NewLife = Callable[..., Life]
QUICK = {
    "queue_config": {"min_backoff": "1ms", "max_backoff": "20ms"},
    "remote_timeout": f"{PATIENCE_S:.0f}s",
}


@pytest.fixture
def new_life(broker: EmbeddedBroker, fresh_topic: FreshTopic) -> NewLife:
    def make(**sections: Any) -> Life:
        metrics = fresh_topic("metrics", 1)
        dead_letters = fresh_topic("dead_letters", 1)
        return Life(broker.bootstrap, metrics, dead_letters, sections)

    return make


def to(url: str, name: str = "one", **keys: Any) -> dict[str, Any]:
    return {"url": f"{url}/api/v1/write", "name": name, **QUICK, **keys}


def counted(value: int, at: int = AT, **attributes: Any) -> Message:
    message = Message()
    message.counter(value, at=at, **attributes)
    return message


def flushes(count: int) -> list[Sequence[Message]]:
    return [[counted(number, AT + 1000 * number)] for number in range(count)]


async def test_what_a_receiver_does_not_take_is_not_committed_and_sent_until_it_is(
    new_life: NewLife,
) -> None:
    is_up = asyncio.Event()
    down, up = always(503, "starting"), always(204, "")
    async with receiver(lambda number: (up if is_up.is_set() else down)(number)) as there:
        life = new_life(remote_write=[to(there.url)])
        await life.write(*flushes(3))
        async with life.exporting() as exports:
            await until(lambda: len(there.received) > 5)
            await life.reaches("one", 0)
            assert {sample.value for sample in samples(there)} == {0}
            is_up.set()
            await life.reaches("one", 3)
            assert exports.figures[0].counts["sent"] == 3
        values = [each.value for each in samples(there)]
        assert values == sorted(values)
        assert set(values) == {0, 1, 2}
        attempts = [each.headers.get("Retry-Attempt", "0") for each in there.received]
        assert attempts[:6] == ["0", "1", "2", "3", "4", "5"]
        assert len({each.body for each in there.received}) == 3


async def test_whoever_comes_next_goes_on_and_sends_again_only_what_nobody_answered(
    new_life: NewLife,
) -> None:
    async with receiver() as there, receiver(silent=True) as silent:
        life = new_life(remote_write=[to(there.url)])
        await life.write(*flushes(2))
        async with life.exporting():
            await life.reaches("one", 2)
        # The same receiver, which now takes a flush and dies before it says so.
        life.sections = {"remote_write": [to(silent.url)]}
        await life.write([counted(2, AT + 2000)])
        async with life.exporting():
            await until(lambda: silent.received)
        life.sections = {"remote_write": [to(there.url)]}
        async with life.exporting():
            await life.reaches("one", 3)
        assert [each.value for each in samples(there)] == [0, 1, 2]
        assert silent.received[0].body == there.received[-1].body


async def test_a_flush_in_which_series_begin_is_gone_on_with_where_it_was_left(
    new_life: NewLife,
) -> None:
    """Its zeros are sent and known; its values are sent and not known; both never again."""
    flush = [Message()]
    flush[0].counter(0, at=START)
    flush[0].counter(5)
    async with receiver() as again:
        is_second = asyncio.Event()

        def answer(number: int) -> web.Response:
            if number:
                is_second.set()
            return web.Response(status=503 if number else 204)

        async with receiver(answer) as half:
            life = new_life(remote_write=[to(half.url)])
            await life.write(flush)
            async with life.exporting():
                await asyncio.wait_for(is_second.wait(), PATIENCE_S)
        assert [each.value for each in samples(half)][:2] == [0, 5]
        life.sections = {"remote_write": [to(again.url)]}
        async with life.exporting():
            await life.reaches("one", 1)
        assert [(each.at, each.value) for each in samples(again)] == [(AT, 5)]


async def test_one_bad_sample_goes_to_the_dead_letters_with_the_receivers_words(
    new_life: NewLife,
) -> None:
    """And the others of its request are taken."""
    flush = [Message()]
    for number in range(10):
        flush[0].counter(number, number=str(number))

    refused = Counter[int]()

    def answer(number: int) -> web.Response:
        held = [each.value for each in samples_of(there.received[number])]
        if 7 in held:
            refused[len(held)] += 1
            return web.Response(status=400, text="out of order")
        return web.Response(status=204)

    async with receiver(answer) as there:
        life = new_life(remote_write=[to(there.url)])
        await life.write(flush, [counted(11, AT + 1000)])
        async with life.exporting() as exports:
            figures = exports.figures[0]
            await life.reaches("one", 2)
        assert figures.counts["sent"] == 10
        assert figures.counts["refused"] == figures.counts["dead_letters"] == 1
        assert refused[10] == refused[1] == 1
        [letter] = await life.letters()
        assert header(letter, topics.REASON_HEADER) == "refused_by_receiver"
        assert header(letter, topics.RECEIVER_HEADER) == "one"
        assert header(letter, topics.ANSWER_HEADER) == "the receiver answered 400: out of order"
        assert header(letter, topics.OFFSET_HEADER) == "0"
        assert b"calls_total" in letter.value


async def test_a_receiver_that_is_down_holds_up_no_other(new_life: NewLife) -> None:
    async with receiver() as there, receiver(always(500)) as down:
        life = new_life(
            remote_write=[to(down.url, "down"), to(there.url, "up")],
            otlp_http=[{"endpoint": there.url, "name": "otlp"}],
        )
        await life.write(*flushes(5))
        async with life.exporting() as exports:
            by_name = {each.name: each for each in exports.figures}
            await life.reaches("up", 5)
            await life.reaches("otlp", 5, "otlp_http")
            await until(lambda: by_name["down"].counts["retried"] > 3)
            assert by_name["down"].lag_s > 0
            assert "500" in by_name["down"].error
        await life.reaches("down", 0)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(always(415, "what is that"), id="it says so"),
        pytest.param(always(200, ""), id="it takes it for an empty request of 1.0"),
    ],
)
async def test_a_receiver_that_does_not_know_version_2_gets_version_1(
    new_life: NewLife, answer: Callable[[int], web.Response]
) -> None:
    def reply(number: int) -> web.Response:
        version = there.received[number].headers["X-Prometheus-Remote-Write-Version"]
        return answer(number) if version == "2.0.0" else web.Response(status=204)

    async with receiver(reply) as there:
        life = new_life(
            remote_write=[to(there.url, protobuf_message="io.prometheus.write.v2.Request")]
        )
        await life.write(*flushes(2))
        async with life.exporting():
            await life.reaches("one", 2)
        versions = [each.headers["X-Prometheus-Remote-Write-Version"] for each in there.received]
        assert versions == ["2.0.0", "0.1.0", "0.1.0"]


async def test_what_no_receiver_could_read_is_a_dead_letter_once_a_receiver(
    new_life: NewLife,
) -> None:
    async with receiver() as there:
        life = new_life(remote_write=[to(there.url)])
        message = counted(1)
        message.counter(1, temporality=1)
        await life.write([message], [counted(2, AT + 1000)])
        async with life.exporting() as exports:
            figures = exports.figures[0]
            await life.reaches("one", 2)
        assert figures.counts["sent"] == 2
        assert figures.unsupported == {"delta_temporality": 1}
        [letter] = await life.letters()
        assert header(letter, topics.REASON_HEADER) == "delta_temporality"
        assert letter.value == message.request.SerializeToString()


async def test_a_new_receiver_gets_what_is_not_older_than_an_hour(new_life: NewLife) -> None:
    """And what is written from then on; what is older would be refused."""
    async with receiver() as there:
        life = new_life(remote_write=[to(there.url)])
        await life.write([counted(1)], timestamp_ms=1_000)
        async with life.exporting():
            await life.reaches("one", 1)
            await life.write([counted(2, AT + 1000)])
            await life.reaches("one", 2)
        assert [each.value for each in samples(there)] == [2]


async def test_requests_say_who_we_are(new_life: NewLife, tmp_path: Any) -> None:
    token = tmp_path / "token"
    token.write_text("first\n")
    async with receiver(first(401)) as there:
        life = new_life(
            remote_write=[
                to(there.url, authorization={"credentials_file": str(token)},
                   headers={"X-Scope-OrgID": "team-a"}),
            ]
        )  # fmt: skip
        await life.write(*flushes(1))
        async with life.exporting():
            await life.reaches("one", 1)
            token.write_text("second\n")
            await life.write([counted(2, AT + 1000)])
            await life.reaches("one", 2)
        told = [each.headers["Authorization"] for each in there.received]
        assert told == ["Bearer first", "Bearer first", "Bearer second"]
        assert {each.headers["X-Scope-OrgID"] for each in there.received} == {"team-a"}
        assert there.received[0].headers["User-Agent"].startswith("tailrace/")
        assert there.received[0].path == "/api/v1/write"
