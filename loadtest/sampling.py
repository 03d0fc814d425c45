"""What a sampler must decide, computed here from the policies' definitions alone.

Policies in order: `errors` (a span with status ERROR), `slow` (the envelope of the spans on time,
in whole ms, reaches a threshold), `rest` (a share, by the hash of the trace ID).
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np
import numpy.typing as npt

from tailrace_loadtest.encoding import Bytes

Decision = Literal["sampled", "not_sampled"]
_DEFAULT_SALT = b"default-hash-seed"
_OFFSET_BASIS = 0xCBF29CE484222325
_PRIME = 0x100000001B3
_MASK = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Expected:
    """The decision of a trace; `policy` is the first that samples it.

    `policy_version`: that of the worker's config. `reason`: its wait was over.
    """

    decision: Decision
    policy: str | None
    probability: float | None
    policy_version: str = "0"
    reason: str = "wait"


@dataclass(frozen=True, slots=True)
class Sampling:
    """The policies; their default is what a worker without a config does."""

    slow_ms: int = 1000
    percentage: float = 10.0
    salt: str = ""

    def decide(
        self,
        trace_id: Bytes,
        has_error: npt.NDArray[np.bool_],
        duration_ns: npt.NDArray[np.int64],
    ) -> list[Expected]:
        """One decision a trace; *trace_id* is of shape (traces, 16)."""
        is_slow = duration_ns // 1_000_000 >= self.slow_ms
        is_drawn = hashes(trace_id, self.salt) <= np.uint64(threshold(self.percentage))
        first = np.select([has_error, is_slow, is_drawn], [0, 1, 2], 3)
        outcomes = (
            Expected("sampled", "errors", 1.0),
            Expected("sampled", "slow", 1.0),
            Expected("sampled", "rest", self.percentage / 100),
            Expected("not_sampled", None, None),
        )
        return [outcomes[index] for index in first.tolist()]


def threshold(percentage: float) -> int:
    """The largest hash that is sampled: the collector's product of 64-bit floats, cut off."""
    exact = Fraction(percentage / 100) * _MASK
    scale = Fraction(2) ** (64 - int(exact).bit_length())
    return min(_MASK, int(Fraction(round(exact * scale)) / scale))


def hashes(trace_id: Bytes, salt: str) -> npt.NDArray[np.uint64]:
    """FNV-1a, 64 bits, over *salt* (empty: the collector's default) and the ID of each trace."""
    state = _OFFSET_BASIS
    for byte in salt.encode() or _DEFAULT_SALT:
        state = (state ^ byte) * _PRIME & _MASK
    hashed = np.full(len(trace_id), state, np.uint64)
    for column in trace_id.T:
        hashed = (hashed ^ column) * np.uint64(_PRIME)
    return hashed
