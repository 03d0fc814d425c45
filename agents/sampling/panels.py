"""From the votes of policies to one verdict a trace.

Laws:

- One that drops beats all that sample; one that samples beats all that do not. An error is no vote,
  and neither is a defect that a trace brings out: the next policy goes on.
- The policy of a verdict is the first, in order of the config, that voted for it.
- Its probability is 1 if a policy that leaves nothing to chance sampled the trace; else the largest
  share of those that sampled it; None if only policies without a share did.
- Its inclusion is the chance that a trace like this one had to be kept, exactly, rate limits left
  aside: 1 if a policy that leaves nothing to chance samples it, also one that was not asked; None
  if only rate limits kept it.
- A policy with a state is asked about every trace that none has dropped, whatever others say of it;
  with *sample_on_first_match*, about every trace that none before it has sampled.
- Many traces at once get the verdicts that each would get alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, runtime_checkable

from tailrace.agents.sampling.budgets import Budget
from tailrace.agents.sampling.chances import EVERYWHERE, Box, chance
from tailrace.agents.sampling.facts import Trace
from tailrace.agents.sampling.guarded import chance_of, votes_of
from tailrace.agents.sampling.votes import (
    DROPPED,
    ERROR,
    NOT_KEPT,
    SAMPLED,
    Policy,
    Verdict,
    Vote,
)


@runtime_checkable
class Answering(Protocol):
    """A policy whose votes have each a name and a share of their own."""

    def said(self, trace: Trace) -> tuple[str, float]:
        """Who sampled or dropped *trace*, which the last votes were about, and with what share."""
        ...


@dataclass(frozen=True, slots=True)
class Seat:
    """A policy of a panel, and the verdict if it drops. `answers`: it is Answering."""

    name: str
    policy: Policy
    dropped: Verdict
    answers: bool = False


_MAX_KNOWN_CHANCES = 1 << 12


class Panel:
    """The policies of a config, in its order, but first those that may drop; decides by votes."""

    def __init__(
        self, policies: Iterable[tuple[str, Policy]], *, sample_on_first_match: bool = False
    ) -> None:
        named = sorted(policies, key=lambda item: not item[1].may_drop)
        self.sample_on_first_match = sample_on_first_match
        self.seats = tuple(
            Seat(name, policy, Verdict("dropped", name, None, None), isinstance(policy, Answering))
            for name, policy in named
        )
        self.budgets: Mapping[str, Budget] = {
            f"{name}/{which}" if which else name: budget
            for name, policy in named
            for which, budget in policy.budgets().items()
        }
        """What the policies spend, by their names."""
        self.has_state = any(seat.policy.is_stateful for seat in self.seats)
        self.errors: Counter[str] = Counter()
        """Votes that were errors, so far, by the name of the policy."""
        self._sampled: dict[tuple[str, float | None, float | None], Verdict] = {}
        self._chances: dict[tuple[tuple[Box, ...], tuple[Box, ...]], float | None] = {}
        policies_in_order = [seat.policy for seat in self.seats]
        self._keeping = [each for each in policies_in_order if not each.may_drop]
        self._drawing = [
            each
            for each in self._keeping
            if each.share not in (1.0, None) or isinstance(each, Answering)
        ]
        self._dropping = [each for each in policies_in_order if each.may_drop and each.share != 1.0]

    def sampled(self, name: str, share: float | None, inclusion: float | None) -> Verdict:
        """The verdict that policy *name* sampled a trace; the same object every time."""
        verdict = self._sampled.get((name, share, inclusion))
        if verdict is None:
            verdict = Verdict("sampled", name, share, inclusion)
            if len(self._sampled) < _MAX_KNOWN_CHANCES:
                self._sampled[name, share, inclusion] = verdict
        return verdict

    def inclusion(self, trace: Trace, share: float | None) -> float | None:
        """The chance that *trace*, which is kept with *share* as its probability, had to be."""
        if not self._dropping:
            if share == 1.0:
                return 1.0
            if share is None and not self.sample_on_first_match:
                return None
        kept = [EVERYWHERE] if share == 1.0 else self._boxes(trace, share)
        dropped = [chance_of(policy, trace) for policy in self._dropping]
        if kept is None or None in dropped:
            return None
        known = self._chance(tuple(kept), tuple(each for each in dropped if each is not None))
        return known or None  # of what is kept, 0 is the chance that a defect left unknown

    def allot(self, numerator: int, denominator: int, at: int) -> None:
        """From *at* on, all policies spend only so much of the cluster's budgets."""
        for seat in self.seats:
            seat.policy.allot(numerator, denominator, at)

    def state(self) -> dict[str, Any]:
        """The states of the policies that have one, as JSON, by name."""
        return {seat.name: seat.policy.state() for seat in self.seats if seat.policy.is_stateful}

    def load(self, states: Mapping[str, Any]) -> None:
        """Go on from *states*; a policy that is not among them begins anew."""
        for seat in self.seats:
            if seat.policy.is_stateful and seat.name in states:
                seat.policy.load(states[seat.name])

    def _boxes(self, trace: Trace, share: float | None) -> list[Box] | None:
        """Return the boxes in which *trace* is kept; None if only a rate limit kept it.

        Policies that leave nothing to chance have all been asked, unless one that comes first is
        enough.
        """
        if not self.sample_on_first_match:
            drawn = (chance_of(policy, trace) for policy in self._drawing)
            return None if share is None else [each for each in drawn if each is not None]
        stateless = [policy for policy in self._keeping if not policy.is_stateful]
        if share is None and not any(SAMPLED in votes_of(each, [trace], [0]) for each in stateless):
            return None
        answering = [policy for policy in self._keeping if isinstance(policy, Answering)]
        known = (chance_of(policy, trace) for policy in (*stateless, *answering))
        return [each for each in known if each is not None]

    def _chance(self, kept: tuple[Box, ...], dropped: tuple[Box, ...]) -> float | None:
        key = kept, dropped
        if key not in self._chances:
            if len(self._chances) >= _MAX_KNOWN_CHANCES:
                self._chances.clear()
            self._chances[key] = chance(kept, dropped)
        return self._chances[key]


def _larger(share: float | None, other: float | None) -> float | None:
    if share is None or other is None:
        return other if share is None else share
    return max(share, other)


def _said(seat: Seat, trace: Trace) -> tuple[str, float | None]:
    """Return by whose name, and with what share, *seat* sampled or dropped *trace*."""
    if seat.answers and isinstance(seat.policy, Answering):
        return seat.policy.said(trace)
    return seat.name, seat.policy.share


def _dropped(seat: Seat, trace: Trace) -> Verdict:
    if not seat.answers:
        return seat.dropped
    return Verdict("dropped", _said(seat, trace)[0], None, None)


def decide(panel: Panel, trace: Trace, at: int) -> Verdict:
    """The verdict on *trace* at *at*."""
    first: str | None = None
    share: float | None = None
    for seat in panel.seats:
        if share == 1.0 and not seat.policy.is_stateful:
            continue
        (vote,) = votes_of(seat.policy, [trace], [at], guards_itself=seat.answers)
        if vote is ERROR:
            panel.errors[seat.name] += 1
        if vote is DROPPED:
            return _dropped(seat, trace)
        if vote is SAMPLED:
            name, own_share = _said(seat, trace)
            share = _larger(share, own_share)
            first = first or name
            if panel.sample_on_first_match:
                break
    return NOT_KEPT if first is None else panel.sampled(first, share, panel.inclusion(trace, share))


def decide_many(panel: Panel, traces: Sequence[Trace], at: Sequence[int]) -> list[Verdict]:
    """The verdict on each of *traces* at its time; each policy votes once, on all that are open.

    Of traces that are certain to be kept, only policies with a state are asked.
    """
    count = _Count(panel, len(traces))
    every: _Asked = (range(len(traces)), traces, at)
    asked = {False: every, True: every}
    for seat in panel.seats:
        indexes, open_traces, times = asked[seat.policy.is_stateful]
        if not indexes:
            continue
        votes = votes_of(seat.policy, open_traces, times, guards_itself=seat.answers)
        if ERROR in votes:
            panel.errors[seat.name] += votes.count(ERROR)
        if SAMPLED not in votes and DROPPED not in votes:
            continue
        count.add(seat, indexes, votes, open_traces)
        asked[False] = _still(asked[False], count.standing, _OPEN)
        if panel.has_state and count.has_closed:
            asked[True] = _still(asked[True], count.standing, _CERTAIN)
    return count.verdicts(traces)


_OPEN, _CERTAIN, _CLOSED = 0, 1, 2
_Asked: TypeAlias = tuple[Sequence[int], Sequence[Trace], Sequence[int]]
"""Indexes, traces, times."""


class _Count:
    """What was voted so far of each trace, and how it stands: open, certain, or closed."""

    def __init__(self, panel: Panel, traces: int) -> None:
        self._panel = panel
        self._names: list[str | None] = [None] * traces
        self._shares: list[float | None] = [None] * traces
        self._dropped: dict[int, Verdict] = {}
        self.standing = bytearray(traces)
        self.has_closed = False

    def add(
        self, seat: Seat, indexes: Sequence[int], votes: Sequence[Vote], traces: Sequence[Trace]
    ) -> None:
        """Count what *seat* votes on *traces*, which are those at *indexes*."""
        names, shares, standing = self._names, self._shares, self.standing
        name, own_share = seat.name, seat.policy.share
        answers, first_is_enough = seat.answers, self._panel.sample_on_first_match
        self.has_closed |= first_is_enough or DROPPED in votes
        for index, vote, trace in zip(indexes, votes, traces, strict=True):
            if vote is SAMPLED:
                if answers:
                    name, own_share = _said(seat, trace)
                names[index] = names[index] or name
                share = shares[index] = _larger(shares[index], own_share)
                standing[index] = _CLOSED if first_is_enough else share == 1.0
            elif vote is DROPPED:
                self._dropped[index] = _dropped(seat, trace)
                standing[index] = _CLOSED

    def verdicts(self, traces: Sequence[Trace]) -> list[Verdict]:
        """The verdict on each of *traces*."""
        found = [NOT_KEPT] * len(traces)
        sampled, inclusion = self._panel.sampled, self._panel.inclusion
        for index, (name, share) in enumerate(zip(self._names, self._shares, strict=True)):
            if name is not None:
                found[index] = sampled(name, share, inclusion(traces[index], share))
        for index, verdict in self._dropped.items():
            found[index] = verdict
        return found


def _still(asked: _Asked, standing: bytearray, highest: int) -> _Asked:
    indexes, traces, at = asked
    kept = [place for place, index in enumerate(indexes) if standing[index] <= highest]
    if len(kept) == len(indexes):
        return asked
    return (
        [indexes[place] for place in kept],
        [traces[place] for place in kept],
        [at[place] for place in kept],
    )
