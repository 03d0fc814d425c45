"""Traces whose fragments arrive in two partitions: seen where one worker has both.

Each part is decided where it arrives; that is counted, so that producers that hash differently do
not go unnoticed. Traces split between two workers cannot be seen here.
"""

from __future__ import annotations


class SplitTraces:
    """The open traces of all partitions of a worker."""

    def __init__(self) -> None:
        self._open: set[bytes] = set()
        self.count = 0
        """Traces that were opened while another partition had them open."""

    def opened(self, trace_id: bytes) -> None:
        """Note that a partition has opened *trace_id*."""
        if trace_id in self._open:
            self.count += 1
        else:
            self._open.add(trace_id)

    def closed(self, trace_id: bytes) -> None:
        """Note that a partition has decided *trace_id*, or has given it up."""
        self._open.discard(trace_id)
