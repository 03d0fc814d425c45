"""What the page on alerts shows works, and every list on it is that of the code."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from statistics import NormalDist
from typing import Any, get_args

import orjson
import pytest
from typer.testing import CliRunner

from tailrace.agents.alerts.burn_rate import BurnRate, is_sure
from tailrace.agents.alerts.counts import Counts
from tailrace.agents.alerts.transitions import READ, Effect, Move, Reading
from tailrace.agents.notifier.decisions import TABLE, Row
from tailrace.agents.notifier.secrets import Discretion, Secrets
from tailrace.agents.notifier.sender import Surroundings, requests_of
from tailrace.agents.notifier.targets import Targets
from tailrace.schemas.alert_events import AlertEvent, decode
from tailrace.schemas.config.section import Section
from tailrace.schemas.definitions import files
from tailrace.schemas.definitions.alert import AlertSpec
from tailrace.schemas.definitions.contact_point import ContactPointSpec
from tailrace.schemas.definitions.filters import Bounds, Matcher, SpanFilter, TraceFilter
from tailrace.schemas.definitions.notification_policy import NotificationPolicySpec, Route
from tailrace.schemas.definitions.secrets import SecretRef
from tailrace.schemas.definitions.silence import SilenceSpec
from tailrace.schemas.definitions.slo import SloSpec
from tailrace.schemas.definitions.snooze import SnoozeSpec
from tailrace.schemas.durations import MILLISECOND, spell
from tailrace.schemas.durations import parse_long as parse_duration
from tailrace.schemas.notifications import Notification
from tailrace.streams.cli import app as cli
from tailrace.tables.alert_states import Phase
from tests.pages import Block, all_blocks, blocks, code, rows, section

PAGE = "docs/alerts.md"
LEAVES = (SpanFilter, TraceFilter, Matcher, Bounds, SecretRef)

FILES = [
    each
    for each in all_blocks()
    if re.fullmatch(r"yaml [a-z-]+\.yaml", each.info)
    and not each.text.startswith("tail_sampling:")  # a config
]


@pytest.mark.parametrize("block", [pytest.param(each, id=each.name) for each in FILES])
def test_every_definition_is_accepted(block: Block) -> None:
    found = files.read(block.text, block.name)
    assert found.definitions
    assert found.cautions == ()


def test_the_readme_begins_with_the_same_alert() -> None:
    shown = [each.text for each in FILES if each.info == "yaml slow-checkout.yaml"]
    assert len(shown) == 2
    assert shown[0] == shown[1]
    assert len(shown[0].splitlines()) == 10


# The walk


def walk() -> dict[str, str]:
    """The blocks of the page by what they say they are; of several the first."""
    found: dict[str, str] = {}
    for block in all_blocks():
        if block.name.startswith(PAGE):
            found.setdefault(block.info, block.text)
    return found


@pytest.fixture
def simulated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """What the simulation of the page says; its results are in this directory then."""
    monkeypatch.chdir(tmp_path)
    shown = walk()
    message = orjson.dumps(orjson.loads(shown["json spans.jsonl"]))
    Path("spans.jsonl").write_bytes(message + b"\n")
    Path("slow-checkout.yaml").write_text(shown["yaml slow-checkout.yaml"])
    return CliRunner().invoke(cli, shlex.split(shown["sh"])[1:]).stdout


def alerts() -> list[AlertEvent]:
    return [decode(line) for line in Path("results/alerts.jsonl").read_bytes().splitlines()]


def test_the_simulation_fires_the_alert_as_it_is_shown(simulated: str) -> None:
    shown = walk()
    assert simulated == shown["text"]
    first, *_ = Path("results/alerts.jsonl").read_bytes().splitlines()
    assert orjson.loads(first) == orjson.loads(shown["json results/alerts.jsonl"])
    assert [event.status for event in alerts()] == ["firing", "resolved"]


@pytest.mark.usefixtures("simulated")
def test_the_links_of_the_message_lead_to_traces_that_were_kept_for_the_alert() -> None:
    firing, resolved = alerts()
    kept = Path("results/sampled.jsonl").read_text()
    lines = Path("results/decisions.jsonl").read_bytes().splitlines()
    decisions = {each["trace_id"]: each for each in map(orjson.loads, lines)}
    for span in firing.spans:
        assert span.trace_id in kept
        assert decisions[span.trace_id]["policy"] == "alert"
        assert span.url == f"https://traces.example.com/trace/{span.trace_id}"
    assert all(span.sampled for span in resolved.spans)


@pytest.mark.usefixtures("simulated")
def test_the_message_is_as_it_is_shown() -> None:
    shown = walk()
    point, policy = files.read(shown["yaml people.yaml"], "people.yaml").definitions
    event = alerts()[0]
    assert policy.spec.route.receiver == point.name
    assert policy.spec.route.match["owner"].eq == event.labels["owner"]
    notification = Notification(
        id="0",
        sequence=0,
        tenant="default",
        contact_point=point.name,
        status="firing",
        group_key="0",
        group_labels={"name": event.name},
        alerts=[event],
        news={},
        created_at=event.evaluated_at,
    )
    secrets = Secrets({"TAILRACE_SECRET_SLACK": "https://hooks.example.com/secret"})
    outside = Surroundings(secrets, Targets(), lambda: 0.5)
    made, _ = requests_of(notification, point.spec, Discretion(secrets), outside)
    payload = orjson.loads(made.requests[0].body)
    [attachment] = payload["attachments"]
    text = "\n".join(block["text"]["text"] for block in attachment["blocks"])
    assert payload["text"] + "\n" == shown["text title"]
    assert text + "\n" == shown["text message"]


# Lists


def keys(model: type[Section], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every key of *model* and of what is in it, with its default."""
    for name, field in model.model_fields.items():
        key = f"{prefix}{field.alias or name}"
        inner = next((each for each in _sections(field.annotation)), None)
        if inner is None or inner in LEAVES or inner is model:
            yield key, None if field.is_required() else field.default
        else:
            yield from keys(inner, f"{key}.")


def _sections(annotation: Any) -> Iterator[type[Section]]:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation
    for part in get_args(annotation):
        yield from _sections(part)


MODELS: dict[str, tuple[type[Section], ...]] = {
    "Alert": (AlertSpec,),
    "Span filters": (SpanFilter,),
    "Matchers": (Matcher,),
    "Trace filters": (TraceFilter,),
    "SLO": (SloSpec,),
    "Routes": (NotificationPolicySpec,),
    "Silence": (SilenceSpec,),
    "Snooze": (SnoozeSpec,),
    "Contact points": (ContactPointSpec,),
    "Secrets": (SecretRef,),
}


@pytest.mark.parametrize("heading", MODELS)
def test_every_key_is_documented_with_its_default(heading: str) -> None:
    table = [row for row in rows(section(PAGE, heading), 3) if code(row[0])]
    documented = {code(row[0])[0]: row[1] for row in table}
    known = {key: each for model in MODELS[heading] for key, each in keys(model)}
    assert documented.keys() == known.keys()
    for key, cell in documented.items():
        assert _is_worth(cell, known[key]), key


def _is_worth(cell: str, default: Any) -> bool:
    if default is None or default == () or default == {} or isinstance(default, Section):
        return cell == "none" or not cell
    [text] = code(cell)
    if isinstance(default, bool):
        return text == str(default).lower()
    if isinstance(default, int) and not text.isdigit():
        return parse_duration(text) == default
    return text == str(default)


def test_filters_within_filters_are_documented_elsewhere() -> None:
    assert {*LEAVES} - {Bounds} <= {model for models in MODELS.values() for model in models}
    assert dict(keys(Bounds)).keys() <= dict(keys(Matcher)).keys()
    assert Route in {*_sections(NotificationPolicySpec.model_fields["route"].annotation)}


_READINGS = {
    Reading.BREACH: "breach",
    Reading.OK: "ok",
    Reading.NO_DATA: "no data",
    Reading.FAILED: "evaluation failed",
}
_SILENT = (Effect.BEGIN, Effect.NOTE, Effect.FORGET)


def states_table() -> str:
    """The table of states as the page has it."""
    lines = [f"| it is | {' | '.join(_READINGS.values())} |", "|---|---|---|---|---|"]
    for phase in Phase:
        cells = (_cell(phase, READ[phase, reading]) for reading in _READINGS)
        lines.append(f"| `{phase}` | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(phase: Phase, move: Move) -> str:
    told = [f"tells `{each.status}`" for each in move.effects if each not in _SILENT]
    to = [] if move.to is phase else [f"`{move.to}`"]
    return ", ".join([*to, *told]) or "-"


def decisions_table() -> str:
    """The table of decisions as the page has it."""
    lines = ["| an alert is | at a contact point where | what is done |", "|---|---|---|"]
    lines += [f"| {_status(row)} | {row.name} | {row.action.value} |" for row in TABLE]
    return "\n".join(lines) + "\n"


def _status(row: Row) -> str:
    return "firing or no data" if row.status == "active" else row.status or "any"


@pytest.mark.parametrize(
    ("heading", "table"),
    [("States", states_table()), ("What is told when", decisions_table())],
    ids=["states", "decisions"],
)
def test_the_table_is_that_of_the_code(heading: str, table: str) -> None:
    assert table in section(PAGE, heading), table


AVAILABILITY = {"sli": {"availability": {"of": {}}}, "objective": 99.9}


def burn_tables() -> tuple[list[list[str]], list[list[str]]]:
    text = section(PAGE, "Burn rates")
    return rows(text, 5)[1:], rows(text, 3)[1:]


def test_the_four_tiers_are_those_of_the_code() -> None:
    rate = BurnRate.of(SloSpec.model_validate(AVAILABILITY))
    shown, _ = burn_tables()
    told = [
        [code(severity)[0], parse_duration(long), parse_duration(short), float(factor)]
        for severity, long, short, _, factor in shown
    ]
    assert told == [
        [tier.severity, tier.long_ms * MILLISECOND, tier.short_ms * MILLISECOND, float(tier.factor)]
        for tier in rate.tiers
    ]
    for row, tier in zip(shown, rate.tiers, strict=True):
        share = float(tier.factor) * tier.long_ms / (30 * 86_400_000)
        assert row[3] == f"{share:.0%}".replace("%", " %"), spell(tier.long_ms * MILLISECOND)


def test_what_the_guard_costs_is_computed() -> None:
    _, shown = burn_tables()
    z = NormalDist().inv_cdf(0.95)
    limit = 0.0144
    for rate, without, with_it in shown:
        events = int(3600 * float(rate))
        sure = next(
            n for n in range(events) if n > events * limit and is_sure(Counts(events, n), limit, z)
        )
        plain = next(n for n in range(events) if n > events * limit)
        assert f"{plain / float(rate):g} s" == without
        assert abs(sure / float(rate) - float(with_it.removesuffix(" s"))) < 0.1, rate


def test_every_file_that_a_command_names_is_shown() -> None:
    shown = {block.info.removeprefix("yaml ") for block in FILES}
    lines = "".join(block.text for block in blocks("sh") if block.name.startswith(PAGE))
    named = re.findall(r" -f (\S+)", lines)
    assert named
    assert {*named} <= shown
