"""A real Prometheus reads every form of a metric as it is meant, from both versions."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tailrace.schemas.config.remote_write import WRITE_1, WRITE_2
from tailrace.streams.broker import EmbeddedBroker
from tests.agents.remote_write.messages import MS, Message
from tests.conftest import FreshTopic
from tests.end_to_end.prometheus import Prometheus, prometheus_binary, running
from tests.streams.exports.lives import Life

__all__ = ["prometheus_binary"]

pytestmark = pytest.mark.slow

POD = {"service.name": "cart", "service.instance.id": "pod-1", "cloud.region": "eu"}
AGAIN = {"service.name": "again"}
"""Series of its own: those of another test may be newer than what is sent."""
TRACE, SPAN = bytes(range(1, 17)), bytes(range(1, 9))


@pytest.fixture(scope="module")
def prometheus(
    prometheus_binary: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prometheus]:
    with running(prometheus_binary, tmp_path_factory.mktemp("prometheus")) as there:
        yield there


@pytest.fixture(params=[WRITE_1, WRITE_2], ids=["1.0", "2.0"])
def life(
    request: pytest.FixtureRequest, broker: EmbeddedBroker, fresh_topic: FreshTopic,
    prometheus: Prometheus,
) -> Life:  # fmt: skip
    receiver = {
        "url": prometheus.write_url, "name": "one", "protobuf_message": request.param,
        "external_labels": {"via": request.param},
    }  # fmt: skip
    sections = {"remote_write": [receiver]}
    return Life(broker.bootstrap, fresh_topic("metrics"), fresh_topic("dead_letters"), sections)


def via(life: Life) -> str:
    message: str = life.sections["remote_write"][0]["protobuf_message"]
    return f'{{via="{message}"}}'


async def sent(life: Life, *flushes: Message) -> None:
    """Every flush is taken, and none of it refused."""
    before = max(0, await life.committed("one"))
    await life.write(*([each] for each in flushes))
    async with life.exporting() as exports:
        await life.reaches("one", before + len(flushes))
        assert exports.figures[0].counts["refused"] == 0


def now_ms() -> int:
    return time.time_ns() // MS


async def test_an_exponential_histogram_is_a_native_one(life: Life, prometheus: Prometheus) -> None:
    at = now_ms()
    message = Message()
    message.exponential(3, 0, [10, 20, 30, 40], zero=5, at=at)
    await sent(life, message)
    name = f"duration_seconds{via(life)}"
    assert prometheus.number(f"histogram_count({name})") == 105
    assert prometheus.number(f"histogram_sum({name})") == 7.5
    # The 95th of a hundred is in the last bucket: (2^(3/8), 2^(4/8)].
    assert 2 ** (3 / 8) < prometheus.number(f"histogram_quantile(0.95, {name})") <= 2 ** (4 / 8)
    assert prometheus.number(f"histogram_fraction(0, 1, {name})") == pytest.approx(5 / 105)


async def test_a_native_histogram_has_no_reset_where_it_gets_its_buckets(
    life: Life, prometheus: Prometheus
) -> None:
    """It begins with a zero that has none, and durations of zero have none either."""
    at, pod = now_ms() - 60_000, {"service.name": "instant"}
    flushes = [Message() for _ in range(3)]
    flushes[0].exponential(0, 0, [], at=at, resource=pod)
    flushes[0].exponential(0, 0, [], zero=50, at=at + 15_000, resource=pod)
    flushes[1].exponential(20, 0, [1], zero=50, at=at + 30_000, resource=pod)
    flushes[2].exponential(5, 0, [10], zero=50, at=at + 45_000, resource=pod)
    await sent(life, *flushes)
    name = f'duration_seconds{via(life)[:-1]},job="instant"}}[1m]'
    assert prometheus.number(f"resets({name})", at_s=at / 1000 + 45) == 0


async def test_exemplars_lead_to_their_traces(life: Life, prometheus: Prometheus) -> None:
    at = now_ms()
    message = Message()
    point = message.histogram([1, 2, 3, 4], 99.5, at=at)
    point.exemplars.add(as_double=2.5, time_unix_nano=(at - 5) * MS, trace_id=TRACE, span_id=SPAN)
    await sent(life, message)
    [found] = prometheus.ask(
        "query_exemplars", query=f"duration_milliseconds_bucket{via(life)}",
        start=at / 1000 - 60, end=at / 1000 + 60,
    )  # fmt: skip
    assert found["seriesLabels"]["le"] == "2.5"
    [exemplar] = found["exemplars"]
    assert exemplar["labels"] == {"trace_id": TRACE.hex(), "span_id": SPAN.hex()}
    assert (float(exemplar["value"]), exemplar["timestamp"]) == (2.5, (at - 5) / 1000)


async def test_a_series_that_has_ended_is_gone_at_once(life: Life, prometheus: Prometheus) -> None:
    at = now_ms() - 5_000
    first, last = Message(), Message()
    first.counter(7, at=at, start=at - 1000, name="short")
    last.counter(0, at=at + 1000, start=at - 1000, name="short", flags=1)
    await sent(life, first, last)
    query = f"short_total{via(life)}"
    assert prometheus.number(query, at_s=at / 1000) == 7
    assert prometheus.query(query, at_s=at / 1000 + 1) == {}


async def test_a_target_and_its_series_can_be_joined(life: Life, prometheus: Prometheus) -> None:
    message = Message()
    message.counter(7, at=now_ms(), resource=POD, name="joined")
    await sent(life, message)
    joined = f"joined_total{via(life)} * on (job, instance) group_left (cloud_region) "
    [(labels, value)] = prometheus.query(f"{joined} target_info{via(life)}").items()
    assert value == 7
    assert ("cloud_region", "eu") in labels


async def test_what_a_metric_is_is_known(life: Life, prometheus: Prometheus) -> None:
    """Of 2.0, which tells it with each series."""
    if "v2" not in via(life):
        pytest.skip("a Prometheus leaves aside what 1.0 tells")
    at = now_ms() - 10_000
    message = Message()
    message.counter(7, at=at + 5_000, start=at, name="begun")
    await sent(life, message)
    # It began with zero at its start, so the increase is known from the first sample on.
    assert prometheus.number(f"begun_total{via(life)}", at_s=at / 1000) == 0


async def test_what_is_sent_again_is_no_error(life: Life, prometheus: Prometheus) -> None:
    """Whoever sent it died before that was known: another group sends it all once more."""
    at = now_ms() - 5_000
    first, again = Message(), Message()
    for message in (first, again):
        for number in range(50):
            message.counter(number, at=at, name="again", number=str(number))
            message.histogram([1, 2, 3, 4], 99.5, at=at, number=str(number))
            message.exponential(3, 0, [1, 2], at=at, resource=AGAIN)
    await sent(life, first)
    before = prometheus.log.read_text().count("level=ERROR")
    await sent(life, again)
    assert await life.letters() == []
    assert prometheus.log.read_text().count("level=ERROR") == before
    assert prometheus.number(f"sum(again_total{via(life)})") == sum(range(50))


def test_the_server_is_new_enough(prometheus: Prometheus) -> None:
    build: Any = prometheus.ask("status/buildinfo")
    assert int(build["version"].split(".")[0]) >= 3
