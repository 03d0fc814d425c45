"""What rate limits are: a trace is sampled if what it costs fits into a budget."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from tailrace.agents.sampling.budgets import Budget
from tailrace.agents.sampling.chances import Box
from tailrace.agents.sampling.facts import Trace
from tailrace.agents.sampling.policies.token_buckets import TokenBucket
from tailrace.agents.sampling.votes import NOT_SAMPLED, SAMPLED, Vote


@dataclass(frozen=True, slots=True)
class Limited:
    """Samples traces as long as their `cost` fits into the `bucket`."""

    bucket: TokenBucket
    cost: Callable[[Trace], int]

    box: ClassVar[Box | None] = None
    share: ClassVar[float | None] = None
    may_drop: ClassVar[bool] = False
    is_stateful: ClassVar[bool] = True

    def vote(self, trace: Trace, at: int) -> Vote:
        return SAMPLED if self.bucket.take(self.cost(trace), at) else NOT_SAMPLED

    def votes(self, traces: Sequence[Trace], at: Sequence[int]) -> list[Vote]:
        take, cost = self.bucket.take, self.cost
        return [
            SAMPLED if take(cost(trace), when) else NOT_SAMPLED
            for trace, when in zip(traces, at, strict=True)
        ]

    def chance(self, trace: Trace) -> Box | None:  # that depends on what came before
        return None

    def budgets(self) -> dict[str, Budget]:
        return {"": self.bucket}

    def allot(self, numerator: int, denominator: int, at: int) -> None:
        self.bucket.allot(numerator, denominator, at)

    def state(self) -> Any:
        return self.bucket.state()

    def load(self, state: Any) -> None:
        self.bucket.load(state)
