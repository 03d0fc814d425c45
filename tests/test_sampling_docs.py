"""What the page on sampling shows works, and every list on it is that of the code."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any, get_args

import orjson
import pytest
from typer.testing import CliRunner

from tailrace.agents.sampling.stamps import (
    POLICY_ATTRIBUTE,
    PROBABILITY_ATTRIBUTE,
    VERSION_ATTRIBUTE,
)
from tailrace.schemas.config.routes import RouteConfig
from tailrace.schemas.config.section import cautions
from tailrace.schemas.config.tail_sampling import OWN_POLICIES, PolicySet
from tailrace.schemas.definitions import Definitions, files
from tailrace.schemas.definitions.tail_sampling import of_file, standing
from tailrace.streams.cli import app as cli
from tests.pages import FENCE, all_blocks, code, read, rows, section

PAGE = "docs/sampling.md"
BLOCKS = [block for block in all_blocks() if block.name.startswith(PAGE)]
SHOWN = {block.info: block.text for block in BLOCKS}
FILES = [block for block in BLOCKS if re.fullmatch(r"(yaml|jsonl) \S+", block.info)]
COMMANDS = [line for block in BLOCKS if block.info == "sh" for line in block.text.splitlines()]


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    """Runs commands in a directory with the files of the page."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    for block in FILES:
        Path(block.info.split()[1]).write_text(block.text)
    return CliRunner()


def said(shell: CliRunner, command: str) -> str:
    """What *command* prints, without blanks at the ends of lines."""
    done = shell.invoke(cli, shlex.split(command)[1:], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return "".join(f"{line.rstrip()}\n" for line in done.output.splitlines())


def command(*words: str) -> str:
    """The first command of the page that has all *words*."""
    return next(line for line in COMMANDS if {*words} <= {*line.split()})


# The example


@pytest.mark.parametrize("name", ["tailrace.yaml", "candidate.yaml"])
def test_the_configs_of_the_example_are_accepted(shell: CliRunner, name: str) -> None:
    assert said(shell, command("check", name)) == f"{name}: ok\n"
    assert SHOWN["text check"] == "tailrace.yaml: ok\n"


def test_the_simulation_says_and_decides_what_is_shown(shell: CliRunner) -> None:
    assert said(shell, command("simulate", "results")) == SHOWN["text simulate"]
    first, *_, last = Path("results/decisions.jsonl").read_bytes().splitlines()
    assert orjson.loads(first) == orjson.loads(SHOWN["json results/decisions.jsonl"])
    late = orjson.loads(last)
    assert late["late"]
    decided = orjson.loads(first)
    assert all(late[key] == decided[key] for key in ("trace_id", "policy", "reason"))


def test_the_comparison_says_what_is_shown_in_that_order(shell: CliRunner) -> None:
    found = said(shell, command("simulate", "--against"))
    place = 0
    for part in SHOWN["text against"].split("…\n"):
        place = found.index(part, place) + len(part)
    assert Path("compared/comparison.json").exists()


def test_policies_are_tried_before_they_are_applied(shell: CliRunner) -> None:
    said(shell, command("simulate", "policies.yaml"))
    found = orjson.loads(Path("compared/comparison.json").read_bytes())
    assert found["configs"] == ["tailrace.yaml", "policies.yaml"]
    assert [each["traces"] for each in found["by_policy"]["slow"]] == [0, 1]


def test_every_file_that_a_command_names_is_shown() -> None:
    shown = {block.info.split()[1] for block in FILES}
    named = {*re.findall(r"\S+\.(?:yaml|jsonl)", " ".join(COMMANDS))}
    assert named
    assert named <= shown


def test_the_document_can_be_applied_and_stands_instead_of_the_config() -> None:
    found = files.read(SHOWN["yaml policies.yaml"], "policies.yaml")
    assert found.cautions == ()
    _, stands = standing(Definitions.of_all(found.definitions))["default"]
    assert [each.name for each in stands.policies] == ["errors", "slow", "rest"]


def test_the_watched_file_is_read_and_its_version_is_as_described() -> None:
    definition = of_file(SHOWN["yaml file policies.yaml"], "policies.yaml")
    assert [*cautions(definition.spec)] == []
    assert re.fullmatch(r"file-[0-9a-f]{8}", definition.annotations["version"])
    described = [code(row[0]) for row in rows(section(PAGE, "Versions"), 2)]
    assert described[1:] == [["0"], ["file-"], []]


# Lists

PROVOKED = {
    "wait": "",
    "root": "decision_wait_after_root_received: 1s",
    "spans": "maximum_trace_spans: 1",
    "bytes": "maximum_trace_size_bytes: 100",
    "traces": "num_traces: 1",
    "ingest": "sampling_strategy: span-ingest",
}


@pytest.mark.parametrize("reason", PROVOKED)
def test_a_trace_is_decided_for_the_reason(shell: CliRunner, reason: str) -> None:
    config = {block.info: block.text for block in FILES}["yaml policies.yaml"]
    policies = config[config.index("  policies:") :]
    Path("c.yaml").write_text(f"tail_sampling:\n  {PROVOKED[reason]}\n{policies}")
    said(shell, "tailrace simulate -c c.yaml --out out --arrivals event spans.jsonl")
    lines = Path("out/decisions.jsonl").read_bytes().splitlines()
    assert reason in {orjson.loads(line)["reason"] for line in lines}


def test_every_reason_is_listed_with_the_key_that_makes_it() -> None:
    table = {
        code(reason)[0]: code(keys)[0]
        for reason, _, keys in rows(section(PAGE, "When a trace is decided"), 3)[1:]
    }
    assert table.keys() == {*PROVOKED, "memory"}
    for reason, key in table.items():
        assert PROVOKED.get(reason, "").startswith(key) or reason in ("wait", "memory")
    listed = re.search(r"`reason` of `traces_decided`: (.*?);", read("docs/metrics.md"), re.DOTALL)
    assert listed
    assert {*code(listed[1])} == table.keys()


def decision() -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(SHOWN["json results/decisions.jsonl"])
    return found


def test_what_a_decision_says_is_in_decisions_and_on_the_page_of_topics() -> None:
    here = {code(row[0])[0] for row in rows(section(PAGE, "What a decision says"), 2)[1:]}
    topic = read("docs/topics.md").partition("\n## tailrace.decisions\n")[2].partition("\n## ")[0]
    there = {name for row in rows(topic, 2)[1:] for name in code(row[0])}
    assert here <= decision().keys()
    assert there | {"trace_id"} == decision().keys()
    example = FENCE.search(topic)
    assert example
    assert list(orjson.loads(example[2])) == list(decision())


def test_what_is_written_on_spans_is_named() -> None:
    names = {POLICY_ATTRIBUTE, PROBABILITY_ATTRIBUTE, VERSION_ATTRIBUTE}
    assert names <= {*code(section(PAGE, "What a decision says"))}


def test_what_keeps_a_trace_anyway_is_listed() -> None:
    text = section(PAGE, "What is kept anyway")
    assert {*OWN_POLICIES} == {*re.findall(r"\(`(\w+)`\)", text)}


def test_what_may_change_and_where_traces_go_is_said() -> None:
    change = section(PAGE, "Change policies while workers run")
    assert PolicySet.model_fields.keys() == {"policies", "rules", "sample_on_first_match"}
    assert "Policies, rules and `sample_on_first_match`" in change
    kept, _ = get_args(RouteConfig.model_fields["kept"].annotation)
    assert {*get_args(kept)} <= {*code(section(PAGE, "Where kept traces go"))}
