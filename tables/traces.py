"""What is remembered of an undecided trace besides its raw fragments."""

from __future__ import annotations

from dataclasses import dataclass, field

from tailrace.schemas.definitions.definition import DEFAULT_TENANT
from tailrace.tables.trace_buffers import FragmentRef


@dataclass(slots=True)
class OpenTrace:
    """A trace that waits for its decision. It is rebuilt from the fragments at recovery.

    `start` and `end` (ns) are the envelope of its spans; `size` the bytes of its fragments; `facts`
    and `services` are bit sets; `keys` what rules group traces by; `root` is the root span's start,
    service and name: the earliest, of equals the first to come.
    """

    trace_id: bytes
    due: int
    """When it is decided, in ms of stream time."""
    start: int
    end: int
    spans: int = 0
    size: int = 0
    facts: int = 0
    keys: frozenset[tuple[int, str]] = frozenset()
    services: int = 0
    root: tuple[int, str, str] | None = None
    fragments: list[FragmentRef] = field(default_factory=list)
    tenant: str = DEFAULT_TENANT
    """That of the span that came first."""
    epoch: int = 0
    """Which policies its facts are for."""
    is_open: bool = True
    is_rooted: bool = False
    """It is due because its root has come."""

    def merge(
        self,
        start: int,
        end: int,
        spans: int,
        facts: int,
        services: int,
        root: tuple[int, str, str] | None,
        size: int,
    ) -> None:
        """Add what a fragment brings."""
        if start < self.start:
            self.start = start
        if end > self.end:
            self.end = end
        self.spans += spans
        self.size += size
        self.facts |= facts
        self.services |= services
        if root is not None and (self.root is None or root[0] < self.root[0]):
            self.root = root
