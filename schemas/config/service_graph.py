"""`service_graph`: the body of the collector's connector of that name.

The same keys mean the same thing, defaults included. What is not there yet is refused, unless its
value says what holds anyway. Two exceptions: `store.max_items` is no limit unless set, and
`enabled` is ours.
"""

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field

from tailrace.schemas.config.histograms import DEFAULT_BUCKETS, Buckets, FlushInterval
from tailrace.schemas.config.idle import Idle, is_false, is_zero
from tailrace.schemas.config.scalars import Duration, Flag, Texts, Whole, at_least
from tailrace.schemas.config.section import NOT_YET, Section, problems_at
from tailrace.schemas.durations import MILLISECOND, SECOND, Nanos

DEFAULT_DATABASE_NAMES = ("db.name",)

KEYS_NOT_YET: Mapping[str, Idle] = {
    "exponential_histogram_max_size": is_zero,
    "metrics_timestamp_offset": is_zero,
    "virtual_node_extra_label": is_false,
}
"""Each with the values that say what holds anyway."""
LOOP_KEYS: Mapping[str, str] = {
    "cache_loop": "says how often the collector looks for series to drop; none is dropped here; "
    "remove it",
    "store_expiration_loop": "says how often the collector looks for spans that waited longer "
    "than store.ttl; here each is done exactly then; remove it",
}
"""Keys that say how often the collector sweeps."""


def _attributes(names: tuple[str, ...]) -> tuple[str, ...]:
    first: dict[str, int] = {}
    problems = []
    for index, name in enumerate(names):
        if not name:
            problems.append(((index,), "is empty; name an attribute"))
        elif first.setdefault(name, index) != index:
            problems.append(((index,), f'is "{name}", as is the one at {first[name]}; keep one'))
    if problems:
        raise problems_at(problems)
    return names


def _database_names(names: tuple[str, ...]) -> tuple[str, ...]:
    return names or DEFAULT_DATABASE_NAMES


Attributes = Annotated[Texts, AfterValidator(_attributes)]
"""Names of attributes, each once."""


class StoreBody(Section):
    """How long one side of a call waits for the other, and how many may."""

    ttl: Annotated[Duration, at_least(MILLISECOND)] = 2 * SECOND
    max_items: Annotated[Whole, Field(ge=1)] | None = None
    """In one partition; unset: no limit."""


class ServiceGraphConfig(Section):
    """Who calls whom: how often, how often in vain, and how long that takes."""

    refusals: ClassVar[Mapping[str, str]] = {**dict.fromkeys(KEYS_NOT_YET, NOT_YET), **LOOP_KEYS}
    idle: ClassVar[Mapping[str, Idle]] = KEYS_NOT_YET

    enabled: Flag = True
    """If false, no edges are found."""
    store: StoreBody = StoreBody()
    latency_histogram_buckets: Buckets = DEFAULT_BUCKETS
    dimensions: Attributes = ()
    """Attributes of the resource, else of the span; one label for each side."""
    virtual_node_peer_attributes: Attributes = ("peer.service", "db.name", "db.system")
    """Attributes of a client that name a server without spans; none: no virtual nodes."""
    database_name_attributes: Annotated[Attributes, AfterValidator(_database_names)] = (
        DEFAULT_DATABASE_NAMES
    )
    """Attributes of a client that name a database; none is the default."""
    metrics_flush_interval: FlushInterval = 60 * SECOND

    @property
    def bounds_ns(self) -> tuple[Nanos, ...]:
        """Inclusive upper bounds of the latency histograms, ascending, without +Inf."""
        return self.latency_histogram_buckets
