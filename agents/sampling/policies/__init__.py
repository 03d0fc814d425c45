"""The policies, one file each. A new one is its file, a line in the table below, and its model in
`schemas.config.policies`.

Each file has a function that builds the policy from its config, asking for the facts it needs.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from tailrace.agents.sampling.facts import Facts, Trace
from tailrace.agents.sampling.panels import Panel, decide_many
from tailrace.agents.sampling.policies import (
    always_sample,
    boolean_attribute,
    bytes_limiting,
    composite,
    conjunction,
    drop,
    latency,
    negation,
    numeric_attribute,
    ottl_condition,
    probabilistic,
    rate_limiting,
    span_count,
    status_code,
    string_attribute,
    trace_flags,
    trace_state,
)
from tailrace.agents.sampling.votes import Policy, Verdict
from tailrace.schemas.config.policies import PolicyConfig

Builder: TypeAlias = Callable[[Any, Facts], Policy]


def build(config: PolicyConfig, facts: Facts) -> Policy:
    """The policy that *config* describes."""
    return BUILDERS[config.type](config, facts)


BUILDERS: dict[str, Builder] = {
    "always_sample": always_sample.build,
    "and": conjunction.builder(build),
    "boolean_attribute": boolean_attribute.build,
    "bytes_limiting": bytes_limiting.build,
    "composite": composite.builder(build),
    "drop": drop.builder(build),
    "latency": latency.build,
    "not": negation.builder(build),
    "numeric_attribute": numeric_attribute.build,
    "ottl_condition": ottl_condition.build,
    "probabilistic": probabilistic.build,
    "rate_limiting": rate_limiting.build,
    "span_count": span_count.build,
    "status_code": status_code.build,
    "string_attribute": string_attribute.build,
    "trace_flags": trace_flags.build,
    "trace_state": trace_state.build,
}


@dataclass(frozen=True, slots=True)
class SamplingPolicies:
    """The policies of one config, and the facts that they ask for."""

    panel: Panel
    facts: Facts

    def decide(self, traces: Sequence[Trace], at: Sequence[int]) -> list[Verdict]:
        """The verdict on each of *traces*, whose facts were observed by `facts`, at its time."""
        self.facts.decided(traces)
        return decide_many(self.panel, traces, at)


def build_policies(
    configs: Iterable[PolicyConfig],
    further: Callable[[Facts], Iterable[tuple[str, Policy]]] = lambda _: (),
    *,
    sample_on_first_match: bool = False,
) -> SamplingPolicies:
    """The policies that *configs* describe, and before them *further* ones by name."""
    facts = Facts()
    named = [(config.name, build(config, facts)) for config in configs]
    named = [*further(facts), *named]
    return SamplingPolicies(Panel(named, sample_on_first_match=sample_on_first_match), facts)
