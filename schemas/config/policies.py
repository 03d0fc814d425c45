"""The policies of `tail_sampling`, one model a type, as in the collector.

A policy is a mapping with its name, its type, and its settings under a key named as the type. What
the collector has and we do not have yet is refused as such.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal, TypeAlias, get_args

from pydantic import BeforeValidator, Field

from tailrace.schemas.config.scalars import Flag, Number, StatusCodes, Texts, Whole, listed, regex
from tailrace.schemas.config.section import Remark, Section, problems_at
from tailrace.schemas.config.wording import one_of, show

TYPES_NOT_YET = (
    "numeric_attribute",
    "rate_limiting",
    "bytes_limiting",
    "span_count",
    "trace_state",
    "trace_flags",
    "boolean_attribute",
    "ottl_condition",
    "not",
    "drop",
    "composite",
)


class _Policy(Section):
    """What every policy has. `name` may be left out in a policy inside another."""

    name: str = ""

    @property
    def is_stateful(self) -> bool:
        """Whether the collector says that its votes depend on what it was asked before."""
        return False

    @classmethod
    def _refusal(cls, key: str, known: Iterable[str]) -> str:
        if key in TYPES_NOT_YET or (key in _KINDS and key not in cls.refusals):
            return f"is the body of a policy of type {key}; this one's type is {cls.kind()}"
        return super()._refusal(key, known)

    @classmethod
    def kind(cls) -> str:
        """The `type` that selects this model."""
        return str(get_args(cls.model_fields["type"].annotation)[0])


class AlwaysSamplePolicy(_Policy):
    """Samples every trace."""

    refusals: ClassVar[Mapping[str, str]] = {
        "always_sample": "has no settings; remove it, the type is enough",
    }
    type: Literal["always_sample"]


class LatencyBody(Section):
    """Bounds in ms. 0 as the upper bound is no upper bound."""

    threshold_ms: Annotated[Whole, Field(ge=0)] = 0
    upper_threshold_ms: Annotated[Whole, Field(ge=0)] = 0

    def cautions(self) -> Iterator[Remark]:
        if not self.threshold_ms and not self.upper_threshold_ms:
            yield ("threshold_ms",), "is 0, so every trace is sampled"
        if 0 < self.upper_threshold_ms <= self.threshold_ms:
            yield (
                ("upper_threshold_ms",),
                f"is {self.upper_threshold_ms}, not more than threshold_ms, "
                f"so no trace is ever sampled",
            )


class LatencyPolicy(_Policy):
    """Samples traces by the time from their first start to their last end."""

    type: Literal["latency"]
    latency: LatencyBody


class ProbabilisticBody(Section):
    """An empty salt is the collector's default salt. A share outside 0 to 100 is clamped."""

    hash_salt: str = ""
    sampling_percentage: Number = 0.0

    def cautions(self) -> Iterator[Remark]:
        if not 0 <= self.sampling_percentage <= 100:
            used = 0 if self.sampling_percentage < 0 else 100
            yield (
                ("sampling_percentage",),
                f"is {self.sampling_percentage:g}; it must be from 0 to 100, {used} is used",
            )


class ProbabilisticPolicy(_Policy):
    """Samples a share of all trace IDs by their hash."""

    type: Literal["probabilistic"]
    probabilistic: ProbabilisticBody


class StatusCodeBody(Section):
    """Status codes of spans."""

    status_codes: StatusCodes


class StatusCodePolicy(_Policy):
    """Samples traces that have a span with one of the status codes."""

    type: Literal["status_code"]
    status_code: StatusCodeBody


class StringAttributeBody(Section):
    """Texts, or RE2 expressions, for an attribute of the resource or of a span.

    `cache_max_size` bounds a cache of the collector's that there is no need of here.
    """

    key: Annotated[str, Field(min_length=1)]
    values: Texts = ()
    enabled_regex_matching: Flag = False
    cache_max_size: Whole = 0
    invert_match: Flag = False

    def contradictions(self) -> Iterator[Remark]:
        for index, pattern in enumerate(self.values if self.enabled_regex_matching else ()):
            try:
                regex(pattern)
            except ValueError as error:
                yield ("values", index), str(error)

    def cautions(self) -> Iterator[Remark]:
        if not self.values:
            yield ("values",), "is empty, so nothing ever matches"
        for index, value in enumerate(self.values):
            if not value and not self.enabled_regex_matching:
                yield ("values", index), "is empty text, which never matches"


class StringAttributePolicy(_Policy):
    """Samples traces in which the attribute matches; with `invert_match`, all the others."""

    type: Literal["string_attribute"]
    string_attribute: StringAttributeBody


LeafPolicy: TypeAlias = (
    AlwaysSamplePolicy
    | LatencyPolicy
    | ProbabilisticPolicy
    | StatusCodePolicy
    | StringAttributePolicy
)
_LEAVES = {kind.kind(): kind for kind in get_args(LeafPolicy)}


def _leaf(value: Any) -> Any:
    return _policy(value, _LEAVES)


class AndBody(Section):
    """The policies that must all sample. None at all always do."""

    and_sub_policy: Annotated[
        tuple[Annotated[LeafPolicy, BeforeValidator(_leaf)], ...], BeforeValidator(listed)
    ] = ()

    def cautions(self) -> Iterator[Remark]:
        if not self.and_sub_policy:
            yield ("and_sub_policy",), "is empty, so every trace is sampled"


class AndPolicy(_Policy):
    """Samples traces that every policy in it samples."""

    type: Literal["and"]
    and_: AndBody = Field(alias="and")

    @property
    def is_stateful(self) -> bool:
        return any(part.is_stateful for part in self.and_.and_sub_policy)


PolicyConfig: TypeAlias = LeafPolicy | AndPolicy
_KINDS: dict[str, type[_Policy]] = {**_LEAVES, AndPolicy.kind(): AndPolicy}


def policy(value: Any) -> Any:
    """*value*, as parsed, as the model that its `type` names."""
    return _policy(value, _KINDS)


def _policy(value: Any, kinds: Mapping[str, type[_Policy]]) -> Any:
    if isinstance(value, _Policy):
        return value
    if not isinstance(value, dict):
        raise ValueError(f"is {show(value)}; it must be a mapping with a name and a type")
    kind = value.get("type")
    if isinstance(kind, str) and kind in kinds:
        return kinds[kind].model_validate(value)
    offer = f"it must be one of {', '.join(kinds)}"
    if kind is None:
        text = f"is missing; {offer}"
    elif kind in TYPES_NOT_YET:
        text = f"is {show(kind)}, which is not yet in this version; {offer}"
    elif kind in _KINDS:
        text = f"is {show(kind)}, which cannot stand inside another policy; {offer}"
    else:
        text = f"is {show(kind)}; {one_of(str(kind), [*kinds, *TYPES_NOT_YET])}"
    raise problems_at([(("type",), text)])
