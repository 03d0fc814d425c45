"""`tailrace apply`, `get` and `delete` as a user types them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tailrace.streams.broker import EmbeddedBroker
from tailrace_loadtest.processes import Process
from tests.patience import PATIENCE_S

NOBODY = "127.0.0.1:1"
_numbers = itertools.count(1)

DOCUMENTS = """
apiVersion: tailrace/v1
kind: Alert
metadata:
  name: checkout-errors
  labels: {owner: shop}
  annotations: {runbook_url: "https://wiki/a", dashboard_url: "https://grafana/a"}
spec: {where: {service: checkout, status: error}, when: ">= 10", within: 5m, severity: critical}
---
apiVersion: tailrace/v1
kind: SLO
metadata: {name: checkout}
spec: {sli: {availability: {of: {service: checkout, kind: server}}}, objective: 99.9}
"""

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(broker: EmbeddedBroker, tmp_path: Path) -> Run:
    """Runs a command for an app of the test's own: its exit code, and all that it said."""
    config = tmp_path / "worker.json"
    said = {"app": f"applied{next(_numbers)}", "kafka": {"bootstrap_servers": broker.bootstrap}}
    config.write_text(json.dumps(said))

    def command(*arguments: str) -> tuple[int, str]:
        return _run(*arguments, "-c", str(config), log=tmp_path / "log")

    return command


def _run(*arguments: str, log: Path) -> tuple[int, str]:
    process = Process(arguments, log)
    try:
        return process.wait(PATIENCE_S), process.output
    finally:
        process.kill()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "definitions.yaml"
    path.write_text(DOCUMENTS)
    return path


def _json(said: str) -> Any:
    return json.loads(said.splitlines()[-1])


def test_definitions_are_applied_shown_changed_and_deleted(run: Run, file: Path) -> None:
    code, said = run("apply", "-f", str(file), "--dry-run")
    assert code == 0, said
    assert "Alert checkout-errors would be created\n" in said
    code, said = run("apply", "-f", str(file))
    assert code == 0, said
    assert "Alert checkout-errors created (version 1)\nSLO checkout created (version 2)\n" in said
    file.write_text(DOCUMENTS.replace("99.9", "99.5"))
    code, said = run("apply", "-f", str(file), "--json")
    assert code == 0, said
    assert [(each["name"], each["action"], each["version"]) for each in _json(said)["changes"]] == [
        ("checkout-errors", "unchanged", 1),
        ("checkout", "changed", 3),
    ]
    code, said = run("get", "all")
    rows = [line.split()[:4] for line in said.splitlines()]
    head = ["KIND", "TENANT", "NAME", "VERSION"]
    # What the client logs of a broker that stands still comes before.
    assert rows[rows.index(head) :] == [
        head,
        ["Alert", "default", "checkout-errors", "1"],
        ["SLO", "default", "checkout", "3"],
    ]
    code, said = run("delete", "slos", "checkout")
    assert (code, said.splitlines()[-1]) == (0, "SLO checkout deleted (version 4)")
    code, said = run("delete", "slo", "checkout-error")
    assert code == 1
    assert 'SLO "checkout-error" of tenant "default" is not there' in said
    code, said = run("get", "SLO", "--json")
    assert (code, _json(said)) == (0, [])


def test_what_get_says_apply_reads_back_as_unchanged(run: Run, file: Path) -> None:
    run("apply", "-f", str(file))
    code, said = run("get", "all", "--yaml")
    assert code == 0
    assert [each["kind"] for each in yaml.safe_load_all(said)] == ["Alert", "SLO"]
    file.write_text(said)
    code, said = run("apply", "-f", str(file), "--json")
    assert {each["action"] for each in _json(said)["changes"]} == {"unchanged"}
    code, said = run("get", "alert", "checkout-errors", "--json")
    (found,) = _json(said)
    assert found["version"] == 1
    assert found["document"]["spec"]["where"] == {"service": "checkout", "status": ["error"]}


def test_a_file_with_one_wrong_document_is_refused_whole(run: Run, file: Path) -> None:
    file.write_text(DOCUMENTS.replace("99.9", "100"))
    code, said = run("apply", "-f", str(file))
    assert code == 1
    assert 'documents[1] SLO "checkout": spec.objective is 100' in said
    assert "Traceback" not in said
    code, said = run("get", "all", "--json")
    assert _json(said) == []


def test_strict_refuses_what_is_otherwise_warned_of(run: Run, file: Path) -> None:
    code, said = run("apply", "-f", str(file), "--strict")
    assert code == 1
    assert 'SLO "checkout": metadata.labels.owner is missing' in said
    assert _json(run("get", "all", "--json")[1]) == []
    code, said = run("apply", "-f", str(file))
    assert code == 0
    assert 'warning: SLO "checkout": metadata.labels.owner is missing' in said


def test_with_a_tenant_only_its_definitions_are_seen_and_touched(run: Run, file: Path) -> None:
    run("apply", "-f", str(file))
    code, said = run("apply", "-f", str(file), "--tenant", "acme")
    assert code == 0
    assert "Alert checkout-errors of acme created (version 3)" in said
    found = _json(run("get", "alerts", "--tenant", "acme", "--json")[1])
    assert [each["tenant"] for each in found] == ["acme"]
    code, said = run("delete", "alert", "checkout-errors", "--tenant", "other")
    assert code == 1
    file.write_text(DOCUMENTS.replace("{name: checkout}", "{name: checkout, tenant: acme}"))
    code, said = run("apply", "-f", str(file), "--tenant", "other")
    assert code == 1
    assert 'documents[1] SLO "checkout": metadata.tenant is "acme"; only definitions of' in said
    assert len(_json(run("get", "all", "--json")[1])) == 4


def test_a_kind_that_is_not_known_is_refused_with_the_nearest(run: Run) -> None:
    code, said = run("get", "alrt")
    assert code == 1
    assert 'KIND "alrt" is not known; did you mean alert?' in said


@pytest.mark.parametrize("command", ["apply", "get", "delete"])
def test_without_a_broker_the_remedy_is_named(command: str, file: Path, tmp_path: Path) -> None:
    arguments = {
        "apply": ["apply", "-f", str(file)],
        "get": ["get", "alerts"],
        "delete": ["delete", "alert", "checkout-errors"],
    }[command]
    code, said = _run(*arguments, "--bootstrap", NOBODY, log=tmp_path / "log")
    assert code == 3, said
    assert f"no Kafka broker answers at {NOBODY}" in said
    assert "--bootstrap" in said
    assert "Traceback" not in said


def test_a_snooze_for_years_is_refused(tmp_path: Path) -> None:
    (tmp_path / "snooze.yaml").write_text(
        "{apiVersion: tailrace/v1, kind: Snooze, metadata: {name: s}, "
        "spec: {alert: a, until: '2999-01-01T00:00:00Z', reason: r}}"
    )
    arguments = ["apply", "-f", str(tmp_path / "snooze.yaml"), "--bootstrap", NOBODY]
    code, said = _run(*arguments, log=tmp_path / "log")
    assert code == 1
    assert "spec.until is 2999-01-01T00:00:00Z; a snooze lasts at most 30 days" in said


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    missing = str(tmp_path / "none.yaml")
    code, said = _run("apply", "-f", missing, "--bootstrap", NOBODY, log=tmp_path / "log")
    assert code == 1
    assert "none.yaml cannot be read: no such file" in said
