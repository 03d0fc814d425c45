"""One partition on its way to one receiver.

Law: between two commits no series gets two samples, whatever is sent again. So a receiver that got
something before we knew gets the same again as the newest that it has, and takes it as known.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final, Protocol

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError, ProducerFenced
from aiokafka.structs import TopicPartition

from tailrace.schemas.exports import Translated
from tailrace.schemas.records import DeadLetter, Output, Record
from tailrace.streams.dead_letters import DeadLetters
from tailrace.streams.exports.figures import Figures
from tailrace.streams.exports.progress import Position, Progress
from tailrace.streams.exports.sender import RefusedRequest, Sender, UnknownFormat
from tailrace.streams.exports.units import Unit, Units

log = structlog.get_logger()

_POLL_MS: Final = 500
_POLL_RECORDS: Final = 500
_RETRY_S: Final = 1.0
_LAST_COMMIT_S: Final = 3.0
_FENCED_S: Final = 10.0
"""Somebody else has the partition; the group will tell, or give it back."""


class Translation(Protocol):
    """Makes requests of records."""

    def translate(self, records: Sequence[Record]) -> Translated: ...


class Lane:
    """Sends *partition* for as long as it is ours.

    *translation* makes a new one; it is told whether the receiver knows only the older format.
    """

    def __init__(
        self,
        partition: TopicPartition,
        consumer: AIOKafkaConsumer,
        progress: Progress,
        sender: Sender,
        translation: Callable[[], Translation],
        unknown_format: Callable[[str], None],
        dead_letters: DeadLetters,
        figures: Figures,
        now_ms: Callable[[], int],
    ) -> None:
        self._partition = partition
        self._consumer = consumer
        self._progress = progress
        self._sender = sender
        self._new_translation = translation
        self._unknown_format = unknown_format
        self._dead_letters = dead_letters
        self._figures = figures
        self._now_ms = now_ms
        self._done = 0
        """Rounds of the unit that is sent now that are committed."""
        self._oldest: int | None = None
        """When the record was written that is sent now, or since when none can be read."""

    async def run(self) -> None:
        """Send, until cancelled. What Kafka cannot do now is tried again."""
        self._figures.waiting[self._partition.partition] = self._waiting_ms
        try:
            while True:
                try:
                    await self._run()
                except ProducerFenced:
                    log.info("another worker sends this partition", receiver=self._figures.name,
                             partition=self._partition.partition)  # fmt: skip
                    await asyncio.sleep(_FENCED_S)
                except (KafkaError, OSError) as error:
                    if self._oldest is None:
                        self._oldest = self._now_ms()
                    log.warning("metrics cannot be read now; trying again",
                                receiver=self._figures.name, error=repr(error))  # fmt: skip
                    await asyncio.sleep(_RETRY_S)
        finally:
            del self._figures.waiting[self._partition.partition]
            await self._progress.close()

    def _waiting_ms(self) -> float:
        return 0.0 if self._oldest is None else max(0.0, self._now_ms() - self._oldest)

    async def _run(self) -> None:
        position = await self._progress.take_over(self._consumer, self._now_ms())
        self._consumer.seek(self._partition, position.offset)
        self._oldest = None
        translation = self._new_translation()
        async for unit in self._units(position.until):
            self._oldest = unit.records[0].timestamp
            self._done = position.rounds if unit.start == position.offset else 0
            while True:
                try:
                    await self._send(translation, unit)
                    break
                except UnknownFormat as unknown:
                    self._unknown_format(str(unknown))
                    translation = self._new_translation()
            self._oldest = None

    async def _units(self, until: int | None) -> AsyncIterator[Unit]:
        units, partition = Units(until), self._partition
        while True:
            found = await self._consumer.getmany(
                partition, timeout_ms=_POLL_MS, max_records=_POLL_RECORDS
            )
            end = await self._consumer.position(partition)
            for unit in units.add(found.get(partition, ()), end):
                yield unit

    async def _send(self, translation: Translation, unit: Unit) -> None:
        """Send the rounds of *unit* that are not done, and commit each; with the first, letters."""
        translated = await asyncio.to_thread(translation.translate, unit.records)
        rounds, done = translated.rounds, self._done
        letters = [self._letter(unit, each) for each in translated.letters if not done]
        self._figures.counts["dead_letters"] += len(letters)
        for number in range(done, len(rounds)):
            refused = await self._sender.send(rounds[number])
            letters += [self._refused(unit, each) for each in refused]
            is_last = number == len(rounds) - 1
            reached = Position(unit.end) if is_last else Position(unit.start, unit.end, number + 1)
            await self._commit(reached, letters)
            self._done, letters = number + 1, []
        if len(rounds) <= done:
            await self._commit(Position(unit.end), letters)
        self._figures.unsupported.update(translated.refused)

    async def _commit(self, position: Position, letters: Sequence[tuple[str, Output]]) -> None:
        """Commit, though we are told to stop meanwhile: what was taken need not be sent again."""
        commit = asyncio.ensure_future(self._progress.commit(position, letters))
        try:
            await asyncio.shield(commit)
        except asyncio.CancelledError:
            await asyncio.wait([commit], timeout=_LAST_COMMIT_S)
            commit.cancel()
            raise

    def _letter(self, unit: Unit, letter: DeadLetter) -> tuple[str, Output]:
        tp, record = self._partition, unit.records[letter.record]
        return self._dead_letters.of_record(tp.topic, tp.partition, record, letter)

    def _refused(self, unit: Unit, refused: RefusedRequest) -> tuple[str, Output]:
        tp, record = self._partition, unit.records[0]
        self._figures.counts["dead_letters"] += 1
        return self._dead_letters.of_request(
            tp.topic, tp.partition, record, refused.request.content,
            self._figures.name, refused.words,
        )  # fmt: skip
