"""The policies of `tail_sampling`, one model a type, as in the collector.

A policy is a mapping with its name, its type, and its settings under a key named as the type. Which
may stand inside which is as in the collector, too.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, TypeAlias, get_args

from pydantic import BeforeValidator, Field

from tailrace.schemas.config.policy_sections import TYPES, PolicySection
from tailrace.schemas.config.scalars import Texts, Whole, listed
from tailrace.schemas.config.section import Remark, Section, problems_at
from tailrace.schemas.config.span_policies import (
    BooleanAttributePolicy,
    NumericAttributePolicy,
    OttlConditionPolicy,
    StatusCodePolicy,
    StringAttributePolicy,
    TraceFlagsPolicy,
    TraceStatePolicy,
)
from tailrace.schemas.config.trace_policies import (
    AlwaysSamplePolicy,
    BytesLimitingPolicy,
    Count,
    LatencyPolicy,
    ProbabilisticPolicy,
    RateLimitingPolicy,
    SpanCountPolicy,
)
from tailrace.schemas.config.wording import one_of, show

LeafPolicy: TypeAlias = (
    AlwaysSamplePolicy
    | LatencyPolicy
    | NumericAttributePolicy
    | ProbabilisticPolicy
    | StatusCodePolicy
    | StringAttributePolicy
    | RateLimitingPolicy
    | BytesLimitingPolicy
    | SpanCountPolicy
    | TraceStatePolicy
    | TraceFlagsPolicy
    | BooleanAttributePolicy
    | OttlConditionPolicy
)


def _kinds(*models: Any) -> dict[str, type[PolicySection]]:
    flat = [each for model in models for each in get_args(model) or (model,)]
    return {model.kind(): model for model in flat}


def _one_of(kinds: Mapping[str, type[PolicySection]]) -> BeforeValidator:
    return BeforeValidator(lambda value: _policy(value, kinds))


_LEAVES = _kinds(LeafPolicy)


class NotBody(Section):
    """The policy that must not sample."""

    not_sub_policy: Annotated[LeafPolicy, _one_of(_LEAVES)]


class NotPolicy(PolicySection):
    """Samples traces that the policy in it does not."""

    type: Literal["not"]
    not_: NotBody = Field(alias="not")

    @property
    def is_stateful(self) -> bool:
        return self.not_.not_sub_policy.is_stateful


_PARTS = _kinds(LeafPolicy, NotPolicy)
Parts: TypeAlias = Annotated[
    tuple[Annotated[LeafPolicy | NotPolicy, _one_of(_PARTS)], ...], BeforeValidator(listed)
]


class AndBody(Section):
    """The policies that must all sample. None at all always do."""

    and_sub_policy: Parts = ()

    def cautions(self) -> Iterator[Remark]:
        if not self.and_sub_policy:
            yield ("and_sub_policy",), "is empty, so every trace is sampled"


class AndPolicy(PolicySection):
    """Samples traces that every policy in it samples."""

    type: Literal["and"]
    and_: AndBody = Field(alias="and")

    @property
    def is_stateful(self) -> bool:
        return any(part.is_stateful for part in self.and_.and_sub_policy)


class DropBody(Section):
    """The policies that must all sample. None at all always do."""

    drop_sub_policy: Parts = ()

    def cautions(self) -> Iterator[Remark]:
        if not self.drop_sub_policy:
            yield ("drop_sub_policy",), "is empty, so every trace is dropped"


class DropPolicy(PolicySection):
    """Drops traces that every policy in it samples, whatever other policies say."""

    type: Literal["drop"]
    drop: DropBody

    @property
    def is_stateful(self) -> bool:
        return any(part.is_stateful for part in self.drop.drop_sub_policy)


class RateAllocation(Section):
    """A policy's part of a composite's spans a second. 0 % is an equal share."""

    policy: str = ""
    percent: Whole = 0


_COMPOSITE_PARTS = _kinds(LeafPolicy, AndPolicy)


class CompositeBody(Section):
    """Policies with a budget each, of which the first that samples a trace counts.

    The order is that of `composite_sub_policy`; `policy_order` changes nothing, as in the
    collector. A policy without a `rate_allocation` has no budget.
    """

    max_total_spans_per_second: Count = 0
    policy_order: Texts = ()
    composite_sub_policy: Annotated[
        tuple[Annotated[LeafPolicy | AndPolicy, _one_of(_COMPOSITE_PARTS)], ...],
        BeforeValidator(listed),
    ] = ()
    rate_allocation: Annotated[tuple[RateAllocation, ...], BeforeValidator(listed)] = ()

    def spans_per_second(self) -> list[int]:
        """The budget of each policy, in their order."""
        total, parts = self.max_total_spans_per_second, self.composite_sub_policy
        budgets = {
            each.policy: (each.percent / 100) * total if each.percent > 0 else total / len(parts)
            for each in self.rate_allocation
            if parts
        }
        return [min(int(budgets.get(part.name, 0)), total) for part in parts]

    def cautions(self) -> Iterator[Remark]:
        if not self.composite_sub_policy:
            yield ("composite_sub_policy",), "is empty, so no trace is ever sampled"
        if not self.max_total_spans_per_second:
            yield ("max_total_spans_per_second",), "is 0, so no trace is ever sampled"
        names = [part.name for part in self.composite_sub_policy]
        if self.policy_order and list(self.policy_order) != names:
            yield (
                ("policy_order",),
                "is not the order of composite_sub_policy, which counts; put the policies there "
                "in the order you want",
            )
        yield from self._allocation_cautions(names)

    def _allocation_cautions(self, names: list[str]) -> Iterator[Remark]:
        given = [each.policy for each in self.rate_allocation]
        for index, name in enumerate(names):
            if name not in given:
                yield (
                    ("composite_sub_policy", index),
                    "has no rate_allocation, so what it matches is not sampled",
                )
        for index, each in enumerate(self.rate_allocation):
            path = ("rate_allocation", index)
            if each.policy not in names:
                yield (
                    (*path, "policy"),
                    f"is {show(each.policy)}, and no policy of composite_sub_policy has that name",
                )
            elif each.policy in given[index + 1 :]:
                yield (*path, "policy"), f"is {show(each.policy)} again further on, which counts"
            if each.percent < 0:
                yield (*path, "percent"), f"is {each.percent}; an equal share is used, as for 0"
        total = sum(max(0, each.percent) for each in self.rate_allocation)
        if total > 100:
            yield ("rate_allocation",), f"adds up to {total} %; more than the total may be sampled"
        for name, count in Counter(names).items():
            if count > 1 and name in given:
                yield (
                    ("composite_sub_policy",),
                    f"has {count} policies named {show(name)}; each gets that rate_allocation",
                )


class CompositePolicy(PolicySection):
    """Samples what the first of its policies that matches samples within its budget."""

    type: Literal["composite"]
    composite: CompositeBody

    @property
    def is_stateful(self) -> bool:
        return any(part.is_stateful for part in self.composite.composite_sub_policy)


PolicyConfig: TypeAlias = LeafPolicy | NotPolicy | AndPolicy | DropPolicy | CompositePolicy
_KINDS = _kinds(LeafPolicy, NotPolicy, AndPolicy, DropPolicy, CompositePolicy)


def policy(value: Any) -> Any:
    """*value*, as parsed, as the model that its `type` names."""
    return _policy(value, _KINDS)


def _policy(value: Any, kinds: Mapping[str, type[PolicySection]]) -> Any:
    if isinstance(value, PolicySection):
        return value
    if not isinstance(value, dict):
        raise ValueError(f"is {show(value)}; it must be a mapping with a name and a type")
    kind = value.get("type")
    if isinstance(kind, str) and kind in kinds:
        return kinds[kind].model_validate(value)
    offer = f"it must be one of {', '.join(kinds)}"
    if kind is None:
        text = f"is missing; {offer}"
    elif kind in TYPES:
        text = f"is {show(kind)}, which cannot stand inside this policy; {offer}"
    else:
        text = f"is {show(kind)}; {one_of(str(kind), [*kinds])}"
    raise problems_at([(("type",), text)])
