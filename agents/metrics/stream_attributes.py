"""Attributes of streams, as the data points of each instrument have them.

Kinds of points differ in the number of the field that their attributes are, so in a byte of each
attribute; that is set for many streams at once when they are written. What is held is neither of
them, but attributes as a `Resource` has them: those that are part of a key are held nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from tailrace.agents.metrics.instruments import Family
from tailrace.schemas.otlp.wire import LENGTH_DELIMITED
from tailrace.schemas.sums import Ints
from tailrace.tables.series import SeriesTable


class StreamAttributes:
    """The attributes of the streams of *table*, whose keys *family* splits.

    Streams are numbered as slot × streams of a slot + number of the stream.
    """

    def __init__(self, family: Family, table: SeriesTable) -> None:
        self._family = family
        self._keys = table.keys
        self._known: list[bytes] = []

    def learn(self, streams: Ints) -> None:
        """Encode the attributes of *streams*, as far as keys do not have them."""
        family, per_slot = self._family, len(self._family.streams)
        if family.has_attributes_in_keys:
            return
        self._known += [b""] * (len(self._keys) * per_slot - len(self._known))
        shared: dict[bytes, bytes] = {}  # those of instances of a service are alike
        for stream in streams.tolist():
            if not self._known[stream]:
                slot, kind = divmod(stream, per_slot)
                encoded = family.attributes(self._keys[slot], kind)
                self._known[stream] = shared.setdefault(encoded, encoded)

    def forget(self, streams: Ints) -> None:
        """Know nothing of *streams* any more."""
        if self._known:
            for stream in streams.tolist():
                self._known[stream] = b""

    def of(self, streams: Ints) -> Attributes:
        """Return those of *streams*, which were learned."""
        if self._family.has_attributes_in_keys:
            return Attributes(self._keys.ends(streams // len(self._family.streams)))
        return Attributes(list(map(self._known.__getitem__, streams.tolist())))


class Attributes:
    """Those of some streams: of each a list of attributes, as field 1."""

    def __init__(self, lists: Sequence[bytes]) -> None:
        self.sizes: Ints = np.fromiter(map(len, lists), np.int64, len(lists))
        """Bytes of each."""
        self._ends = np.cumsum(self.sizes)
        self._whole = np.frombuffer(b"".join(lists), np.uint8)
        self._tags = self._found_tags()
        self._as: dict[int, list[bytes]] = {}

    def _found_tags(self) -> Ints:
        """Return where an attribute begins. One of each is found at once, by the length before."""
        at, ends, found = self._ends - self.sizes, self._ends, []
        while len(at):
            is_open = at < ends
            if not is_open.all():
                at, ends = at[is_open], ends[is_open]
            found.append(at)
            byte = self._whole[at + 1].astype(np.int64) if len(at) else at
            length, at = byte & 0x7F, at + 2
            longer, shift = np.flatnonzero(byte > 0x7F), 7
            while len(longer):
                byte = self._whole[at[longer]].astype(np.int64)
                length[longer] |= (byte & 0x7F) << shift
                at[longer] += 1
                longer, shift = longer[byte > 0x7F], shift + 7
            at = at + length
        return np.concatenate(found) if found else self._ends

    def as_field(self, number: int) -> list[bytes]:
        """Return them as field *number* of points (below 16)."""
        found = self._as.get(number)
        if found is None:
            named = self._whole.copy()
            named[self._tags] = number << 3 | LENGTH_DELIMITED
            whole, ends = named.tobytes(), self._ends.tolist()
            found = self._as[number] = [whole[at:end] for at, end in pairwise([0, *ends])]
        return found
