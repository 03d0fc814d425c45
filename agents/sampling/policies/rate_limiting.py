"""`rate_limiting`: traces are sampled as long as their spans fit into so many a second.

A bucket of tokens, as `golang.org/x/time/rate` has it and the collector uses it, but for the
cluster as a whole, in stream time and in integers. A trace of more spans than the burst is never
sampled.
"""

from operator import attrgetter

from tailrace.agents.sampling.facts import Facts
from tailrace.agents.sampling.policies.limited import Limited
from tailrace.agents.sampling.policies.token_buckets import TokenBucket
from tailrace.schemas.config.trace_policies import RateLimitingPolicy


def build(config: RateLimitingPolicy, facts: Facts) -> Limited:  # as every builder
    body = config.rate_limiting
    burst = body.burst_capacity or 2 * body.spans_per_second
    return Limited(TokenBucket(body.spans_per_second, burst), attrgetter("spans"))
