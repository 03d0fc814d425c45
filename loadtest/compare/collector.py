"""What a collector keeps: built from the Go module beside this file, and run.

It decides nothing before it is told to stop; then it decides everything it has, tick by tick. So
what it keeps does not hinge on how fast anything runs.
"""

from __future__ import annotations

import http.client
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from tailrace_loadtest.compare.kept import Kept
from tailrace_loadtest.compare.messages import Message
from tailrace_loadtest.compare.policies import PolicySet
from tailrace_loadtest.files import frames
from tailrace_loadtest.go_modules import built
from tailrace_loadtest.processes import free_port

WAIT = "600s"
"""Longer than any run."""
_NAMING = "processor.tailsamplingprocessor.recordpolicy"
_POLICY = "tailsampling.policy"
"""An attribute of scopes that is there with that feature gate."""
_READY = b"Everything is ready"
_TICK_S = 1.1
_MODULE = Path(__file__).parent / "collector"
_START_S = 60.0
_STOP_S = 300.0


def build() -> Path:
    """The collector, in the user's cache; raises NoProgram."""
    return built(_MODULE, "collector", ("build",), "compare-sampling")


def kept(
    program: Path,
    sets: Sequence[PolicySet],
    messages: Sequence[Message],
    *,
    one_a_tick: bool = False,
    is_named: bool = True,
) -> list[Kept]:
    """What each of *sets* keeps of *messages*.

    Traces of one tick are decided in no certain order. With *one_a_tick*, messages come so far
    apart that traces are decided in the order in which they began. With *is_named*, it is told by
    which policy; the collector then writes names into what it measures.
    """
    with tempfile.TemporaryDirectory() as name:
        pause = _TICK_S if one_a_tick else 0.0
        options = (f"--feature-gates={_NAMING}",) if is_named else ()
        _run(program, sets, messages, Path(name), pause, options)
        return [_read(Path(name) / f"{index}.pb") for index in range(len(sets))]


def rewritten(program: Path, messages: Sequence[Message]) -> list[bytes]:
    """*messages*, each of one trace, as a collector writes them when it keeps them.

    It leaves out schema URLs and writes what is empty: only so are these as large to both.
    """
    everything = PolicySet("all", {"policies": [{"name": "all", "type": "always_sample"}]})
    with tempfile.TemporaryDirectory() as name:
        _run(program, [everything], messages, Path(name), 0.0, ())
        written = list(frames((Path(name) / "0.pb").read_bytes()))
    by_trace = {
        TracesData.FromString(each).resource_spans[0].scope_spans[0].spans[0].trace_id: each
        for each in written
    }
    return [by_trace[message.trace_ids[0]] for message in messages]


def _run(
    program: Path,
    sets: Sequence[PolicySet],
    messages: Sequence[Message],
    directory: Path,
    pause: float,
    options: Sequence[str],
) -> None:
    """Each of *sets* has written what it keeps into a file named as its index."""
    port = free_port()
    config = directory / "config.yaml"
    config.write_text(yaml.safe_dump(_config(sets, port, directory), allow_unicode=True))
    command = [str(program), f"--config=file:{config}", *options]
    with _running(command, directory / "log", port) as connection:
        for message in messages:
            _send(connection, message.value)
            time.sleep(pause)


def _config(sets: Sequence[PolicySet], port: int, directory: Path) -> dict[str, Any]:
    rows = range(len(sets))
    own = {"decision_wait": WAIT, "num_traces": 10**7}
    return {
        "receivers": {"otlp": {"protocols": {"http": {"endpoint": f"127.0.0.1:{port}"}}}},
        "processors": {f"tail_sampling/{row}": {**sets[row].section, **own} for row in rows},
        "exporters": {
            f"file/{row}": {"path": str(directory / f"{row}.pb"), "format": "proto"} for row in rows
        },
        "service": {
            "telemetry": {"metrics": {"level": "none"}, "logs": {"level": "info"}},
            "pipelines": {
                f"traces/{row}": {
                    "receivers": ["otlp"],
                    "processors": [f"tail_sampling/{row}"],
                    "exporters": [f"file/{row}"],
                }
                for row in rows
            },
        },
    }


@contextmanager
def _running(command: Sequence[str], log: Path, port: int) -> Iterator[http.client.HTTPConnection]:
    """A collector that listens; it has ended, and written everything, when this is left."""
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, stdin=subprocess.DEVNULL)
    try:
        yield _connected(process, log, port)
        process.send_signal(signal.SIGTERM)
        if process.wait(_STOP_S):
            raise RuntimeError(f"the collector failed:\n{log.read_text()[-3000:]}")
    finally:
        process.kill()
        process.wait()


def _connected(
    process: subprocess.Popen[bytes], log: Path, port: int
) -> http.client.HTTPConnection:
    """A connection, once the collector says that it runs: before that it cannot be stopped well."""
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        if _READY in log.read_bytes():
            return http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        time.sleep(0.05)
    raise RuntimeError(f"the collector does not start:\n{log.read_text()[-3000:]}")


def _send(connection: http.client.HTTPConnection, value: bytes) -> None:
    connection.request("POST", "/v1/traces", value, {"Content-Type": "application/x-protobuf"})
    answer = connection.getresponse()
    text = answer.read()
    if answer.status != 200:
        raise RuntimeError(f"the collector answered {answer.status}: {text[:300]!r}")


def _read(path: Path) -> Kept:
    found = Kept()
    for frame in frames(path.read_bytes() if path.exists() else b""):
        for block in TracesData.FromString(frame).resource_spans:
            for scope in block.scope_spans:
                named = [each.value for each in scope.scope.attributes if each.key == _POLICY]
                policy = named[0].string_value if named else None
                for span in scope.spans:
                    found.add(span.trace_id or bytes(16), 1, policy)
    return found
