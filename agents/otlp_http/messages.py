"""Messages as they are posted, and what the answers mean.

https://opentelemetry.io/docs/specs/otlp/#otlphttp
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceResponse,
)

from tailrace.agents.otlp_http.parts import beginnings, begins, part
from tailrace.schemas import topics
from tailrace.schemas.config.otlp_http import OtlpHttpConfig
from tailrace.schemas.exports import (
    Again,
    Refused,
    Reply,
    Request,
    Taken,
    Translated,
    Verdict,
    is_of_no_use_then,
    words_of,
)
from tailrace.schemas.otlp.metric_columns import parse_columns
from tailrace.schemas.records import DeadLetter, Record
from tailrace.schemas.retry_after import retry_after_s

_MALFORMED: Final = "malformed"
_LEVEL: Final = 1
"""Of compression: the smallest, which is fast; more saves little of protobuf."""
_PROTOBUF: Final = "application/x-protobuf"
_NOT_OF_THE_MESSAGE: Final = frozenset((401, 403, 404, 405, 407, 408, 425, 429, 502, 503, 504))
"""What is wrong is where we ask, who we are, or the moment."""
_MAY_SPLIT: Final = frozenset((400, 413, 422, 500))
"""Some point is bad, or all together are too large. By the specification 500 is final, too: a
Prometheus answers so to a message of which it cannot name one label."""


@dataclass(frozen=True, slots=True)
class Message:
    """A record as it is posted; see `Request`. `samples`: its data points."""

    content: bytes
    samples: int
    compression: str

    @property
    def is_of_one_time(self) -> bool:
        """Whether all points have the same time."""
        measured = _measured(self.content)
        return measured.first == measured.last

    @property
    def body(self) -> bytes:
        """The same bytes at every attempt."""
        if self.compression == "gzip":
            return gzip.compress(self.content, _LEVEL, mtime=0)
        return self.content

    @property
    def headers(self) -> dict[str, str]:
        """What says how it is to be read."""
        encoding = {"Content-Encoding": "gzip"} if self.compression == "gzip" else {}
        return {"Content-Type": _PROTOBUF, **encoding}

    def halves(self) -> tuple[Request, Request] | None:
        """Return its points in two messages, that a bad one leaves the others.

        None if it has but one, or holds what no message may: it is not looked at to be sent.
        """
        middle = self.samples // 2
        if not middle:
            return None
        try:
            first, rest = (
                part(self.content, *points) for points in ((0, middle), (middle, self.samples))
            )
        except DecodeError:
            return None
        return (
            Message(first, middle, self.compression),
            Message(rest, self.samples - middle, self.compression),
        )


class Messages:
    """Makes requests of records."""

    def __init__(self, config: OtlpHttpConfig) -> None:
        self._compression = config.compression

    def translate(self, records: Sequence[Record]) -> Translated:
        """Return the requests of *records*, which belong together.

        Those of a flush are one round, for each series is in one of them; but series that begin
        have two points, the first of which goes in a round before. Of others nobody knows: they go
        one after the other.
        """
        first, rest, letters, last = list[Message](), list[Message](), list[DeadLetter](), 0
        is_flush = bool(records) and _is_of_a_flush(records[0])
        for row, record in enumerate(records):
            value = record.value or b""
            try:
                measured = _measured(value)
            except ValueError:
                letters.append(DeadLetter(row, _MALFORMED, value, whole=True))
                continue
            last = max(last, measured.last)
            in_turn = _in_turn(value, measured) if is_flush else [(value, measured.points)]
            made = [Message(*each, self._compression) for each in in_turn if each[1]]
            first += made[:-1]
            rest += made[-1:]
        together = [first, rest] if is_flush else [[each] for each in rest]
        rounds = [partial(_each, each) for each in together if each]
        return Translated(rounds, letters, {}, last)


def _in_turn(value: bytes, measured: _Measured) -> list[tuple[bytes, int]]:
    """Return *value* in messages that go one after the other, each with its number of points."""
    begun = measured.beginnings
    if begun:
        try:
            first, rest = beginnings(value)
        except DecodeError:
            pass  # it holds what no message may: whether to take it is not ours to say
        else:
            return [(first, begun), (rest, measured.points - begun)]
    return [(value, measured.points)]


def _is_of_a_flush(record: Record) -> bool:
    return any(name == topics.FLUSH_HEADER for name, _ in record.headers)


def _each(messages: Sequence[Message]) -> Iterator[Request]:
    return iter(messages)


class _Measured(NamedTuple):
    """How many points a message has, and with how many of them series begin; when, in ms."""

    points: int
    beginnings: int
    first: int
    last: int


def _measured(value: bytes) -> _Measured:
    points, begun, times = 0, 0, set[int]()
    for block in parse_columns(value).resource_metrics:
        for scope in block.scope_metrics:
            for metric in scope.metrics:
                for _, data in metric.ListFields():
                    found = getattr(data, "data_points", ())
                    points += len(found)
                    begun += sum(map(begins, found))
                    times.update(point.time_unix_nano for point in found)
    first, last = min(times, default=0) // 1_000_000, max(times, default=0) // 1_000_000
    return _Measured(points, begun, first, last)


def judged(reply: Reply, request: Request) -> Verdict:
    """Return what *reply* to *request* means; part of a message may have been refused."""
    status = reply.status
    if 200 <= status < 300:
        return _partly(reply.body)
    if status < 400 or status in _NOT_OF_THE_MESSAGE:
        return Again(words_of(reply), retry_after_s(reply.headers))
    words = words_of(reply)
    is_all_bad = is_of_no_use_then(words) and _is_of_one_time(request)
    return Refused(words, may_split=status in _MAY_SPLIT and not is_all_bad)


def _is_of_one_time(request: Request) -> bool:
    return isinstance(request, Message) and request.is_of_one_time


def _partly(body: bytes) -> Verdict:
    try:
        partial_success = ExportMetricsServiceResponse.FromString(body).partial_success
    except DecodeError:
        return Taken()  # an answer in JSON, or none of OTLP; the status is what counts
    return Taken(partial_success.rejected_data_points, partial_success.error_message)
