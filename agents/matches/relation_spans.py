"""What comes into relations, and what they find."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from tailrace.schemas.definitions.signals import Signal
from tailrace.tables.relation_rows import Witness


class Observed(NamedTuple):
    """A span that some filter of `Relations.filters` is of, or any if they need every span.

    Times in ns. `filters`: bit i is set if `Relations.filters[i]` is of it. `group(n)`: the group
    (`encode_group`) of its values of `Relations.groupings[n]`; it is called at once or never.
    """

    trace_id: bytes
    span_id: bytes
    parent_span_id: bytes
    start: int
    end: int
    is_root: bool
    service: str
    name: str
    filters: int
    group: Callable[[int], bytes]

    @property
    def witness(self) -> Witness:
        """The span as evidence shows it."""
        return Witness(self.trace_id, self.span_id, self.start, self.end, self.service, self.name)


class Found(NamedTuple):
    """`events` and `matches`, 0 or 1 each, are to be added to *signal* and *group* at `end_ns`.

    `end_ns` is event time as it came; who counts clamps it. `span` is the evidence of a match.
    """

    signal: Signal
    group: bytes
    end_ns: int
    events: int
    matches: int
    span: Witness
