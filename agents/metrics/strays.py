"""Strays: partial sums that came to a partition that does not write their series.

They are of before an upgrade that moved the series, or of a worker that knows nothing of it yet.
Where they are sent they count like all that comes late: in the first period that is open there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from tailrace.schemas.records import Output
from tailrace.schemas.sums import Rollup, encode
from tailrace.tables.interval_sums import RollupTopic, in_parts


def stray_records(
    stray: Rollup, place: Callable[[bytes], int], topic: RollupTopic
) -> Iterator[Output]:
    """Yield *stray* as records for the partitions of *topic* that its keys belong to, by *place*.

    They are no word of a source, so they have no watermark.
    """
    places = np.array([place(key) % topic.partitions for key in stray.keys])
    sizes = np.fromiter(map(len, stray.keys), np.int64, len(stray.keys))
    for partition in np.unique(places).tolist():
        rows = np.flatnonzero(places == partition)
        # What a part exceeds half of a record by is less than the other half.
        for part in in_parts(rows, sizes[rows], stray.layout, topic.record_bytes // 2):
            keys = [stray.keys[row] for row in part.tolist()]
            value = encode(stray._replace(keys=keys, rows=stray.rows[part]))
            yield Output(None, value, stray.end, (), partition)
