"""Policies that come while messages are judged alone."""

from __future__ import annotations

from tailrace.schemas.config import parse
from tailrace.schemas.definitions import Definitions
from tailrace.schemas.definitions.tail_sampling import of_file
from tailrace.streams.spans import SpanTasks
from tailrace.streams.task import TaskId
from tailrace.tables.store import MemoryDisk, PartitionStore
from tests.streams.clusters import cluster

CONFIG = """
tail_sampling:
  sampling_strategy: span-ingest
  policies: [{name: all, type: always_sample}]
"""
LIMITED = "policies: [{name: few, type: rate_limiting, rate_limiting: {spans_per_second: 1}}]"
RULES = "rules: [{name: rest, sampler: {type: deterministic, sample_rate: 2}}]"
FITTING = "policies: [{name: slow, type: latency, latency: {threshold_ms: 5}}]"


def test_policies_that_need_whole_traces_are_not_taken_and_the_configs_stay() -> None:
    config = parse(CONFIG)
    tasks = SpanTasks(config, cluster(config, 1 << 20))
    task = tasks.build(TaskId("spans", 0), PartitionStore(MemoryDisk()))
    versions = []
    for version, text in enumerate((LIMITED, FITTING, RULES), 1):
        definition = of_file(text, "policies.yaml")
        task.inform(Definitions.of_all([definition], version))
        sampling = task.logics["sampling"]
        versions.append(sampling.policy_versions["default"])  # type: ignore[attr-defined]
    assert [version[:5] for version in versions] == ["0", "file-", "0"]
