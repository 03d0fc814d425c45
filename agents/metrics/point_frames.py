"""What stands around the numbers of a data point: its frame, attributes, exemplars and flags."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import numpy as np

from tailrace.schemas.exemplars import Exemplar
from tailrace.schemas.otlp.wire import LENGTH_DELIMITED, LENGTHS, field, varint

_FIXED64 = 1


def no_value(number: int) -> bytes:
    """Return field *number*, flags, of a point whose series has no value any more."""
    return varint(number << 3) + b"\x01"


def exemplar_field(number: int, exemplar: Exemplar, unit_ns: int) -> bytes:
    """Return *exemplar* as field *number* of a data point, its value in a unit of *unit_ns*."""
    numbers = np.zeros(1, _EXEMPLAR)
    numbers["time_tag"], numbers["value_tag"] = 2 << 3 | _FIXED64, 3 << 3 | _FIXED64
    numbers["time"], numbers["value"] = exemplar.time_ns, exemplar.value_ns / unit_ns
    ids = field(4, exemplar.span_id) + field(5, exemplar.trace_id)
    return field(number, numbers.tobytes() + ids)


_EXEMPLAR: Final = np.dtype(
    [("time_tag", "u1"), ("time", "<u8"), ("value_tag", "u1"), ("value", "<f8")]
)


def framed_point(attributes: bytes, width: int) -> bytes:
    """Return what a data point begins with: its frame, and its attributes.

    *attributes*: as they are in a point. *width*: bytes of what follows.
    """
    return _FRAME + LENGTHS[len(attributes) + width] + attributes


def attributes_as(numbers: Sequence[int], resources: Sequence[bytes]) -> list[list[bytes]]:
    """Return the attributes of *resources*, lists of them as field 1, as each of these fields.

    All are walked through at once, because one by one takes several times as long.
    """
    blob = np.frombuffer(b"".join(resources), np.uint8)
    ends = np.cumsum(np.fromiter(map(len, resources), np.int64, len(resources)))
    at = np.concatenate([[0], ends[:-1]]) if len(ends) else ends
    tags, open_ends = [], ends
    while len(at := at[is_open := at < open_ends]):
        open_ends = open_ends[is_open]
        tags.append(at)
        at = at + 1
        length, shift = np.zeros(len(at), np.int64), 0
        is_more = np.ones(len(at), np.bool_)
        while is_more.any():
            byte = blob[at[is_more]].astype(np.int64)
            length[is_more] |= (byte & 0x7F) << shift
            at[is_more] += 1
            is_more[is_more] = byte > 0x7F
            shift += 7
        at = at + length
    found = []
    bounds = list(pairwise([0, *ends.tolist()]))
    for number in numbers:
        named = blob.copy()
        named[np.concatenate([*tags, at])] = number << 3 | LENGTH_DELIMITED
        whole = named.tobytes()
        found.append([whole[start:end] for start, end in bounds])
    return found


_FRAME: Final = bytes((1 << 3 | LENGTH_DELIMITED,))
