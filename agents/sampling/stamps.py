"""What is written on the spans of a kept trace: who kept it, and what each span stands for.

Every span says so itself, for spans part after this. It gets the attributes `tailrace.policy`,
`tailrace.probability` and `tailrace.policy_version`, and a tracestate whose threshold takes into
account that this trace was kept with its inclusion. All else of a message stays as it was.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from functools import lru_cache
from typing import Any, Final, NamedTuple

from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from tailrace.schemas.otlp.slim import parse_attribute, parse_link, stamp_parser
from tailrace.schemas.otlp.wire import field
from tailrace.schemas.tracestate import composed

POLICY_ATTRIBUTE: Final = "tailrace.policy"
PROBABILITY_ATTRIBUTE: Final = "tailrace.probability"
VERSION_ATTRIBUTE: Final = "tailrace.policy_version"

_NAMES = {name.encode() for name in (POLICY_ATTRIBUTE, PROBABILITY_ATTRIBUTE, VERSION_ATTRIBUTE)}
_COMMON = b"tailrace."
_TRACE_STATE = 3  # of a span
_ATTRIBUTES = 9
_NO_PARENT = (b"", bytes(8))
_NO_TRACE = bytes(16)


class Stamp(NamedTuple):
    """What is written on the spans of *trace_id*; None of policy and probability is left out.

    `inclusion`: the chance that the trace had to be kept; 1 if it was certain, None if unknown.
    """

    trace_id: bytes
    policy: str | None
    probability: float | None
    version: str
    inclusion: float | None


class KeptTrace(NamedTuple):
    """A kept trace, stamped: one message. `linked`: the other traces that its spans link to.

    `missing_parents`: how many spans name a parent that is not among the spans.
    """

    value: bytes
    linked: Set[bytes]
    missing_parents: int


def kept(fragments: Sequence[bytes], stamp: Stamp, *, links: bool = True) -> KeptTrace:
    """Return *fragments* (OTLP, each of the one trace) with *stamp* on every span, in their order.

    What they link to is looked for only with *links*.
    """
    # Protobuf reads concatenated messages as one, and reading one costs less.
    value = b"".join(fragments)
    has_stamps = _COMMON in value
    request = stamp_parser(attributes=has_stamps, links=links)(value)
    spans = _spans(request)
    marks = _Marks(stamp)
    linked: set[bytes] = set()
    for span in spans:
        if links and span.links:
            linked |= _linked(span.links)
        if has_stamps:
            _unstamp(span)
        span.MergeFromString(marks[span.trace_state])
    parents = [span.parent_span_id for span in spans]
    absent = set(parents).difference([span.span_id for span in spans], _NO_PARENT)
    missing = sum(parent in absent for parent in parents) if absent else 0
    return KeptTrace(request.SerializeToString(), linked - {stamp.trace_id, _NO_TRACE}, missing)


def _spans(request: Any) -> list[Any]:
    # Slices: iterating over a protobuf container ends in an exception, which is slow.
    blocks = request.resource_spans[:]
    return [span for block in blocks for scope in block.scope_spans[:] for span in scope.spans[:]]


class _Marks(dict[bytes, bytes]):
    """The trace state of a span to what is merged into the span: trace state and attributes."""

    __slots__ = ("_attributes", "_stamp")

    def __init__(self, stamp: Stamp) -> None:
        super().__init__()
        self._stamp = stamp
        self._attributes = _attributes(stamp.policy, stamp.probability, stamp.version)

    def __missing__(self, state: bytes) -> bytes:
        # What is no ASCII is no tracestate; it stays what it is where nothing is to be written.
        text = state.decode("ascii", "surrogateescape")
        written = composed(text, self._stamp.trace_id, self._stamp.inclusion)
        mark = self._attributes
        if written != text:
            mark = field(_TRACE_STATE, written.encode()) + mark
        self[state] = mark
        return mark


@lru_cache(maxsize=1024)
def _attributes(policy: str | None, probability: float | None, version: str) -> bytes:
    attributes: dict[str, AnyValue] = {}
    if policy is not None:
        attributes[POLICY_ATTRIBUTE] = AnyValue(string_value=policy)
    if probability is not None:
        attributes[PROBABILITY_ATTRIBUTE] = AnyValue(double_value=probability)
    attributes[VERSION_ATTRIBUTE] = AnyValue(string_value=version)
    return b"".join(
        field(_ATTRIBUTES, KeyValue(key=key, value=value).SerializeToString())
        for key, value in attributes.items()
    )


def _unstamp(span: Any) -> None:
    """Remove from *span* what another stamp, or anybody else, wrote by our names."""
    attributes = span.attributes[:]
    others = [each for each in attributes if _COMMON not in each or _key(each) not in _NAMES]
    if len(others) < len(attributes):
        span.ClearField("attributes")
        span.attributes.extend(others)


def _key(attribute: bytes) -> bytes:
    try:
        key: bytes = parse_attribute(attribute).key
    except DecodeError:
        return b""
    return key


def _linked(links: Sequence[bytes]) -> set[bytes]:
    found = set()
    for link in links:
        try:
            found.add(parse_link(link).trace_id)
        except DecodeError:
            continue  # no decoder has looked at it before; it is passed on
    return {trace_id for trace_id in found if len(trace_id) == len(_NO_TRACE)}
