"""The system under test as its users start it: commands, and what they answer over HTTP."""

import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from http.client import HTTPException
from pathlib import Path

from prometheus_client.openmetrics.parser import text_string_to_metric_families

_START_S = 240.0
_STOP_S = 120.0
_TICKS = os.sysconf("SC_CLK_TCK")
_PORTS = range(20_000, 32_000)
"""Below those that systems give to outgoing connections: such a one could take a port that a
process gives up for a moment."""

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


class Process:
    """A `tailrace` command with its output in a file, on the processor *core* if given."""

    def __init__(
        self,
        arguments: Sequence[str],
        log: Path,
        core: int | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.log = log
        self.started_at = time.monotonic()
        with log.open("ab") as file:
            self._begin = file.tell()
            self._popen = subprocess.Popen(
                [sys.executable, "-m", "tailrace", *arguments],
                stdout=file,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **(environment or {})},
            )
        if core is not None:
            os.sched_setaffinity(self._popen.pid, {core})

    @property
    def pid(self) -> int:
        """The process ID."""
        return self._popen.pid

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._popen.poll() is None

    @property
    def output(self) -> str:
        """What it has written so far; what others wrote into the log before is left out."""
        return self.log.read_bytes()[self._begin :].decode(errors="replace")

    def wait_for(self, text: str, *also: str, after: int = 0) -> str:
        """The first whole line of its output that starts with *text* and has all of *also*.

        *after*: so many characters of the output are left out.
        """
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            is_over = not self.is_running
            for line in self.output[after:].splitlines(keepends=True):
                is_whole = line.startswith(text) and line.endswith("\n")
                if is_whole and all(each in line for each in also):
                    return line.rstrip("\n")
            if is_over:
                break
            time.sleep(0.02)
        raise RuntimeError(f"{self.log} has no line {text!r}:\n{self.output[-3000:]}")

    def wait(self, timeout_s: float) -> int:
        """Its exit code, once it has ended by itself; TimeoutError if it takes longer."""
        try:
            return self._popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise TimeoutError(
                f"still runs after {timeout_s:g} s:\n{self.output[-3000:]}"
            ) from None

    def kill(self) -> None:
        """End it as kill -9 does."""
        self._popen.kill()
        self._popen.wait()

    def stop(self) -> int:
        """End it with SIGTERM; its exit code."""
        if self.is_running:
            self._popen.send_signal(signal.SIGTERM)
        try:
            return self._popen.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()
            return -signal.SIGKILL


def start_broker(directory: Path, port: int = 0, core: int | None = None) -> Process:
    """A broker that is starting, with its data in *directory*."""
    return Process(
        ["broker", "--port", str(port), "--data", str(directory / "kafka")],
        directory / "broker.log",
        core,
    )


def address(broker: Process) -> str:
    """HOST:PORT of *broker*, once it listens."""
    return broker.wait_for("listening on ").removeprefix("listening on ").strip()


@contextmanager
def broker(
    directory: Path, port: int = 0, core: int | None = None
) -> Iterator[tuple[str, Process]]:
    """A broker with its data in *directory*: its address and process."""
    process = start_broker(directory, port, core)
    try:
        yield address(process), process
    finally:
        process.stop()


def free_port() -> int:
    """A port of 127.0.0.1 that was free just now."""
    for port in random.sample(_PORTS, len(_PORTS)):
        with socket.socket() as listener, suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port
    raise OSError(f"no port from {_PORTS.start} to {_PORTS.stop} is free")


def scrape(port: int) -> Samples:
    """The samples of a worker's `/metrics`."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    families = text_string_to_metric_families(text)  # type: ignore[no-untyped-call]  # theirs
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def total(samples: Samples, name: str, **labels: str) -> float:
    """The sum of the samples of *name* that have *labels*."""
    wanted = set(labels.items())
    return sum(value for (each, has), value in samples.items() if each == name and wanted <= has)


def together(ports: Sequence[int]) -> Samples:
    """The samples of all workers that answer, added up."""
    samples: Samples = {}
    for port in ports:
        with suppress(OSError, HTTPException):
            for key, value in scrape(port).items():
                samples[key] = samples.get(key, 0.0) + value
    return samples


def wait_until(
    ports: Sequence[int], done: Callable[[Samples], bool], timeout_s: float, every_s: float = 0.2
) -> Samples:
    """The samples of all workers together, once *done* says so of them; asking is not free."""
    deadline = time.monotonic() + timeout_s
    samples: Samples = {}
    while time.monotonic() < deadline:
        samples = together(ports)
        if done(samples):
            return samples
        time.sleep(every_s)
    raise TimeoutError(f"not done after {timeout_s:.0f} s: {sorted(samples.items(), key=str)[:40]}")


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, its ended children not counted."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def peak_rss_bytes(pid: int) -> int:
    """The most memory that the process has had resident."""
    return _status_bytes(pid, "VmHWM:")


def rss_bytes(pid: int) -> int:
    """The memory that the process has resident now."""
    return _status_bytes(pid, "VmRSS:")


def _status_bytes(pid: int, key: str) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith(key))
    return int(line.split()[1]) * 1024


def children(pid: int) -> list[int]:
    """The processes that *pid* started, and theirs."""
    found = []
    for path in Path(f"/proc/{pid}/task").iterdir():
        for child in (path / "children").read_text().split():
            found += [int(child), *children(int(child))]
    return found
