"""What one policy says of one trace, what a policy is, and what all together say."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, ClassVar, NamedTuple, Protocol

from tailrace.agents.sampling.budgets import Budget
from tailrace.agents.sampling.chances import EVERYWHERE, NOWHERE, Box
from tailrace.agents.sampling.facts import Trace


class Vote(Enum):
    """What one policy says of one trace."""

    SAMPLED = "sampled"
    NOT_SAMPLED = "not_sampled"
    DROPPED = "dropped"
    ERROR = "error"


SAMPLED, NOT_SAMPLED, DROPPED = Vote.SAMPLED, Vote.NOT_SAMPLED, Vote.DROPPED
ERROR = Vote.ERROR


class Verdict(NamedTuple):
    """What the policies together say of a trace: `decision` is sampled, not_sampled or dropped."""

    decision: str
    policy: str | None
    probability: float | None
    inclusion: float | None


NOT_KEPT = Verdict("not_sampled", None, None, None)


class Policy(Protocol):
    """One question about a complete trace. Times `at` are ms of stream time, and never go back."""

    @property
    def box(self) -> Box | None:
        """The draws with which it samples traces that are all else it asks for: everywhere if it
        leaves nothing to chance, None if that depends on what it spent before.
        """
        ...

    @property
    def share(self) -> float | None:
        """The part of all draws that is in its box."""
        ...

    @property
    def may_drop(self) -> bool:
        """Whether it votes DROPPED, and never SAMPLED."""
        ...

    @property
    def is_stateful(self) -> bool:
        """Whether its votes depend on those it gave before."""
        ...

    def vote(self, trace: Trace, at: int) -> Vote: ...

    def votes(self, traces: Sequence[Trace], at: Sequence[int]) -> list[Vote]:
        """The vote on each trace at its time: the same as one at a time, in this order."""
        ...

    def chance(self, trace: Trace) -> Box | None:
        """The draws with which it votes for *trace*, whatever its own are; None: nobody knows."""
        ...

    def budgets(self) -> Mapping[str, Budget]:
        """What it spends, by name; "" if that is one thing."""
        ...

    def allot(self, numerator: int, denominator: int, at: int) -> None:
        """From *at* on, only so much of the cluster's budget is spent here; at first all of it."""
        ...

    def state(self) -> Any:
        """What `load` needs, as JSON: None if there is no state."""
        ...

    def load(self, state: Any) -> None:
        """Go on from where `state` was asked, as far as it was that of a policy like this one."""
        ...


class Stateless:
    """What is common to policies whose votes are about the trace alone."""

    __slots__ = ()

    may_drop: ClassVar[bool] = False
    is_stateful: ClassVar[bool] = False

    def budgets(self) -> Mapping[str, Budget]:
        return {}

    def allot(self, numerator: int, denominator: int, at: int) -> None:
        """Nothing is spent here."""

    def state(self) -> Any:
        return None

    def load(self, state: Any) -> None:
        """There is nothing to go on from."""


class Certain(Stateless, ABC):
    """What is common to policies that leave nothing to chance either."""

    __slots__ = ()

    box: ClassVar[Box] = EVERYWHERE
    share: ClassVar[float] = 1.0

    @abstractmethod
    def vote(self, trace: Trace, at: int) -> Vote: ...

    def chance(self, trace: Trace) -> Box | None:
        return EVERYWHERE if self.vote(trace, 0) in (SAMPLED, DROPPED) else NOWHERE
