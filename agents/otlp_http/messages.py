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

from tailrace.schemas.config.otlp_http import OtlpHttpConfig
from tailrace.schemas.exports import (
    Again,
    Refused,
    Reply,
    Request,
    Taken,
    Translated,
    Verdict,
    words_of,
)
from tailrace.schemas.otlp.metric_columns import parse_columns
from tailrace.schemas.records import DeadLetter, Record
from tailrace.schemas.retry_after import retry_after_s

_MALFORMED: Final = "malformed"
_LEVEL: Final = 1
"""Of compression: the smallest, which is fast; more saves little of protobuf."""
_PROTOBUF: Final = "application/x-protobuf"
_NOT_OF_THE_MESSAGE: Final = frozenset((401, 403, 404, 405, 407, 408, 425, 429))
"""What is wrong is where we ask, who we are, or the moment."""


@dataclass(frozen=True, slots=True)
class Message:
    """A record as it is posted; see `Request`. `samples`: its data points."""

    content: bytes
    samples: int
    compression: str

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
        """None: it goes as it is."""
        return None


class Messages:
    """Makes requests of records."""

    def __init__(self, config: OtlpHttpConfig) -> None:
        self._compression = config.compression

    def translate(self, records: Sequence[Record]) -> Translated:
        """Return the requests of *records*, which belong together, in one round."""
        messages, letters, last = [], [], 0
        for row, record in enumerate(records):
            value = record.value or b""
            try:
                points, at = _measured(value)
            except ValueError:
                letters.append(DeadLetter(row, _MALFORMED, value, whole=True))
                continue
            last = max(last, at)
            if points:
                messages.append(Message(value, points, self._compression))
        rounds = [partial(_each, messages)] if messages else []
        return Translated(rounds, letters, {}, last)


def _each(messages: Sequence[Message]) -> Iterator[Request]:
    return iter(messages)


def _measured(value: bytes) -> tuple[int, int]:
    """Return how many points *value* has, and the latest time of one, in ms."""
    points = last = 0
    for block in parse_columns(value).resource_metrics:
        for scope in block.scope_metrics:
            for metric in scope.metrics:
                for _, data in metric.ListFields():
                    found = getattr(data, "data_points", ())
                    points += len(found)
                    last = max((last, *(point.time_unix_nano for point in found)))
    return points, last // 1_000_000


def judged(reply: Reply, request: Request) -> Verdict:
    """Return what *reply* to *request* means; part of a message may have been refused."""
    status = reply.status
    if 200 <= status < 300:
        return _partly(reply.body)
    if status >= 500 or status < 400 or status in _NOT_OF_THE_MESSAGE:
        return Again(words_of(reply), retry_after_s(reply.headers))
    return Refused(words_of(reply))


def _partly(body: bytes) -> Verdict:
    try:
        partial_success = ExportMetricsServiceResponse.FromString(body).partial_success
    except DecodeError:
        return Taken()  # an answer in JSON, or none of OTLP; the status is what counts
    return Taken(partial_success.rejected_data_points, partial_success.error_message)
