"""Roll-ups: the metrics of spans once more, by fewer labels, for those who keep them for long.

They are made of the same rollups as the detailed series. A series of a roll-up is about a service,
its namespace and its tenant, and the labels that were asked for; so a roll-up is exact where the
series of its services are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
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
    end_of_resource,
)
from tailrace.schemas.sums import Rollup, summed

PREFIX: Final = b"R"
"""What the tables of all roll-ups begin with in the store."""
_MEMO_BYTES: Final = 16 << 20
"""About what a memo may hold; with more it is forgotten, and made anew."""
_ENTRY_BYTES: Final = 200
"""About what an entry costs besides its own bytes."""
_ALWAYS: Final = (SERVICE, TENANT)


def prefix_of(roll_up: RollUpMetrics, family: str) -> bytes:
    """Return the prefix of its table: another for whoever has other names or labels."""
    said = compact_json.dumps([family, roll_up.namespace, sorted(roll_up.dimensions)])
    return PREFIX + hashlib.blake2b(said, digest_size=8).digest()


class RollUp:
    """Counts in *series*, by *dimensions*, what rollups of one family hold."""

    def __init__(self, series: FamilySeries, dimensions: tuple[str, ...]) -> None:
        self.series = series
        self._beginnings = _Memo(_beginning)
        self._ends = _Memo(_end_of(frozenset((*_ALWAYS, *dimensions))))

    def add(self, rollup: Rollup) -> None:
        """Count *rollup*."""
        slots: dict[tuple[bytes, bytes], int] = {}
        pairs = self._rolled_up(rollup.keys)
        numbers = (slots.setdefault(pair, len(slots)) for pair in pairs)
        places = np.fromiter(numbers, np.int64, len(rollup.keys))
        rows = summed(rollup.layout, places, len(slots), rollup.rows)
        keys = [beginning + end for beginning, end in slots]
        self.series.table.add(rollup._replace(keys=keys, rows=rows))

    def _rolled_up(self, keys: Iterable[bytes]) -> Iterator[tuple[bytes, bytes]]:
        """Yield of each of *keys* the key in the roll-up: its beginning, and its end."""
        resource: bytes | None = None
        end, beginning = 0, b""
        for key in keys:
            # Keys of a resource mostly follow each other; how long it is comes first in them.
            if resource is None or not key.startswith(resource):
                end = end_of_resource(key)
                resource = key[:end]
                beginning = self._beginnings[resource]
            yield beginning, self._ends[key[end:]]


class _Memo(dict[bytes, bytes]):
    """What *work_out* makes of bytes; equal results are one object.

    A roll-up has one of resources and one of labels: there are far fewer of both than series.
    """

    def __init__(self, work_out: Callable[[bytes], bytes]) -> None:
        super().__init__()
        self._work_out = work_out
        self._bytes = 0
        self._results: dict[bytes, bytes] = {}

    def __missing__(self, encoded: bytes) -> bytes:
        result = self._work_out(encoded)
        cost = len(encoded) + len(result) + _ENTRY_BYTES
        if self._bytes + cost > _MEMO_BYTES:
            self.clear()
            self._results.clear()
            self._bytes = 0
        self._bytes += cost
        result = self[encoded] = self._results.setdefault(result, result)
        return result


def _beginning(key: bytes) -> bytes:
    """Return what the keys in a roll-up begin with of series whose own begin with *key*."""
    pairs = decoded_attributes(RedSeries.of_key(key).resource)
    kept = {name: value for name, value in pairs if name in (SERVICE, NAMESPACE)}
    return RedSeries(encoded_resource(kept), b"").key()


def _end_of(names: frozenset[str]) -> Callable[[bytes], bytes]:
    """Return what makes of the dimensions of a series those of its roll-up, by *names*."""

    def end(dimensions: bytes) -> bytes:
        pairs = decoded_attributes(dimensions)
        return encoded_attributes([pair for pair in pairs if pair[0] in names])

    return end
