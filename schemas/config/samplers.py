"""The samplers of rules, one model a type: those of Refinery 3, their keys in snake case.

Defaults are Refinery's. What is different: `fields` are named as in OTTL, a goal in spans a second
is for the cluster, and traces of keys that are too many share one key.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal, TypeAlias, get_args

from pydantic import AfterValidator, BeforeValidator, Field

from tailrace.schemas import durations
from tailrace.schemas.config.scalars import Duration, Flag, Number, Whole, at_least, listed
from tailrace.schemas.config.section import Remark, Section, problems_at
from tailrace.schemas.config.trace_fields import field_text
from tailrace.schemas.config.wording import one_of, show
from tailrace.schemas.durations import MILLISECOND, SECOND

WINDOW_STRETCHES = 30
"""How many times `update_frequency` a window looks back, unless told."""

Period = Annotated[Duration, at_least(MILLISECOND)]
FieldName = Annotated[str, AfterValidator(field_text)]


class DeterministicSampler(Section):
    """Keeps one in so many traces, whatever they are."""

    type: Literal["deterministic"]
    sample_rate: Annotated[Whole, Field(ge=1)] = 1

    def cautions(self) -> Iterator[Remark]:
        if self.sample_rate == 1:
            yield ("sample_rate",), "is 1, so every trace of the rule is kept; keep: true says so"


class _Keyed(Section):
    """What all samplers have that tell traces apart by fields."""

    refusals: ClassVar[Mapping[str, str]] = {
        "field_list": "is called fields here",
        "use_cluster_size": "is always so here, a goal is for the cluster; remove it",
    }

    fields: Annotated[tuple[FieldName, ...], BeforeValidator(listed)] = ()
    max_keys: Annotated[Whole, Field(ge=1)] = 500
    """More keys, and the last to come share one."""
    use_trace_length: Flag = False
    """Whether the number of spans is part of the key."""

    def cautions(self) -> Iterator[Remark]:
        if not self.fields and not self.use_trace_length:
            yield ("fields",), "is empty, so all traces of the rule are of one key"


class _Ema(_Keyed):
    """What both samplers have that keep moving averages."""

    adjustment_interval: Period = 15 * SECOND
    weight: Annotated[Number, Field(gt=0, lt=1)] = 0.5
    """How much the last interval counts against all before it."""
    age_out_value: Annotated[Number, Field(gt=0)] | None = None
    """A key whose average is less is forgotten; None: as `weight`."""
    burst_multiple: Number = 2.0
    """So many times the averages is a burst; below 0: nothing is."""
    burst_detection_delay: Annotated[Whole, Field(ge=0)] = 3
    """How many intervals must have passed before anything is a burst."""

    @property
    def age_out(self) -> float:
        return self.weight if self.age_out_value is None else self.age_out_value

    def contradictions(self) -> Iterator[Remark]:
        if self.burst_multiple == 0:
            yield (
                ("burst_multiple",),
                "is 0; it must be more, or -1 if nothing is to count as a burst",
            )

    def cautions(self) -> Iterator[Remark]:
        yield from super().cautions()
        if self.age_out > self.weight:
            yield (
                ("age_out_value",),
                f"is {self.age_out:g}, more than weight, so a key that comes once is forgotten",
            )


class EmaDynamicSampler(_Ema):
    """Keeps one in so many spans over all keys, more of rare keys than of others."""

    type: Literal["ema_dynamic"]
    goal_sample_rate: Annotated[Whole, Field(ge=1)] = 10


class EmaThroughputSampler(_Ema):
    """Keeps about so many spans a second over all keys, more of rare keys than of others."""

    type: Literal["ema_throughput"]
    goal_throughput_per_sec: Annotated[Whole, Field(ge=1)] = 100
    initial_sample_rate: Annotated[Whole, Field(ge=1)] = 10
    """The rate of all traces until the first interval has ended."""


class WindowedThroughputSampler(_Keyed):
    """Keeps about so many spans a second, an equal part of each key."""

    type: Literal["windowed_throughput"]
    goal_throughput_per_sec: Annotated[Whole, Field(ge=1)] = 100
    update_frequency: Period = SECOND
    lookback_frequency: Period | None = None
    """None: 30 times `update_frequency`."""

    @property
    def lookback(self) -> int:
        """How far back the window reaches, in ns, in whole updates."""
        if self.lookback_frequency is None:
            return WINDOW_STRETCHES * self.update_frequency
        return self.lookback_frequency // self.update_frequency * self.update_frequency

    def contradictions(self) -> Iterator[Remark]:
        if not self.lookback:
            assert self.lookback_frequency is not None
            yield (
                ("lookback_frequency",),
                f"is {durations.spell(self.lookback_frequency)}; it must be update_frequency "
                f"({durations.spell(self.update_frequency)}) or more",
            )

    def cautions(self) -> Iterator[Remark]:
        yield from super().cautions()
        if self.lookback_frequency not in (None, self.lookback):
            assert self.lookback_frequency is not None
            yield (
                ("lookback_frequency",),
                f"is {durations.spell(self.lookback_frequency)}, no multiple of update_frequency; "
                f"{durations.spell(self.lookback)} is used",
            )


SamplerConfig: TypeAlias = (
    DeterministicSampler | EmaDynamicSampler | EmaThroughputSampler | WindowedThroughputSampler
)
_KINDS: dict[str, type[SamplerConfig]] = {
    str(get_args(kind.model_fields["type"].annotation)[0]): kind for kind in get_args(SamplerConfig)
}
_ELSEWHERE = {
    "always_sample": "write keep: true in place of the sampler",
    "adaptive_percentage": "use ema_dynamic, with goal_sample_rate 10 for 10 %",
    "adaptive_throughput": "use ema_throughput or windowed_throughput",
    "dynamic": "use ema_dynamic",
    "probabilistic": "use deterministic, with sample_rate 10 for 10 %",
    "total_throughput": "use ema_throughput or windowed_throughput",
}
"""What samplers of others are called here: the collector's, and those that Refinery gave up."""


def sampler(value: Any) -> Any:
    """*value*, as parsed, as the model that its `type` names."""
    if isinstance(value, Section):
        return value
    if not isinstance(value, dict):
        raise ValueError(f"is {show(value)}; it must be a mapping with a type")
    kind = value.get("type")
    if isinstance(kind, str) and kind in _KINDS:
        return _KINDS[kind].model_validate(value)
    if kind is None:
        text = f"is missing; it must be one of {', '.join(_KINDS)}"
    elif kind in _ELSEWHERE:
        text = f"is {show(kind)}; {_ELSEWHERE[kind]}"
    else:
        text = f"is {show(kind)}; {one_of(str(kind), list(_KINDS))}"
    raise problems_at([(("type",), text)])


AnySampler: TypeAlias = Annotated[SamplerConfig, BeforeValidator(sampler)]
