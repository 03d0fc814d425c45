"""`service_graph`: the body of the collector's connector of that name.

The same keys mean the same thing, defaults included. The exceptions: `store.max_items` is no limit
unless set; `enabled`, `links` and `series_expiration` are ours.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar, Final

from pydantic import AfterValidator, Field

from tailrace.schemas.config.histograms import DEFAULT_BUCKETS, Buckets, FlushInterval, Lifetime
from tailrace.schemas.config.scalars import Duration, Flag, Texts, Whole, at_least
from tailrace.schemas.config.section import Remark, Section, problems_at
from tailrace.schemas.durations import MILLISECOND, MINUTE, SECOND, Nanos, spell

SERVER: Final = "server"
"""The label of an edge that names who is called."""
DEFAULT_DATABASE_NAMES = ("db.name",)
FEWEST_BUCKETS: Final = 2
MOST_BUCKETS: Final = 16_384
"""Of an exponential histogram, as in the connector, which says nothing when it takes others."""

LOOP_KEYS: Mapping[str, str] = {
    "cache_loop": "says how often the collector looks for series to drop; here one is dropped at "
    "the flush after series_expiration; remove it",
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


class LinksBody(Section):
    """Calls of which the consumer is in another trace, and only links to its producer."""

    enabled: Flag = True
    """If false, a producer has consumers in its own trace only."""
    wait: Annotated[Duration, at_least(MILLISECOND)] = 30 * SECOND
    """How long a producer and a link wait for each other."""
    max_items: Annotated[Whole, Field(ge=1)] | None = None
    """How many of them may wait in one partition of the rollups; unset: no limit."""


class ServiceGraphConfig(Section):
    """Who calls whom: how often, how often in vain, and how long that takes."""

    refusals: ClassVar[Mapping[str, str]] = LOOP_KEYS

    enabled: Flag = True
    """If false, no edges are found."""
    store: StoreBody = StoreBody()
    links: LinksBody = LinksBody()
    latency_histogram_buckets: Buckets = DEFAULT_BUCKETS
    exponential_histogram_max_size: Annotated[Whole, Field(ge=0)] = 0
    """If not 0, the histograms are exponential, with at most so many buckets."""
    dimensions: Attributes = ()
    """Attributes of the resource, else of the span; one label for each side."""
    virtual_node_peer_attributes: Attributes = ("peer.service", "db.name", "db.system")
    """Attributes of a client that name a server without spans; none: no virtual nodes."""
    virtual_node_extra_label: Flag = False
    """If true, every edge says in `virtual_node` which of its sides is one."""
    database_name_attributes: Annotated[Attributes, AfterValidator(_database_names)] = (
        DEFAULT_DATABASE_NAMES
    )
    """Attributes of a client that name a database; none is the default."""
    metrics_flush_interval: FlushInterval = 60 * SECOND
    metrics_timestamp_offset: Annotated[Duration, at_least(0)] = 0
    """By how much points seem older than they are."""
    series_expiration: Lifetime = 15 * MINUTE
    """A series without news for so long is given up; 0: none is."""

    def contradictions(self) -> Iterator[Remark]:
        if self.max_size and "latency_histogram_buckets" in self.model_fields_set:
            yield (
                ("exponential_histogram_max_size",),
                f"is {self.exponential_histogram_max_size}, and latency_histogram_buckets has "
                f"bounds; an exponential histogram has none: keep one of both",
            )
        if self.metrics_timestamp_offset % MILLISECOND:
            spelled = spell(self.metrics_timestamp_offset)
            yield ("metrics_timestamp_offset",), f"is {spelled}; it must be whole milliseconds"

    def cautions(self) -> Iterator[Remark]:
        asked = self.exponential_histogram_max_size
        if asked != self.max_size:
            yield (
                ("exponential_histogram_max_size",),
                f"is {asked}, which counts as {self.max_size}, as in the collector",
            )
        wait, ttl = self.links.wait, self.store.ttl
        if self.enabled and self.links.enabled and wait <= ttl:
            yield (
                ("links", "wait"),
                f"is {spell(wait)}, no longer than store.ttl, {spell(ttl)}: a producer that finds "
                f"nobody in its trace is told of after store.ttl, when links that came with it "
                f"have given up; make it longer",
            )

    @property
    def labels(self) -> Mapping[str, str]:
        """The labels of edges that may have many values, each with the attribute it is of.

        A server's name is of no one attribute: it stands for itself.
        """
        sides = ("client", "server")
        return {SERVER: SERVER} | {
            f"{side}_{name}": name for name in self.dimensions for side in sides
        }

    @property
    def max_size(self) -> int:
        """How many buckets an exponential histogram may have; 0: it has bounds."""
        asked = self.exponential_histogram_max_size
        return asked and min(max(asked, FEWEST_BUCKETS), MOST_BUCKETS)

    @property
    def bounds_ns(self) -> tuple[Nanos, ...]:
        """Inclusive upper bounds of the latency histograms, ascending, without +Inf."""
        return () if self.max_size else self.latency_histogram_buckets
