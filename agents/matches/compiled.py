"""Definitions as stage 1 goes by them: worked out once a version, for all tasks of a worker."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from tailrace.agents.matches.counters import Counters
from tailrace.agents.matches.groups import columns_of
from tailrace.agents.matches.relation_rules import is_relation
from tailrace.agents.matches.relation_tenants import Related, related
from tailrace.agents.matches.tallies import Tallies
from tailrace.agents.matches.verdicts import Verdicts
from tailrace.schemas.definitions import Definitions
from tailrace.schemas.definitions.definition import ALERT, SLO
from tailrace.schemas.definitions.signals import Signal, signals
from tailrace.schemas.spans import AttributeColumn

_CACHE: Final = "matches"


@dataclass
class Compiled:
    """`signals`: those that one span tells about. `relations`: those that take more than one.

    `edges`: those of the service graph. `further`: of each further filter of `counters`, whose of
    `relations` it is and which of theirs. `verdicts` and `tallies` are shared: what one task finds
    out about spans, all know.
    """

    signals: tuple[Signal, ...]
    relations: tuple[Related, ...]
    edges: tuple[Signal, ...]
    further: tuple[tuple[int, int], ...]
    counters: Counters
    verdicts: Verdicts
    tallies: Tallies

    @property
    def is_asked(self) -> bool:
        """True if anything is to be counted."""
        return bool(self.signals or self.relations or self.edges)

    def current_tallies(self) -> Tallies:
        """Return the tallies to go by from now on."""
        if self.tallies.is_too_large:
            self.tallies = Tallies(self.counters, self.verdicts)
        return self.tallies

    @property
    def columns(self) -> list[AttributeColumn]:
        """What batches must have. Span ids too; resources come whole with every batch."""
        of_relations = (signal for each in self.relations for signal in each.signals)
        fields = [each.group_by for each in (*self.signals, *of_relations)]
        of_groups = [column for group_by in fields for column in columns_of(group_by)]
        return list(dict.fromkeys([*self.counters.columns, *of_groups]))


def compiled(all: Iterable[Signal]) -> Compiled:
    """Return what counts *all*, each once. Those of metrics are counted elsewhere."""
    known = {signal.id: signal for signal in all if signal.metric is None}
    edges = tuple(signal for signal in known.values() if signal.edges is not None)
    relations = related(signal for signal in known.values() if is_relation(signal))
    alone = tuple(each for each in known.values() if each.matched and not is_relation(each))
    counters = Counters(alone, [(of.tenant, each) for of in relations for each in of.filters])
    further = tuple(
        (number, bit) for number, of in enumerate(relations) for bit in range(len(of.filters))
    )
    verdicts = Verdicts(counters)
    tallies = Tallies(counters, verdicts)
    return Compiled(alone, relations, edges, further, counters, verdicts, tallies)


def compiled_for(definitions: Definitions) -> Compiled:
    """Return what counts the signals of *definitions*; the same object for the same ones."""
    found: Compiled | None = definitions.counted.get(_CACHE)
    if found is None:
        each = [*definitions.of(ALERT), *definitions.of(SLO)]
        found = compiled(signal for one in each for signal in signals(one).values())
        definitions.counted[_CACHE] = found
    return found


def columns(signals: Sequence[Signal]) -> list[AttributeColumn]:
    """Return the columns that batches must have to count *signals*."""
    return compiled(signals).columns
