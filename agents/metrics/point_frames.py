"""What stands around the numbers of a data point: its exemplars and flags."""

from __future__ import annotations

from typing import Final

import numpy as np

from tailrace.schemas.exemplars import Exemplar
from tailrace.schemas.otlp.wire import field, varint

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
