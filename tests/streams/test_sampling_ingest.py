"""Policies that come while messages are judged alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from tailrace.schemas.config import parse
from tailrace.schemas.definitions import Definitions
from tailrace.schemas.definitions.files import read
from tailrace.schemas.definitions.tail_sampling import of_file
from tailrace.schemas.errors import ConfigError
from tailrace.streams.cli import app
from tailrace.streams.definitions_topic import DefinitionsTopic
from tailrace.streams.simulate import defined
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


DOCUMENT = """
apiVersion: tailrace/v1
kind: TailSampling
metadata: {name: shop}
spec: {rules: [{name: rest, sampler: {type: deterministic, sample_rate: 2}}]}
"""


async def test_policies_that_need_whole_traces_are_not_applied() -> None:
    topic = DefinitionsTopic(parse(CONFIG))
    with pytest.raises(ConfigError, match=r'TailSampling "shop": spec\.rules need whole'):
        await topic.apply(read(DOCUMENT, "shop.yaml").definitions, is_dry_run=True)


def test_policies_that_need_whole_traces_are_not_simulated(tmp_path: Path) -> None:
    path = tmp_path / "shop.yaml"
    path.write_text(DOCUMENT)
    with pytest.raises(ConfigError, match="need whole traces"):
        defined(parse(CONFIG), [path])


@pytest.mark.parametrize(
    ("strategy", "policies", "code", "said"),
    [
        ("span-ingest", LIMITED, 1, "policies[0].type is rate_limiting, which needs whole traces"),
        ("trace-complete", LIMITED, 0, "ok"),
        ("span-ingest", FITTING.replace("5", "0"), 0, "threshold_ms is 0, so every trace is"),
    ],
)
def test_check_looks_into_the_file_with_the_other_keys(
    strategy: str, policies: str, code: int, said: str, tmp_path: Path
) -> None:
    (tmp_path / "policies.yaml").write_text(policies)
    config = tmp_path / "tailrace.yaml"
    section = f"{{sampling_strategy: {strategy}, policies_file: policies.yaml}}"
    config.write_text(f"tail_sampling: {section}\n")
    found = CliRunner().invoke(app, ["check", "-c", str(config), "--json"])
    assert found.exit_code == code
    assert said in found.output
