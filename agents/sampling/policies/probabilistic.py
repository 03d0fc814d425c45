"""`probabilistic`: a share of all trace IDs is sampled, the same ones everywhere.

FNV-1a (64 bits) over the salt and then the 16 bytes of the trace ID, compared with a threshold: the
collector's hash, so that the same salt and percentage sample the same trace IDs there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from tailrace.agents.sampling.chances import MAX_DRAW, Box, box, volume
from tailrace.agents.sampling.facts import Facts, Trace
from tailrace.agents.sampling.votes import NOT_SAMPLED, SAMPLED, Stateless, Vote
from tailrace.schemas.config.trace_policies import ProbabilisticPolicy

DEFAULT_SALT = "default-hash-seed"

_OFFSET_BASIS = 0xCBF29CE484222325
_PRIME = 0x100000001B3
_TRACE_ID_BYTES = 16
_FEW = 16
"""Below this many traces a loop is faster than columns."""


def fnv1a(data: bytes, state: int = _OFFSET_BASIS) -> int:
    """FNV-1a of *data*, continued from *state*."""
    for byte in data:
        state = (state ^ byte) * _PRIME & MAX_DRAW
    return state


def fnv1a_many(trace_ids: Sequence[bytes], state: int) -> npt.NDArray[np.uint64]:
    """FNV-1a of each of *trace_ids* (16 bytes each), continued from *state*."""
    octets = np.frombuffer(b"".join(trace_ids), np.uint8).reshape(-1, _TRACE_ID_BYTES)
    states = np.full(len(octets), state, np.uint64)
    for octet in octets.T.astype(np.uint64):
        states ^= octet
        states *= np.uint64(_PRIME)
    return states


def threshold(percentage: float) -> int:
    """The largest hash that is sampled: the share of 2⁶⁴ − 1, rounded down."""
    ratio = percentage / 100
    if not 0 < ratio < 1:
        return MAX_DRAW if ratio >= 1 else 0
    numerator, denominator = ratio.as_integer_ratio()
    return numerator * MAX_DRAW // denominator


@dataclass(frozen=True)
class Probabilistic(Stateless):
    """Samples traces whose hash is `threshold` or less; `salted` is the hash of the salt."""

    salted: int
    threshold: int

    @cached_property
    def box(self) -> Box:
        """The draws that it samples."""
        return box([(self.salted, 0, self.threshold)])

    @cached_property
    def share(self) -> float:
        return volume(self.box)

    def chance(self, trace: Trace) -> Box:  # of every trace
        return self.box

    def vote(self, trace: Trace, at: int) -> Vote:
        return SAMPLED if fnv1a(trace.trace_id, self.salted) <= self.threshold else NOT_SAMPLED

    def votes(self, traces: Sequence[Trace], at: Sequence[int]) -> list[Vote]:
        if len(traces) < _FEW:
            return [self.vote(trace, 0) for trace in traces]
        hashes = fnv1a_many([trace.trace_id for trace in traces], self.salted)
        under = (hashes <= np.uint64(self.threshold)).tolist()
        return [SAMPLED if is_under else NOT_SAMPLED for is_under in under]


def build(config: ProbabilisticPolicy, facts: Facts) -> Probabilistic:  # as every
    body = config.probabilistic
    salt = body.hash_salt or DEFAULT_SALT
    return Probabilistic(fnv1a(salt.encode()), threshold(body.sampling_percentage))
