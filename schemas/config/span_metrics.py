"""`span_metrics`: the body of the collector's connector of that name.

The same keys mean the same thing, defaults included. What is not there yet is refused, unless its
value says what holds anyway. `enabled` is ours.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from tailrace.schemas.config.histograms import DEFAULT_BUCKETS, Buckets, FlushInterval
from tailrace.schemas.config.idle import (
    Idle,
    is_among,
    is_empty,
    is_false,
    is_flag,
    is_nothing,
    is_off,
    is_zero,
)
from tailrace.schemas.config.scalars import Flag, listed
from tailrace.schemas.config.section import NOT_YET, Remark, Section, problems_at
from tailrace.schemas.config.wording import show
from tailrace.schemas.durations import SECOND, Nanos

RESERVED = ("service.name", "span.name", "span.kind", "status.code")
"""Dimensions that every series has."""

CUMULATIVE = "AGGREGATION_TEMPORALITY_CUMULATIVE"
DELTA = "AGGREGATION_TEMPORALITY_DELTA"

KEYS_NOT_YET: Mapping[str, Idle] = {
    "aggregation_cardinality_limit": is_zero,
    "calls_dimensions": is_empty,
    "enable_metrics_sampling_method": is_false,
    "events": is_off("dimensions"),
    "exclude_dimensions": is_among("collector.instance.id"),
    "exemplars": is_off("max_per_data_point"),
    "include_instrumentation_scope": is_empty,
    "metrics_expiration": is_zero,
    "resource_metrics_key_attributes": is_empty,
    "series_expiration": is_zero,
}
"""Each with the values that say what holds anyway."""
HISTOGRAM_KEYS_NOT_YET: Mapping[str, Idle] = {
    "dimensions": is_empty,
    "disable": is_false,
    "exponential": is_nothing,
}
CACHE_KEYS: Mapping[str, str] = {
    "dimensions_cache_size": "does nothing in the collector any more; remove it",
    "metric_timestamp_cache_size": "bounds a cache of the collector's for delta temporality, "
    "which is not yet in this version; remove it",
    "resource_metrics_cache_size": "bounds a cache of the collector's, which forgets the counts "
    "of resources beyond it; none is forgotten here; remove it",
}
"""Keys that bound what the collector remembers."""


class Dimension(Section):
    """An attribute of the span, else of the resource, else `default`; without that, left out."""

    refusals: ClassVar[Mapping[str, str]] = {
        "glob": "is not yet in this version; name the attributes one by one",
    }
    idle: ClassVar[Mapping[str, Idle]] = {"glob": is_empty}

    name: Annotated[str, Field(min_length=1)] = ""
    default: str | None = None

    def contradictions(self) -> Iterator[Remark]:
        if not self.name:
            yield ("name",), "is missing; add it"


def _dimension(value: Any) -> Any:
    if isinstance(value, str):
        raise ValueError(f"is {show(value)}; it must be a mapping, as in {{name: http.route}}")
    return value


def _told_apart(dimensions: tuple[Dimension, ...]) -> tuple[Dimension, ...]:
    problems = list(_taken_names(dimensions))
    if problems:
        raise problems_at(problems)
    return dimensions


def _taken_names(dimensions: tuple[Dimension, ...]) -> Iterator[Remark]:
    first: dict[str, int] = {}
    for index, dimension in enumerate(dimensions):
        name = dimension.name
        if name in RESERVED:
            yield (index, "name"), f'is "{name}", which every series has anyway; remove it'
        elif first.setdefault(name, index) != index:
            yield (
                (index, "name"),
                f'is "{name}", as is that of dimensions[{first[name]}]; keep one',
            )


Dimensions = Annotated[
    tuple[Annotated[Dimension, BeforeValidator(_dimension)], ...],
    BeforeValidator(listed),
    AfterValidator(_told_apart),
]


def _unit(value: Any) -> Any:
    return value.lower() if isinstance(value, str) and value.lower() in ("ms", "s") else value


def _temporality(value: Any) -> Any:
    if value == DELTA:
        raise ValueError(
            f"is {show(value)}, which is not yet in this version; remove it, or write {CUMULATIVE}"
        )
    return value


class ExplicitBody(Section):
    """Inclusive upper bounds. None at all is only +Inf."""

    buckets: Buckets = DEFAULT_BUCKETS


class HistogramBody(Section):
    """The histogram of durations, in `unit`."""

    refusals: ClassVar[Mapping[str, str]] = dict.fromkeys(HISTOGRAM_KEYS_NOT_YET, NOT_YET)
    idle: ClassVar[Mapping[str, Idle]] = HISTOGRAM_KEYS_NOT_YET

    unit: Annotated[Literal["ms", "s"], BeforeValidator(_unit)] = "ms"
    explicit: ExplicitBody = ExplicitBody()


class SpanMetricsConfig(Section):
    """Calls, errors and durations of all spans, by service, name, kind, status and dimensions."""

    refusals: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(KEYS_NOT_YET, NOT_YET),
        **CACHE_KEYS,
        "add_resource_attributes": "is no boolean; resource attributes are always there; remove it",
    }
    idle: ClassVar[Mapping[str, Idle]] = {**KEYS_NOT_YET, "add_resource_attributes": is_flag}

    enabled: Flag = True
    """If false, none of these metrics are computed."""
    namespace: str = "traces.span.metrics"
    """Before the names of the metrics, with a dot; empty: nothing before them."""
    dimensions: Dimensions = ()
    histogram: HistogramBody = HistogramBody()
    metrics_flush_interval: FlushInterval = 60 * SECOND
    aggregation_temporality: Annotated[
        Literal["AGGREGATION_TEMPORALITY_CUMULATIVE"], BeforeValidator(_temporality)
    ] = "AGGREGATION_TEMPORALITY_CUMULATIVE"

    @property
    def bounds_ns(self) -> tuple[Nanos, ...]:
        """Inclusive upper bounds of the duration histogram, ascending, without +Inf."""
        return self.histogram.explicit.buckets
