"""Policies about a trace as a whole: its ID, its times, and how much of it there is."""

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from tailrace.schemas.config.policy_sections import PolicySection
from tailrace.schemas.config.scalars import Number, Whole
from tailrace.schemas.config.section import Remark, Section

Count = Annotated[Whole, Field(ge=0)]


class AlwaysSamplePolicy(PolicySection):
    """Samples every trace."""

    refusals: ClassVar[Mapping[str, str]] = {
        "always_sample": "has no settings; remove it, the type is enough",
    }
    type: Literal["always_sample"]


class LatencyBody(Section):
    """Bounds in ms. 0 as the upper bound is no upper bound."""

    threshold_ms: Count = 0
    upper_threshold_ms: Count = 0

    def cautions(self) -> Iterator[Remark]:
        if not self.threshold_ms and not self.upper_threshold_ms:
            yield ("threshold_ms",), "is 0, so every trace is sampled"
        if 0 < self.upper_threshold_ms <= self.threshold_ms:
            yield (
                ("upper_threshold_ms",),
                f"is {self.upper_threshold_ms}, not more than threshold_ms, "
                f"so no trace is ever sampled",
            )


class LatencyPolicy(PolicySection):
    """Samples traces by the time from their first start to their last end."""

    type: Literal["latency"]
    latency: LatencyBody


class ProbabilisticBody(Section):
    """An empty salt is the collector's default salt. A share outside 0 to 100 is clamped."""

    hash_salt: str = ""
    sampling_percentage: Number = 0.0

    def cautions(self) -> Iterator[Remark]:
        if not 0 <= self.sampling_percentage <= 100:
            used = 0 if self.sampling_percentage < 0 else 100
            yield (
                ("sampling_percentage",),
                f"is {self.sampling_percentage:g}; it must be from 0 to 100, {used} is used",
            )


class ProbabilisticPolicy(PolicySection):
    """Samples a share of all trace IDs by their hash."""

    type: Literal["probabilistic"]
    probabilistic: ProbabilisticBody


class SpanCountBody(Section):
    """Bounds, both inside. 0 as the upper bound is no upper bound."""

    min_spans: Count = 0
    max_spans: Count = 0

    def cautions(self) -> Iterator[Remark]:
        if not self.max_spans and self.min_spans <= 1:
            yield ("min_spans",), f"is {self.min_spans}, so every trace is sampled"
        if 0 < self.max_spans < self.min_spans:
            yield (
                ("max_spans",),
                f"is {self.max_spans}, less than min_spans, so no trace is ever sampled",
            )


class SpanCountPolicy(PolicySection):
    """Samples traces by how many spans they have when they are decided."""

    type: Literal["span_count"]
    span_count: SpanCountBody

    @property
    def is_stateful(self) -> bool:
        return self.span_count.max_spans > 0


class RateLimitingBody(Section):
    """Spans a second, in the whole cluster. A burst of 0 is two seconds' worth."""

    spans_per_second: Count = 0
    burst_capacity: Count = 0

    def cautions(self) -> Iterator[Remark]:
        yield from _limit_cautions("spans_per_second", self.spans_per_second, self.burst_capacity)


class RateLimitingPolicy(PolicySection):
    """Samples traces as long as their spans fit into a budget."""

    type: Literal["rate_limiting"]
    rate_limiting: RateLimitingBody

    @property
    def is_stateful(self) -> bool:
        return True


class BytesLimitingBody(Section):
    """Bytes a second, in the whole cluster. A burst of 0 is two seconds' worth."""

    bytes_per_second: Count = 0
    burst_capacity: Count = 0

    def cautions(self) -> Iterator[Remark]:
        yield from _limit_cautions("bytes_per_second", self.bytes_per_second, self.burst_capacity)


class BytesLimitingPolicy(PolicySection):
    """Samples traces as long as their bytes fit into a budget."""

    type: Literal["bytes_limiting"]
    bytes_limiting: BytesLimitingBody

    @property
    def is_stateful(self) -> bool:
        return True


def _limit_cautions(key: str, rate: int, burst: int) -> Iterator[Remark]:
    if not rate and not burst:
        yield (key,), "is 0, so no trace is ever sampled"
    elif not rate:
        yield (key,), "is 0, so nothing is sampled once the burst is spent"
