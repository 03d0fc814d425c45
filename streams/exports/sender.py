"""Sends the requests of a round to one receiver, each until it is taken or refused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

import structlog

from tailrace.schemas.exports import (
    Again,
    MakeRound,
    OtherFormat,
    Refused,
    Reply,
    Request,
    Taken,
    Verdict,
)
from tailrace.streams.exports.door import Door, Unanswered, Unknown
from tailrace.streams.exports.figures import Figures
from tailrace.streams.exports.pace import Backoff, Gate

log = structlog.get_logger()

Judge: TypeAlias = Callable[[Reply, Request], Verdict]
_TELL_EVERY_S: Final = 10.0
_TELL_AFTER: Final = 5
"""Attempts after which what is tried again is logged, once."""


class UnknownFormat(Exception):
    """The receiver does not know the format; the message says what it said."""


@dataclass(frozen=True, slots=True)
class RefusedRequest:
    """What a receiver will never take, and its words."""

    request: Request
    words: str


class Sender:
    """Sends to the receiver behind *door*, with at most *shards* requests on their way."""

    def __init__(
        self,
        door: Door,
        judge: Judge,
        backoff: Backoff,
        shards: int,
        figures: Figures,
        random: Callable[[], float],
        clock: Callable[[], float],
    ) -> None:
        self._door = door
        self._judge = judge
        self._backoff = backoff
        self._shards = asyncio.Semaphore(shards)
        self._figures = figures
        self._random = random
        self._gate = Gate(clock)
        self._clock = clock
        self._tell_at = 0.0

    async def send(self, make: MakeRound) -> list[RefusedRequest]:
        """Return what of a round was refused, when all of it is taken or refused.

        Raises UnknownFormat.
        """
        requests, refused = make(), list[RefusedRequest]()
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    await self._shards.acquire()
                    # Encoding takes milliseconds, in which others have their turn.
                    request = await self._unless_cancelled(lambda: next(requests, None))
                    if request is None:
                        self._shards.release()
                        break
                    group.create_task(self._deliver(request, refused))
        except* UnknownFormat as unknown:
            raise unknown.exceptions[0] from None
        return refused

    async def _unless_cancelled(self, make: Callable[[], Request | None]) -> Request | None:
        try:
            return await asyncio.to_thread(make)
        except BaseException:
            self._shards.release()
            raise

    async def _deliver(self, request: Request, refused: list[RefusedRequest]) -> None:
        self._figures.underway += 1
        try:
            refused += await self._settle(request)
        finally:
            self._figures.underway -= 1
            self._shards.release()

    async def _settle(self, request: Request) -> list[RefusedRequest]:
        """Return what of *request* is refused: nothing that the receiver would take by itself.

        What is refused is halved until it is taken or cannot be; what is bad all through is whole.
        """
        counts = self._figures.counts
        verdict = await self._persist(request)
        if isinstance(verdict, Taken):
            # Some count samples where we count points: no counter of ours may fall for that.
            rejected = min(max(0, verdict.rejected), request.samples)
            counts["sent"] += request.samples - rejected
            if rejected:
                counts["rejected"] += rejected
                self._tell(verdict.words)
            return []
        parts = request.halves() if verdict.may_split else None
        if parts is None:
            counts["refused"] += request.samples
            self._tell(verdict.words)
            return [RefusedRequest(request, verdict.words)]
        found = [each for part in parts for each in await self._settle(part)]
        if [id(each.request) for each in found] == [*map(id, parts)]:
            return [RefusedRequest(request, found[0].words)]
        return found

    def _tell(self, words: str) -> None:
        """Log that samples are lost to a receiver, now and then."""
        now = self._clock()
        if now >= self._tell_at:
            self._tell_at = now + _TELL_EVERY_S
            counts = self._figures.counts
            log.error("a receiver refuses samples", receiver=self._figures.name, words=words,
                      so_far=counts["refused"] + counts["rejected"])  # fmt: skip

    async def _persist(self, request: Request) -> Taken | Refused:
        """Ask until there is an answer that ends it."""
        attempts = 0
        while True:
            while (wait_s := self._gate.wait_s) > 0:  # noqa: ASYNC110  # others may close it again
                await asyncio.sleep(wait_s)
            attempts += 1
            self._figures.counts["requests"] += 1
            verdict = await self._ask(request, attempts)
            if isinstance(verdict, OtherFormat):
                raise UnknownFormat(verdict.words)
            if not isinstance(verdict, Again):
                self._figures.error = ""
                return verdict
            self._figures.counts["retried"] += request.samples
            self._figures.error = verdict.words
            if attempts == _TELL_AFTER:
                log.warning("a receiver does not take samples yet; they wait in Kafka",
                            receiver=self._figures.name, words=verdict.words)  # fmt: skip
            wait_s = self._backoff.wait_s(attempts, self._random())
            self._gate.close(max(wait_s, verdict.after_s or 0.0))

    async def _ask(self, request: Request, attempt: int) -> Verdict:
        try:
            reply = await self._door.post(request, attempt)
        except (Unanswered, Unknown) as error:
            return Again(str(error))
        return self._judge(reply, request)

    async def close(self) -> None:
        """End all connections."""
        await self._door.close()
