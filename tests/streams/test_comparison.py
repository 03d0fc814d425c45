"""What two configs keep of the same data."""

from __future__ import annotations

import struct
from pathlib import Path

import orjson
import pytest
from click.testing import Result
from typer.testing import CliRunner

from tailrace.schemas.config import parse
from tailrace.schemas.definitions import Definitions
from tailrace.schemas.errors import ConfigError
from tailrace.streams.cli import app
from tailrace.streams.comparison import Side, compare, side
from tests.otlp import ERROR, MS, Span, message

MINUTE = 60_000 * MS
A, B, C, D = (letter * 16 for letter in (b"A", b"B", b"C", b"D"))
ERRORS = """
tail_sampling:
  policies: [{name: errors, type: status_code, status_code: {status_codes: [ERROR]}}]
"""
SLOW = """
tail_sampling:
  routes: [{topic: interesting, policies: [slow]}]
  policies:
    - {name: slow, type: latency, latency: {threshold_ms: 100}}
    - {name: errors, type: status_code, status_code: {status_codes: [ERROR]}}
"""
SPANS = [
    Span(A, service="api", status=ERROR),
    Span(A, service="cart", end=200 * MS),
    Span(B, service="api", status=ERROR, end=5 * MS),
    Span(C, service="cart", end=2000 * MS),
    Span(D, service="api"),
]


def frames(path: Path) -> Path:
    values = [message(span) for span in SPANS]
    path.write_bytes(b"".join(struct.pack(">I", len(value)) + value for value in values))
    return path


def test_what_each_keeps_is_counted_by_policy_service_status_and_latency(tmp_path: Path) -> None:
    sides = [Side(name, parse(text), Definitions()) for name, text in (("e", ERRORS), ("s", SLOW))]
    found = compare(sides, [frames(tmp_path / "in.pb")], "at-once", tmp_path / "out")
    assert found["configs"] == ["e", "s"]
    assert (found["traces"], found["spans"]) == (4, 5)
    assert [(each["traces"], each["spans"]) for each in found["kept"]] == [(2, 3), (3, 4)]
    assert (found["kept_by_both"], found["kept_by_one_only"]) == (2, [0, 1])

    def traces(key: str) -> dict[str, list[int]]:
        return {name: [each["traces"] for each in cells] for name, cells in found[key].items()}

    assert traces("by_policy") == {"errors": [2, 1], "slow": [0, 2]}
    assert traces("by_service") == {"api": [2, 2], "cart": [1, 2]}
    assert traces("by_status") == {"error": [2, 2], "no error": [0, 1]}
    assert traces("by_latency") == {"< 10 ms": [1, 1], "< 1 s": [1, 1], "< 10 s": [0, 1]}
    assert found["examples"][0] == []
    assert [each["trace_id"] for each in found["examples"][1]] == [C.hex()]
    assert orjson.loads((tmp_path / "out" / "comparison.json").read_bytes()) == found


def test_bytes_are_those_that_are_written_wherever_they_go(tmp_path: Path) -> None:
    text = SLOW.replace("  routes", "  stamp: false\n  routes")
    sides = [Side(name, parse(text), Definitions()) for name in "ab"]
    found = compare(sides, [frames(tmp_path / "in.pb")], "at-once", tmp_path / "out")
    kept = [span for span in SPANS if span.trace_id != D]
    assert [each["bytes"] for each in found["kept"]] == [sum(len(message(s)) for s in kept)] * 2


def test_a_trace_that_is_decided_again_is_kept_if_any_decision_keeps_it(tmp_path: Path) -> None:
    failed, fine = Span(A, status=ERROR), Span(A)
    other = Span(B)
    text = ERRORS.replace("policies", "decision_wait: 1s\n  decision_retention: 1s\n  policies")
    sides = [Side(name, parse(text), Definitions()) for name in "ab"]
    for name, spans in (("first", (failed, other, fine)), ("last", (fine, other, failed))):
        values = [
            message(span.but(start=minute * MINUTE, end=minute * MINUTE + MS))
            for minute, span in enumerate(spans, 1)
        ]
        path = tmp_path / f"{name}.pb"
        path.write_bytes(b"".join(struct.pack(">I", len(value)) + value for value in values))
        found = compare(sides, [path], "event", tmp_path / name)
        assert (found["traces"], found["spans"]) == (2, 3)
        assert [(each["traces"], each["spans"]) for each in found["kept"]] == [(1, 1)] * 2
        assert list(found["by_policy"]) == ["errors"]


def test_a_person_can_read_it(tmp_path: Path) -> None:
    for name, text in (("errors.yaml", ERRORS), ("slow.yaml", SLOW)):
        (tmp_path / name).write_text(text)
    arguments = ["simulate", "-c", str(tmp_path / "errors.yaml"), "--out", str(tmp_path / "out")]
    arguments += ["--against", str(tmp_path / "slow.yaml"), str(frames(tmp_path / "in.pb"))]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "kept by both: 2, only by errors.yaml: 0, only by slow.yaml: 1" in result.output
    assert C.hex() in result.output
    as_json = CliRunner().invoke(app, [*arguments, "--json"])
    assert orjson.loads(as_json.output)["kept_by_one_only"] == [0, 1]


def test_of_two_configs_the_one_that_is_wrong_is_named(tmp_path: Path) -> None:
    path = tmp_path / "other.yaml"
    for text, wrong in (
        (ERRORS.replace("ERROR", "BAD"), ": tail_sampling.policies[0].status_code"),
        ("app: [", ", line 1, column 7, is not valid YAML"),
    ):
        path.write_text(text)
        with pytest.raises(ConfigError) as error:
            side(path, parse(ERRORS), [])
        assert str(error.value).startswith(f"{path}{wrong}")


APPLIED = """
apiVersion: tailrace/v1
kind: TailSampling
metadata: {name: slow}
spec: {policies: [{name: slow, type: latency, latency: {threshold_ms: 100}}]}
"""


def test_a_config_is_compared_with_policies_that_are_to_be_applied(tmp_path: Path) -> None:
    (tmp_path / "now.yaml").write_text(ERRORS)
    (tmp_path / "policies.yaml").write_text(APPLIED)
    words = ["simulate", "-c", str(tmp_path / "now.yaml"), "--out", str(tmp_path / "out"), "--json"]
    words += ["--against", str(tmp_path / "policies.yaml"), str(frames(tmp_path / "in.pb"))]
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    found = orjson.loads(done.output)
    assert found["configs"] == ["now.yaml", "policies.yaml"]
    kept = {name: [each["traces"] for each in cells] for name, cells in found["by_policy"].items()}
    assert kept == {"errors": [2, 0], "slow": [0, 2]}


def test_policies_of_a_tenant_that_is_none_are_warned_of(tmp_path: Path) -> None:
    (tmp_path / "now.yaml").write_text(ERRORS)
    (tmp_path / "tenancy.yaml").write_text(ERRORS + "tenancy: {resource_attribute: team}")
    (tmp_path / "acme.yaml").write_text(APPLIED.replace("name: slow}", "name: slow, tenant: acme}"))

    def run(config: str, *more: str) -> Result:
        words = ["simulate", "-c", str(tmp_path / config), "--out", str(tmp_path / "out"), *more]
        words += ["--against", str(tmp_path / "acme.yaml"), str(frames(tmp_path / "in.pb"))]
        return CliRunner().invoke(app, words, catch_exceptions=False)

    warning = "acme.yaml: what is of acme changes nothing, for tenancy does not say whose spans are"
    assert run("now.yaml").stderr.splitlines() == [f"warning: {warning}"]
    assert orjson.loads(run("now.yaml", "--json").stdout)["warnings"] == [warning]
    assert run("tenancy.yaml").stderr == ""
