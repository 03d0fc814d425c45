"""A lane sends each round of a unit once, and what it cannot read is one dead letter."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka.errors import TransactionalIdAuthorizationFailed
from aiokafka.structs import TopicPartition

from tailrace.schemas.exports import MakeRound, Request, Translated
from tailrace.schemas.records import DeadLetter, Record
from tailrace.schemas.topics import FLUSH_HEADER
from tailrace.streams.dead_letters import DeadLetters
from tailrace.streams.exports.figures import Figures
from tailrace.streams.exports.lane import Lane
from tailrace.streams.exports.progress import Position
from tailrace.streams.exports.sender import RefusedRequest, UnknownFormat
from tests.agents.remote_write.messages import Flushed
from tests.patience import PATIENCE_S

TP = TopicPartition("metrics", 0)
FLUSH = [Flushed(b"x", 5, headers=((FLUSH_HEADER, b"red 60 1/1"),))]


class Log:
    """A consumer of one flush, and progress that is kept here; the lane ends with the flush."""

    def __init__(self, position: Position) -> None:
        self.position = position
        self.committed: list[tuple[Position, int]] = []
        self.is_sent = asyncio.Event()
        self._left = [FLUSH]

    async def take_over(self, consumer: Any, now_ms: int) -> Position:
        return self.position

    async def commit(self, position: Position, letters: Sequence[Any]) -> None:
        self.committed.append((position, len(letters)))
        if position.until is None:
            self.is_sent.set()

    async def close(self) -> None: ...

    def seek(self, partition: TopicPartition, offset: int) -> None: ...

    async def getmany(self, partition: TopicPartition, **_: Any) -> Mapping[TopicPartition, Any]:
        if self._left:
            return {partition: self._left.pop()}
        await asyncio.sleep(60)
        return {}

    async def position_of(self, partition: TopicPartition) -> int:
        return 6


class Consumer:
    """What a lane asks of one."""

    def __init__(self, log: Log) -> None:
        self.seek, self.getmany, self.position = log.seek, log.getmany, log.position_of


class Numbered:
    """A translation into three rounds and a dead letter."""

    def translate(self, records: Sequence[Record]) -> Translated:
        rounds = [self._round(number) for number in range(3)]
        return Translated(rounds, [DeadLetter(0, "malformed", b"x", whole=False)], {}, 0)

    @staticmethod
    def _round(number: int) -> MakeRound:
        def make() -> Iterator[Request]:
            return iter([number])  # all that the sender here looks at

        return make


class Sender:
    """Sends rounds; the first time it comes to round *unknown* it does not know the format."""

    def __init__(self, unknown: int | None = None) -> None:
        self._unknown = unknown
        self.sent: list[int] = []

    async def send(self, make: MakeRound) -> list[RefusedRequest]:
        [number] = map(int, make())
        if number == self._unknown:
            self._unknown = None
            raise UnknownFormat("415")
        self.sent.append(number)
        return []


class Barred(Log):
    """A log that nobody may take over, until it is `open`."""

    def __init__(self) -> None:
        super().__init__(Position(5))
        self.is_asked, self.open = asyncio.Event(), asyncio.Event()

    async def take_over(self, consumer: Any, now_ms: int) -> Position:
        if not self.open.is_set():
            self.is_asked.set()
            raise TransactionalIdAuthorizationFailed("not for you")
        return await super().take_over(consumer, now_ms)


@dataclass
class Clock:
    """The time in ms."""

    now: int = 0


def started(
    log: Log, sender: Sender, said: list[str], figures: Figures, clock: Clock
) -> asyncio.Task[None]:
    lane: Any = Lane
    return asyncio.create_task(
        lane(
            TP, Consumer(log), log, sender, Numbered, said.append,
            DeadLetters("dead", 10_000), figures, lambda: clock.now,
        ).run()
    )  # fmt: skip


async def run(log: Log, sender: Sender) -> list[str]:
    """What was said of the format meanwhile."""
    said: list[str] = []
    running = started(log, sender, said, Figures("remote_write", "one"), Clock())
    await asyncio.wait_for(log.is_sent.wait(), PATIENCE_S)
    running.cancel()
    return said


async def test_each_round_is_committed_and_letters_with_the_first() -> None:
    log, sender = Log(Position(5)), Sender()
    await run(log, sender)
    assert sender.sent == [0, 1, 2]
    assert log.committed == [(Position(5, 6, 1), 1), (Position(5, 6, 2), 0), (Position(6), 0)]


async def test_rounds_that_are_committed_are_not_sent_again_in_another_format() -> None:
    log, sender = Log(Position(5)), Sender(unknown=2)
    assert await run(log, sender) == ["415"]
    assert sender.sent == [0, 1, 2]
    assert sum(letters for _, letters in log.committed) == 1


async def test_whoever_goes_on_within_a_flush_writes_its_letters_no_second_time() -> None:
    log, sender = Log(Position(5, 6, 2)), Sender()
    await run(log, sender)
    assert sender.sent == [2]
    assert log.committed == [(Position(6), 0)]


async def test_a_partition_that_cannot_be_taken_over_lags_from_then_on() -> None:
    """Whoever is alerted of the lag is to know, though nobody knows what waits."""
    log, figures, clock = Barred(), Figures("remote_write", "one"), Clock(1_000)
    running = started(log, Sender(), [], figures, clock)
    await asyncio.wait_for(log.is_asked.wait(), PATIENCE_S)
    clock.now = 61_000
    assert figures.lag_s == 60
    log.open.set()
    async with asyncio.timeout(PATIENCE_S):
        await log.is_sent.wait()
        while figures.lag_s:  # noqa: ASYNC110  # nothing else tells
            await asyncio.sleep(0)
    running.cancel()
