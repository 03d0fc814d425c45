"""From what policies say of traces to their outcomes: version, reason, and what is kept anyway.

Laws:

- A policy that drops has the last word. What an alert points at, what is forced and what a kept
  trace links to is kept if no policy drops it; the policy of the outcome is then that of the
  config that samples it, or `alert`, `forced` or `linked`.
- Policies with a state go on where they were after a restart; a policy of a new version goes on
  from the state of the one of its name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from tailrace.agents.sampling.budgets import Budget
from tailrace.agents.sampling.control import Control
from tailrace.agents.sampling.facts import AttributeFact, Facts, Trace
from tailrace.agents.sampling.links import LINKED
from tailrace.agents.sampling.panels import Panel
from tailrace.agents.sampling.policies import SamplingPolicies, build_policies
from tailrace.agents.sampling.rules.keys import Keys
from tailrace.agents.sampling.rules.rules import Rules, build_rules
from tailrace.agents.sampling.votes import ERROR, Policy, Verdict
from tailrace.schemas.config.tail_sampling import RULES, PolicySet
from tailrace.schemas.spans import AttributeColumn
from tailrace.schemas.strings import AttributeValue
from tailrace.tables.decisions import CONFIGURED, Outcome
from tailrace.tables.keeps import Keeps
from tailrace.tables.store import PartitionStore

STATES_KEY: Final = b"p"
"""In the store: the states of the policies, by name."""
_VERSION: Final = b"\x01"
_MAX_KNOWN_OUTCOMES: Final = 1 << 12
_NOT_FORCED: Final = frozenset(("", "0", "false", "none"))


@dataclass(frozen=True, slots=True)
class StandingPolicies:
    """The policies that decide, and their version. `forced`: facts that keep a trace anyway.

    `keys`: what rules tell traces by, if there are any.
    """

    sampling: SamplingPolicies
    version: str = CONFIGURED
    forced: int = 0
    keys: Keys | None = None

    @property
    def columns(self) -> tuple[AttributeColumn, ...]:
        """The attributes that batches must have."""
        of_keys = () if self.keys is None else self.keys.columns
        return tuple(dict.fromkeys([*self.sampling.facts.attributes, *of_keys]))


def standing(
    policies: PolicySet,
    version: str = CONFIGURED,
    force_keep: Sequence[str] = (),
    *,
    judges_messages: bool = False,
) -> StandingPolicies:
    """Return *policies* as one partition goes by them; *force_keep* names attributes.

    Where messages are judged alone, nobody is asked after the first who samples.
    """
    keys = Keys() if policies.rules else None

    def rules(facts: Facts) -> list[tuple[str, Policy]]:
        if keys is None:
            return []
        # The traces that a sampler asks about have keys.
        return [(RULES, cast("Policy", build_rules(policies.rules, facts, keys)))]

    sampling = build_policies(
        policies.policies,
        rules,
        sample_on_first_match=policies.sample_on_first_match or judges_messages,
    )
    forced = 0
    if force_keep:
        questions = tuple(
            (AttributeColumn(scope, key), _is_set) for key in force_keep for scope in _SCOPES
        )
        forced = sampling.facts.bit(AttributeFact(questions))
    return StandingPolicies(sampling, version, forced, keys)


_SCOPES: Final = ("span", "resource")


def _is_set(value: AttributeValue) -> bool:
    """True unless it says no: false, 0, or an empty text; as numbers or as text."""
    return str(value).lower() not in _NOT_FORCED if isinstance(value, str) else bool(value)


class Judge:
    """Decides what becomes of traces, by the policies that stand."""

    def __init__(
        self,
        policies: StandingPolicies,
        store: PartitionStore,
        keeps: Keeps | None = None,
        control: Control | None = None,
    ) -> None:
        self.policies = policies
        self.epoch = 0
        """Changes with the policies: facts of another one are not for these."""
        self._store = store
        self._keeps = keeps
        self._control = control
        self._restored: dict[str, Any] = {}
        """What the store had, until any policy is asked: those of the config may stand for a moment
        only, and their state is then not what was stored."""
        self._stored = b""
        self._outcomes: dict[tuple[Verdict, str], Outcome] = {}

    def use(self, policies: StandingPolicies) -> None:
        """Go by *policies* from now on."""
        states, self._restored = self._panel.state() | self._restored, {}
        policies.sampling.panel.errors.update(self._panel.errors)
        self.policies = policies
        self.epoch += 1
        self._outcomes.clear()
        self._panel.load(states)
        self._allot()

    @property
    def budgets(self) -> Mapping[str, Budget]:
        """What the policies that stand spend of the cluster's."""
        return self._panel.budgets

    @property
    def errors(self) -> Mapping[str, int]:
        """Votes that were errors since the partition was assigned, by policy.

        Attributes that no policy could be asked about, which would be a defect, are under "".
        """
        failures = self.policies.sampling.facts.failures
        return {**self._panel.errors, "": failures} if failures else self._panel.errors

    @property
    def overflowed(self) -> Mapping[str, int]:
        """Traces whose key was one too many for its rule, by rule, since these policies stand."""
        seated: list[object] = [seat.policy for seat in self._panel.seats]
        return next((each.overflowed for each in seated if isinstance(each, Rules)), {})

    def _allot(self) -> None:
        if self._control is not None:
            self._control.allot(self.budgets)

    @property
    def _panel(self) -> Panel:
        return self.policies.sampling.panel

    def outcomes(
        self, traces: Sequence[Trace], times: Sequence[int], reasons: Sequence[str], *, by_ms: int
    ) -> list[Outcome]:
        """Return what becomes of each of *traces*, decided at its time for its reason.

        Marks count that were made *by_ms* before that, or earlier.
        """
        verdicts = self._verdicts(traces, times)
        found = []
        for trace, verdict, at, reason in zip(traces, verdicts, times, reasons, strict=True):
            outcome = self._outcomes.get((verdict, reason)) or self._outcome(verdict, reason)
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
        self._restored = {}
        decide, found = self.policies.sampling.decide, list[Verdict]()
        if self._control is None:
            return decide(traces, times)
        for piece in self._control.stretches(times, self.budgets):
            found += decide(traces[piece], times[piece])
        return found

    def alone(self, message: Trace, trace: Trace, at: int) -> Outcome | None:
        """Return what becomes of *trace*, judged by one *message* of it; None: it is open yet.

        With a policy that may drop, none is ever sampled so: it might be dropped yet, unless that
        policy has no answer.
        """
        (verdict,) = self._verdicts([message], [at])
        if verdict.decision == "not_sampled":
            return None
        dropping = (seat.policy for seat in self._panel.seats if seat.policy.may_drop)
        if verdict.decision == "sampled" and any(
            policy.vote(message, at) is not ERROR for policy in dropping
        ):
            return None
        return self._ended(trace, self._outcome(verdict, "ingest"), at, by_ms=1)

    def late(self, trace_id: bytes, outcome: Outcome, at: int) -> None:
        """Hear that spans of *trace_id* came at *at*, long after its *outcome*."""
        if self._keeps:
            self._keeps.decided(trace_id, at, is_sampled=outcome.is_sampled)

    def not_sampled(self, trace: Trace, at: int, reason: str, by_ms: int) -> Outcome:
        """Return what becomes of *trace* when the policies are not asked."""
        outcome = self._outcome(Verdict("not_sampled", None, None, None), reason)
        return self._ended(trace, outcome, at, by_ms)

    def _outcome(self, verdict: Verdict, reason: str) -> Outcome:
        decision, policy, probability, inclusion = verdict
        found = Outcome(decision, policy, probability, self.policies.version, reason, inclusion)
        if len(self._outcomes) >= _MAX_KNOWN_OUTCOMES:
            self._outcomes.clear()
        self._outcomes[verdict, reason] = found
        return found

    def _kept_anyway(self, trace: Trace, outcome: Outcome, at: int, by_ms: int) -> Outcome:
        """Return *outcome*, or that the trace is kept for another reason than its policies'.

        What is kept for certain has a chance of 1, also if a policy happened to draw it. Of what
        is only linked to nobody knows the chance.
        """
        name = None
        if trace.facts & self.policies.forced:
            name = "forced"
        elif self._keeps and self._keeps.is_wanted(trace.trace_id, at - by_ms):
            name = "alert"
        if name is not None:
            if outcome.is_sampled:
                return outcome._replace(inclusion=1.0)
            return Outcome("sampled", name, 1.0, outcome.version, outcome.reason, 1.0)
        control = self._control
        if outcome.is_sampled or control is None:
            return outcome
        if control.is_linked(trace.trace_id, at):
            return Outcome("sampled", LINKED, None, outcome.version, outcome.reason, None)
        return outcome

    def restore(self) -> None:
        """Go on from the states that the store has."""
        self._stored = self._store.get(STATES_KEY) or b""
        if self._stored:
            if self._stored[:1] != _VERSION:
                raise ValueError(
                    f"policies have state of version {self._stored[0]}; this tailrace reads "
                    f"version {_VERSION[0]}. Run the version that wrote it."
                )
            self._restored = json.loads(self._stored[1:])
            self._panel.load(self._restored)
        self._allot()

    def seal(self) -> None:
        """Put the states of the policies into the store, if they have changed."""
        if not self._panel.has_state and not self._stored:
            return
        states = self._panel.state()
        # Budgets are counted in millionths, so integers may be of more than 64 bits.
        value = _VERSION + json.dumps(states, sort_keys=True, separators=(",", ":")).encode()
        if value != self._stored:
            self._stored = value
            self._store.put(STATES_KEY, value)
