"""The policies that stand: built for one partition, with a version, for one tenant or for many."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, cast

from tailrace.agents.sampling.facts import AttributeFact, Facts
from tailrace.agents.sampling.panels import Panel
from tailrace.agents.sampling.policies import SamplingPolicies, build_policies
from tailrace.agents.sampling.rules.keys import Keys
from tailrace.agents.sampling.rules.rules import build_rules
from tailrace.agents.sampling.votes import Policy
from tailrace.schemas.config.tail_sampling import RULES, PolicySet
from tailrace.schemas.spans import AttributeColumn
from tailrace.schemas.strings import AttributeValue
from tailrace.tables.decisions import CONFIGURED

_NOT_FORCED: Final = frozenset(("", "0", "false", "none"))


class Version(NamedTuple):
    """Policies, not built yet, and the version that decisions name."""

    name: str
    policies: PolicySet


TenantVersions = Mapping[str, Version]
"""By tenant; those of `default` stand for every tenant that is not here."""
Build = Callable[[Version], "StandingPolicies"]
"""Builds policies anew for a partition: they have a state."""


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


@dataclass(frozen=True, slots=True, eq=False)
class Bench:
    """The policies that judge some tenants' traces. `epoch`: facts of another are not for these."""

    policies: StandingPolicies
    epoch: int

    @property
    def panel(self) -> Panel:
        """Who votes."""
        return self.policies.sampling.panel


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
