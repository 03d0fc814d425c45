"""The worker's own series, as a scrape gets them over HTTP."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiohttp import ClientError, web
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tailrace.agents.metrics.agent import NAME as METRICS
from tailrace.agents.metrics.logic import MetricsLogic
from tailrace.streams.engine import Engine
from tailrace.streams.series_page import Patience, series_page
from tests.agents.metrics.flushes import MS, RED_LAYOUT, RED_MS, red_key, rollup
from tests.agents.metrics.owners import Row, Worker
from tests.patience import PATIENCE_S

BEGIN_MS = 1_700_000_000_000 // RED_MS * RED_MS

PATIENCE = Patience(600, 600)


def partition(*services: str) -> MetricsLogic:
    """A partition that has flushed a series of each service."""
    worker = Worker()
    series = {red_key(service): {"duration": [MS]} for service in services}
    worker.feed(Row(BEGIN_MS, rollup(RED_LAYOUT, BEGIN_MS, series)), Row(BEGIN_MS + RED_MS, None))
    return worker.logic


class Reads:
    """A task that has *position* of its log, and *lag* to go; None while that is not known."""

    def __init__(self, logics: dict[str, MetricsLogic], lag: int | None = 0) -> None:
        self.logics, self.lag = logics, lag
        self.positions = {"rollups": 10}

    def read(self, records: int) -> None:
        assert self.lag is not None
        self.positions["rollups"] += records
        self.lag -= records


def runner(logic: MetricsLogic, *, running: bool = True, lag: int | None = 0) -> Any:
    return SimpleNamespace(running=running, task=Reads({METRICS: logic}, lag))


def narrow(host: str, port: int, family: socket.AddressFamily) -> socket.socket:
    """A socket that keeps little for those that do not read."""
    found = socket.socket(family, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 512 << 10)
    found.bind((host, port))
    return found


class WorkersServer(TestServer):
    """Ends no answer whose reader has gone, as a worker does not."""

    async def _make_runner(self, **given: Any) -> web.BaseRunner:
        return await super()._make_runner(**{**given, "handler_cancellation": False})


@asynccontextmanager
async def serving(
    *runners: Any, patience: Patience = PATIENCE
) -> AsyncIterator[TestClient[Any, Any]]:
    known = dict(enumerate(runners))
    lags = SimpleNamespace(runners=known, lag=lambda id: known[id].task.lag)
    engine = cast("Engine", lags)
    app = web.Application()
    app.add_routes([web.get("/metrics/series", series_page(engine, patience))])
    async with TestClient(WorkersServer(app, socket_factory=narrow)) as client:
        yield client


async def calls(client: TestClient[Any, Any]) -> dict[str, float]:
    response = await client.get("/metrics/series")
    assert response.status == 200
    assert response.headers["Content-Type"].startswith("application/openmetrics-text")
    return {
        sample.labels["job"]: sample.value
        for family in text_string_to_metric_families(await response.text())
        for sample in family.samples
        if sample.name == "traces_span_metrics_calls_total"
    }


async def test_series_of_all_partitions_that_run_are_told() -> None:
    waiting = runner(partition("late"), running=False)
    other = SimpleNamespace(running=True, task=Reads({}))
    async with serving(runner(partition("a")), runner(partition("b")), waiting, other) as client:
        assert await calls(client) == {"a": 1, "b": 1}


async def test_what_was_taken_over_is_told_once_it_is_as_far_as_who_had_it_before() -> None:
    """Who had it before has shown what it had not committed, and no counter may fall."""
    behind, unknown = runner(partition("a"), lag=3), runner(partition("b"), lag=None)
    async with serving(behind, unknown) as client:
        assert await calls(client) == {}
        behind.task.read(2)
        unknown.task.lag = 0
        assert await calls(client) == {"b": 1}
        behind.task.lag += 5  # that came since
        assert await calls(client) == {"b": 1}
        behind.task.read(1)
        assert await calls(client) == {"a": 1, "b": 1}
        behind.task = Reads(behind.task.logics, lag=5)  # it failed, and is as of its last commit
        assert await calls(client) == {"b": 1}


async def test_a_worker_without_series_answers_too() -> None:
    async with serving() as client:
        assert await calls(client) == {}


async def test_other_work_goes_on_during_a_scrape() -> None:
    turns = 0

    async def work() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    services = [f"service-{number}" for number in range(3000)]
    async with serving(runner(partition(*services))) as client:
        working = asyncio.create_task(work())
        found = await asyncio.gather(calls(client), calls(client))
        working.cancel()
    assert all(len(each) == len(services) for each in found)
    assert turns >= 2 * 3000 // 128


class SlowScraper:
    """Reads a little, and then little more until it is told to hurry."""

    def __init__(self, client: TestClient[Any, Any], pause_s: float) -> None:
        self.began, self.hurry = asyncio.Event(), asyncio.Event()
        self._to = client.host, client.port
        self._pause_s = pause_s

    async def read(self) -> bytes:
        """Return what came until the connection was at its end."""
        loop = asyncio.get_running_loop()
        found = b""
        with socket.socket() as mine, suppress(ConnectionResetError):
            mine.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 10)
            mine.setblocking(False)
            await loop.sock_connect(mine, self._to)
            request = b"GET /metrics/series HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
            await loop.sock_sendall(mine, request)
            while more := await loop.sock_recv(mine, 1024):
                found += more
                self.began.set()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self.hurry.wait(), self._pause_s)
        return found


@pytest.mark.parametrize(
    ("patience", "pause_s"),
    [
        pytest.param(Patience(pause_s=1), 60, id="it reads nothing"),
        pytest.param(Patience(pause_s=5, all_s=2), 0.05, id="it reads slowly"),
    ],
)
async def test_whoever_does_not_read_is_dropped_and_the_next_has_its_turn(
    patience: Patience, pause_s: float
) -> None:
    services = [f"service-{number}" for number in range(3000)]
    async with serving(runner(partition(*services)), patience=patience) as client:
        scraper = SlowScraper(client, pause_s)
        slow = asyncio.create_task(scraper.read())
        await scraper.began.wait()
        async with asyncio.timeout(PATIENCE_S):
            while True:
                with suppress(ClientError):  # a slow machine was too slow to read itself
                    assert len(await calls(client)) == len(services)
                    break
            scraper.hurry.set()
            assert b"# EOF" not in await slow


async def test_whoever_is_gone_before_its_turn_is_no_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    services = [f"service-{number}" for number in range(1000)]
    loop = asyncio.get_running_loop()
    async with serving(runner(partition(*services)), patience=Patience(600, 600)) as client:
        first = SlowScraper(client, 0.01)
        reading = asyncio.create_task(first.read())
        await first.began.wait()
        with socket.create_connection((client.host, client.port)) as gone:
            gone.setblocking(False)
            await loop.sock_sendall(gone, b"GET /metrics/series HTTP/1.1\r\nHost: a\r\n\r\n")
            assert await loop.sock_recv(gone, 4096)
        first.hurry.set()
        assert b"# EOF" in await reading
        assert len(await calls(client)) == len(services)
    assert [each for each in caplog.records if each.levelname == "ERROR"] == []
