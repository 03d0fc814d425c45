"""From the votes of policies to one outcome a trace.

Laws:

- One that drops beats all that sample; one that samples beats all that do not. An error is no vote.
- The policy of a outcome is the first, in order of the config, that voted for it.
- A trace's probability is 1 if a policy that leaves nothing to chance sampled it; else the largest
  share of those that sampled it; None if only policies without a share did.
- Many traces at once get the outcomes that each would get alone.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from tailrace.agents.sampling.facts import Trace
from tailrace.tables.decisions import Outcome


class Vote(Enum):
    """What one policy says of one trace."""

    SAMPLED = "sampled"
    NOT_SAMPLED = "not_sampled"
    DROPPED = "dropped"
    ERROR = "error"


SAMPLED, NOT_SAMPLED, DROPPED = Vote.SAMPLED, Vote.NOT_SAMPLED, Vote.DROPPED

NOT_KEPT = Outcome("not_sampled", None, None)


class Policy(Protocol):
    """One question about a complete trace."""

    @property
    def share(self) -> float | None:
        """Of the traces that are alike to it, the part that it samples: 1 if it leaves nothing to
        chance, None if that depends on what else there is.
        """
        ...

    @property
    def may_drop(self) -> bool:
        """Whether it can vote DROPPED."""
        ...

    def vote(self, trace: Trace) -> Vote: ...

    def votes(self, traces: Sequence[Trace]) -> list[Vote]:
        """The vote on each trace: the same as one at a time."""
        ...


@dataclass(frozen=True, slots=True)
class Seat:
    """A policy of a panel. `is_last_to_drop`: none after it may drop."""

    name: str
    policy: Policy
    is_last_to_drop: bool
    dropped: Outcome


class Panel:
    """The policies of a config, in its order; decides by their votes."""

    def __init__(self, policies: Iterable[tuple[str, Policy]]) -> None:
        named = list(policies)
        self.seats = tuple(
            Seat(
                name,
                policy,
                not any(later.may_drop for _, later in named[index + 1 :]),
                Outcome("dropped", name, None),
            )
            for index, (name, policy) in enumerate(named)
        )
        self._sampled: dict[tuple[str, float | None], Outcome] = {}

    def sampled(self, name: str, share: float | None) -> Outcome:
        """The outcome that policy *name* sampled a trace; the same object every time."""
        outcome = self._sampled.get((name, share))
        if outcome is None:
            outcome = self._sampled[name, share] = Outcome("sampled", name, share)
        return outcome


def _larger(share: float | None, other: float | None) -> float | None:
    if share is None or other is None:
        return other if share is None else share
    return max(share, other)


def decide(panel: Panel, trace: Trace) -> Outcome:
    """The outcome on *trace*."""
    first: str | None = None
    share: float | None = None
    for seat in panel.seats:
        vote = seat.policy.vote(trace)
        if vote is DROPPED:
            return seat.dropped
        if vote is SAMPLED:
            share = _larger(share, seat.policy.share)
            first = first or seat.name
            if share == 1.0 and seat.is_last_to_drop:
                break
    return NOT_KEPT if first is None else panel.sampled(first, share)


def decide_many(panel: Panel, traces: Sequence[Trace]) -> list[Outcome]:
    """The outcome on each of *traces*; each policy votes once, on all that are still open."""
    outcomes = [NOT_KEPT] * len(traces)
    open_indexes: Sequence[int] = range(len(traces))
    open_traces = traces
    for seat in panel.seats:
        if not open_traces:
            break
        votes = seat.policy.votes(open_traces)
        if SAMPLED not in votes and DROPPED not in votes:
            continue
        still_open = []
        for index, vote in zip(open_indexes, votes, strict=True):
            if vote is SAMPLED:
                outcome = outcomes[index]
                share = _larger(outcome.probability, seat.policy.share)
                outcome = outcomes[index] = panel.sampled(outcome.policy or seat.name, share)
                if share == 1.0 and seat.is_last_to_drop:
                    continue
            elif vote is DROPPED:
                outcomes[index] = seat.dropped
                continue
            still_open.append(index)
        open_indexes, open_traces = still_open, [traces[index] for index in still_open]
    return outcomes
