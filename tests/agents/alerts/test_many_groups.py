"""A hundred thousand groups in one partition: what they weigh, and what is done when nothing is."""

from __future__ import annotations

import tracemalloc

import pytest

from tailrace.agents.alerts.early_counts import MOST_CELLS
from tests.agents.alerts.alert_partition import BEGIN, AlertPartition, Row, alert, rollup

GROUPS, SAMPLE = 100_000, 10_000
MEMORY, STORE = 1650, 200
"""Bytes of a group with a window of five minutes, as a Python process and as the store has it."""


def test_a_group_weighs_no_more_than_stated() -> None:
    definition = alert(when=">= 2", within="5m", group_by=["service"])
    rows = [Row(0, 1, 1, (f"service-{number:06d}",)) for number in range(SAMPLE)]
    partition = AlertPartition(definition)
    record = rollup(definition, rows)
    tracemalloc.start()
    try:
        partition.process(1, record)
        weight = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert weight / SAMPLE < MEMORY
    written = partition.checkpoint()
    assert sum(len(key) + len(value or b"") for key, value in written.items()) / SAMPLE < STORE


def test_a_hundred_thousand_groups_count_fire_restart_and_are_forgotten() -> None:
    definition = alert(when=">= 2", within="5m", group_by=["service"])
    names = [(f"service-{number:06d}",) for number in range(GROUPS)]
    partition = AlertPartition(definition)
    partition.count(definition, *(Row(0, 1, 1, name) for name in names))
    assert len(partition.logic.groups) == GROUPS
    partition.checkpoint()

    evaluations = partition.totals.counts["alert_evaluations"]
    assert evaluations == GROUPS
    for second in range(2, 100):
        partition.advance(second)
    assert partition.totals.counts["alert_evaluations"] == evaluations
    assert partition.checkpoint() == {}

    partition.restart()
    partition.count(definition, *(Row(100, 1, 1, name) for name in names[:10]))
    assert len(partition.events) == 10
    assert partition.totals.counts["alert_evaluations"] == evaluations + 10
    partition.advance(3 * 3600)
    assert len(partition.logic.groups) == 0
    assert len(partition.logic._heap) == 0
    written = partition.checkpoint()
    assert sum(value is None for value in written.values()) == GROUPS


def test_what_waits_to_be_done_is_no_more_than_there_are_groups() -> None:
    definition = alert(when=">= 2", within="24h", group_by=["service"])
    partition = AlertPartition(definition)
    for second in range(6000):
        partition.count(definition, Row(second, 1, 1, (str(second % 3),)))
    assert len(partition.logic._heap) < 2000


@pytest.mark.parametrize(("every", "level"), [("1h", 0), ("1s", 20)], ids=["asked", "backing off"])
def test_a_group_that_is_looked_at_rarely_weighs_what_others_do(every: str, level: int) -> None:
    definition = alert(when=">= 2", within="1h", every=every)
    partition = AlertPartition(definition)
    partition.logic.back_off(level)
    begin = 300 - BEGIN % 300 + 1
    most = 0
    for second in range(begin, begin + 250):
        partition.count(definition, Row(second, 2, 1))
        if second % 50 == 0:
            partition.restart()
        for group in partition.logic.groups:
            most = max([most, *map(len, group.notes.get("ahead", {}).values())])
    assert 3 < most <= MOST_CELLS
    partition.advance(begin + 3700)
    (fired, *_) = partition.events
    over = fired.evaluated_at // 1000 - BEGIN
    assert fired.value == min(250, over - begin)
