"""`bytes_limiting`: traces are sampled as long as their size fits into so many bytes a second.

As `rate_limiting`; the size is that of the trace as OTLP in protobuf, as it came.
"""

from operator import attrgetter

from tailrace.agents.sampling.facts import Facts
from tailrace.agents.sampling.policies.limited import Limited
from tailrace.agents.sampling.policies.token_buckets import TokenBucket
from tailrace.schemas.config.trace_policies import BytesLimitingPolicy


def build(config: BytesLimitingPolicy, facts: Facts) -> Limited:  # as every builder
    body = config.bytes_limiting
    burst = body.burst_capacity or 2 * body.bytes_per_second
    return Limited(TokenBucket(body.bytes_per_second, burst), attrgetter("size"))
