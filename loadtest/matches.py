"""What a worker counted for its definitions, and how that differs from what is so.

Read where stage 1 says it: in the rollup topic, by definition and group, all partitions and seconds
together.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from tailrace.schemas.definitions.documents import definition_of
from tailrace.schemas.definitions.signals import signals
from tailrace.schemas.matches import (
    SignalId,
    are_counts,
    decode_counts,
    decode_key,
    encode_group,
)
from tailrace_loadtest.kafka import follow
from tailrace_loadtest.report import Report, Written
from tailrace_loadtest.watched import Population, Watched, groups


class Place(NamedTuple):
    """A group of a signal."""

    signal: SignalId
    group: bytes


class Counted(NamedTuple):
    """Events, and those of them that matched."""

    all: int
    matched: int


class Fault(StrEnum):
    """How counts can be wrong."""

    COUNT = "group of a definition with another count"
    MISSING = "group of a definition that was not counted"
    UNKNOWN = "group that nobody should have counted"


def expected(definitions: list[Watched], population: Population) -> dict[Place, Counted]:
    """What must be counted of every group that has events."""
    found: dict[Place, Counted] = {}
    for each in definitions:
        document = definition_of(each.kind, {"name": each.name}, each.spec)
        (signal,) = signals(document).values()
        rows = each.matched.rows(population)
        matched = {tuple(values): count for values, count in groups(each, rows, population)}
        events = matched
        if each.of is not None:
            rows = each.of.rows(population)
            events = {tuple(values): count for values, count in groups(each, rows, population)}
        for values, count in events.items():
            place = Place(signal.id, encode_group(list(values)))
            found[place] = Counted(count, matched.get(values, 0))
    return found


@dataclass(slots=True)
class RollupReader:
    """The sums of all rollups of matches that were read so far."""

    all: Counter[Place] = field(default_factory=Counter)
    matched: Counter[Place] = field(default_factory=Counter)
    rows: int = 0
    events: int = 0
    matches: int = 0

    def read(self, value: bytes) -> None:
        """Add a record."""
        if not are_counts(value):
            return
        counts = decode_counts(value)
        places = [Place(*decode_key(key)) for key in counts.keys]
        rows = zip(
            counts.series.tolist(), counts.events.tolist(), counts.matches.tolist(), strict=True
        )
        for series, events, matches in rows:
            self.all[places[series]] += events
            self.matched[places[series]] += matches
        self.events += int(counts.events.sum())
        self.matches += int(counts.matches.sum())
        self.rows += len(counts.series)


async def wait_for_matches(
    bootstrap: str, topic: str, right: dict[Place, Counted], timeout_s: float
) -> RollupReader:
    """Return what was counted once it is as much as is *right*, or when the time is up."""
    reader, deadline = RollupReader(), time.monotonic() + timeout_s
    events = sum(each.all for each in right.values())
    matches = sum(each.matched for each in right.values())

    def take(_: str, written: Written) -> None:
        reader.read(written.value or b"")

    def is_over() -> bool:
        is_all = reader.events >= events and reader.matches >= matches
        return is_all or time.monotonic() > deadline

    await follow(bootstrap, [topic], take, is_over)
    return reader


def check_matches(report: Report, right: dict[Place, Counted], reader: RollupReader) -> None:
    """Add to *report* every group whose counts are not *right*."""
    for place, counts in right.items():
        found = Counted(reader.all[place], reader.matched[place])
        if not found.all:
            report.add(Fault.MISSING, f"{place} has {counts}")
        elif found != counts:
            report.add(Fault.COUNT, f"{place} has {found}, not {counts}")
    for place in reader.all.keys() - right.keys():
        if reader.all[place]:
            report.add(Fault.UNKNOWN, f"{place} has {reader.all[place]}")
