"""Alerts in a worker that does not sample."""

from __future__ import annotations

import gc

from tailrace.schemas.config import parse
from tailrace.schemas.definitions import Definitions
from tailrace.streams.batch import Batch
from tailrace.streams.spans import SpanTasks
from tailrace.streams.task import TaskId
from tailrace.tables.keeps import Keeps
from tailrace.tables.store import MemoryDisk, PartitionStore
from tests.agents.alerts.alert_partition import alert
from tests.streams.alert_traffic import BEGIN, ROLLUPS, Came, Sent, rows
from tests.streams.clusters import cluster


def test_without_a_sampler_no_trace_is_remembered_as_to_be_kept() -> None:
    others = [each for each in gc.get_objects() if isinstance(each, Keeps)]
    around = cluster(parse("only: [alerts]"), partitions=1, rollup_partitions=1)
    tasks = SpanTasks(parse("only: [alerts]"), around)
    task = tasks.build(TaskId("spans", 0), PartitionStore(MemoryDisk()))
    task.inform(Definitions.of_all([alert()]))
    records = rows(0, [Sent(0, (Came("api", 2, 1, 0, 5),))])
    assert task.process(Batch("spans", 0, 0, 1, records), 2 * BEGIN * 1000)
    task.advance((BEGIN + 60) * 1000)
    assert task.snapshot().outputs[ROLLUPS], "the span was counted"
    known = set(map(id, others))
    ours = [each for each in gc.get_objects() if isinstance(each, Keeps) and id(each) not in known]
    assert not any(map(len, ours))
    task.close()
