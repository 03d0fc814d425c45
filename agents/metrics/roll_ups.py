"""Roll-ups: the metrics of spans once more, by fewer labels, for those who keep them for long.

They are made of the same rollups as the detailed series. A series of a roll-up is about a service,
its namespace and its tenant, and the labels that were asked for; so a roll-up is exact where the
series of its services are.
"""

from __future__ import annotations

import hashlib
from typing import Final

import numpy as np

from tailrace.agents.metrics.family_series import FamilySeries
from tailrace.agents.metrics.settings import RollUpMetrics
from tailrace.schemas import compact_json
from tailrace.schemas.series import (
    NAMESPACE,
    SERVICE,
    TENANT,
    RedSeries,
    decoded_attributes,
    encoded_attributes,
    encoded_resource,
)
from tailrace.schemas.sums import Rollup, summed

PREFIX: Final = b"R"
"""What the tables of all roll-ups begin with in the store."""
_MEMO: Final = 200_000
"""With more series the memo is forgotten, and made anew."""
_ALWAYS: Final = (SERVICE, TENANT)


def prefix_of(roll_up: RollUpMetrics, family: str) -> bytes:
    """Return the prefix of its table: another for whoever has other names or labels."""
    said = compact_json.dumps([family, roll_up.namespace, sorted(roll_up.dimensions)])
    return PREFIX + hashlib.blake2b(said, digest_size=8).digest()


class RollUp:
    """Counts in *series*, by *dimensions*, what rollups of one family hold."""

    def __init__(self, series: FamilySeries, dimensions: tuple[str, ...]) -> None:
        self.series = series
        self._dimensions = frozenset((*_ALWAYS, *dimensions))
        self._memo: dict[bytes, bytes] = {}

    def add(self, rollup: Rollup) -> None:
        """Count *rollup*."""
        slots: dict[bytes, int] = {}
        keys = (slots.setdefault(self._key(key), len(slots)) for key in rollup.keys)
        places = np.fromiter(keys, np.int64, len(rollup.keys))
        rows = summed(rollup.layout, places, len(slots), rollup.rows)
        self.series.table.add(rollup._replace(keys=list(slots), rows=rows))

    def _key(self, key: bytes) -> bytes:
        found = self._memo.get(key)
        if found is None:
            if len(self._memo) >= _MEMO:
                self._memo.clear()
            found = self._memo[key] = self._rolled_up(RedSeries.of_key(key))
        return found

    def _rolled_up(self, series: RedSeries) -> bytes:
        resource = {
            name: value
            for name, value in decoded_attributes(series.resource)
            if name in (SERVICE, NAMESPACE)
        }
        labels = [
            pair for pair in decoded_attributes(series.dimensions) if pair[0] in self._dimensions
        ]
        return RedSeries(encoded_resource(resource), encoded_attributes(labels)).key()
