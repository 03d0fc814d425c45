"""`span_metrics`: the body of the collector's connector of that name.

The same keys mean the same thing, defaults included; what cannot mean the same here is refused.
`enabled` and `roll_ups` are ours.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import BeforeValidator, Field

from tailrace.schemas.config.dimensions import RESERVED, Dimension, Dimensions, are_alike
from tailrace.schemas.config.histograms import DEFAULT_BUCKETS, Buckets, FlushInterval, Lifetime
from tailrace.schemas.config.idle import Idle, is_flag
from tailrace.schemas.config.scalars import Flag, Texts, Whole, listed
from tailrace.schemas.config.section import Remark, Section
from tailrace.schemas.config.wording import show
from tailrace.schemas.durations import MILLISECOND, SECOND, Nanos
from tailrace.schemas.globs import Glob
from tailrace.schemas.prometheus.naming import label_name

CUMULATIVE: Final = "AGGREGATION_TEMPORALITY_CUMULATIVE"
DELTA: Final = "AGGREGATION_TEMPORALITY_DELTA"

INSTANCE: Final = "collector.instance.id"
"""A label of the collector's that is never here: each series has one writer in the cluster."""

SCOPE_LABELS: Final = ("span.instrumentation.scope.name", "span.instrumentation.scope.version")
SAMPLING_METHOD: Final = "sampling.method"
_TENANT: Final = "tenant"

CACHE_KEYS: Mapping[str, str] = {
    "dimensions_cache_size": "does nothing in the collector any more; remove it, and bound series "
    "with aggregation_cardinality_limit",
    "metric_timestamp_cache_size": "bounds how many series of delta temporality the collector "
    "remembers the last point of; none is forgotten here; remove it",
    "resource_metrics_cache_size": "bounds a cache of the collector's, which forgets the counts "
    "of resources beyond it; none is forgotten here; remove it, and let resources go with "
    "metrics_expiration",
}
"""Keys that bound what the collector remembers."""

DEFAULT_MAX_SIZE: Final = 160
LEAST_MAX_SIZE: Final = 2
MOST_MAX_SIZE: Final = 16384
UNITS_NS: Final[Mapping[str, Nanos]] = {"ms": MILLISECOND, "s": SECOND}


def _unit(value: Any) -> Any:
    return value.lower() if isinstance(value, str) and value.lower() in UNITS_NS else value


class ExplicitBody(Section):
    """Inclusive upper bounds. None at all is only +Inf."""

    buckets: Buckets = DEFAULT_BUCKETS


class ExponentialBody(Section):
    """Buckets that follow what is observed, `max_size` at most; 0 is the default."""

    max_size: Whole = 0

    def contradictions(self) -> Iterator[Remark]:
        size = self.max_size
        if size and not LEAST_MAX_SIZE <= size <= MOST_MAX_SIZE:
            yield (
                ("max_size",),
                f"is {size}; it must be {LEAST_MAX_SIZE} to {MOST_MAX_SIZE}, or 0 for "
                f"{DEFAULT_MAX_SIZE}",
            )


class HistogramBody(Section):
    """The histogram of durations, in `unit`."""

    disable: Flag = False
    """If true, there is none, and only calls and events are counted."""
    unit: Annotated[Literal["ms", "s"], BeforeValidator(_unit)] = "ms"
    explicit: ExplicitBody = ExplicitBody()
    exponential: ExponentialBody | None = None
    dimensions: Dimensions = ()
    """Of durations alone, besides those of all metrics."""

    def contradictions(self) -> Iterator[Remark]:
        if "explicit" in self.model_fields_set and self.exponential is not None:
            yield ("exponential",), "stands beside explicit; keep one of them"


class ExemplarsBody(Section):
    """Spans of kept traces beside what they are examples of."""

    enabled: Flag = False
    max_per_data_point: Annotated[Whole, Field(ge=0)] = 5


class EventsBody(Section):
    """Events of spans, counted by `dimensions` besides those of all metrics."""

    enabled: Flag = False
    dimensions: Dimensions = ()

    def contradictions(self) -> Iterator[Remark]:
        if self.enabled and not self.dimensions:
            yield ("dimensions",), "is empty; name at least one, as in [{name: exception.type}]"


class RollUp(Section):
    """The same metrics once more, under another name, with few labels: for long retention."""

    namespace: Annotated[str, Field(min_length=1)]
    """Before the names of its metrics, with a dot."""
    dimensions: Texts = ()
    """The labels that stay, besides `service.name`."""


class SpanMetricsConfig(Section):
    """Calls, errors and durations of all spans, by service, name, kind, status and dimensions."""

    refusals: ClassVar[Mapping[str, str]] = {
        **CACHE_KEYS,
        "add_resource_attributes": "is no boolean; resource attributes are always there; remove it",
    }
    idle: ClassVar[Mapping[str, Idle]] = {"add_resource_attributes": is_flag}

    enabled: Flag = True
    """If false, none of these metrics are computed."""
    namespace: str = "traces.span.metrics"
    """Before the names of the metrics, with a dot; empty: nothing before them."""
    dimensions: Dimensions = ()
    """Of all metrics."""
    calls_dimensions: Dimensions = ()
    """Of calls alone, besides."""
    exclude_dimensions: Texts = ()
    """Of the labels that every series has, those that are left out."""
    include_instrumentation_scope: Texts = ()
    """Names of instrumentation scopes that become labels."""
    enable_metrics_sampling_method: Flag = False
    resource_metrics_key_attributes: Texts = ()
    """The attributes that tell resources apart; empty: all."""
    histogram: HistogramBody = HistogramBody()
    exemplars: ExemplarsBody = ExemplarsBody()
    events: EventsBody = EventsBody()
    roll_ups: Annotated[tuple[RollUp, ...], BeforeValidator(listed)] = ()
    metrics_flush_interval: FlushInterval = 60 * SECOND
    metrics_expiration: Lifetime = 0
    """How long after its last span a resource's series stay; 0: for ever."""
    series_expiration: Lifetime = 0
    """How long after its last span a series stays; 0: for ever."""
    aggregation_cardinality_limit: Annotated[Whole, Field(ge=0)] = 0
    """How many series of one metric a resource may have before others count as one; 0: no limit."""
    aggregation_temporality: Literal[
        "AGGREGATION_TEMPORALITY_CUMULATIVE", "AGGREGATION_TEMPORALITY_DELTA"
    ] = CUMULATIVE

    def contradictions(self) -> Iterator[Remark]:
        seen: dict[str, str] = {label_name(self.namespace): "namespace"}
        for index, each in enumerate(self.roll_ups):
            # Names that differ in dots alone are one name in Prometheus.
            name = label_name(each.namespace)
            first = seen.setdefault(name, f"roll_ups[{index}].namespace")
            if first != f"roll_ups[{index}].namespace":
                yield (
                    ("roll_ups", index, "namespace"),
                    f"is {show(each.namespace)}, as is {first}; two metrics would have one name",
                )

    def cautions(self) -> Iterator[Remark]:
        for name in self.exclude_dimensions:
            if name not in (*RESERVED, INSTANCE):
                yield (
                    ("exclude_dimensions",),
                    f"names {show(name)}, which is none of the labels that every series has; "
                    f"nothing is excluded by it",
                )
        for index, each in enumerate(self.roll_ups):
            for place, name in enumerate(each.dimensions):
                if name != _TENANT and not self.has_label(name):
                    yield (
                        ("roll_ups", index, "dimensions", place),
                        f"is {show(name)}, which is no label of these metrics; nothing stays by it",
                    )

    def has_label(self, name: str) -> bool:
        """True if series may have the label *name*; the tenant's is not theirs."""
        if name in RESERVED:
            return name not in self.exclude_dimensions
        if name in SCOPE_LABELS:
            return bool(self.include_instrumentation_scope)
        if name == SAMPLING_METHOD:
            return self.enable_metrics_sampling_method
        lists = self.dimensions, self.calls_dimensions, self.histogram.dimensions
        return any(
            each.name == name or (each.glob and Glob(each.glob).matches(name))
            for dimensions in (*lists, self.events.dimensions)
            for each in dimensions
        )

    @property
    def bounds_ns(self) -> tuple[Nanos, ...]:
        """Inclusive upper bounds of the duration histogram, ascending, without +Inf.

        None of a histogram that is exponential.
        """
        if self.histogram.exponential is not None:
            return ()
        return self.histogram.explicit.buckets

    @property
    def max_size(self) -> int:
        """How many buckets an exponential histogram may have; 0 if it is not exponential."""
        exponential = self.histogram.exponential
        return 0 if exponential is None else exponential.max_size or DEFAULT_MAX_SIZE

    @property
    def unit_ns(self) -> Nanos:
        """The unit of durations."""
        return UNITS_NS[self.histogram.unit]

    @property
    def has_durations(self) -> bool:
        """False if there is no histogram."""
        return not self.histogram.disable

    @property
    def counts_calls_apart(self) -> bool:
        """True if calls have other labels than durations, or durations are not there at all.

        Calls are then a family of their own; else the histogram of durations tells them too.
        """
        same = are_alike(self.calls_labels, self.duration_labels)
        return not (self.has_durations and same)

    @property
    def has_events(self) -> bool:
        """True if events of spans are counted."""
        return self.events.enabled

    @property
    def duration_labels(self) -> Sequence[Dimension]:
        """The dimensions of durations."""
        return *self.dimensions, *self.histogram.dimensions

    @property
    def calls_labels(self) -> Sequence[Dimension]:
        """The dimensions of calls."""
        return *self.dimensions, *self.calls_dimensions

    @property
    def event_labels(self) -> Sequence[Dimension]:
        """The dimensions of events."""
        return *self.dimensions, *self.events.dimensions

    @property
    def named_dimensions(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """The attributes that are asked for by name, with the paths where they are."""
        lists: Mapping[tuple[str, ...], Dimensions] = {
            ("dimensions",): self.dimensions,
            ("calls_dimensions",): self.calls_dimensions,
            ("histogram", "dimensions"): self.histogram.dimensions,
            ("events", "dimensions"): self.events.dimensions,
        }
        for path, dimensions in lists.items():
            for index, each in enumerate(dimensions):
                if each.name:
                    yield (*path, index, "name"), each.name

    @property
    def is_delta(self) -> bool:
        """True if points tell what came since the last flush."""
        return self.aggregation_temporality == DELTA
