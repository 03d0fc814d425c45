"""What never came is told of by one task of the rollups stage, and by no other."""

from __future__ import annotations

from tailrace.schemas.config import parse
from tailrace.schemas.definitions import Definitions
from tailrace.streams.rollups import RollupTasks
from tailrace.streams.task import TaskId
from tailrace.tables.store import MemoryDisk, PartitionStore
from tests.agents.alerts.alert_partition import TOPIC, alert
from tests.streams.alert_traffic import BEGIN
from tests.streams.clusters import cluster

NAMES = [f"job-{number}" for number in range(20)]


def test_each_alert_on_too_little_of_what_never_came_fires_in_one_partition() -> None:
    config = parse("{}")
    tasks = RollupTasks(config, cluster(config, rollup_partitions=4))
    definitions = Definitions.of_all([alert(name, when="< 1") for name in NAMES])
    groups = []
    for partition in range(4):
        task = tasks.build(TaskId("rollups", partition), PartitionStore(MemoryDisk()))
        task.inform(definitions)
        task.advance(BEGIN * 1000)
        task.advance((BEGIN + 60) * 1000)
        groups.append(len(task.snapshot().outputs.get(TOPIC, ())))
        task.close()
    assert sum(groups) == len(NAMES)
    assert max(groups) < len(NAMES)
