"""Votes of policies that may have a defect: one that a trace brings out is an error, and no more.

Laws:

- A vote that cannot be given is an ERROR, and the policy is where it was before that vote.
- A policy that cannot say with what chance it votes for a trace never does: it is an ERROR there.
- All other votes are those that the policy gives without such traces.
"""

from __future__ import annotations

from collections.abc import Sequence

from tailrace.agents.sampling.chances import NOWHERE, Box
from tailrace.agents.sampling.facts import Trace
from tailrace.agents.sampling.votes import ERROR, Policy, Vote


def votes_of(
    policy: Policy, traces: Sequence[Trace], at: Sequence[int], *, guards_itself: bool = False
) -> list[Vote]:
    """The vote of *policy* on each of *traces* at its time.

    *guards_itself*: it gives errors itself, and its state is too large to be looked at each time.
    """
    if guards_itself:
        return policy.votes(traces, at)
    before = policy.state() if policy.is_stateful else None
    try:
        return policy.votes(traces, at)
    except Exception:
        if policy.is_stateful:
            policy.load(before)
        return [_vote(policy, trace, when) for trace, when in zip(traces, at, strict=True)]


def chance_of(policy: Policy, trace: Trace) -> Box | None:
    """The draws with which *policy* votes for *trace*; None: nobody knows."""
    try:
        return policy.chance(trace)
    except Exception:
        return NOWHERE


def _vote(policy: Policy, trace: Trace, at: int) -> Vote:
    before = policy.state() if policy.is_stateful else None
    try:
        return policy.vote(trace, at)
    except Exception:
        if policy.is_stateful:
            policy.load(before)
        return ERROR
