"""A file of sampling policies that is read again whenever it changes.

A version that cannot be read changes nothing: the last good one stays, and that is logged and
counted. What stands is told to the tasks as a definition, between two batches.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import structlog

from tailrace.schemas.config.source import read_text
from tailrace.schemas.config.tail_sampling import TailSamplingConfig
from tailrace.schemas.definitions.definition import Definition
from tailrace.schemas.definitions.tail_sampling import of_file
from tailrace.schemas.errors import ConfigError

log = structlog.get_logger()

_LOOK_EVERY_S: Final = 1.0


class PoliciesFile:
    """Follows the file *path* from `start` to `stop`; *take* gets every good version of it.

    *among*: the other keys, with which its policies have to go together.
    """

    def __init__(
        self,
        path: Path,
        take: Callable[[Definition[Any]], None],
        among: TailSamplingConfig | None = None,
    ) -> None:
        self.bad_versions = 0
        self._path = path
        self._take = take
        self._among = among
        self._text = self._refused = ""
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Take what the file says now, then follow it; raises ConfigError if that is wrong."""
        self._text = read_text(self._path)
        self._take(of_file(self._text, str(self._path), self._among))
        self._task = asyncio.create_task(self._follow())

    async def stop(self) -> None:
        """Let the file go; what it said last stays."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            try:
                text = await asyncio.to_thread(read_text, self._path)
                if text == self._text:
                    self._refused = ""  # it is there again, or has been told of
                    continue
                self._text = text
                definition = of_file(text, str(self._path), self._among)
            except Exception as error:  # whatever it holds, the last good version stays
                self._refuse(error)
                continue
            self._refused = ""
            self._take(definition)
            log.info(
                "sampling policies changed",
                file=str(self._path), version=definition.annotations["version"],
            )  # fmt: skip

    def _refuse(self, error: Exception) -> None:
        if str(error) != self._refused:
            if not isinstance(error, ConfigError):
                log.debug("sampling policies cannot be read", exc_info=error)
            self._refused = str(error)
            self.bad_versions += 1
            log.warning(
                "sampling policies cannot be read; the last good ones stay",
                file=str(self._path), reason=str(error).replace("\n", "; "),
            )  # fmt: skip
