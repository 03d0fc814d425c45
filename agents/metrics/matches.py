"""Matches of definitions as series: what each alert and SLO counted, under its name and group."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np

from tailrace.agents.metrics.instruments import Family, Instrument
from tailrace.schemas.definitions import Definition, Definitions
from tailrace.schemas.definitions.definition import ALERT, SLO
from tailrace.schemas.definitions.labels import series_labels
from tailrace.schemas.definitions.signals import signals
from tailrace.schemas.matches import (
    ALL_COUNT,
    MATCHED_COUNT,
    MATCHES_LAYOUT,
    MatchCounts,
    SignalId,
    decode_group,
    decode_key,
)
from tailrace.schemas.series import encoded_attributes
from tailrace.schemas.sums import Rollup

_ALL, _MATCHED = MATCHES_LAYOUT.histograms
_MEMO: Final = 200_000
"""With more series the memo is forgotten, and made anew."""


def matches_family() -> Family:
    """Events that definitions ask about, and those of them that match."""
    return Family(
        MATCHES_LAYOUT,
        "tailrace",
        (_ALL,),
        ((0,),),
        (
            Instrument("tailrace.alert.events", ((_ALL,),)),
            Instrument("tailrace.alert.matches", ((_MATCHED,),)),
        ),
        lambda key: b"",
        lambda key, stream: key,
    )


class _Named(NamedTuple):
    """What the series of a signal are called; `fields`: of its groups."""

    labels: tuple[tuple[str, str], ...]
    fields: tuple[str, ...]


class MatchSeries:
    """Turns rollups of matches into rollups of their series, by the names of *definitions*."""

    def __init__(self, definitions: Definitions) -> None:
        self._named = _names(definitions)
        self._memo: dict[bytes, bytes] = {}

    def serves(self, definitions: Definitions) -> bool:
        """True if the names of *definitions* are the same."""
        return self._named is _names(definitions)

    def of(self, counts: MatchCounts) -> tuple[Rollup, int]:
        """Return the sums of *counts* by series, whatever the second of the events.

        And how many rows there are for which no definition of now has asked.
        """
        slots: dict[bytes, int] = {}
        places = np.full(len(counts.keys), -1, np.int64)
        for number, key in enumerate(counts.keys):
            series = self._series(key)
            if series is not None:
                places[number] = slots.setdefault(series, len(slots))
        owners = places[counts.series]
        is_known = owners >= 0
        sums = MATCHES_LAYOUT.empty(len(slots))
        for column, cells in ((ALL_COUNT, counts.events), (MATCHED_COUNT, counts.matches)):
            np.add.at(sums[:, column], owners[is_known], cells[is_known])
        rollup = Rollup(MATCHES_LAYOUT, counts.start, counts.end, list(slots), sums)
        return rollup, int(np.count_nonzero(~is_known))

    def _series(self, key: bytes) -> bytes | None:
        found = self._memo.get(key)
        if found is None:
            signal, group = decode_key(key)
            named = self._named.get(signal)
            if named is None:
                return None
            groups = zip(named.fields, decode_group(group), strict=True)
            found = encoded_attributes([*named.labels, *groups])
            if len(self._memo) >= _MEMO:
                self._memo.clear()
            self._memo[key] = found
        return found


def _names(definitions: Definitions) -> Mapping[SignalId, _Named]:
    if "series" not in definitions.counted:
        definitions.counted["series"] = {
            signal.id: _named(kind, definition, operand)
            for kind in (ALERT, SLO)
            for definition in definitions.of(kind)
            for operand, signal in signals(definition).items()
        }
    names: Mapping[SignalId, _Named] = definitions.counted["series"]
    return names


def _named(kind: str, definition: Definition[Any], operand: str) -> _Named:
    labels = (
        ("tenant", definition.tenant),
        ("name", definition.name),
        ("definition", kind.lower()),
        ("operand", operand),
    )
    return _Named(labels, tuple(series_labels(definition.spec.group_by)))
