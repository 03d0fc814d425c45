"""Span batches: many OTLP messages as columns."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

import numpy as np
import numpy.typing as npt

from tailrace.schemas.strings import Strings, Values

KIND_CLIENT = 3
KIND_PRODUCER = 4
KIND_CONSUMER = 5
STATUS_UNSET = 0
STATUS_OK = 1
STATUS_ERROR = 2


@dataclass(frozen=True, slots=True)
class AttributeColumn:
    """An attribute that someone asked for; those of events are columns of `Events`.

    With *is_pattern*, of a span or an event, its key is a pattern (see `globs`), and what it has
    are all attributes whose keys match, as a dict.
    """

    scope: Literal["span", "resource", "event"]
    key: str
    is_pattern: bool = False


class Reason(StrEnum):
    """Why a message, or a span of it, is not in the batch. A span has the first that applies."""

    MALFORMED = "malformed"
    INVALID_TRACE_ID = "invalid_trace_id"
    INVALID_SPAN_ID = "invalid_span_id"
    INVALID_PARENT_SPAN_ID = "invalid_parent_span_id"
    INVALID_TIME = "invalid_time"


@dataclass(frozen=True, slots=True)
class Rejected:
    """What could not be read: a whole message, or its bad spans of one reason.

    *value* is the message as it came (malformed), or an OTLP message of only the bad spans.
    """

    message: int
    reason: Reason
    value: bytes
    spans: int


@dataclass(slots=True)
class Events:
    """Events of spans as columns, by row, then in the order of the message."""

    row: npt.NDArray[np.int32]  # of the span in its batch
    name: npt.NDArray[np.int32]  # ids of `strings`
    attributes: dict[AttributeColumn, npt.NDArray[np.int32]]  # ids of `values`, ABSENT for none

    def __len__(self) -> int:
        """The number of events."""
        return len(self.row)


@dataclass(slots=True)
class Links:
    """What consumer spans link to, by row, then in the order of the message.

    A link without a valid trace id and span id is not here.
    """

    row: npt.NDArray[np.int32]  # of the span in its batch
    trace_id: list[bytes]  # 16 bytes each
    span_id: list[bytes]  # 8 bytes each

    def __len__(self) -> int:
        """The number of links."""
        return len(self.row)


def _no_ids() -> npt.NDArray[np.int32]:
    return np.empty(0, np.int32)


def _no_flags() -> npt.NDArray[np.uint32]:
    return np.empty(0, np.uint32)


@dataclass(slots=True)
class SpanBatch:
    """Spans as columns; each fragment's rows stand together.

    A fragment is the part of one message that belongs to one trace. Fragments are in order of
    message, then of the trace's first appearance in it; rows in the order of the message.

    A span may end before it starts: its duration then counts as 0. Span ids may repeat.
    Unknown kinds and status codes are 0. Of equal keys in one attribute list the first counts.
    """

    start: npt.NDArray[np.int64]  # ns since 1970
    end: npt.NDArray[np.int64]  # ns since 1970
    kind: npt.NDArray[np.uint8]  # as in OTLP: 0 unspecified to 5 consumer
    status: npt.NDArray[np.uint8]  # as in OTLP: STATUS_UNSET, STATUS_OK, STATUS_ERROR
    is_root: npt.NDArray[np.bool_]
    service: npt.NDArray[np.int32]  # ids of `strings`; "" without a service.name
    name: npt.NDArray[np.int32]  # ids of `strings`
    resource: npt.NDArray[np.int32]  # ids of `values`: a dict of all its attributes
    # Ids of `values`, ABSENT for none; those of client attributes only where `kind` makes calls.
    attributes: dict[AttributeColumn, npt.NDArray[np.int32]]
    span_id: list[bytes]  # this and the next only if the decoder was built with ids=True
    parent_span_id: list[bytes]  # b"" or 8 bytes, as it came

    fragment_trace_id: list[bytes]  # 16 bytes each
    fragment_message: npt.NDArray[np.int32]  # index into the decoded values
    fragment_start: npt.NDArray[np.int32]  # first row of each, and the number of rows at the end
    raw: list[bytes]  # OTLP of just this fragment; the message itself if that is all it holds

    rejected: list[Rejected]
    strings: Strings
    values: Values

    # Ids of `strings`: W3C tracestate as it came, "" without one. This and the weight only if the
    # decoder was built with trace_state=True.
    trace_state: npt.NDArray[np.int32] = field(default_factory=_no_ids)
    # As in OTLP: the W3C trace flags are the lowest 8 bits. Only with flags=True.
    flags: npt.NDArray[np.uint32] = field(default_factory=_no_flags)
    # Ids of `strings`: whose each span is; none where all are of `default`.
    tenant: npt.NDArray[np.int32] = field(default_factory=_no_ids)
    # How many spans each stands for, by its trace state; None if each stands for itself alone.
    weight: npt.NDArray[np.int64] | None = None
    # Ids of `strings`: the instrumentation scope, "" without one. Only with scopes=True.
    scope_name: npt.NDArray[np.int32] = field(default_factory=_no_ids)
    scope_version: npt.NDArray[np.int32] = field(default_factory=_no_ids)
    events: Events | None = None  # only with events=True
    links: Links | None = None  # only with links=True

    def __len__(self) -> int:
        """The number of spans."""
        return len(self.start)
