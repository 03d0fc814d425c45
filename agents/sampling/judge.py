"""From what policies say of traces to their outcomes: version, reason, and what is kept anyway.

Laws:

- A policy that drops has the last word. What an alert points at, what is forced and what a kept
  trace links to is kept if no policy drops it; the policy of the outcome is then that of the
  config that samples it, or `alert`, `forced` or `linked`.
- A tenant that has policies of its own is judged by these alone, and by nobody else's budgets;
  all others by those of the tenant `default`, together.
- What policies sample is kept if its tenant has enough of the budget of all tenants, if there is
  one; what is kept anyway is kept without.
- Policies with a state go on where they were after a restart; a policy of a new version goes on
  from the state of the one of its name and tenant.
"""

from __future__ import annotations

from collections import ChainMap, Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from tailrace.agents.sampling.budgets import Budget, named_for
from tailrace.agents.sampling.control import Control
from tailrace.agents.sampling.facts import Trace
from tailrace.agents.sampling.guarded import votes_of
from tailrace.agents.sampling.links import LINKED
from tailrace.agents.sampling.policy_states import PolicyStates
from tailrace.agents.sampling.rules.rules import Rules
from tailrace.agents.sampling.standing import Bench, StandingPolicies
from tailrace.agents.sampling.tenant_budget import TenantBudget
from tailrace.agents.sampling.votes import ERROR, NOT_KEPT, Verdict
from tailrace.schemas.config.tail_sampling import TENANT_BUDGET
from tailrace.schemas.definitions.definition import DEFAULT_TENANT
from tailrace.tables.decisions import Outcome
from tailrace.tables.keeps import Keeps
from tailrace.tables.store import PartitionStore

_MAX_KNOWN_OUTCOMES: Final = 1 << 12


class Judge:
    """Decides what becomes of traces, by the policies that stand for their tenants."""

    def __init__(
        self,
        policies: StandingPolicies,
        store: PartitionStore,
        keeps: Keeps | None = None,
        control: Control | None = None,
        tenant_budget: TenantBudget | None = None,
    ) -> None:
        self._others = Bench(policies, 0)
        """Judges whoever has no policies of his own."""
        self._own: dict[str, Bench] = {}
        self._epoch = 0
        self._keeps = keeps
        self._control = control
        self._of_tenants = tenant_budget
        self._states = PolicyStates(store)
        self._errors_before: Counter[str] = Counter()
        """Of policies that stand no more."""
        self._unanswered_before: Counter[str] = Counter()
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
            self._remember(before)
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
        self._remember(self._own.pop(tenant))
        self._changed()

    def _remember(self, bench: Bench) -> None:
        """Count on what was counted of *bench*, which stands no more."""
        self._errors_before.update(bench.panel.errors)
        self._unanswered_before.update(bench.policies.sampling.facts.counted)

    def _changed(self) -> None:
        self._outcomes.clear()
        budgets = {
            named_for(tenant, name): budget
            for tenant, bench in self._benches
            for name, budget in bench.panel.budgets.items()
        }
        shared = self._of_tenants
        self.budgets = budgets if shared is None else ChainMap(shared.budgets, budgets)
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
    def unanswered(self) -> Mapping[str, int]:
        """Traces of which a condition had no answer, since the partition was assigned, by policy:
        those that then do as if it were not true."""
        found = Counter(self._unanswered_before)
        for _, bench in self._benches:
            found.update(bench.policies.sampling.facts.counted)
        return found

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

    def _allot(self, budgets: Mapping[str, Budget] | None = None) -> None:
        if self._control is not None:
            self._control.allot(self.budgets if budgets is None else budgets)

    def outcomes(
        self, traces: Sequence[Trace], times: Sequence[int], reasons: Sequence[str], *, by_ms: int
    ) -> list[Outcome]:
        """Return what becomes of each of *traces*, decided at its time for its reason.

        Marks count that were made *by_ms* before that, or earlier.
        """
        found = list[Outcome]()
        for piece in self._stretches(times):
            some, at = traces[piece], times[piece]
            verdicts = self._verdicts(some, at)
            found += self._all_ended(some, verdicts, at, reasons[piece], by_ms)
        return found

    def _all_ended(
        self,
        traces: Sequence[Trace],
        verdicts: Sequence[Verdict],
        times: Sequence[int],
        reasons: Sequence[str],
        by_ms: int,
    ) -> list[Outcome]:
        known = self._outcomes
        outcomes = [
            known.get((verdict, reason, trace.tenant))
            or self._outcome(verdict, reason, trace.tenant)
            for trace, verdict, reason in zip(traces, verdicts, reasons, strict=True)
        ]
        if not self._may_differ:
            return outcomes
        return [
            self._ended(trace, outcome, at, by_ms)
            for trace, outcome, at in zip(traces, outcomes, times, strict=True)
        ]

    @property
    def _may_differ(self) -> bool:
        """True if anybody but the policies has a say, or wants to hear."""
        links, budget = self._control is not None and self._control.has_links, self._of_tenants
        forced = any(bench.policies.forced for _, bench in self._benches)
        return bool(links or forced or self._keeps) or budget is not None

    def _stretches(self, times: Sequence[int]) -> Iterable[slice]:
        """Return pieces of *times* in which the parts of budgets are the same."""
        if self._control is None:
            return [slice(0, len(times))]
        return self._control.stretches(times, self.budgets)

    def _ended(
        self, trace: Trace, outcome: Outcome, at: int, by_ms: int, *, is_asked: bool = True
    ) -> Outcome:
        """Return what becomes of *trace* if policies say *outcome*; tell those who marked it.

        *is_asked*: policies were asked about the whole of it, so that one might have dropped it.
        """
        if outcome.decision != "dropped":
            outcome = self._kept_anyway(trace, outcome, at, by_ms, is_asked=is_asked)
        if self._keeps:
            self._keeps.decided(trace.trace_id, at, is_sampled=outcome.is_sampled)
        return outcome

    def _verdicts(self, traces: Sequence[Trace], times: Sequence[int]) -> list[Verdict]:
        """Return what each trace's own policies say."""
        self._states.forget_restored()
        if not self._own:
            return self.policies.sampling.decide(traces, times)
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
        for _ in self._stretches([at]):
            (verdict,) = self._verdicts([message], [at])
        if verdict.decision == "not_sampled":
            return None
        seats = self.bench(message.tenant).panel.seats
        dropping = (seat.policy for seat in seats if seat.policy.may_drop)
        if verdict.decision == "sampled" and any(
            ERROR not in votes_of(policy, [message], [at]) for policy in dropping
        ):
            return None
        return self._ended(trace, self._outcome(verdict, "ingest", trace.tenant), at, by_ms=1)

    def late(self, trace_id: bytes, outcome: Outcome, at: int) -> None:
        """Hear that spans of *trace_id* came at *at*, long after its *outcome*."""
        if self._keeps:
            self._keeps.decided(trace_id, at, is_sampled=outcome.is_sampled)

    def not_sampled(
        self, trace: Trace, at: int, reason: str, by_ms: int, *, is_asked: bool = False
    ) -> Outcome:
        """Return what becomes of *trace* when the policies are not asked; *is_asked*: any more."""
        outcome = self._outcome(NOT_KEPT, reason, trace.tenant)
        return self._ended(trace, outcome, at, by_ms, is_asked=is_asked)

    def _outcome(self, verdict: Verdict, reason: str, tenant: str) -> Outcome:
        decision, policy, probability, inclusion = verdict
        version = self.bench(tenant).policies.version
        found = Outcome(decision, policy, probability, version, reason, inclusion, tenant)
        if len(self._outcomes) >= _MAX_KNOWN_OUTCOMES:
            self._outcomes.clear()
        self._outcomes[verdict, reason, tenant] = found
        return found

    def _kept_anyway(
        self, trace: Trace, outcome: Outcome, at: int, by_ms: int, *, is_asked: bool
    ) -> Outcome:
        """Return *outcome*, or that the trace is kept for another reason than its policies'.

        What is kept whatever policies draw has the chance that none drops it, also if one happened
        to draw it. Of what is only linked to nobody knows the chance.
        """
        bench, name = self.bench(trace.tenant), None
        if trace.facts & bench.policies.forced:
            name = "forced"
        elif self._keeps and self._keeps.is_wanted(trace.trace_id, at - by_ms):
            name = "alert"
        if name is not None:
            chance = bench.panel.inclusion(trace, 1.0) if is_asked else 1.0
            if outcome.is_sampled:
                return outcome._replace(inclusion=chance)
            return outcome._replace(
                decision="sampled", policy=name, probability=1.0, inclusion=chance
            )
        if self._of_tenants is not None and outcome.is_sampled:
            outcome = self._afforded(self._of_tenants, trace, outcome, at)
        control = self._control
        if control is None or not control.is_linked(trace.trace_id, at):
            return outcome
        if outcome.is_sampled:
            chance = bench.panel.inclusion(trace, 1.0) if is_asked else 1.0
            return outcome._replace(inclusion=chance)
        return outcome._replace(decision="sampled", policy=LINKED, probability=None, inclusion=None)

    def _afforded(self, budget: TenantBudget, trace: Trace, outcome: Outcome, at: int) -> Outcome:
        """Return *outcome*, or that the trace's tenant has nothing left for it.

        Nobody knows the chance that there was something left.
        """
        if budget.take(trace.tenant, trace.spans, at, self._allot):
            return outcome._replace(inclusion=None)
        return outcome._replace(
            decision="not_sampled", policy=TENANT_BUDGET, probability=None, inclusion=None
        )

    def restore(self) -> None:
        """Go on from the states that the store has."""
        self._states.restore()
        for tenant, bench in self._benches:
            bench.panel.load(self._states.restored(tenant, keep=True))
        state = {} if self._of_tenants is None else self._states.restored_budget()
        if self._of_tenants is not None and state:
            self._of_tenants.load(state)
        self._allot()

    def seal(self) -> None:
        """Put the states of the policies into the store, if they have changed."""
        self._states.seal({tenant: bench.panel for tenant, bench in self._benches})
        if self._of_tenants is not None:
            self._states.seal_budget(self._of_tenants.state())
