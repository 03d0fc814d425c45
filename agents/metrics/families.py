"""Which families of series there are, by the settings, and what each is called."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Final, NamedTuple

from tailrace.agents.metrics import instruments, tempo
from tailrace.agents.metrics.family_series import Destination, FamilySeries, Manner
from tailrace.agents.metrics.instruments import Family
from tailrace.agents.metrics.matches import matches_family
from tailrace.agents.metrics.roll_ups import RollUp, prefix_of
from tailrace.agents.metrics.settings import MetricsSettings, Naming, RedMetrics
from tailrace.schemas.matches import MATCHES
from tailrace.schemas.series import (
    CALLS,
    EDGES,
    EVENTS,
    RED,
    UNPAIRED,
    edge_place,
    service_place,
    unpaired_layout,
)
from tailrace.tables.store import PartitionStore

PREFIXES: Final = {
    RED: b"r",
    CALLS: b"c",
    EVENTS: b"v",
    EDGES: b"e",
    UNPAIRED: b"n",
    MATCHES: b"d",
}
"""Of tables in the store."""
PLACES: Final[Mapping[str, Callable[[bytes], int]]] = {
    RED: service_place,
    CALLS: service_place,
    EVENTS: service_place,
    EDGES: edge_place,
}
"""The hash that decides the partition of a key, where those of one service are together."""


class Families(NamedTuple):
    """All series of a partition: those of each family, and of roll-ups by the family they have."""

    series: dict[str, FamilySeries]
    roll_ups: dict[str, list[RollUp]]


def families(settings: MetricsSettings, store: PartitionStore) -> Families:
    """Return the series that *settings* ask for, with nothing in them yet."""
    to = Destination(settings.metrics_topic, settings.edges_topic, settings.record_bytes)
    series = {
        family.layout.family: FamilySeries(
            family.layout.family, family, store, PREFIXES[family.layout.family], manner, to
        )
        for family, manner in _wanted(settings)
    }
    roll_ups: dict[str, list[RollUp]] = {}
    red = settings.red
    for each in red.roll_ups if red is not None else ():
        assert red is not None
        for family in span_families(red, settings.naming, each.namespace):
            of = family.layout.family
            name = f"{of}:{'_'.join(each.namespace.split())}"
            rolled = FamilySeries(
                name, family, store, prefix_of(each, of), _red_manner(settings, red, 0), to
            )
            roll_ups.setdefault(of, []).append(RollUp(rolled, each.dimensions))
    return Families(series, roll_ups)


def _wanted(settings: MetricsSettings) -> Iterator[tuple[Family, Manner]]:
    red, edges, naming = settings.red, settings.edges, settings.naming
    if red is not None:
        for family in span_families(red, naming):
            yield family, _red_manner(settings, red, red.exemplars)
    if edges is not None:
        names = tempo if naming == "tempo" else instruments
        manner = Manner(edges.flush_ms, expiry=edges.expiry, offset_ms=edges.offset_ms)
        yield (
            names.edge_family(edges.layout, has_tenants=settings.has_tenants),
            replace(manner, limits=edges.limits, is_ours=_is_ours(settings, EDGES)),
        )
        yield (
            names.unpaired_family(unpaired_layout(), has_tenants=settings.has_tenants),
            manner,
        )
    if settings.matches_flush_ms is not None:
        yield matches_family(), Manner(settings.matches_flush_ms)


def span_families(red: RedMetrics, naming: Naming, roll_up: str | None = None) -> Iterator[Family]:
    """Yield the families of spans, or of the *roll_up* of that namespace."""
    has_calls = red.calls is None
    if naming == "tempo":
        prefix = tempo.SPANS if roll_up is None else f"{roll_up}_"
        if red.layout is not None:
            yield tempo.red_family(red.layout, prefix, has_calls=has_calls)
        if red.calls is not None:
            yield tempo.calls_family(red.calls, prefix)
        if red.events is not None:
            yield tempo.events_family(red.events, prefix)
        return
    namespace = red.namespace if roll_up is None else roll_up
    if red.layout is not None:
        yield instruments.red_family(red.layout, namespace, red.unit, has_calls=has_calls)
    if red.calls is not None:
        yield instruments.calls_family(red.calls, namespace, red.unit)
    if red.events is not None:
        yield instruments.events_family(red.events, namespace, red.unit)


def _red_manner(settings: MetricsSettings, red: RedMetrics, exemplars: int) -> Manner:
    return Manner(
        red.flush_ms,
        red.is_delta,
        red.expiry,
        exemplars,
        limits=red.limits,
        is_ours=_is_ours(settings, RED),
    )


def _is_ours(settings: MetricsSettings, family: str) -> Callable[[bytes], bool]:
    place, partitions, mine = PLACES[family], settings.rollups.partitions, settings.partition
    return lambda key: place(key) % partitions == mine
