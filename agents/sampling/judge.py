"""From what policies say of traces to their outcomes: version, reason, and what is kept anyway.

Laws:

- A policy that drops has the last word. What an alert points at, what is forced and what a kept
  trace links to is kept if no policy drops it; the policy of the outcome is then that of the
  config that samples it, or `alert`, `forced` or `linked`.
- A tenant that has policies of its own is judged by these alone, and by nobody else's budgets;
  all others by those of the tenant `default`, together.
- Policies with a state go on where they were after a restart; a policy of a new version goes on
  from the state of the one of its name and tenant.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tailrace.agents.sampling.budgets import Budget, named_for
from tailrace.agents.sampling.control import Control
from tailrace.agents.sampling.facts import Trace
from tailrace.agents.sampling.links import LINKED
from tailrace.agents.sampling.panels import Panel
from tailrace.agents.sampling.policy_states import PolicyStates
from tailrace.agents.sampling.rules.rules import Rules
from tailrace.agents.sampling.standing import StandingPolicies
from tailrace.agents.sampling.votes import ERROR, NOT_KEPT, Verdict
from tailrace.schemas.definitions.definition import DEFAULT_TENANT
from tailrace.tables.decisions import Outcome
from tailrace.tables.keeps import Keeps
from tailrace.tables.store import PartitionStore

_MAX_KNOWN_OUTCOMES: Final = 1 << 12


@dataclass(frozen=True, slots=True, eq=False)
class Bench:
    """The policies that judge some tenants' traces. `epoch`: facts of another are not for these."""

    policies: StandingPolicies
    epoch: int

    @property
    def panel(self) -> Panel:
        """Who votes."""
        return self.policies.sampling.panel


class Judge:
    """Decides what becomes of traces, by the policies that stand for their tenants."""

    def __init__(
        self,
        policies: StandingPolicies,
        store: PartitionStore,
        keeps: Keeps | None = None,
        control: Control | None = None,
    ) -> None:
        self._others = Bench(policies, 0)
        """Judges whoever has no policies of his own."""
        self._own: dict[str, Bench] = {}
        self._epoch = 0
        self._keeps = keeps
        self._control = control
        self._states = PolicyStates(store)
        self._errors_before: Counter[str] = Counter()
        """Of policies that stand no more."""
        self._outcomes: dict[tuple[Verdict, str, str], Outcome] = {}
        self.budgets: Mapping[str, Budget] = {}
        """What the policies that stand spend of the cluster's."""
        self._changed()

    def bench(self, tenant: str) -> Bench:
        """Who judges the traces of *tenant*."""
        return self._own.get(tenant, self._others)

    @property
    def is_one(self) -> bool:
        """True if the traces of all tenants are judged by the same policies."""
        return not self._own

    @property
    def policies(self) -> StandingPolicies:
        """The policies of all tenants that have none of their own."""
        return self._others.policies

    def use(self, policies: StandingPolicies, tenant: str = DEFAULT_TENANT) -> None:
        """Go by *policies* from now on for *tenant*; for all that have none, if it is `default`."""
        before = self._others if tenant == DEFAULT_TENANT else self._own.get(tenant)
        states = self._states.restored(tenant)
        if before is not None:
            states = before.panel.state() | states
            self._errors_before.update(before.panel.errors)
        self._epoch += 1
        bench = Bench(policies, self._epoch)
        bench.panel.load(states)
        if tenant == DEFAULT_TENANT:
            self._others = bench
        else:
            self._own[tenant] = bench
        self._changed()

    def withdraw(self, tenant: str) -> None:
        """Let *tenant* have no policies of its own any more."""
        self._errors_before.update(self._own.pop(tenant).panel.errors)
        self._changed()

    def _changed(self) -> None:
        self._outcomes.clear()
        self.budgets = {
            named_for(tenant, name): budget
            for tenant, bench in self._benches
            for name, budget in bench.panel.budgets.items()
        }
        self._allot()

    @property
    def _benches(self) -> list[tuple[str, Bench]]:
        return [(DEFAULT_TENANT, self._others), *sorted(self._own.items())]

    @property
    def errors(self) -> Mapping[str, int]:
        """Votes that were errors since the partition was assigned, by policy.

        Attributes that no policy could be asked about, which would be a defect, are under "".
        """
        found = Counter(self._errors_before)
        for _, bench in self._benches:
            found.update(bench.panel.errors)
            found.update({"": bench.policies.sampling.facts.failures})
        return +found

    @property
    def overflowed(self) -> Mapping[str, int]:
        """Traces whose key was one too many for its rule, by rule, since these policies stand."""
        found: Counter[str] = Counter()
        for _, bench in self._benches:
            for seat in bench.panel.seats:
                policy: object = seat.policy
                if isinstance(policy, Rules):
                    found.update(policy.overflowed)
        return found

    def _allot(self) -> None:
        if self._control is not None:
            self._control.allot(self.budgets)

    def outcomes(
        self, traces: Sequence[Trace], times: Sequence[int], reasons: Sequence[str], *, by_ms: int
    ) -> list[Outcome]:
        """Return what becomes of each of *traces*, decided at its time for its reason.

        Marks count that were made *by_ms* before that, or earlier.
        """
        verdicts = self._verdicts(traces, times)
        found, known = [], self._outcomes
        for trace, verdict, at, reason in zip(traces, verdicts, times, reasons, strict=True):
            outcome = known.get((verdict, reason, trace.tenant))
            if outcome is None:
                outcome = self._outcome(verdict, reason, trace.tenant)
            found.append(self._ended(trace, outcome, at, by_ms))
        return found

    def _ended(self, trace: Trace, outcome: Outcome, at: int, by_ms: int) -> Outcome:
        """Return what becomes of *trace* if policies say *outcome*; tell those who marked it."""
        if outcome.decision != "dropped":
            outcome = self._kept_anyway(trace, outcome, at, by_ms)
        if self._keeps:
            self._keeps.decided(trace.trace_id, at, is_sampled=outcome.is_sampled)
        return outcome

    def _verdicts(self, traces: Sequence[Trace], times: Sequence[int]) -> list[Verdict]:
        """Return what the policies say; their parts of budgets may change in between."""
        self._states.forget_restored()
        decide, found = self._decide if self._own else self.policies.sampling.decide, []
        if self._control is None:
            return decide(traces, times)
        for piece in self._control.stretches(times, self.budgets):
            found += decide(traces[piece], times[piece])
        return found

    def _decide(self, traces: Sequence[Trace], times: Sequence[int]) -> list[Verdict]:
        """Return what each trace's own policies say."""
        places: dict[Bench, list[int]] = {}
        for place, trace in enumerate(traces):
            places.setdefault(self.bench(trace.tenant), []).append(place)
        found = [NOT_KEPT] * len(traces)
        for bench, own in places.items():
            verdicts = bench.policies.sampling.decide(
                [traces[place] for place in own], [times[place] for place in own]
            )
            for place, verdict in zip(own, verdicts, strict=True):
                found[place] = verdict
        return found

    def alone(self, message: Trace, trace: Trace, at: int) -> Outcome | None:
        """Return what becomes of *trace*, judged by one *message* of it; None: it is open yet.

        With a policy that may drop, none is ever sampled so: it might be dropped yet, unless that
        policy has no answer.
        """
        (verdict,) = self._verdicts([message], [at])
        if verdict.decision == "not_sampled":
            return None
        seats = self.bench(message.tenant).panel.seats
        dropping = (seat.policy for seat in seats if seat.policy.may_drop)
        if verdict.decision == "sampled" and any(
            policy.vote(message, at) is not ERROR for policy in dropping
        ):
            return None
        return self._ended(trace, self._outcome(verdict, "ingest", trace.tenant), at, by_ms=1)

    def late(self, trace_id: bytes, outcome: Outcome, at: int) -> None:
        """Hear that spans of *trace_id* came at *at*, long after its *outcome*."""
        if self._keeps:
            self._keeps.decided(trace_id, at, is_sampled=outcome.is_sampled)

    def not_sampled(self, trace: Trace, at: int, reason: str, by_ms: int) -> Outcome:
        """Return what becomes of *trace* when the policies are not asked."""
        outcome = self._outcome(NOT_KEPT, reason, trace.tenant)
        return self._ended(trace, outcome, at, by_ms)

    def _outcome(self, verdict: Verdict, reason: str, tenant: str) -> Outcome:
        decision, policy, probability, inclusion = verdict
        version = self.bench(tenant).policies.version
        found = Outcome(decision, policy, probability, version, reason, inclusion, tenant)
        if len(self._outcomes) >= _MAX_KNOWN_OUTCOMES:
            self._outcomes.clear()
        self._outcomes[verdict, reason, tenant] = found
        return found

    def _kept_anyway(self, trace: Trace, outcome: Outcome, at: int, by_ms: int) -> Outcome:
        """Return *outcome*, or that the trace is kept for another reason than its policies'.

        What is kept for certain has a chance of 1, also if a policy happened to draw it. Of what
        is only linked to nobody knows the chance.
        """
        name = None
        if trace.facts & self.bench(trace.tenant).policies.forced:
            name = "forced"
        elif self._keeps and self._keeps.is_wanted(trace.trace_id, at - by_ms):
            name = "alert"
        if name is not None:
            if outcome.is_sampled:
                return outcome._replace(inclusion=1.0)
            return outcome._replace(decision="sampled", policy=name, probability=1.0, inclusion=1.0)
        control = self._control
        if outcome.is_sampled or control is None:
            return outcome
        if control.is_linked(trace.trace_id, at):
            return outcome._replace(
                decision="sampled", policy=LINKED, probability=None, inclusion=None
            )
        return outcome

    def restore(self) -> None:
        """Go on from the states that the store has."""
        self._states.restore()
        for tenant, bench in self._benches:
            bench.panel.load(self._states.restored(tenant, keep=True))
        self._allot()

    def seal(self) -> None:
        """Put the states of the policies into the store, if they have changed."""
        self._states.seal({tenant: bench.panel for tenant, bench in self._benches})
