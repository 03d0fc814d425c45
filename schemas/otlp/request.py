"""Messages cut, split and joined. Every span, scope, resource and unknown field stays as it was."""

from collections.abc import Hashable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

from google.protobuf.message import DecodeError

from tailrace.schemas.otlp.slim import parse_envelope
from tailrace.schemas.otlp.wire import field, field_size

_RESOURCE_SPANS = 1  # of the request
_SCOPE_SPANS = 2  # of ResourceSpans
_SPANS = 2  # of ScopeSpans

LabelT = TypeVar("LabelT", bound=Hashable)


def partition(value: bytes, labels: Sequence[LabelT]) -> dict[LabelT, bytes]:
    """One message for each label, of the spans that have it; *labels* is one a span, in order.

    Labels come in order of first appearance. With one label, its message is *value* itself.
    """
    distinct = dict.fromkeys(labels)
    if len(distinct) == 1:
        return dict.fromkeys(distinct, value)
    rest, places = _places(value)
    drafts = {label: _Draft(rest) for label in distinct}
    for label, place in zip(labels, places, strict=True):
        drafts[label].add(place)
    return {label: draft.encode() for label, draft in drafts.items()}


def split(value: bytes, limit: int) -> tuple[list[bytes], list[bytes]]:
    """Messages of at most *limit* bytes with the spans of *value* in order; those beyond help.

    The second list holds messages of one span each that are over the limit all the same.
    A *value* within the limit is returned itself. One that is not OTLP is a ValueError.
    """
    messages: list[bytes] = []
    oversized: list[bytes] = []
    for message in _split(value, limit):
        (messages if len(message) <= limit else oversized).append(message)
    return messages, oversized


def join(values: Sequence[bytes], limit: int) -> list[bytes]:
    """The spans of *values*, in order, in few messages of at most *limit* bytes.

    A message over the limit is one span that cannot be made to fit.
    """
    total = sum(map(len, values))
    if total <= limit:
        return [b"".join(values)] if total else []
    joined: list[bytes] = []
    pending: list[bytes] = []
    size = 0
    for value in values:
        # Protobuf reads concatenated messages as one, so that joining is concatenation.
        for part in _split(value, limit):
            if pending and size + len(part) > limit:
                joined.append(b"".join(pending))
                pending, size = [], 0
            pending.append(part)
            size += len(part)
    if size:
        joined.append(b"".join(pending))
    return joined


def _split(value: bytes, limit: int) -> Iterator[bytes]:
    if len(value) <= limit:
        yield value
        return
    rest, places = _places(value)
    draft = _Draft(rest)
    for place in places:
        if draft.blocks and draft.size_with(place) > limit:
            yield draft.encode()
            draft = _Draft(rest)
        draft.add(place)
    if draft.blocks:
        yield draft.encode()


def by_resource(value: bytes) -> list[bytes]:
    """One message for each block of *value* that has spans: those of one resource, in order."""
    labels = [place.block for place in _places(value)[1]]
    return list(partition(value, labels).values()) if labels else []


class _Place(NamedTuple):
    """An encoded span and where it stands: the levels above as index and their other fields."""

    block: int
    block_rest: bytes
    scope: int
    scope_rest: bytes
    span: bytes


def _places(value: bytes) -> tuple[bytes, Iterator[_Place]]:
    """The other fields of the message itself, and its spans in order."""
    try:
        request = parse_envelope(value)
    except DecodeError as error:
        raise ValueError(f"{len(value)} bytes that are not an OTLP message: {error}") from error
    blocks, rest = _detach(request, "resource_spans")
    return rest, _walk(blocks)


def _detach(message: Any, name: str) -> tuple[list[Any], bytes]:
    children = list(getattr(message, name))
    message.ClearField(name)
    return children, message.SerializeToString()


def _walk(blocks: list[Any]) -> Iterator[_Place]:
    for block, block_message in enumerate(blocks):
        scopes, block_rest = _detach(block_message, "scope_spans")
        for scope, scope_message in enumerate(scopes):
            spans, scope_rest = _detach(scope_message, "spans")
            for span in spans:
                yield _Place(block, block_rest, scope, scope_rest, span)


class _Draft:
    """A message that grows by spans, and knows its encoded size."""

    __slots__ = ("_rest", "_sizes", "blocks")

    def __init__(self, rest: bytes) -> None:
        self._rest = rest
        # Bytes before the last block; of that block before its last scope; of that scope.
        self._sizes = (len(rest), 0, 0)
        self.blocks: list[tuple[_Place, list[list[_Place]]]] = []

    def size_with(self, place: _Place) -> int:
        """The message's size if *place* were added, in bytes."""
        before, block, scope = self._sizes_with(place)
        return before + field_size(block + field_size(scope))

    def add(self, place: _Place) -> None:
        self._sizes = self._sizes_with(place)
        if self._opens_block(place):
            self.blocks.append((place, [[place]]))
        elif self._opens_scope(place):
            self.blocks[-1][1].append([place])
        else:
            self.blocks[-1][1][-1].append(place)

    def encode(self) -> bytes:
        parts = [self._rest]
        for first, scopes in self.blocks:
            block = [first.block_rest]
            for places in scopes:
                spans = b"".join(field(_SPANS, place.span) for place in places)
                block.append(field(_SCOPE_SPANS, places[0].scope_rest + spans))
            parts.append(field(_RESOURCE_SPANS, b"".join(block)))
        return b"".join(parts)

    def _opens_block(self, place: _Place) -> bool:
        return not self.blocks or self.blocks[-1][0].block != place.block

    def _opens_scope(self, place: _Place) -> bool:
        return self.blocks[-1][1][-1][0].scope != place.scope

    def _sizes_with(self, place: _Place) -> tuple[int, int, int]:
        before, block, scope = self._sizes
        if self._opens_block(place):
            if self.blocks:
                before += field_size(block + field_size(scope))
            block, scope = len(place.block_rest), len(place.scope_rest)
        elif self._opens_scope(place):
            block, scope = block + field_size(scope), len(place.scope_rest)
        return before, block, scope + field_size(len(place.span))
