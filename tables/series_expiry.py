"""When a series is so long without news that it is given up."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tailrace.schemas.sums import Ints
from tailrace.tables.series_keys import SeriesKeys


class Expiry(NamedTuple):
    """After how long without news a series is expired, and all series of a group; 0: never.

    Keys that begin alike are a group, see `series_keys`.
    """

    series_ms: int = 0
    group_ms: int = 0


def expired(expiry: Expiry, keys: SeriesKeys, news: Ints, at: int) -> Ints:
    """Return the slots, ascending, whose series had no news for too long at *at* (ms).

    `news[slot]`: when it last had any.
    """
    taken = keys.taken
    if not len(taken) or not any(expiry):
        return taken[:0]
    is_old = np.zeros(len(taken), np.bool_)
    if expiry.series_ms:
        is_old |= news[taken] <= at - expiry.series_ms
    if expiry.group_ms:
        groups = keys.groups[taken]
        latest = np.zeros(int(groups.max()) + 1, np.int64)
        np.maximum.at(latest, groups, news[taken])
        is_old |= latest[groups] <= at - expiry.group_ms
    return taken[is_old]
