"""Messages as they are posted, and what the answers mean.

https://opentelemetry.io/docs/specs/otlp/#otlphttp
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceResponse,
)

from tailrace.agents.otlp_http.parts import part
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
        _, first, last = _measured(self.content)
        return first == last

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

        Those of a flush are one round, for each series is in one of them. Of others nobody knows:
        they go one after the other.
        """
        messages, letters, last = [], [], 0
        for row, record in enumerate(records):
            value = record.value or b""
            try:
                points, _, at = _measured(value)
            except ValueError:
                letters.append(DeadLetter(row, _MALFORMED, value, whole=True))
                continue
            last = max(last, at)
            if points:
                messages.append(Message(value, points, self._compression))
        together = [messages] if _are_of_a_flush(records) else [[each] for each in messages]
        rounds = [partial(_each, each) for each in together if each]
        return Translated(rounds, letters, {}, last)


def _are_of_a_flush(records: Sequence[Record]) -> bool:
    return any(name == topics.FLUSH_HEADER for name, _ in records[0].headers)


def _each(messages: Sequence[Message]) -> Iterator[Request]:
    return iter(messages)


def _measured(value: bytes) -> tuple[int, int, int]:
    """Return how many points *value* has, and the first and last time of one, in ms."""
    points, times = 0, set[int]()
    for block in parse_columns(value).resource_metrics:
        for scope in block.scope_metrics:
            for metric in scope.metrics:
                for _, data in metric.ListFields():
                    found = getattr(data, "data_points", ())
                    points += len(found)
                    times.update(point.time_unix_nano for point in found)
    return points, min(times, default=0) // 1_000_000, max(times, default=0) // 1_000_000


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
