"""What makes a span a good one: its identifiers and its times."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tailrace.schemas.spans import Reason

_TRACE_ID_BYTES = 16
_SPAN_ID_BYTES = 8
_REASONS = list(Reason)

GOOD = 0
"""The fault of a good span; that of others is 1 + the index of their Reason."""


def fault(reason: Reason) -> int:
    return 1 + _REASONS.index(reason)


def reason_of(fault: int) -> Reason:
    return _REASONS[fault - 1]


@dataclass(frozen=True, slots=True)
class Identifiers:
    """The identifiers of n spans, as bytes and as words; words are 0 where the length is wrong."""

    trace_id: list[bytes]
    span_id: list[bytes]
    parent_span_id: list[bytes]
    trace_words: npt.NDArray[np.uint64]  # (n, 2)
    span_words: npt.NDArray[np.uint64]  # (n, 1)
    parent_words: npt.NDArray[np.uint64]  # (n, 1)

    @classmethod
    def of(
        cls, trace_id: list[bytes], span_id: list[bytes], parent_span_id: list[bytes]
    ) -> "Identifiers":
        return cls(
            trace_id,
            span_id,
            parent_span_id,
            _words(trace_id, _TRACE_ID_BYTES),
            _words(span_id, _SPAN_ID_BYTES),
            _words(parent_span_id, _SPAN_ID_BYTES),
        )

    def is_root(self) -> npt.NDArray[np.bool_]:
        """No parent, or one of 8 zero bytes."""
        return _zero(self.parent_words)

    def faults(
        self, start: npt.NDArray[np.int64], end: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.uint8]:
        """The first fault of each span. Times of 2^63 ns and more arrive here as negative."""
        faults = np.full(len(start), GOOD, np.uint8)
        faults[(start < 0) | (end < 0)] = fault(Reason.INVALID_TIME)
        if not {0, _SPAN_ID_BYTES}.issuperset(map(len, self.parent_span_id)):
            lengths = np.fromiter(map(len, self.parent_span_id), np.int64, len(start))
            wrong = (lengths != 0) & (lengths != _SPAN_ID_BYTES)
            faults[wrong] = fault(Reason.INVALID_PARENT_SPAN_ID)
        faults[_zero(self.span_words)] = fault(Reason.INVALID_SPAN_ID)
        faults[_zero(self.trace_words)] = fault(Reason.INVALID_TRACE_ID)
        return faults


def _zero(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
    zero: npt.NDArray[np.bool_] = (words == 0).all(axis=1)
    return zero


def _words(identifiers: list[bytes], size: int) -> npt.NDArray[np.uint64]:
    if set(map(len, identifiers)) != {size}:
        zero = bytes(size)
        identifiers = [each if len(each) == size else zero for each in identifiers]
    return np.frombuffer(b"".join(identifiers), np.uint64).reshape(len(identifiers), size // 8)
