"""The engine's laws on a small job, over every crash point, cut and checkpoint."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.streams.batch import Batch
from tailrace.streams.task import Task, TaskId
from tailrace.tables.store import MemoryDisk, PartitionStore
from tests.streams.counting_job import KEYS, build_task
from tests.streams.deaths import EVENTS, FAR, Row, by_topic, cut, interrupted, uninterrupted

ID = TaskId("keys", 0)
END = 1_000_000


def build(store: PartitionStore) -> Task[KEYS]:
    return build_task(ID, store, "out")


def rows(draw_rows: Sequence[tuple[bytes | None, int]]) -> list[Row]:
    return [Row(offset, at, key) for offset, (key, at) in enumerate(draw_rows)]


RECORDS = st.lists(
    st.tuples(st.sampled_from([b"a", b"b", b"c", None]), st.integers(0, 6000)), max_size=25
).map(rows)


@settings(max_examples=200, deadline=None)
@given(RECORDS, st.lists(EVENTS, max_size=25))
def test_outputs_are_those_of_one_uninterrupted_run(
    records: list[Row], events: list[object]
) -> None:
    log = interrupted(build, records, events, END)
    assert by_topic(log.committed) == uninterrupted(build, records, END)


@settings(max_examples=200, deadline=None)
@given(RECORDS, st.lists(st.integers(0, 25)), st.lists(st.integers(0, 25)))
def test_outputs_do_not_depend_on_cuts_or_checkpoints(
    records: list[Row], cuts: list[int], checkpoints: list[int]
) -> None:
    sent = cut(build, records, cuts, checkpoints, END)
    assert sent == uninterrupted(build, records, END)


def test_a_batch_of_another_position_is_refused() -> None:
    task = build(PartitionStore(MemoryDisk()))
    assert task.process(Batch("in", 0, 0, 2, rows([(b"a", 1), (b"a", 2)])), FAR)
    assert not task.process(Batch("in", 0, 1, 2, rows([(b"a", 1)])), FAR)
    assert not task.process(Batch("in", 0, 3, 4, rows([(b"a", 1)])), FAR)
    assert task.positions == {"in": 2}


def test_offsets_without_records_move_the_position() -> None:
    task = build(PartitionStore(MemoryDisk()))
    assert task.process(Batch("in", 0, 0, 3, ()), FAR)
    assert task.positions == {"in": 3}
    assert task.has_news


def test_a_timestamp_from_the_future_does_not_stop_time() -> None:
    task = build(PartitionStore(MemoryDisk()))
    assert task.process(Batch("in", 0, 0, 2, rows([(b"a", 10**15), (b"a", 5)])), latest=1000)
    assert task.stream_time == 1000


def test_idle_time_never_goes_back() -> None:
    task = build(PartitionStore(MemoryDisk()))
    task.advance(500)
    task.advance(400)
    assert task.stream_time == 500
    assert not task.has_news
