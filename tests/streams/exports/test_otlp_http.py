"""Messages go to receivers of OTLP as they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceResponse,
)

from tailrace.agents.otlp_http.messages import Messages, judged
from tailrace.schemas import topics
from tailrace.schemas.config.otlp_http import OtlpHttpConfig
from tailrace.schemas.exports import Again, Refused, Reply, Taken, Translated
from tailrace.streams.broker import EmbeddedBroker
from tests.agents.notifier.receivers import first, receiver
from tests.agents.remote_write.messages import AT, Message
from tests.conftest import FreshTopic
from tests.patience import PATIENCE_S
from tests.streams.exports.lives import Life, header

QUICK = {
    "retry_on_failure": {"initial_interval": "1ms", "max_interval": "10ms"},
    "timeout": f"{PATIENCE_S:.0f}s",
}


def to(endpoint: str, **keys: Any) -> list[dict[str, Any]]:
    return [{"endpoint": endpoint, "name": "one", **QUICK, **keys}]


def counted(value: int) -> Message:
    message = Message()
    message.counter(value, at=AT + value)
    return message


@pytest.fixture
def life(broker: EmbeddedBroker, fresh_topic: FreshTopic) -> Life:
    return Life(broker.bootstrap, fresh_topic("metrics"), fresh_topic("dead_letters"), {})


@pytest.mark.parametrize("compression", ["gzip", "none"])
async def test_every_message_is_posted_as_it_is_until_it_is_taken(
    life: Life, compression: str
) -> None:
    async with receiver(first(503, 429, retry_after="0")) as there:
        life.sections = {"otlp_http": to(f"{there.url}/otlp/", compression=compression)}
        messages = [counted(number) for number in range(3)]
        await life.write(*([each] for each in messages))
        async with life.exporting() as exports:
            await life.reaches("one", 3, "otlp_http")
            assert exports.figures[0].counts["sent"] == 3
        sent = [each.request.SerializeToString() for each in messages]
        # The receiver has unpacked them.
        assert [each.body for each in there.received] == [*[sent[0]] * 3, *sent[1:]]
        packed = {each.headers.get("Content-Encoding", "none") for each in there.received}
        assert packed == {compression}
        assert {each.path for each in there.received} == {"/otlp/v1/metrics"}
        assert {each.headers["Content-Type"] for each in there.received} == {
            "application/x-protobuf"
        }


async def test_what_a_receiver_left_out_is_counted_and_the_rest_goes_on(life: Life) -> None:
    answer = ExportMetricsServiceResponse()
    answer.partial_success.rejected_data_points = 1
    answer.partial_success.error_message = "too old"
    body = answer.SerializeToString()
    async with receiver(lambda number: web.Response(body=body)) as there:
        life.sections = {"otlp_http": [{"metrics_endpoint": f"{there.url}/here", "name": "one"}]}
        message = counted(1)
        message.counter(2, other="x")
        await life.write([message])
        async with life.exporting() as exports:
            await life.reaches("one", 1, "otlp_http")
            assert exports.figures[0].counts["sent"] == 1
            assert exports.figures[0].counts["rejected"] == 1
        assert there.received[0].path == "/here"


async def test_what_is_refused_is_a_dead_letter_as_it_came(life: Life) -> None:
    async with receiver(first(400)) as there:
        life.sections = {"otlp_http": to(there.url)}
        bad, good = counted(1), counted(2)
        await life.write([bad], [good])
        async with life.exporting():
            await life.reaches("one", 2, "otlp_http")
        assert len(there.received) == 2
        [letter] = await life.letters()
        assert letter.value == bad.request.SerializeToString()
        assert header(letter, topics.ANSWER_HEADER) == "the receiver answered 400: no"


async def test_what_is_bad_in_a_message_costs_nothing_else_and_holds_up_nobody(life: Life) -> None:
    """A Prometheus answers 500 to a message of which it can name all labels but one."""

    def reply(number: int) -> web.Response:
        is_bad = b"unnameable" in there.received[number].body
        return web.Response(status=500 if is_bad else 200, text="no name")

    async with receiver(reply) as there:
        life.sections = {"otlp_http": to(there.url)}
        mixed, after = Message(), counted(9)
        for number in range(5):
            mixed.counter(number, of="unnameable" if number == 2 else "name")
        await life.write([mixed], [after])
        async with life.exporting() as exports:
            await life.reaches("one", 2, "otlp_http")
            counts = exports.figures[0].counts
            assert (counts["sent"], counts["refused"], counts["retried"]) == (5, 1, 0)
        [letter] = await life.letters()
        bad = Message()
        bad.counter(2, of="unnameable")
        assert letter.value == bad.request.SerializeToString()
        assert header(letter, topics.ANSWER_HEADER) == "the receiver answered 500: no name"


def test_what_is_too_old_is_refused_whole_where_all_of_it_is_of_one_time() -> None:
    reply = Reply(400, {}, b"out of bounds")
    for times, may_split in (((AT, AT), False), ((AT, AT - 1), True)):
        message = Message()
        for number, at in enumerate(times):
            message.counter(1, at=at, number=str(number))
        [make] = translated([message.record()]).rounds
        [request] = make()
        told = Refused("the receiver answered 400: out of bounds", may_split=may_split)
        assert judged(reply, request) == told


def translated(records: Sequence[Any]) -> Translated:
    return Messages(OtlpHttpConfig.model_validate(to("http://there")[0])).translate(records)


def test_messages_of_no_flush_go_one_after_the_other() -> None:
    """Two of them may be of one series."""
    records = [counted(number).record(number) for number in range(3)]
    flushed = [replace(each, headers=((topics.FLUSH_HEADER, b"red 0 1/3"),)) for each in records]
    rounds = [[*make()] for make in translated(records).rounds]
    assert [[each.content for each in round_] for round_ in rounds] == [
        [record.value] for record in records
    ]
    [together] = translated(flushed).rounds
    assert [each.content for each in together()] == [record.value for record in records]


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        pytest.param(Reply(200, {}, b""), Taken(), id="taken"),
        pytest.param(Reply(200, {}, b'{"partialSuccess":{}}'), Taken(), id="taken, in JSON"),
        pytest.param(
            Reply(503, {"retry-after": "2"}, b""),
            Again("the receiver answered 503", 2.0),
            id="down",
        ),
        pytest.param(Reply(403, {}, b""), Again("the receiver answered 403"), id="not you"),
        pytest.param(Reply(404, {}, b""), Again("the receiver answered 404"), id="nowhere"),
        pytest.param(Reply(405, {}, b""), Again("the receiver answered 405"), id="not this way"),
        pytest.param(Reply(504, {}, b""), Again("the receiver answered 504"), id="away"),
        pytest.param(
            Reply(413, {}, b""), Refused("the receiver answered 413", True), id="too large"
        ),
        pytest.param(
            Reply(500, {}, b""), Refused("the receiver answered 500", True), id="it cannot"
        ),
        pytest.param(Reply(410, {}, b""), Refused("the receiver answered 410"), id="never"),
    ],
)
def test_an_answer(reply: Reply, verdict: Any) -> None:
    assert judged(reply, None) == verdict  # type: ignore[arg-type]  # it is not looked at
