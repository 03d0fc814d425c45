"""What is warned of in definitions."""

from __future__ import annotations

import pytest

from tailrace.schemas.config import parse
from tailrace.schemas.definitions import Definitions, files
from tailrace.schemas.definitions.lint import lint

GOOD = """
apiVersion: tailrace/v1
kind: Alert
metadata:
  name: a
  labels: {owner: shop}
  annotations: {runbook_url: "https://wiki/a", dashboard_url: "https://grafana/a"}
spec: {where: {}, when: "> 5", severity: critical}
"""
SLO = GOOD.replace("kind: Alert", "kind: SLO").replace(
    '{where: {}, when: "> 5", severity: critical}',
    "{sli: {availability: {of: {}}}, objective: 99.9}",
)
POLICY = """
apiVersion: tailrace/v1
kind: NotificationPolicy
metadata: {name: p}
spec: {route: {receiver: oncall, routes: [{receiver: chat}]}, heartbeat: {receiver: dead}}
"""
POINT = """
---
apiVersion: tailrace/v1
kind: ContactPoint
metadata: {name: NAME}
spec: {slack: {url: {env: URL}}}
"""


def _warnings(text: str) -> list[str]:
    definitions = files.read(text, "test").definitions
    return list(map(str, lint(definitions, Definitions.of_all(definitions))))


@pytest.mark.parametrize("text", [GOOD, SLO], ids=["an alert", "an SLO"])
def test_nothing_is_said_of_what_lacks_nothing(text: str) -> None:
    assert _warnings(text) == []


CASES = {
    "nobody owns it": (
        GOOD.replace("owner", "team"),
        'Alert "a": metadata.labels.owner is missing; say who is to act on it',
    ),
    "no runbook": (
        GOOD.replace("runbook_url", "book"),
        'Alert "a": metadata.annotations.runbook_url is missing; say what is to be done',
    ),
    "a runbook that is no link": (
        GOOD.replace("https://wiki", "wiki"),
        'Alert "a": metadata.annotations.runbook_url is no link; it begins with https:// or '
        "http://",
    ),
    "no dashboard of an SLO": (
        SLO.replace("dashboard_url", "board"),
        'SLO "a": metadata.annotations.dashboard_url is missing; say where to look',
    ),
    "no severity": (
        GOOD.replace(", severity: critical", ""),
        'Alert "a": spec.severity is not said; it is warning. Say it, or give `when` by severity',
    ),
    "no data of what had better not match": (
        GOOD.replace("severity:", "no_data_after: 10m, severity:"),
        'Alert "a": spec.no_data_after tells `no_data` of each group that had no span of `where` '
        "for 10m, which here is good news; remove it. To be told that spans stay out, alert on "
        "`< 1` of them, or take an SLO on freshness",
    ),
    "an SLO that one bad event burns": (
        SLO.replace("99.9}", "99.9, confidence: 0}"),
        'SLO "a": spec.minimum_events is 20, of which one bad event burns at 50 times the rate of '
        "the budget; say more, or a confidence",
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_one_warning(case: tuple[str, str]) -> None:
    text, warning = case
    assert _warnings(text) == [warning]


@pytest.mark.parametrize(
    "spec",
    [
        'when: "< 5"',
        'when: {critical: "== 0", warning: "> 5"}',
        'when: "> 5%", aggregate: share, of: {}',
        'when: "> 5s", aggregate: quantile',
    ],
)
def test_no_data_of_what_should_go_on_coming_is_in_order(spec: str) -> None:
    text = GOOD.replace('when: "> 5"', f"no_data_after: 10m, {spec}")
    assert _warnings(text) == []


def test_a_severity_for_each_threshold_is_enough() -> None:
    text = GOOD.replace(", severity: critical", "").replace('"> 5"', '{critical: "> 5"}')
    assert _warnings(text) == []


def test_enough_events_need_no_guard() -> None:
    text = SLO.replace("99.9}", "99.9, confidence: 0, minimum_events: 1000}")
    assert _warnings(text) == []


def test_receivers_that_are_no_contact_points_are_told_and_the_nearest_named() -> None:
    assert _warnings(POLICY + POINT.replace("NAME", "oncal")) == [
        'NotificationPolicy "p": spec.route.receiver is "oncall", and no contact point has that '
        "name; did you mean oncal?",
        'NotificationPolicy "p": spec.route.routes[0].receiver is "chat", and no contact point has '
        "that name; it must be one of oncal",
        'NotificationPolicy "p": spec.heartbeat.receiver is "dead", and no contact point has that '
        "name; it must be one of oncal",
    ]
    points = "".join(POINT.replace("NAME", name) for name in ("oncall", "chat", "dead"))
    assert _warnings(POLICY + points) == []


def test_a_contact_point_of_another_tenant_is_none() -> None:
    points = "".join(
        POINT.replace("NAME", f"{name}, tenant: other") for name in ("oncall", "chat", "dead")
    )
    warnings = _warnings(POLICY + points)
    assert len(warnings) == 3
    assert all(each.endswith("there is none yet; apply it") for each in warnings)


def test_receivers_in_a_config_that_has_no_such_contact_point_are_told() -> None:
    points = "contact_points: [{name: oncall, webhook: {url: 'https://example.com/'}}]"
    policies = "policies: [{name: p, route: {receiver: oncall, routes: [{receiver: oncal}]}}]"
    config = parse(f"notify: {{{points}, {policies}}}", "test.yaml", {})
    assert list(map(str, config.warnings)) == [
        'notify.policies[0].route.routes[0].receiver is "oncal", and no contact point has that '
        "name; did you mean oncall?"
    ]
