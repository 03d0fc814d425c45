"""What a sampler says of its decision on what it keeps: headers, attributes and a tracestate."""

from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tailrace.schemas.tracestate import RANDOMNESS_END, randomness, sampling

_POLICY, _PROBABILITY = "tailrace.policy", "tailrace.probability"
_VERSION = "tailrace.policy_version"

Attributes = tuple[tuple[str, Any], ...]
"""Sorted by name, which may be there twice."""


class Stamp(NamedTuple):
    """What stands on one span. `threshold`, `randomness`: what `trace_state` says of sampling."""

    attributes: Attributes
    trace_state: str
    threshold: int | None
    randomness: int | None

    def has_threshold_of(self, probability: float | None) -> bool:
        """Whether the span says that it was kept with *probability*; it came without a threshold.

        To the unit of thresholds. One that is certain, and one of which nobody knows, say nothing.
        """
        if probability is None or probability == 1 or self.threshold is None:
            return self.threshold is None and probability in (None, 1)
        kept = RANDOMNESS_END - self.threshold
        return abs(kept - round(probability * RANDOMNESS_END)) <= 1

    def is_consistent(self, trace_id: str) -> bool:
        """Whether who goes by the threshold would have kept the span."""
        drawn = self.randomness
        if drawn is None:
            drawn = randomness(bytes.fromhex(trace_id))
        return self.threshold is None or drawn >= self.threshold


@lru_cache(maxsize=1 << 14)
def read_stamp(stamp: bytes) -> Stamp:
    """What *stamp*, a span with nothing but what a sampler writes, says; nothing if unreadable."""
    try:
        span = Span.FromString(stamp)
    except DecodeError:
        span = Span()
    said = sampling(span.trace_state)
    found = ((each.key, _value(each.value)) for each in span.attributes)
    return Stamp(
        tuple(sorted(found, key=itemgetter(0))), span.trace_state, said.threshold, said.randomness
    )


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    return None if kind is None else getattr(value, kind)


@lru_cache
def attributes(policy: str | None, probability: float | None, version: str) -> Attributes:
    """The attributes of every span that was kept so; what is None is left out."""
    found = (_POLICY, policy), (_VERSION, version), (_PROBABILITY, probability)
    return tuple(sorted((name, value) for name, value in found if value is not None))


@lru_cache
def header_values(
    policy: str | None, probability: float | None, version: str
) -> dict[str, bytes | None]:
    """The headers of every record that was kept so; what is None must not be there."""
    return {
        _POLICY: (policy or "").encode(),
        _PROBABILITY: None if probability is None else f"{probability:g}".encode(),
        _VERSION: version.encode(),
    }
