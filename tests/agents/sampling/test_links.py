"""Links of kept traces: what is said of them, what is heard, and what that is good for."""

from __future__ import annotations

import pytest

from tailrace.agents.sampling.control import Control, ControlSettings
from tailrace.agents.sampling.links import MAX_LINKS_A_SECOND
from tailrace.schemas.control import MAX_LINKS, ControlRecord, Heard, Keep, decode
from tailrace.schemas.records import Outbox, Totals
from tailrace.tables.store import MemoryDisk, PartitionStore

WINDOW = 60_000
A, B, C = (bytes([number]) * 16 for number in (1, 2, 3))


def trace_ids(count: int, first: int = 0) -> list[bytes]:
    return [(first + each).to_bytes(16, "big") for each in range(count)]


class Partition:
    """One partition's end of the log, which holds only what is put there."""

    def __init__(self, window_ms: int = WINDOW) -> None:
        self.window_ms = window_ms
        self.store = PartitionStore(MemoryDisk())
        self.outbox, self.totals = Outbox(), Totals()
        self.begin()

    def begin(self) -> None:
        self.control = Control(ControlSettings("control", 0, 1, self.window_ms), self.store)
        self.control.restore()

    def restart(self, now: int) -> None:
        self.control.seal(now)
        self.begin()

    def kept(self, at: int, *linked: bytes) -> None:
        self.control.kept(set(linked), at, self.outbox, self.totals)

    def hear(self, now: int, *keeps: Keep) -> list[bytes]:
        start = self.control.heard
        records = [Heard(start + row, each) for row, each in enumerate(keeps)]
        return self.control.hear(records, now, self.outbox, self.totals)

    @property
    def said(self) -> list[ControlRecord]:
        return [decode(each.value) for each in self.outbox.topics.get("control", [])]


def test_what_a_kept_trace_links_to_is_said_and_known_only_when_it_is_heard() -> None:
    partition = Partition()
    partition.kept(1000, B, A)
    [keep] = partition.said
    assert keep == Keep((A, B), 1000 + WINDOW)
    assert not partition.control.is_linked(A, 1000)
    assert partition.hear(2000, keep) == [A, B]
    assert partition.control.is_linked(A, 1000)
    assert partition.control.is_linked(B, 1000 + WINDOW)
    assert not partition.control.is_linked(B, 1001 + WINDOW)
    assert not partition.control.is_linked(C, 2000)
    partition.restart(2000)
    assert partition.control.is_linked(A, 1000 + WINDOW)
    assert partition.control.heard == 1


def test_what_was_heard_is_news_once() -> None:
    partition = Partition()
    assert partition.hear(0, Keep((A,), 500)) == [A]
    assert partition.hear(0, Keep((A, B), 600)) == [B]
    assert partition.hear(601, Keep((A,), 900)) == [A]
    assert partition.hear(901, Keep((C,), 900)) == []


def test_what_is_known_is_said_again_in_the_second_half_of_its_window() -> None:
    partition = Partition()
    partition.hear(0, Keep((A,), WINDOW))
    partition.kept(WINDOW // 2, A)
    assert partition.said == []
    partition.kept(WINDOW // 2 + 1, A)
    assert partition.said == [Keep((A,), WINDOW // 2 + 1 + WINDOW)]


def test_of_a_trace_so_many_links_count() -> None:
    partition = Partition()
    partition.kept(1000, *trace_ids(MAX_LINKS + 5))
    [keep] = partition.said
    assert isinstance(keep, Keep)
    assert list(keep.trace_ids) == trace_ids(MAX_LINKS)
    assert partition.totals.counts == {"links_announced": MAX_LINKS, "links_not_kept": 5}


def test_in_a_second_so_many_are_said_also_after_a_restart() -> None:
    partition = Partition()
    traces = MAX_LINKS_A_SECOND // MAX_LINKS
    for number in range(traces):
        partition.kept(5000, *trace_ids(MAX_LINKS, number * MAX_LINKS))
    partition.restart(5000)
    partition.kept(5999, *trace_ids(3, 1 << 20))
    assert len(partition.said) == traces
    assert partition.totals.counts["links_not_kept"] == 3
    partition.kept(6000, *trace_ids(3, 1 << 20))
    assert len(partition.said) == traces + 1


@pytest.mark.parametrize("linked", [(), (A,)])
def test_where_links_do_not_count_nothing_is_said_or_heard(linked: tuple[bytes, ...]) -> None:
    partition = Partition(window_ms=0)
    partition.kept(1000, *linked)
    assert partition.said == []
    assert partition.totals.counts == {}
    assert not partition.control.wants(Keep((A,), 5000))
    assert partition.hear(1000, Keep((A,), 5000)) == []
    assert not partition.control.is_linked(A, 1000)
