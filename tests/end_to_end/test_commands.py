"""The commands as a user starts them: what they print, what they answer, how they end."""

import re
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tailrace_loadtest.processes import Process, Samples, total, wait_until
from tests.end_to_end.conftest import NewPipeline, Row
from tests.otlp import Span, message
from tests.patience import PATIENCE_S

NOBODY = "127.0.0.1:1"


def run(*arguments: str, log: Path, **environment: str) -> tuple[int, str]:
    """Exit code and output of a command that ends by itself."""
    process = Process(arguments, log, environment=environment)
    try:
        return process.wait(PATIENCE_S), process.output
    finally:
        process.kill()


@contextmanager
def listener() -> Iterator[int]:
    """A port that is taken, by something that never answers."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


def get(port: int, path: str, token: str | None = None) -> tuple[int, str]:
    """Status and text of an answer."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_a_worker_that_finds_no_broker_names_the_address_and_the_remedy(tmp_path: Path) -> None:
    data = str(tmp_path / "data")
    code, said = run("worker", "--bootstrap", NOBODY, "--data", data, log=tmp_path / "log")
    assert code == 3, said
    assert f"no Kafka broker answers at {NOBODY}" in said
    assert "--bootstrap" in said
    assert "`tailrace broker`" in said
    assert "Traceback" not in said


def test_a_worker_gives_up_a_broker_that_says_nothing(tmp_path: Path) -> None:
    data = str(tmp_path / "data")
    with listener() as port:
        address = f"127.0.0.1:{port}"
        code, said = run("worker", "--bootstrap", address, "--data", data, log=tmp_path / "log")
    assert code == 3, said
    assert f"no Kafka broker answers at {address}" in said


@pytest.mark.parametrize("command", ["worker", "check"])
def test_everything_wrong_in_a_config_is_told_at_once(command: str, tmp_path: Path) -> None:
    config = tmp_path / "worker.yaml"
    config.write_text(
        "kafka: {bootstrap_servers: ['localhost:kafka'], sesion_timeout: 8s}\n"
        "web: {port: 70000}\n"
        "tail_sampling:\n"
        "  decision_wait: 10\n"
        "  policies: [{name: slow, type: latency, latency: {threshold_ms: -5}}]\n"
    )
    code, said = run(command, "-c", str(config), log=tmp_path / "log")
    assert code == 1, said
    for path in (
        "kafka.bootstrap_servers[0] is",
        "kafka.sesion_timeout is not a known key; did you mean session_timeout?",
        "web.port is 70000",
        "tail_sampling.decision_wait is 10 without a unit",
        "tail_sampling.policies[0].latency.threshold_ms is -5; it must be 0 or more",
    ):
        assert path in said
    assert "Traceback" not in said


def test_a_config_that_does_not_exist_is_named(tmp_path: Path) -> None:
    code, said = run("worker", "-c", str(tmp_path / "none.yaml"), log=tmp_path / "log")
    assert code == 1, said
    assert "none.yaml" in said


def test_a_capability_that_nobody_knows_is_told_with_those_there_are(tmp_path: Path) -> None:
    code, said = run("worker", "--only", "sampling,alert", log=tmp_path / "log")
    assert code == 1, said
    assert '--only is "alert"; it must be sampling, red, service_graph, alerts, notifier' in said
    assert "Traceback" not in said


def test_a_worker_says_when_it_is_ready_answers_and_ends_in_order(
    new_pipeline: NewPipeline,
) -> None:
    pipeline = new_pipeline()
    worker = pipeline.worker
    process = worker.start()
    ready = process.wait_for("ready ")
    tasks = [f"{stage}-{number}" for stage in ("notifications", "rollups") for number in range(8)]
    assert ready.split() == ["ready", *tasks, "spans-0"]
    assert get(worker.port, "/healthz") == (200, "ok\n")
    assert get(worker.port, "/readyz") == (200, "ready\n")
    status, text = get(worker.port, "/metrics")
    assert status == 200
    families = list(text_string_to_metric_families(text))  # type: ignore[no-untyped-call]  # theirs
    names = {family.name for family in families}
    assert {"tailrace_records", "tailrace_lag_records", "tailrace_balance_problems"} <= names
    assert all(re.match("tailrace_|process_", name) for name in names), names
    assert all(family.documentation for family in families)
    assert process.stop() == 0
    assert "Traceback" not in process.output


def test_what_is_done_is_committed_on_sigterm(new_pipeline: NewPipeline) -> None:
    pipeline = new_pipeline(engine={"checkpoint_interval": "1h"})
    long_ago_ms = int(time.time() * 1000) - 60_000
    pipeline.send([Row(message(Span(bytes([each]) * 16)), long_ago_ms) for each in range(1, 9)])
    process = pipeline.worker.start()
    wait_until([pipeline.worker.port], _has_decided, PATIENCE_S)
    assert pipeline.read()[pipeline.decisions] == []
    assert process.stop() == 0
    assert len(pipeline.read()[pipeline.decisions]) == 8


def _has_decided(samples: Samples) -> bool:
    is_read = total(samples, "tailrace_last_batch_records") > 0
    return is_read and total(samples, "tailrace_traces_open") == 0


def test_with_a_token_only_health_and_readiness_are_answered_without_it(
    new_pipeline: NewPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAILRACE_TOKEN", "a secret")
    worker = new_pipeline(web={"token": "${TAILRACE_TOKEN}"}).worker
    worker.start().wait_for("ready ")
    assert get(worker.port, "/healthz")[0] == 200
    assert get(worker.port, "/readyz")[0] == 200
    assert get(worker.port, "/metrics")[0] == 401
    assert get(worker.port, "/metrics", "another")[0] == 401
    assert get(worker.port, "/metrics", "a secret")[0] == 200


def test_a_web_port_in_use_is_named_with_the_remedy(
    new_pipeline: NewPipeline, tmp_path: Path
) -> None:
    pipeline = new_pipeline()
    with listener() as port:
        code, said = run(
            "worker", "-c", str(pipeline.config), "--bootstrap", pipeline.bootstrap,
            "--data", str(tmp_path / "data"), "--web-port", str(port), log=tmp_path / "log",
        )  # fmt: skip
    assert code == 3, said
    assert f"cannot listen on 127.0.0.1:{port}" in said
    assert "--web-port" in said
    assert "Traceback" not in said


def test_a_data_directory_in_use_is_named_with_the_remedy(
    new_pipeline: NewPipeline, tmp_path: Path
) -> None:
    pipeline = new_pipeline()
    pipeline.worker.start().wait_for("ready ")
    code, said = run(
        "worker", "-c", str(pipeline.config), "--bootstrap", pipeline.bootstrap,
        "--data", str(pipeline.worker.data), "--web-port", "0", log=tmp_path / "log",
    )  # fmt: skip
    assert code == 3, said
    assert f"{pipeline.worker.data} is in use by another worker" in said
    assert "--data" in said
    assert pipeline.worker.process.is_running


@pytest.mark.kafka
@pytest.mark.slow
def test_the_demo_shows_everything_checks_it_and_ends_by_itself(tmp_path: Path) -> None:
    process = Process(["demo"], tmp_path / "log", environment={"DEMO_SECONDS": "16"})
    try:
        assert process.wait(3 * PATIENCE_S) == 0, process.output
    finally:
        process.kill()
    said = process.output
    assert "checked against the load: every decision is right" in said
    assert "count what was sent, to the digit" in said
    live, _, told = said.partition("messages sent")
    for part in (live, told):
        assert re.search(r"\bgateway +[\d,.]+ +[\d.]+% +[\d,]+\b", part), said
        assert re.search(
            r"^gateway → catalog +request +[\d,.]+ +[\d.]+% +[\d,.]+$", part, re.MULTILINE
        )
    assert re.search(r"\d kept by|by rest", live), said
    assert "lag in records: spans" in live
