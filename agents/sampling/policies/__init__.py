"""The policies, one file each. A new one is its file, a line in the table below, and its model in
`schemas.config.policies`.

Each file has a function that builds the policy from its config, asking for the facts it needs.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from tailrace.agents.sampling.facts import Facts, Trace
from tailrace.agents.sampling.policies import (
    always_sample,
    conjunction,
    latency,
    probabilistic,
    status_code,
    string_attribute,
)
from tailrace.agents.sampling.votes import Panel, Policy, Verdict, decide_many
from tailrace.schemas.config.policies import PolicyConfig

Builder: TypeAlias = Callable[[Any, Facts], Policy]


def build(config: PolicyConfig, facts: Facts) -> Policy:
    """The policy that *config* describes."""
    return BUILDERS[config.type](config, facts)


BUILDERS: dict[str, Builder] = {
    "always_sample": always_sample.build,
    "and": conjunction.builder(build),
    "latency": latency.build,
    "probabilistic": probabilistic.build,
    "status_code": status_code.build,
    "string_attribute": string_attribute.build,
}


@dataclass(frozen=True, slots=True)
class SamplingPolicies:
    """The policies of one config, and the facts that they ask for."""

    panel: Panel
    facts: Facts

    def decide(self, traces: Sequence[Trace], at: Sequence[int]) -> list[Verdict]:
        """The verdict on each of *traces*, whose facts were observed by `facts`, at its time."""
        return decide_many(self.panel, traces, at)


def build_policies(
    configs: Iterable[PolicyConfig], *, sample_on_first_match: bool = False
) -> SamplingPolicies:
    """The policies that *configs* describe."""
    facts = Facts()
    named = [(config.name, build(config, facts)) for config in configs]
    return SamplingPolicies(Panel(named, sample_on_first_match=sample_on_first_match), facts)
