"""A real Prometheus, that samples are written into and that answers PromQL."""

from __future__ import annotations

import subprocess
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from tailrace_loadtest.processes import free_port
from tests.end_to_end.servers import PROMETHEUS
from tests.patience import PATIENCE_S

_FEATURES = "exemplar-storage,native-histograms,created-timestamp-zero-ingestion"

Labels = frozenset[tuple[str, str]]


@dataclass(frozen=True)
class Prometheus:
    """One that is ready."""

    url: str
    log: Path

    @property
    def write_url(self) -> str:
        return f"{self.url}/api/v1/write"

    @property
    def otlp_url(self) -> str:
        return f"{self.url}/api/v1/otlp"

    def query(self, promql: str, at_s: float | None = None) -> dict[Labels, float]:
        """The instant vector that *promql* is, by labels."""
        found = self.ask("query", query=promql, **({} if at_s is None else {"time": at_s}))
        return {
            frozenset(each["metric"].items()): float(each["value"][1])
            for each in found["result"]
            if "value" in each
        }

    def number(self, promql: str, at_s: float | None = None) -> float:
        """The only value of *promql*."""
        [value] = self.query(promql, at_s).values()
        return value

    def ask(self, what: str, **parameters: Any) -> Any:
        """The data that the API answers."""
        answer = httpx.get(
            f"{self.url}/api/v1/{what}", params=parameters, timeout=PATIENCE_S, trust_env=False
        )
        assert answer.is_success, answer.text
        return answer.json()["data"]

    def holds(self, promql: str, value: float, at_s: float | None = None) -> None:
        """*promql* is *value*, soon."""
        deadline = time.monotonic() + PATIENCE_S
        while (found := [*self.query(promql, at_s).values()]) != [value]:
            assert time.monotonic() < deadline, f"{promql} is {found}, not {value}"
            time.sleep(0.2)

    def exceeds(self, promql: str, value: float) -> None:
        """*promql* is more than *value*, soon."""
        deadline = time.monotonic() + PATIENCE_S
        while sum(found := [*self.query(promql).values()]) <= value:
            assert time.monotonic() < deadline, f"{promql} is {found}, not over {value}"
            time.sleep(0.2)


@pytest.fixture(scope="session")
def prometheus_binary() -> Path:
    """The server, or a skip that nobody overlooks."""
    there = PROMETHEUS.found()
    if there is None:
        warnings.warn(PROMETHEUS.missing, stacklevel=1)
        pytest.skip(PROMETHEUS.missing)
    return there


@contextmanager
def running(
    binary: Path,
    directory: Path,
    targets: Iterable[str] = (),
    scrape: Mapping[str, Any] | None = None,
) -> Iterator[Prometheus]:
    """A Prometheus with nothing in it, that scrapes *targets* each second."""
    directory.mkdir(parents=True, exist_ok=True)
    jobs = [
        {
            "job_name": "tailrace",
            "scrape_interval": "1s",
            "static_configs": [{"targets": list(targets)}],
            **(scrape or {}),
        }
    ]
    config = directory / "prometheus.json"
    config.write_bytes(orjson.dumps({"scrape_configs": jobs if targets else []}))
    address = f"127.0.0.1:{free_port()}"
    log = directory / "prometheus.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                binary,
                f"--config.file={config}",
                f"--storage.tsdb.path={directory / 'data'}",
                f"--web.listen-address={address}",
                "--web.enable-remote-write-receiver",
                "--web.enable-otlp-receiver",
                "--web.remote-write-receiver.accepted-protobuf-messages=prometheus.WriteRequest",
                "--web.remote-write-receiver.accepted-protobuf-messages=io.prometheus.write.v2.Request",
                f"--enable-feature={_FEATURES}",
            ],
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        found = Prometheus(f"http://{address}", log)
        try:
            _await_ready(found, process)
            yield found
        finally:
            process.terminate()
            process.wait(PATIENCE_S)


def _await_ready(prometheus: Prometheus, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        assert process.poll() is None, prometheus.log.read_text()
        assert time.monotonic() < deadline, prometheus.log.read_text()
        try:
            if httpx.get(f"{prometheus.url}/-/ready", trust_env=False).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
