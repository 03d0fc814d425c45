"""What a worker holds of the control log, and what its tasks hear of it."""

from __future__ import annotations

from structlog.testing import capture_logs

from tailrace.schemas.control import WHOLE, Allocation, ControlRecord, Keep, Report, encode
from tailrace.streams.control import HeldRecords


def report(partition: int, second: int) -> Report:
    return Report(partition, 2, second, {"rate": second}, 0, 0)


def allocation(number: int) -> Allocation:
    return Allocation(number, 2, {"rate": (WHOLE, 0)}, None)


def keep(number: int, links: int = 1) -> Keep:
    return Keep((bytes([number]) * 16,) * links, 1000)


def held(*records: ControlRecord, links: int = 100) -> HeldRecords:
    found = HeldRecords(links)
    for offset, record in enumerate(records):
        found.take(encode(record), offset)
    return found


def said(records: HeldRecords, offset: int = 0) -> list[tuple[int, ControlRecord]]:
    return [tuple(each) for each in records.since(offset)]  # type: ignore[misc]  # of a Heard


def test_the_newest_is_held_of_what_is_said_again_and_all_of_what_is_not() -> None:
    log = (report(0, 5), keep(1), report(1, 5), allocation(1), report(0, 10), keep(2))
    records = held(*log, allocation(2))
    newest = [(1, keep(1)), (2, report(1, 5)), (4, report(0, 10)), (5, keep(2))]
    assert said(records) == [*newest, (6, allocation(2))]


def test_a_task_hears_what_comes_after_what_it_has_heard() -> None:
    records = held(report(0, 5), keep(1), allocation(1), keep(2))
    assert said(records, 2) == [(2, allocation(1)), (3, keep(2))]
    assert said(records, 4) == []
    assert said(records, 9) == []


def test_only_so_many_traces_to_keep_are_held() -> None:
    records = held(keep(1, 3), keep(2, 3), keep(3, 3), links=6)
    assert said(records) == [(1, keep(2, 3)), (2, keep(3, 3))]
    assert said(held(keep(1, 9), links=6)) == [(0, keep(1, 9))]


def test_what_cannot_be_read_is_counted_and_passed_over() -> None:
    records = held(report(0, 5))
    with capture_logs() as logs:
        records.take(b"nonsense", 1)
        records.take(None, 2)
    assert records.bad_records == 2
    assert records.end == 3
    assert said(records) == [(0, report(0, 5))]
    assert [each["offset"] for each in logs] == [1, 2]


def test_a_topic_that_was_made_anew_is_read_anew() -> None:
    records = held(report(0, 5), keep(1), allocation(3))
    with capture_logs():
        records.take(encode(allocation(1)), 0)
    assert said(records) == [(0, allocation(1))]
    assert records.end == 1
