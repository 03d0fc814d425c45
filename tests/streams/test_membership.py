"""Workers of one app run the same capabilities: who runs others is refused when it joins."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import pytest

from tailrace.schemas.config import WorkerConfig, parse
from tailrace.schemas.errors import ConfigError
from tailrace.streams.broker import EmbeddedBroker
from tailrace.streams.membership import client_id, refuse_mixed
from tailrace.streams.worker import overridden
from tailrace_loadtest.processes import Process, free_port
from tests.patience import PATIENCE_S

_numbers = itertools.count(1)

Start = Callable[..., Process]


@pytest.fixture
def start(broker: EmbeddedBroker, tmp_path: Path) -> Iterator[Start]:
    """Starts a worker of one app with the arguments given and the config *said*."""
    app, started = f"members{next(_numbers)}", list[Process]()

    def begin(*arguments: str, **said: object) -> Process:
        place = tmp_path / str(len(started))
        config = place.with_suffix(".json")
        outputs = {name: f"{app}.{name}" for name in ("metrics", "edges", "alerts")}
        content = {
            "app": app, "input": {"topics": [f"{app}.spans"]}, "output": outputs,
            "kafka": {"session_timeout": f"{PATIENCE_S:.0f}s"}, **said,
        }  # fmt: skip
        config.write_bytes(orjson.dumps(content))
        fixed = ["-c", str(config), "--bootstrap", broker.bootstrap, "--web-port", "0"]
        command = ["worker", *fixed, "--data", str(place), *arguments]
        started.append(Process(command, place.with_suffix(".log")))
        return started[-1]

    yield begin
    for process in started:
        process.kill()


def test_a_worker_that_runs_less_than_the_others_is_refused_with_the_remedy(start: Start) -> None:
    whole = start()
    whole.wait_for("ready ")
    part = start("--only", "red")
    assert part.wait(PATIENCE_S) == 1, part.output
    assert "tailrace: only is red, but workers of app members" in part.output
    assert " run all; give this config another app, or let all workers" in part.output
    assert "ready" not in part.output
    assert "Traceback" not in part.output
    assert whole.is_running


def test_a_worker_that_runs_more_than_the_others_is_refused(start: Start) -> None:
    start("--only", "sampling,red").wait_for("ready ")
    whole = start()
    assert whole.wait(PATIENCE_S) == 1, whole.output
    assert "only is all, but workers of app members" in whole.output
    assert " run red,sampling; " in whole.output


def test_workers_that_run_the_same_are_let_in_however_they_say_it(start: Start) -> None:
    first = start("--only", "sampling,red")
    first.wait_for("ready ")
    start(only=["red", "sampling"]).wait_for("ready ")
    assert first.is_running


async def test_a_broker_that_does_not_answer_yet_is_asked_again(broker: EmbeddedBroker) -> None:
    async def forward(source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
        while data := await source.read(1 << 16):
            to.write(data)
        to.close()

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = broker.bootstrap.partition(":")
        source, to = await asyncio.open_connection(host, int(port))
        await asyncio.gather(forward(reader, to), forward(source, writer))

    port = free_port()
    kafka = {"bootstrap_servers": f"127.0.0.1:{port}"}
    asking = asyncio.create_task(refuse_mixed(WorkerConfig(), kafka))
    await asyncio.sleep(1)
    async with await asyncio.start_server(connect, "127.0.0.1", port):
        await asking


def test_of_two_sets_that_join_together_one_does_not_stay(start: Start) -> None:
    both = [start("--only", name) for name in ("sampling", "red")]
    deadline = time.monotonic() + PATIENCE_S
    while all(each.is_running for each in both) and time.monotonic() < deadline:
        time.sleep(0.05)
    ended = [each for each in both if not each.is_running]
    assert ended, [each.output for each in both]
    for each in ended:
        assert each.wait(PATIENCE_S) == 1, each.output
        assert "give this config another app" in each.output


def test_all_capabilities_by_name_are_all() -> None:
    named = parse("only: notifier,alerts,service_graph,red,sampling,red")
    assert client_id(named) == client_id(WorkerConfig())
    assert client_id(parse("only: red")) != client_id(WorkerConfig())


def test_receivers_make_no_difference_to_the_group_of_the_stages() -> None:
    receivers = "remote_write: [{url: http://a/write}]\notlp_http: [{endpoint: http://b}]\n"
    sending = parse(f"{receivers}only: red,remote_write,otlp_http")
    assert client_id(sending) == client_id(parse("only: red"))
    assert client_id(parse(receivers)) == client_id(WorkerConfig())


async def test_who_only_sends_may_join_any_others() -> None:
    receivers = "remote_write: [{url: http://a/write}]\nonly: remote_write"
    # Nobody is asked, for there is no broker there to answer.
    assert await refuse_mixed(parse(receivers), {"bootstrap_servers": "nowhere:1"}) is None


def test_what_is_only_to_run_is_said_by_the_command_line_before_the_config() -> None:
    config = overridden(parse("only: sampling"), None, None, None, "red,alerts")
    assert config.capabilities == {"red", "alerts"}


@pytest.mark.parametrize(
    ("only", "said"),
    [
        pytest.param(
            "reed",
            '--only is "reed"; it must be sampling, red, service_graph, alerts, notifier, '
            "remote_write or otlp_http",
            id="a capability that nobody knows",
        ),
        pytest.param(
            "red",
            "--only is red, which the config turns off; nothing would run",
            id="a capability that the config turns off",
        ),
    ],
)
def test_what_cannot_be_the_only_thing_is_refused(only: str, said: str) -> None:
    config = parse("span_metrics: {enabled: false}")
    with pytest.raises(ConfigError) as refused:
        overridden(config, None, None, None, only)
    assert str(refused.value) == said
