"""The data directory: one broker at a time, and none older than the one that wrote it."""

import base64
import fcntl
import os
import time
import uuid
from pathlib import Path
from typing import TextIO

from tailrace.schemas.errors import EnvironmentFailed
from tailrace.streams.broker.settings import LOG, LOG_DIRECTORY

_STAMP = "kafka.version"


class DataDirectory:
    """*path* as one broker's own, from `take` to `release`.

    The lock is on the stamp, a file that holds Kafka's version. Java inherits it: after a kill
    of this process alone, the directory is free when Java too is gone, for which *patience_s*
    is enough.
    """

    def __init__(self, path: Path, patience_s: float = 30.0) -> None:
        self.path = path
        self._patience_s = patience_s
        self._stamp: TextIO | None = None
        self._log_start = 0

    @property
    def log(self) -> Path:
        return self.path / LOG

    @property
    def is_formatted(self) -> bool:
        return (self.path / LOG_DIRECTORY / "meta.properties").exists()

    @property
    def was_killed(self) -> bool:
        """True if the last broker that ran on it did not end in order."""
        is_clean = (self.path / LOG_DIRECTORY / ".kafka_cleanshutdown").exists()
        return self.is_formatted and not is_clean

    def take(self, version: str) -> int:
        """Own the directory and stamp it with *version*; the lock's file descriptor.

        Raises EnvironmentFailed.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            has_strangers = any(entry.name != _STAMP for entry in self.path.iterdir())
            stamp = self._stamp = (self.path / _STAMP).open("a+")
            self._lock(stamp)
            stamp.seek(0)
            self._admit(stamp.read().strip(), version, has_strangers)
            stamp.truncate(0)
            stamp.write(version)
            stamp.flush()
            self._log_start = self.log.stat().st_size if self.log.exists() else 0
            return stamp.fileno()
        except OSError as error:
            self.release()
            raise EnvironmentFailed(
                f"the broker's data directory {self.path} cannot be used: {error}.",
                "Make it writable, or choose another one with --data.",
            ) from error
        except EnvironmentFailed:
            self.release()
            raise

    def _lock(self, stamp: TextIO) -> None:
        deadline = time.monotonic() + self._patience_s
        while True:
            try:
                return fcntl.flock(stamp, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise EnvironmentFailed(
                        f"another broker is running on {self.path}.",
                        "Stop it, or choose another directory with --data.",
                    ) from error
                time.sleep(0.05)

    def _admit(self, written_by: str, version: str, has_strangers: bool) -> None:
        if not written_by and has_strangers:
            (self.path / _STAMP).unlink()
            raise EnvironmentFailed(
                f"{self.path} is not empty and was not made by tailrace broker.",
                "Choose an empty directory with --data.",
            )
        if written_by and _ordered(written_by) > _ordered(version):
            raise EnvironmentFailed(
                f"{self.path} was written by Kafka {written_by}, this is {version}.",
                "Choose another directory with --data, or a KAFKA_HOME of that version.",
            )

    def release(self) -> None:
        if self._stamp:
            self._stamp.close()
            self._stamp = None

    def log_tail(self, lines: int = 15) -> str:
        """The end of what was logged since `take`, indented."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as log:
            if self._log_start <= os.fstat(log.fileno()).st_size:
                log.seek(self._log_start)
            said = log.read().decode(errors="replace").splitlines()
        return "".join(f"\n  {line}" for line in said[-lines:])


def new_cluster_id() -> str:
    """Sixteen random bytes as Kafka writes them; never starts with a dash."""
    while True:
        text = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not text.startswith("-"):
            return text


def _ordered(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("-")[0].split(".") if part.isdigit())
