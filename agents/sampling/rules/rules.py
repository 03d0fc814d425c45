"""Rules: the first that a trace meets decides it, and no other is asked.

Laws:

- A rule is met if each of its conditions is true of some span of the trace; with the scope span, if
  all of them are of one span. A condition that a span gives no answer to is not true of it. Without
  conditions every trace meets it. A trace that meets no rule is not sampled.
- A sampler counts each trace that meets its rule, once, in the order of decisions, and no other.
- A trace with rate N is kept if its hash, salted with the rule's name, is in the lowest Nth of all:
  with the probability 1/N, and whenever the rate is lower as well.
- Many traces at once get what each would get alone, one after the other.

Source: Refinery 3 (`RulesBasedSampler`, `sample/rules.go`). There a trace that meets no rule is
kept, and whether a trace with a rate is kept is drawn at random.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, Final, NamedTuple

from tailrace.agents.sampling.budgets import Budget
from tailrace.agents.sampling.chances import EVERYWHERE, NOWHERE, Box, box, volume
from tailrace.agents.sampling.facts import Facts
from tailrace.agents.sampling.ottl_facts import ConditionFact
from tailrace.agents.sampling.policies.probabilistic import fnv1a, fnv1a_many
from tailrace.agents.sampling.rules.keys import KeyedTrace, Keys
from tailrace.agents.sampling.rules.samplers import Sampler
from tailrace.agents.sampling.rules.samplers.configured import build_sampler
from tailrace.agents.sampling.votes import DROPPED, ERROR, NOT_SAMPLED, SAMPLED, Vote
from tailrace.schemas.config.rules import RuleConfig
from tailrace.schemas.config.trace_fields import trace_field
from tailrace.schemas.ottl import parse_conditions

PREFIX: Final = "rules/"
"""Before the name of a rule where decisions name a policy."""
_DRAWS: Final = 1 << 64
_FEW: Final = 16
"""Below this many traces a loop is faster than columns."""
_MAX_KNOWN_ANSWERS: Final = 10_000


class Answer(NamedTuple):
    """What rules say of a trace: the rule it met, and the draws with which that samples it."""

    vote: Vote
    rule: str | None
    box: Box
    share: float


NO_RULE: Final = Answer(NOT_SAMPLED, None, NOWHERE, 0.0)
DEFECT: Final = Answer(ERROR, None, NOWHERE, 0.0)
"""To a trace that brings out a defect of a sampler; that does not count it."""


@dataclass(frozen=True, slots=True)
class Sampled:
    """What a sampler needs of a rule: its type, and the key of a trace; `salted` is a hash."""

    kind: str
    sampler: Sampler
    salted: int
    fields: tuple[int, ...]
    has_length: bool


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """The facts that must all be there, and the answer to such a trace, or its sampler."""

    name: str
    facts: int
    decided: Answer | Sampled


class Rules:
    """The rules of one config in one partition: a policy with a state, whose votes come each with
    a name and a share of its own. What `answer`, `chance` say is of traces of the last votes.
    """

    is_stateful: ClassVar[bool] = True
    may_drop: ClassVar[bool] = False  # and sample, which policies that may drop never do
    share: ClassVar[None] = None
    box: ClassVar[None] = None

    def __init__(self, rules: Iterable[Rule], keys: Keys) -> None:
        self.rules = tuple(rules)
        self.keys = keys
        self._answers: dict[bytes, Answer] = {}

    def vote(self, trace: KeyedTrace, at: int) -> Vote:
        return self.votes([trace], [at])[0]

    def votes(self, traces: Sequence[KeyedTrace], at: Sequence[int]) -> list[Vote]:
        """The vote on each trace at its time: the same as one at a time, in this order."""
        answers = self.answers(traces, at)
        self._answers = dict(zip((trace.trace_id for trace in traces), answers, strict=True))
        return [answer.vote for answer in answers]

    def answer(self, trace: KeyedTrace) -> Answer:
        """What was said of *trace*, which the last votes were about."""
        return self._answers[trace.trace_id]

    def said(self, trace: KeyedTrace) -> tuple[str, float]:
        """Which rule sampled or dropped *trace*, and with what share of those like it."""
        answer = self.answer(trace)
        return answer.rule or "", answer.share

    def chance(self, trace: KeyedTrace) -> Box | None:
        """The draws with which *trace* was to be sampled; None if the last votes were not about
        it, for a policy before decided alone.
        """
        answer = self._answers.get(trace.trace_id)
        return None if answer is None else answer.box

    def answers(self, traces: Sequence[KeyedTrace], at: Sequence[int]) -> list[Answer]:
        """What is said of each trace at its time (ms), each asked for the first and only time."""
        found = [NO_RULE] * len(traces)
        waiting: dict[Rule, list[int]] = {}
        for index, trace in enumerate(traces):
            rule = self._met(trace.facts)
            if rule is None:
                continue
            if isinstance(rule.decided, Answer):
                found[index] = rule.decided
            else:
                waiting.setdefault(rule, []).append(index)
        for rule, indexes in waiting.items():
            some = [traces[index] for index in indexes]
            answers = self._sampled(rule, some, [at[index] for index in indexes])
            for index, answer in zip(indexes, answers, strict=True):
                found[index] = answer
        return found

    @property
    def overflowed(self) -> dict[str, int]:
        """By rule, the traces, since the process began, whose key was one too many."""
        return {rule.name: sampled.sampler.overflowed for rule, sampled in self._samplers()}

    def budgets(self) -> dict[str, Budget]:
        """The goals of samplers that are for the cluster, by rule."""
        goals = ((rule.name, sampled.sampler.budgets()) for rule, sampled in self._samplers())
        return {name: budget for name, of_rule in goals for budget in of_rule.values()}

    def allot(self, numerator: int, denominator: int, at: int) -> None:
        """From the next adjustment on, only so much of the goals of the cluster is for here."""
        for budget in self.budgets().values():
            budget.allot(numerator, denominator, at)

    def state(self) -> dict[str, Any]:
        """The states of the samplers, as JSON, by rule."""
        return {
            rule.name: {"type": sampled.kind, "state": sampled.sampler.state()}
            for rule, sampled in self._samplers()
        }

    def load(self, state: Any) -> None:
        """Go on from *state*; a sampler that is not in it, or of another type, begins anew."""
        of_rules = state if isinstance(state, dict) else {}
        for rule, sampled in self._samplers():
            match of_rules.get(rule.name):
                case {"type": kind, "state": dict(own)} if kind == sampled.kind:
                    sampled.sampler.load(own)

    def _samplers(self) -> list[tuple[Rule, Sampled]]:
        return [(rule, rule.decided) for rule in self.rules if isinstance(rule.decided, Sampled)]

    def _met(self, facts: int) -> Rule | None:
        for rule in self.rules:
            if facts & rule.facts == rule.facts:
                return rule
        return None

    def _sampled(self, rule: Rule, traces: list[KeyedTrace], at: Sequence[int]) -> list[Answer]:
        sampled = rule.decided
        assert isinstance(sampled, Sampled)
        rates = [self._rate(sampled, trace, now) for trace, now in zip(traces, at, strict=True)]
        hashes = _hashes([trace.trace_id for trace in traces], sampled.salted)
        return [
            _answer(rule.name, sampled.salted, rate, is_kept=own < _DRAWS // rate)
            if rate
            else DEFECT
            for rate, own in zip(rates, hashes, strict=True)
        ]

    def _rate(self, sampled: Sampled, trace: KeyedTrace, now: int) -> int:
        """Return the rate of *trace*, which is counted; 0 if it brings out a defect."""
        try:
            return sampled.sampler.rate(self._key(sampled, trace), trace.spans, now)
        except Exception:
            return 0

    def _key(self, sampled: Sampled, trace: KeyedTrace) -> str:
        return self.keys.text(
            trace.keys, sampled.fields, trace.spans if sampled.has_length else None
        )


def build_rules(configs: Iterable[RuleConfig], facts: Facts, keys: Keys) -> Rules:
    """The rules that *configs* describe, which ask for *facts* and the values of *keys*."""
    return Rules([_rule(config, facts, keys) for config in configs], keys)


def _rule(config: RuleConfig, facts: Facts, keys: Keys) -> Rule:
    texts: Sequence[str] = config.conditions
    if config.scope == "span" and len(texts) > 1:
        texts = [" and ".join(f"({text})" for text in texts)]
    mask = 0
    for text in texts:
        mask |= facts.bit(ConditionFact(parse_conditions([text], "span")))
    return Rule(config.name, mask, _decided(config, keys))


def _decided(config: RuleConfig, keys: Keys) -> Answer | Sampled:
    label = PREFIX + config.name
    if config.sampler is None:
        return Answer(SAMPLED if config.keep else DROPPED, label, EVERYWHERE, 1.0)
    sampler = config.sampler
    fields = () if sampler.type == "deterministic" else sampler.fields
    return Sampled(
        kind=sampler.type,
        sampler=build_sampler(sampler),
        salted=fnv1a(config.name.encode()),
        fields=keys.numbers(trace_field(text) for text in fields),
        has_length=sampler.type != "deterministic" and sampler.use_trace_length,
    )


def _hashes(trace_ids: list[bytes], salted: int) -> list[int]:
    if len(trace_ids) < _FEW:
        return [fnv1a(trace_id, salted) for trace_id in trace_ids]
    hashes: list[int] = fnv1a_many(trace_ids, salted).tolist()
    return hashes


@lru_cache(_MAX_KNOWN_ANSWERS)
def _answer(name: str, salted: int, rate: int, *, is_kept: bool) -> Answer:
    drawn = box([(salted, 0, _DRAWS // rate - 1)])
    return Answer(SAMPLED if is_kept else NOT_SAMPLED, PREFIX + name, drawn, volume(drawn))
