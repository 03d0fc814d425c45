"""The records of the dead-letter topic."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version

from tailrace.schemas import topics
from tailrace.schemas.records import DeadLetter, Headers, Output, Record

_CUT_HEADER_BYTES = 40


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """Makes the records of the dead-letter topic, which a broker must never refuse.

    A value is cut off where *record_bytes* end; the record's own key and headers are left out if
    they alone are larger. The offset in the headers leads to the whole.
    """

    topic: str
    record_bytes: int

    def of_record(
        self, topic: str, partition: int, record: Record, letter: DeadLetter
    ) -> tuple[str, Output]:
        """Return the dead letter of *record*, with where it came from and why it is here."""
        own = [
            (topics.TOPIC_HEADER, topic.encode()),
            (topics.PARTITION_HEADER, b"%d" % partition),
            (topics.OFFSET_HEADER, b"%d" % record.offset),
            *self._reason(letter.reason),
        ]
        key, headers = record.key, [*record.headers, *own]
        if self._room(key, headers) < 0:
            key, headers = None, own
        return self._fitted(key, letter.value, record.timestamp, headers)

    def of_span(self, value: bytes, at: int) -> tuple[str, Output]:
        """Return the dead letter of a span that no output record can hold."""
        return self._fitted(None, value, at, self._reason("span_too_large"))

    def of_request(  # all of it is what a reader asks for
        self, topic: str, partition: int, record: Record, content: bytes, receiver: str, words: str
    ) -> tuple[str, Output]:
        """Return the dead letter of a request that *receiver* refused, saying *words*.

        *record* is the first of those that it was made of.
        """
        headers = [
            (topics.TOPIC_HEADER, topic.encode()),
            (topics.PARTITION_HEADER, b"%d" % partition),
            (topics.OFFSET_HEADER, b"%d" % record.offset),
            (topics.RECEIVER_HEADER, receiver.encode()),
            (topics.ANSWER_HEADER, words.encode()),
            *self._reason("refused_by_receiver"),
        ]
        return self._fitted(None, content, record.timestamp, headers)

    def _fitted(
        self, key: bytes | None, value: bytes, at: int, headers: list[tuple[str, bytes]]
    ) -> tuple[str, Output]:
        room = self._room(key, headers)
        if len(value) > room:
            headers = [*headers, (topics.BYTES_HEADER, b"%d" % len(value))]
            value = value[:room]
        return self.topic, Output(key, value, at, headers)

    def _room(self, key: bytes | None, headers: Headers) -> int:
        """How many bytes a value may have beside *key* and *headers*."""
        taken = sum(len(name.encode()) + len(value or b"") + 10 for name, value in headers)
        return self.record_bytes - taken - len(key or b"") - _CUT_HEADER_BYTES

    @staticmethod
    def _reason(reason: str) -> list[tuple[str, bytes]]:
        return [
            (topics.REASON_HEADER, reason.encode()),
            (topics.VERSION_HEADER, version("tailrace").encode()),
        ]
