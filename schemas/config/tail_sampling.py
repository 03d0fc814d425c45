"""`tail_sampling`: the body of the collector's processor of that name.

The same keys mean the same thing, defaults included; what cannot mean the same is refused with what
replaces it. `num_traces` and `decision_cache` are no limits unless set.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, ValidatorFunctionWrapHandler
from pydantic import WrapValidator as Wrap

from tailrace.schemas.config.idle import is_false
from tailrace.schemas.config.policies import PolicyConfig, policy
from tailrace.schemas.config.policy_sections import PolicySection
from tailrace.schemas.config.routes import RouteConfig, unknown_names
from tailrace.schemas.config.rules import RulesConfig, rule_cautions
from tailrace.schemas.config.scalars import (
    Bytes,
    Directory,
    Duration,
    Flag,
    Texts,
    Whole,
    at_least,
    listed,
)
from tailrace.schemas.config.section import Remark, Section, told
from tailrace.schemas.config.tenant_budgets import TenantBudgetsConfig
from tailrace.schemas.durations import HOUR, SECOND, spell

_REFUSALS = {
    "block_on_overflow": (
        "is true; here a full partition decides its oldest trace, with the reason `traces`, and "
        "nothing is lost. Remove it, or raise num_traces"
    ),
    "drop_pending_traces_on_shutdown": (
        "is true; here traces that wait survive a stop and go on where they were. Remove it"
    ),
    "num_shards": "has no meaning here: the partitions of the input are the shards. Remove it",
    "tail_storage": (
        "has no meaning here: traces that wait are in tables on disk and in a changelog topic. "
        "Remove it; data_dir says where"
    ),
}


RULES = "rules"
RULE_PREFIX = f"{RULES}/"
"""Before the name of a rule where decisions name a policy."""
TENANT_BUDGET = "tenant_budget"
"""What decisions name as the policy of traces that were not kept because of it."""
_SMALL_BURST_SPANS = 100
"""Ordinary traces may have more spans than a smaller burst."""
OWN_POLICIES = ("alert", "forced", "linked")
"""What decisions name as the policy of traces that none of the config's sampled."""


def _named_once(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    """Policies are told apart by name, so each has one of its own."""
    return told(handler, value, _name_remarks(value) if isinstance(value, list | tuple) else ())


def _name_remarks(policies: Any) -> Iterator[Remark]:
    first: dict[str, int] = {}
    for index, item in enumerate(policies):
        if not isinstance(item, dict | Section):
            continue
        name = item.get("name") if isinstance(item, dict) else getattr(item, "name", None)
        if name is None or name == "":
            yield (index, "name"), "is missing; give the policy a name of its own"
        elif isinstance(name, str) and first.setdefault(name, index) != index:
            yield (
                (index, "name"),
                f'is "{name}", as is that of policies[{first[name]}]; give each its own',
            )


Policies = Annotated[
    tuple[Annotated[PolicyConfig, BeforeValidator(policy)], ...],
    BeforeValidator(listed),
    Wrap(_named_once),
]


class PolicySet(Section):
    """What decides: it may change while the worker runs."""

    policies: Policies = ()
    rules: RulesConfig = ()
    """Asked before all policies but those that drop. The first that a trace meets decides it."""
    sample_on_first_match: Flag = False
    """The first policy that samples decides; those after it are not asked."""

    def contradictions(self) -> Iterator[Remark]:
        for index, each in enumerate(self.policies if self.rules else ()):
            if each.name == RULES:
                yield (
                    ("policies", index, "name"),
                    f'is "{RULES}", as the state of all rules is called; name the policy otherwise',
                )

    def cautions(self) -> Iterator[Remark]:
        if not self.policies and not self.rules:
            yield ("policies",), "is empty, so no trace is ever sampled"
        for index, each in enumerate(self.policies):
            if each.name in OWN_POLICIES or (self.rules and each.name.startswith(RULE_PREFIX)):
                yield (
                    ("policies", index, "name"),
                    f'is "{each.name}", as decisions name what is kept for another reason; '
                    f"name the policy otherwise",
                )
        for path, text in rule_cautions(self.rules):
            yield ("rules", *path), text


def needs_whole_traces(policies: PolicySet) -> tuple[str, ...]:
    """Return the names of what cannot judge a message alone."""
    stateful = tuple(each.name for each in policies.policies if each.is_stateful)
    return (*stateful, *(f"{RULE_PREFIX}{each.name}" for each in policies.rules))


_INGEST = "span-ingest"
_ALONE = "whole traces; sampling_strategy span-ingest judges each message alone"
_TENANTS_NEED_WHOLE_TRACES: Remark = (("tenant_budgets",), f"needs {_ALONE}")


def _whole_trace_remarks(
    policies: Iterable[tuple[int, PolicySection]], *, has_rules: bool
) -> Iterator[Remark]:
    """Say of each that `needs_whole_traces` names where it stands, and why it cannot."""
    if has_rules:
        yield ("rules",), f"need {_ALONE}"
    for index, each in policies:
        if each.is_stateful:
            yield ("policies", index, "type"), f"is {each.kind()}, which needs {_ALONE}"


def _right(policies: Any) -> Iterator[tuple[int, PolicySection]]:
    """Yield those of *policies*, as given, that are right by themselves, with their places."""
    for index, each in enumerate(policies if isinstance(policies, list) else ()):
        with suppress(ValueError):
            yield index, policy(each)


def _names(sections: Any) -> list[str]:
    """Return the names of *sections*, as given."""
    given = sections if isinstance(sections, list) else ()
    names = (each.get("name") for each in given if isinstance(each, dict))
    return [name for name in names if isinstance(name, str)]


def _unknown_to(
    routes: Sequence[RouteConfig], policies: Iterable[str], rules: Iterable[str]
) -> Iterator[Remark]:
    known = {*policies, *OWN_POLICIES, *(f"{RULE_PREFIX}{name}" for name in rules)}
    for path, text in unknown_names(routes, known):
        yield ("routes", *path), text


class DecisionCacheConfig(Section):
    """How many decisions of a partition are remembered at most; 0: as many as there are."""

    sampled_cache_size: Annotated[Whole, Field(ge=0)] = 0
    non_sampled_cache_size: Annotated[Whole, Field(ge=0)] = 0


class TailSamplingConfig(PolicySet):
    """When a trace is decided, and which policies decide."""

    refusals: ClassVar[Mapping[str, str]] = _REFUSALS
    idle: ClassVar[Mapping[str, Callable[[Any], bool]]] = {
        "block_on_overflow": is_false,
        "drop_pending_traces_on_shutdown": is_false,
    }

    decision_wait: Annotated[Duration, at_least(0)] = 30 * SECOND
    """From a trace's first span to its decision."""
    decision_wait_after_root_received: Annotated[Duration, at_least(0)] = 0
    """From a trace's root span to its decision, if that is sooner; 0: its root changes nothing."""
    num_traces: Annotated[Whole, Field(ge=1)] | None = None
    """How many traces may wait in one partition; more, and the oldest is decided early."""
    expected_new_traces_per_sec: Annotated[Whole, Field(ge=0)] = 0
    """The collector allocates by it; nothing here needs it."""
    decision_cache: DecisionCacheConfig = DecisionCacheConfig()
    """Bounds what is remembered by number; `decision_retention` does it by time."""
    sampling_strategy: Literal["trace-complete", "span-ingest"] = "trace-complete"
    """span-ingest: each message is judged alone, at once, until one samples or drops its trace."""
    maximum_trace_size_bytes: Annotated[Bytes, Field(ge=0)] = 0
    """A trace that grows beyond is not sampled, at once; 0: no bound."""
    maximum_trace_spans: Annotated[Whole, Field(ge=0)] = 0
    """A trace that has so many spans is decided at once; 0: no bound. This and the rest is ours."""
    decision_retention: Annotated[Duration, at_least(SECOND)] = HOUR
    """How long after its decision a trace's late spans still follow it."""
    stamp: Flag = True
    """Write policy, probability and version on kept spans, and the threshold into tracestate."""
    force_keep: Texts = ()
    """Attributes of spans or resources that keep a trace unless one is false, 0 or empty."""
    keep_linked: Annotated[Duration, at_least(0)] = 0
    """For how long traces are kept that a span of a kept trace links to; 0: they are not."""
    routes: Annotated[tuple[RouteConfig, ...], BeforeValidator(listed)] = ()
    """The first that takes a kept trace says its topic; else it is output.sampled."""
    tenant_budgets: TenantBudgetsConfig | None = None
    """Bounds what policies sample of all tenants."""
    dry_run: Flag = False
    """Decide and tell, but forward every trace."""
    policies_file: Directory | None = None
    """A file with policies that is read again whenever it changes; it stands instead of those here.
    """

    def contradictions(self) -> Iterator[Remark]:
        yield from super().contradictions()
        if not self.model_fields_set & {"policies", "policies_file", "rules"}:
            yield ("policies",), "is missing; add it"
        if self.policies_file is None:
            names, rules = ([each.name for each in of] for of in (self.policies, self.rules))
            yield from _unknown_to(self.routes, names, rules)
        if self.sampling_strategy == _INGEST and self.tenant_budgets is not None:
            yield _TENANTS_NEED_WHOLE_TRACES
        yield from self.unfit(self)

    @classmethod
    def besides(cls, given: Mapping[str, Any], wrong: frozenset[Any]) -> Iterator[Remark]:
        """Say what does not go together, of the policies that are right too."""
        policies, rules = given.get("policies"), given.get("rules")
        if given.get("sampling_strategy") == _INGEST:
            if "tenant_budgets" in given:
                yield _TENANTS_NEED_WHOLE_TRACES
            yield from _whole_trace_remarks(_right(policies), has_rules=bool(rules))
        if "policies_file" not in given and "routes" in given and "routes" not in wrong:
            routes = [RouteConfig.model_validate(each) for each in listed(given["routes"])]
            yield from _unknown_to(routes, _names(policies), _names(rules))

    def unfit(self, policies: PolicySet) -> Iterator[Remark]:
        """Say what of *policies* cannot stand here, whoever wrote them."""
        if self.sampling_strategy == _INGEST:
            yield from _whole_trace_remarks(
                enumerate(policies.policies), has_rules=bool(policies.rules)
            )

    def cautions(self) -> Iterator[Remark]:
        if self.tenant_budgets is not None:
            yield from self._budget_cautions(self.tenant_budgets)
        if self.policies_file is None:
            yield from super().cautions()
        elif self.policies or self.rules:
            yield ("policies_file",), "is set, so the policies and rules that stand here do nothing"
        if 0 < self.decision_wait <= self.decision_wait_after_root_received:
            yield (
                ("decision_wait_after_root_received",),
                f"is {spell(self.decision_wait_after_root_received)}, not less than decision_wait, "
                f"{spell(self.decision_wait)}, so a root changes nothing",
            )
        types: set[str] = {each.type for each in self.policies}
        if self.sampling_strategy == _INGEST and "drop" in types:
            yield (
                ("sampling_strategy",),
                "is span-ingest and there is a drop policy, so no trace is ever sampled; "
                "the collector does the same",
            )

    def _budget_cautions(self, budgets: TenantBudgetsConfig) -> Iterator[Remark]:
        for index, each in enumerate(self.policies):
            if each.name == TENANT_BUDGET:
                yield (
                    ("policies", index, "name"),
                    f'is "{TENANT_BUDGET}", as decisions name what tenant_budgets has no room for; '
                    f"name the policy otherwise",
                )
        if budgets.burst < _SMALL_BURST_SPANS:
            of = "" if budgets.burst_capacity else "twice spans_per_second, "
            yield (
                ("tenant_budgets", "burst_capacity"),
                f"is {of}{budgets.burst}, so no trace of more spans is ever kept by policies",
            )


DEFAULT_TAIL_SAMPLING = TailSamplingConfig.model_validate(
    {
        "decision_wait": "10s",
        "policies": [
            {"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}},
            {"name": "slow", "type": "latency", "latency": {"threshold_ms": 1000}},
            {
                "name": "rest",
                "type": "probabilistic",
                "probabilistic": {"sampling_percentage": 10},
            },
        ],
    }
)
"""Without a `tail_sampling` section: errors, traces of 1 s or longer, 10 % of the rest."""
