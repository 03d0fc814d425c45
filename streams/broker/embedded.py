"""A single-node Kafka as a child of this process; it never outlives it."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from tailrace.schemas.errors import EnvironmentFailed
from tailrace.streams.broker.directory import DataDirectory, new_cluster_id
from tailrace.streams.broker.distribution import Distribution, installed_distribution
from tailrace.streams.broker.settings import (
    LOGGING,
    PROPERTIES,
    SCRATCH,
    java_options,
    logging_properties,
    server_properties,
)

_HOST = "127.0.0.1"
_START_S = 180.0
_STOP_S = 120.0
_ATTEMPTS = 3

# Becomes Java, after leaving a guard behind. The guard reads a pipe that only our process writes
# to: a line means that Java is gone; its end, that we are, and then Java is killed, whatever
# state it is in. $1 is a directory to remove then, or empty.
_GUARDED = """
exec 3<&0 </dev/null
temporary=$1; shift
(
  if ! read -r _ <&3; then
    kill -KILL $$
    if [ -n "$temporary" ]; then sleep 1; rm -rf -- "$temporary"; fi
  fi
) &
exec 3<&-
exec "$@"
"""


class EmbeddedBroker:
    """Kafka on 127.0.0.1: *port* 0 is any free one, kept over restarts; *data* None is temporary.

    `stop` and `kill` keep the data for the next `start`; leaving the context, or `close`,
    removes temporary data. Every method may raise EnvironmentFailed.
    """

    def __init__(self, port: int = 0, data: Path | None = None) -> None:
        self.port = port
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        if data is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="tailrace-kafka-")
            data = Path(self._temporary.name)
        self._directory = DataDirectory(data.absolute())
        self._java: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        """HOST:PORT for clients; the port is known once it has started."""
        return f"{_HOST}:{self.port}"

    @property
    def log(self) -> Path:
        """What Kafka and Java said."""
        return self._directory.log

    @property
    def pid(self) -> int:
        """The process ID of Java."""
        return self._running().pid

    @property
    def is_running(self) -> bool:
        return self._java is not None and self._java.poll() is None

    def start(self) -> None:
        """Block until Kafka accepts connections; fetch it first if need be."""
        assert not self.is_running, "the broker is already running"
        self._clear()
        distribution = installed_distribution()
        lock = self._directory.take(distribution.version)
        try:
            self._start(distribution, lock)
        except BaseException:
            self.kill()
            raise

    def _start(self, distribution: Distribution, lock: int) -> None:
        was_killed = self._directory.was_killed
        for attempt in range(1, _ATTEMPTS + 1):
            port, controller_port = _free_ports(self.port)
            self._configure(port, controller_port, was_killed)
            if not self._directory.is_formatted:
                self._format(distribution)
            self._java = self._spawn(distribution, lock)
            if self._accepts_connections(port):
                self.port = port
                return
            lost_a_port = "BindException" in self._directory.log_tail(100)
            if not lost_a_port or attempt == _ATTEMPTS:
                raise self._died("Kafka did not start")
            self._clear()

    def _configure(self, port: int, controller_port: int, is_after_kill: bool) -> None:
        path = self._directory.path
        shutil.rmtree(path / SCRATCH, ignore_errors=True)
        (path / SCRATCH).mkdir()
        properties = server_properties(port, controller_port, is_after_kill=is_after_kill)
        (path / PROPERTIES).write_text(properties)
        (path / LOGGING).write_text(logging_properties())

    def _format(self, distribution: Distribution) -> None:
        arguments = ["format", "--ignore-formatted", "-t", new_cluster_id(), "-c", PROPERTIES]
        with self.log.open("ab") as log:
            command = _command(distribution, "kafka.tools.StorageTool", *arguments)
            done = subprocess.run(
                command, cwd=self._directory.path, stdout=log, stderr=log, check=False
            )
        if done.returncode:
            raise self._died("Kafka could not format its data directory")

    def _spawn(self, distribution: Distribution, lock: int) -> subprocess.Popen[bytes]:
        temporary = self._temporary.name if self._temporary else ""
        kafka = _command(distribution, "kafka.Kafka", PROPERTIES)
        with self.log.open("ab") as log:
            return subprocess.Popen(
                ["/bin/sh", "-c", _GUARDED, "broker", temporary, *kafka],
                cwd=self._directory.path,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                pass_fds=(lock,),
                start_new_session=True,  # Ctrl-C is for us; Kafka is stopped by `stop`
            )

    def _accepts_connections(self, port: int) -> bool:
        """Wait for it; Kafka opens its port last. False if the process ended instead."""
        deadline = time.monotonic() + _START_S
        while self.is_running:
            with contextlib.suppress(OSError), socket.create_connection((_HOST, port), 1):
                return True
            if time.monotonic() > deadline:
                raise self._died(f"Kafka did not listen within {_START_S:g} s")
            time.sleep(0.02)
        return False

    def wait(self) -> None:
        """Block while Kafka runs; raises EnvironmentFailed when it ends by itself."""
        code = self._running().wait()
        raise self._died(f"Kafka ended by itself with code {code}")

    def stop(self) -> None:
        """Shut Kafka down in order; killed if that takes too long. Nothing if it does not run."""
        try:
            if self._java and self.is_running:
                self.resume()
                self._java.terminate()
                self._java.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self.kill()

    def kill(self) -> None:
        """End Kafka as a power cut would. Nothing if it does not run."""
        if self._java:
            self._java.kill()
            self._java.wait()
        self._clear()
        self._directory.release()

    def pause(self) -> None:
        """Freeze Kafka: connections stay open and nothing answers."""
        self._running().send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen Kafka go on."""
        self._running().send_signal(signal.SIGCONT)

    def cpu_seconds(self) -> float:
        """CPU time of Java since it started, user and system. Linux only."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self) -> None:
        """Stop, and remove temporary data."""
        self.stop()
        if self._temporary:
            self._temporary.cleanup()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _running(self) -> subprocess.Popen[bytes]:
        assert self._java is not None, "the broker is not running"
        return self._java

    def _clear(self) -> None:
        """Forget a Java that has ended; its guard may go."""
        if self._java and self._java.stdin:
            with contextlib.suppress(BrokenPipeError):
                self._java.stdin.write(b"\n")
                self._java.stdin.close()
        self._java = None

    def _died(self, what: str) -> EnvironmentFailed:
        said = self._directory.log_tail()
        remedy = f"Its log is {self.log}."
        if self._temporary:
            remedy = "To keep its whole log, give it a directory with --data."
        if "UnsupportedClassVersionError" in said:
            remedy = "Kafka needs Java 17 or newer: correct or unset JAVA_HOME."
        if "BindException" in said:
            remedy = "Another process took the port; start again, or choose one with --port."
        return EnvironmentFailed(f"{what}. The end of its log:{said}", remedy)


def _command(distribution: Distribution, main: str, *arguments: str) -> list[str]:
    options = java_options(os.environ.get("KAFKA_HEAP_OPTS"))
    return [str(distribution.java), *options, "-cp", distribution.classpath, main, *arguments]


def _free_ports(wanted: int) -> tuple[int, int]:
    """The port for clients, *wanted* or any for 0, and another; free a moment ago."""
    with socket.socket() as client, socket.socket() as controller:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            client.bind((_HOST, wanted))
        except OSError as error:
            raise EnvironmentFailed(
                f"port {wanted} on {_HOST} cannot be used: {error.strerror}.",
                "Stop what listens there, or choose another with --port (0: any free one).",
            ) from error
        controller.bind((_HOST, 0))
        return client.getsockname()[1], controller.getsockname()[1]
