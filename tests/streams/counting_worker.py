"""A worker of the counting job as a process, known by its log."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson

from tests.patience import PATIENCE_S
from tests.streams import counting_job
from tests.streams.counting_job import JobSettings

_ROOT = Path(__file__).parents[2]


async def until(holds: Callable[[], bool], what: str) -> None:
    """Wait until *holds*; fail with *what* was waited for."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, f"waited {PATIENCE_S:.0f} s for {what}"
        await asyncio.sleep(0.02)


@dataclass
class Worker:
    """One worker process and its log; `started_at` is monotonic."""

    settings: JobSettings
    log: Path
    started_at: float = 0.0
    _heeded: int = 0
    _readied: int = 0
    _process: subprocess.Popen[bytes] | None = None

    def start(self, **changes: Any) -> None:
        """Start it, again if it ended; *changes* of its settings stay."""
        self.settings = JobSettings(**(asdict(self.settings) | changes))
        self.started_at = time.monotonic()
        self._heeded, self._readied = len(self.said("heeds")), len(self.said("ready"))
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", counting_job.__name__, orjson.dumps(self.settings)],
                cwd=_ROOT,
                stdout=log,
                stderr=log,
            )

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """End it with SIGKILL, if it runs."""
        if self.is_running:
            self.process.kill()
            self.process.wait()

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def ended(self) -> int:
        """Wait for its end; return the exit code."""
        await until(lambda: not self.is_running, f"the end of {self.log.stem}")
        return self.process.returncode

    async def terminate(self) -> int:
        """Stop it in order, once it can be; return the exit code."""
        await until(
            lambda: len(self.said("heeds")) > self._heeded or not self.is_running,
            f"{self.log.stem} to heed signals",
        )
        self.signal(signal.SIGTERM)
        return await self.ended()

    def text(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    def said(self, word: str) -> list[dict[str, Any]]:
        """Return what it said under *word*, over all its lives."""
        lines = (line.split(" ", 1) for line in self.text().splitlines())
        return [orjson.loads(line[1]) for line in lines if line[0] == word]

    async def ready(self) -> float:
        """Wait until it has been ready since its last start; return the seconds since then."""
        await until(
            lambda: len(self.said("ready")) > self._readied or not self.is_running,
            f"{self.log.stem} to be ready",
        )
        assert self.is_running, self.text()
        return time.monotonic() - self.started_at

    @property
    def owned(self) -> set[str]:
        """The tasks that it took over last."""
        ready = self.said("ready")
        return set(ready[-1]["positions"]) if ready else set()
