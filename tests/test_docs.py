"""Everything that the docs show works, and every list in them is that of the code."""

from __future__ import annotations

import inspect
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import typer.main
import yaml
from pydantic import SecretStr
from typer.testing import CliRunner

from tailrace.agents.notifier.secrets import Secrets
from tailrace.agents.notifier.sender import Sender, Surroundings
from tailrace.agents.notifier.targets import Targets
from tailrace.agents.sampling.policies import BUILDERS
from tailrace.schemas import topics
from tailrace.schemas.config import WorkerConfig, parse
from tailrace.schemas.config.policies import _KINDS
from tailrace.schemas.config.section import Section
from tailrace.schemas.config.tail_sampling import TailSamplingConfig
from tailrace.schemas.durations import parse as parse_duration
from tailrace.schemas.errors import ConfigError
from tailrace.schemas.spans import Reason
from tailrace.streams.cli import app as cli
from tailrace.streams.declared_metrics import families
from tailrace.streams.definitions import Follower
from tailrace.streams.engine import Engine, EngineSettings
from tailrace.streams.metric_kinds import Around
from tailrace.streams.metrics import Metrics
from tailrace.streams.metrics_page import page
from tailrace.streams.provisioning import NEW_INPUT_PARTITIONS, planned
from tailrace.streams.spans import SpanTasks
from tailrace.tables.decisions import DecisionTable, Outcome
from tailrace.tables.store import (
    _BLOCK_CACHE_BYTES,
    _WRITE_BUFFER_BYTES,
    MemoryDisk,
    PartitionStore,
)
from tailrace.tables.trace_buffers import SegmentCache
from tailrace_loadtest.__main__ import app as loadtest_cli
from tests.pages import (
    DOCS,
    FENCE,
    LINK,
    NAMES,
    PAGES,
    ROOT,
    Block,
    all_blocks,
    blocks,
    code,
    read,
    rows,
    section,
)
from tests.streams.clusters import cluster

ENVIRONMENT = {"TAILRACE_TOKEN": "a-token", "LABEL_HASH_KEY": "a-key"}


def named(found: list[Block]) -> list[Any]:
    assert found
    return [pytest.param(block, id=block.name) for block in found]


# Examples


@pytest.mark.parametrize("block", named(blocks("yaml")))
def test_every_config_is_accepted_without_a_warning(block: Block) -> None:
    assert parse(block.text, block.name, ENVIRONMENT).warnings == ()


def refused() -> list[Any]:
    found = list(all_blocks())
    return [
        pytest.param(block, found[index + 1], id=block.name)
        for index, block in enumerate(found)
        if block.info == "yaml refused"
    ]


@pytest.mark.parametrize(("config", "said"), refused())
def test_every_refused_config_is_refused_in_the_words_below_it(config: Block, said: Block) -> None:
    with pytest.raises(ConfigError) as error:
        parse(config.text, config.name, ENVIRONMENT)
    assert [str(problem) for problem in error.value.problems] == said.text.splitlines()


def test_the_file_with_the_defaults_is_the_default() -> None:
    text = section("docs/configuration.md", "A file with the defaults")
    found = FENCE.search(text)
    assert found
    assert parse(found[2], environment={}) == WorkerConfig()


@pytest.mark.parametrize("block", named(blocks("json")))
def test_every_json_example_is_json(block: Block) -> None:
    orjson.loads(block.text)


def test_the_simulation_of_the_readme_says_what_stands_below_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = section("README.md", "Try a config on files")
    shown = {found[1]: found[2] for found in FENCE.finditer(text)}
    message = orjson.dumps(orjson.loads(shown["json spans.jsonl"]))
    Path("spans.jsonl").write_bytes(message + b"\n")
    done = CliRunner().invoke(cli, shlex.split(shown["sh"])[1:])
    assert done.stdout == shown["text"]
    assert Path("results/edges.jsonl").read_text() == shown["json results/edges.jsonl"]
    metrics = Path("results/metrics.prom").read_text().splitlines()
    assert {*shown["text results/metrics.prom"].splitlines()} <= {*metrics}


def test_every_alert_is_a_rule_about_metrics_that_are_there() -> None:
    [block] = blocks("yaml prometheus")
    names = {family.sample_name for family in families()}
    [group] = yaml.safe_load(block.text)["groups"]
    assert group["rules"]
    for rule in group["rules"]:
        assert {"alert", "expr"} <= rule.keys() <= {"alert", "expr", "for"}
        asked = {*re.findall(r"tailrace_[a-z_]+", rule["expr"])}
        assert asked, rule
        assert asked <= names, rule


def command_lines() -> list[Any]:
    return [
        pytest.param(line, id=f"{block.name} {line}")
        for block in blocks("sh")
        for line in block.text.splitlines()
    ]


@pytest.mark.parametrize("line", command_lines())
def test_every_command_exists_with_its_options(line: str) -> None:
    words = shlex.split(line)
    while re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words.pop(0)
    match words:
        case ["make", *targets]:
            known = re.findall(r"^([a-z]+):", read("Makefile"), re.MULTILINE)
            assert set(targets) <= set(known)
        case ["tailrace", *arguments]:
            accept(cli, arguments)
        case ["python", "-m", "tailrace_loadtest", *arguments]:
            accept(loadtest_cli, arguments)
        case [".venv/bin/pytest", *arguments]:
            paths = [word for word in arguments if word.startswith("tests")]
            assert all((ROOT / path).exists() for path in paths)
        case ["pip", "install", wheel]:
            assert re.fullmatch(r"dist/tailrace-[0-9.]+-py3-none-any\.whl", wheel)
        case _:
            pytest.fail(f"nothing is known of {line!r}")


def accept(app: typer.Typer, arguments: list[str]) -> None:
    """Parse *arguments* as the command does, without running it."""
    group: Any = typer.main.get_command(app)
    name, *rest = arguments
    group.commands[name].make_context(name, rest)


@pytest.mark.parametrize("path", PAGES, ids=NAMES.get)
def test_every_link_leads_somewhere(path: Path) -> None:
    for link in LINK.findall(path.read_text()):
        if link.startswith("http"):
            continue
        file, _, anchor = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        assert target.exists(), link
        if anchor:
            heads = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
            assert anchor in [_anchor(head) for head in heads], link


def _anchor(head: str) -> str:
    return re.sub(r"[^a-z0-9 _-]", "", head.lower()).replace(" ", "-")


# Lists


def settings(model: type[Section], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every key of *model* and of the sections below it, with its default."""
    for name, field in model.model_fields.items():
        kind = TailSamplingConfig if name == "tail_sampling" else field.annotation
        if isinstance(kind, type) and issubclass(kind, Section):
            yield from settings(kind, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field.default


def test_every_key_is_documented_with_its_default() -> None:
    documented = {code(row[0])[0]: row for row in rows(section_of_keys(), 4) if code(row[0])}
    known = dict(settings(WorkerConfig))
    assert documented.keys() == known.keys()
    for key, (_, kind, default, _) in documented.items():
        if key != "tail_sampling.policies":
            assert shown(kind, known[key]) == worth(kind, default), key


def section_of_keys() -> str:
    return section("docs/configuration.md", "Keys")


def shown(kind: str, value: Any) -> Any:
    assert not isinstance(value, SecretStr)
    return list(value) if kind.startswith("list") else value


def worth(kind: str, cell: str) -> Any:
    """What a default in the table is worth."""
    if cell == "none":
        return None
    if kind == "list of durations":
        return [*map(parse_duration, code(cell))]
    if kind.startswith("list"):
        return code(cell)
    text = code(cell)[0]
    if kind == "duration":
        return parse_duration(text)
    if kind == "size":
        return int(text.removesuffix("MiB")) << 20
    if kind in ("number", "boolean"):
        return orjson.loads(text)
    return text


def test_every_refused_key_is_named() -> None:
    text = section_of_keys()
    assert {*WorkerConfig.refusals, *TailSamplingConfig.refusals} <= {*code(text)}


def test_every_policy_is_documented_with_its_keys() -> None:
    table = rows(section("docs/configuration.md", "Policies"), 3)
    documented = {code(row[0])[0]: code(row[1]) for row in table if code(row[0])}
    assert documented.keys() == BUILDERS.keys() == _KINDS.keys()
    for kind, model in _KINDS.items():
        bodies = [
            field.annotation
            for name, field in model.model_fields.items()
            if (field.alias or name) == kind
        ]
        keys = [key for body in bodies if body is not None for key in body.model_fields]
        assert sorted(documented[kind]) == sorted(keys), kind


def migration(heading: str) -> dict[str, str]:
    return {
        code(key)[0]: state for key, state in rows(section("docs/migrating.md", heading), 2)[1:]
    }


def test_the_migration_page_lists_every_policy_of_the_collector() -> None:
    found = migration("Policies")
    assert {kind for kind, state in found.items() if state.startswith("works")} == found.keys()
    assert found.keys() == BUILDERS.keys()


def test_the_migration_page_lists_every_key_of_the_collector() -> None:
    found = migration("Keys")
    refused = {key for key, state in found.items() if state.startswith("refused")}
    assert refused == {*TailSamplingConfig.refusals}
    ours = migration("Keys that the collector has not").keys()
    assert not ours & found.keys()
    assert found.keys() - refused | ours == {*TailSamplingConfig.model_fields}


def test_the_topics_page_names_every_topic_and_setting() -> None:
    table = {code(row[0])[0]: row for row in rows(read("docs/topics.md"), 4) if code(row[0])}
    plan = planned(parse("input: {keyed_by_trace_id: false}"), {})
    changelog = "tailrace-…-changelog"
    named = {each.name: each for each in plan.topics if each not in plan.changelogs}
    assert table.keys() == {*named, changelog}
    for name, topic in named.items():
        assert set(code(table[name][2])) == {f"{key}={is_}" for key, is_ in topic.config.items()}
    for topic in plan.changelogs:
        settings = set(code(table[changelog][2]))
        assert settings == {f"{key}={is_}" for key, is_ in topic.config.items()}
        assert f"`{topic.name.replace('otlp_spans', 'TOPIC')}`" in read("docs/topics.md")
    assert table["otlp_spans"][1] == str(NEW_INPUT_PARTITIONS)
    assert table["tailrace-rollups"][1] == str(topics.ROLLUP_PARTITIONS)
    assert table["tailrace.dead_letters"][1] == str(topics.DEAD_LETTER_PARTITIONS)


def test_the_topics_page_names_every_header_and_reason() -> None:
    found = {*code(read("docs/topics.md"))}
    headers = {value for name, value in vars(topics).items() if name.endswith("_HEADER")}
    assert headers <= found
    assert {*map(str, Reason), "span_too_large"} <= found
    assert {*map(str, Reason), "span_too_large"} <= {*code(page())}


def test_every_exit_code_is_documented() -> None:
    codes = {row[0] for row in rows(section("docs/operations.md", "Start and stop"), 3)[1:]}
    assert codes == {*re.findall(r"(\d+) ", cli.info.epilog or "")}


def test_the_memory_table_has_the_sizes_of_the_caches() -> None:
    memory: dict[str, str] = dict(map(tuple, rows(section("docs/operations.md", "Memory"), 2)))
    segments = inspect.signature(SegmentCache).parameters["capacity"].default
    assert f"up to {segments >> 20} MB" in memory["raw spans of waiting traces"]
    assert f"a cache of {_BLOCK_CACHE_BYTES >> 20} MB" in memory["RocksDB"]
    assert f"up to {2 * _WRITE_BUFFER_BYTES >> 20} MB a partition" in memory["RocksDB"]


def test_what_a_remembered_decision_is_said_to_cost_it_does() -> None:
    count, store = 10_000, PartitionStore(MemoryDisk())
    table = DecisionTable(store, retention_ms=3_600_000, wait_ms=0)
    for number in range(count):
        table.record(number.to_bytes(16, "big"), Outcome("not_sampled", None, None), number)
    table.seal(count)
    [run] = table._runs
    held = sum(column.nbytes for column in (run.low, run.high, run.at, run.outcome)) / count
    stored = sum(len(value) for _, value in store.scan(b"d")) / count
    memory: dict[str, str] = dict(map(tuple, rows(section("docs/operations.md", "Memory"), 2)))
    assert f"{held:.0f} bytes each" in memory["decisions"]
    assert f"{held * 3.6:.0f} MB" in memory["decisions"]
    assert f"cost {held:.0f} bytes each in memory" in read("docs/sampling.md")
    assert f" {stored:.0f} to 34 " in memory["decisions"]
    assert f" {stored:.0f} to 34 " in section("docs/sampling.md", "Memory")


def test_the_metrics_page_is_that_of_the_declarations() -> None:
    assert read("docs/metrics.md") == page(), "run make docs"


async def test_every_metric_that_is_exposed_is_declared(tmp_path: Path) -> None:
    engine = Engine(EngineSettings("app", tmp_path), [], {})
    spans = SpanTasks(WorkerConfig(), cluster(WorkerConfig()))
    sender = Sender(Surroundings(Secrets({}), Targets(), lambda: 0.5))
    metrics = Metrics(Around(engine, spans, Follower({}, "definitions"), sender))
    exposed = [(metric.name, metric.type == "counter") for metric in metrics.collect()]
    assert exposed == [(family.name, family.is_counter) for family in families()]


def test_every_metric_that_the_docs_name_exists() -> None:
    known = {family.sample_name for family in families()} | {family.name for family in families()}
    for doc in PAGES:
        assert {*re.findall(r"\btailrace_(?!loadtest)[a-z_]+[a-z]", doc.read_text())} <= known


def test_decisions_are_numbered_and_listed() -> None:
    pages = sorted(path.name for path in (DOCS / "adr").glob("0*.md"))
    assert [int(name[:4]) for name in pages] == [*range(1, len(pages) + 1)]
    listed = rows(read("docs/adr/README.md"), 2)
    for name in pages:
        head, *rest = re.findall(r"^#+ (.*)$", read(f"docs/adr/{name}"), re.MULTILINE)
        assert head.startswith(f"{name[:4]}: ")
        assert rest == ["Context", "Decision", "Consequences"]
        assert [f"[{name[:4]}]({name})", head[6:]] in listed
