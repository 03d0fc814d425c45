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
from tailrace.schemas.matches import MATCHES_LAYOUT, SignalId, decode_group, decode_key
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
        (
            Instrument("tailrace.alert.events", "", (_ALL,)),
            Instrument("tailrace.alert.matches", "", (_MATCHED,)),
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
        self._memo: dict[tuple[SignalId, bytes], bytes] = {}

    def serves(self, definitions: Definitions) -> bool:
        """True if the names of *definitions* are the same."""
        return self._named is _names(definitions)

    def of(self, rollup: Rollup) -> tuple[Rollup, int]:
        """Return the sums of *rollup* by series, whatever the second of the events.

        And how many rows there are for which no definition of now has asked.
        """
        slots: dict[bytes, int] = {}
        rows, unknown = [], []
        for row, key in enumerate(rollup.keys):
            signal, _, group = decode_key(key)
            series = self._series(signal, group)
            if series is None:
                unknown.append(row)
            else:
                rows.append((row, slots.setdefault(series, len(slots))))
        sums = rollup.layout.empty(len(slots))
        if rows:
            taken, places = np.array(rows, np.int64).T
            np.add.at(sums, places, rollup.rows[taken])
        return rollup._replace(keys=list(slots), rows=sums), len(unknown)

    def _series(self, signal: SignalId, group: bytes) -> bytes | None:
        found = self._memo.get((signal, group))
        if found is None:
            named = self._named.get(signal)
            if named is None:
                return None
            groups = zip(named.fields, decode_group(group), strict=True)
            found = encoded_attributes([*named.labels, *groups])
            if len(self._memo) >= _MEMO:
                self._memo.clear()
            self._memo[signal, group] = found
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
