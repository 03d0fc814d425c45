"""What the API shows of tasks, without HTTP: of real tasks that were fed with real records."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from tailrace.agents.notifier.figures import week_of
from tailrace.agents.notifier.sender import LaneStatus
from tailrace.schemas import rfc3339
from tailrace.schemas.alert_events import AlertEvent, event_id, fingerprint
from tailrace.schemas.definitions.definition import CONTACT_POINT, DefinitionKey
from tailrace.schemas.notifications import Failed, Figures, WeekOfPages
from tailrace.schemas.records import Outbox, Totals
from tailrace.streams.api.alert_views import STATUS_OF, STATUSES, AlertList, alert_list
from tailrace.streams.api.budget_views import BudgetList, budget_list
from tailrace.streams.api.notification_views import figures_view, notification_state
from tailrace.streams.stages import NOTIFICATIONS, ROLLUPS
from tailrace.streams.task import TaskId
from tailrace.tables.alert_states import Phase
from tests.streams.api_worker import BEGIN_S, ApiWorker, definitions, span

ALERT = """
apiVersion: tailrace/v1
kind: Alert
metadata: {name: errors, labels: {owner: shop}, annotations: {runbook_url: "https://wiki"}}
spec:
  where: {service: checkout, status: error}
  when: {critical: ">= 10", warning: ">= 2"}
  within: 1m
  group_by: [service]
  trace_url: "https://traces/{trace_id}"
"""
SLO = """
apiVersion: tailrace/v1
kind: SLO
metadata: {name: good}
spec: {sli: {availability: {of: {service: checkout}}}, objective: 99.9, period: 168h}
"""
BOTH = f"{ALERT}---{SLO}"
POLICY = """
apiVersion: tailrace/v1
kind: NotificationPolicy
metadata: {name: all, tenant: acme}
spec: {route: {receiver: ops}}
---
apiVersion: tailrace/v1
kind: ContactPoint
metadata: {name: ops, tenant: acme}
spec: {webhook: {url: "https://hook.example"}}
"""


def alerts(
    worker: ApiWorker,
    *,
    tenant: str | None = None,
    name: str | None = None,
    statuses: frozenset[str] = frozenset(STATUSES),
    limit: int = 100,
) -> AlertList:
    held = worker.state.alerts()
    return alert_list(held, tenant=tenant, name=name, statuses=statuses, limit=limit)


def budgets(worker: ApiWorker, tenant: str | None = None, name: str | None = None) -> BudgetList:
    return budget_list(worker.state.alerts(), tenant=tenant, name=name, limit=100)


# Alerts


def test_an_alert_is_shown_as_its_events_tell_it_with_evidence_and_links() -> None:
    worker = ApiWorker(ALERT)
    worker.evidence("errors", span(1), ["checkout"])
    worker.evidence("errors", span(2, 1), ["checkout"])
    worker.matches("errors", 0, 5, 5, ["checkout"])
    (found,) = alerts(worker).alerts
    identity = fingerprint("default", "errors", "warning", {"service": "checkout"})
    began = (BEGIN_S + 1) * 1000
    assert asdict(found) == {
        "fingerprint": identity,
        "id": event_id(identity, began),
        "tenant": "default",
        "name": "errors",
        "kind": "trace",
        "severity": "warning",
        "status": "firing",
        "phase": "firing",
        "labels": {"owner": "shop", "service": "checkout"},
        "annotations": {
            "summary": "5 matched in the last 1m; the alert is on >= 2.",
            "runbook_url": "https://wiki",
            "trace_url": f"https://traces/{2:032x}",
        },
        "value": 5.0,
        "threshold": 2.0,
        "window": "1m",
        "starts_at": rfc3339.spell(began),
        "since": rfc3339.spell(began),
        "definition_version": 1,
        "spans": [
            {
                "trace_id": f"{number:032x}",
                "span_id": f"{number:016x}",
                "service": "checkout",
                "name": "POST /pay",
                "duration_ms": 50.0,
                "at": rfc3339.spell((BEGIN_S + number - 1) * 1000),
                "sampled": None,
                "url": f"https://traces/{number:032x}",
            }
            for number in (2, 1)
        ],
    }


def test_an_alert_that_is_over_has_no_value_but_its_evidence() -> None:
    worker = ApiWorker(ALERT)
    worker.evidence("errors", span(1), ["checkout"])
    worker.matches("errors", 0, 5, 5, ["checkout"])
    worker.pass_time(90)
    (found,) = alerts(worker).alerts
    assert (found.status, found.phase) == ("resolved", "resolved")
    assert (found.value, found.threshold, found.window) == (None, None, None)
    assert found.annotations == {"runbook_url": "https://wiki"}
    assert [each.trace_id for each in found.spans] == [f"{1:032x}"]


def test_every_phase_has_the_status_that_was_told_of_it() -> None:
    assert STATUS_OF.keys() == set(Phase)
    for phase in Phase:
        last = phase.value.removeprefix("firing_").removeprefix("pending_")
        if STATUS_OF[phase] != last:
            assert phase in (
                Phase.KEEP_FIRING,
                Phase.FLAPPING,
                Phase.PENDING_UNKNOWN,  # nothing was told since it was pending
                Phase.OVERDUE,
                Phase.GONE,
            )


def test_alerts_are_chosen_by_tenant_name_and_status() -> None:
    worker = ApiWorker(ALERT)
    worker.apply(*definitions(ALERT, "acme"), *definitions(ALERT.replace("name: e", "name: b")))
    worker.inform()
    worker.matches("errors", 0, 20, 20, ["a"])
    worker.matches("errors", 0, 5, 5, ["b"], partition=1)
    worker.matches("errors", 0, 5, 5, ["a"], tenant="acme")
    worker.matches("brrors", 0, 5, 5, ["a"])
    worker.pass_time(3)
    found = [(each.tenant, each.name, each.severity) for each in alerts(worker).alerts]
    assert found == [
        ("acme", "errors", "warning"),
        ("default", "brrors", "warning"),
        ("default", "errors", "critical"),
        ("default", "errors", "warning"),
        ("default", "errors", "warning"),
    ]
    assert [each.tenant for each in alerts(worker, tenant="acme").alerts] == ["acme"]
    assert [each.name for each in alerts(worker, name="brrors").alerts] == ["brrors"]
    assert alerts(worker, statuses=frozenset({"pending", "resolved"})).total == 0
    assert alerts(worker, statuses=frozenset({"firing"})).total == 5
    assert alerts(worker, tenant="nobody") == AlertList([0, 1], True, 0, [])


def test_at_most_the_limit_is_shown_and_all_are_counted() -> None:
    worker = ApiWorker(ALERT)
    for group in "abcd":
        worker.matches("errors", 0, 5, 5, [group])
    worker.pass_time(3)
    found = alerts(worker, limit=2)
    assert [each.labels["service"] for each in found.alerts] == ["a", "b"]
    assert found.total == 4


@pytest.mark.parametrize(
    ("held", "partitions", "is_complete"),
    [(2, [0, 1], True), (1, [0], False), (0, [], False)],
    ids=["all partitions", "some of them", "none"],
)
def test_a_worker_says_for_which_partitions_it_speaks(
    held: int, partitions: list[int], is_complete: bool
) -> None:
    state = ApiWorker(BOTH, held=held).state
    for found in (state.alerts(), state.notifiers()):
        assert (found.partitions, found.is_complete) == (partitions, is_complete)
    shown = alerts(ApiWorker(BOTH, held=held))
    assert (shown.partitions, shown.complete) == (partitions, is_complete)


def test_a_worker_without_the_stage_speaks_for_nothing() -> None:
    worker = ApiWorker(BOTH)
    worker.tasks = {
        place: task for place, task in worker.tasks.items() if place.stage == NOTIFICATIONS
    }
    assert alerts(worker) == AlertList([], False, 0, [])
    assert worker.state.notifiers().is_complete


def test_asking_changes_nothing() -> None:
    asked, other = ApiWorker(BOTH), ApiWorker(BOTH)
    for worker in (asked, other):
        worker.matches("errors", 0, 20, 20, ["a"])
        worker.matches("good", 0, 100, 3, kind="SLO")
        if worker is asked:
            alerts(worker)
            budgets(worker)
        worker.pass_time(30)
    place = TaskId(ROLLUPS, 0)
    assert asked.tasks[place].snapshot() == other.tasks[place].snapshot()


# Budgets


def test_a_budget_is_shown_with_what_is_left_of_it_and_how_fast_it_burns() -> None:
    worker = ApiWorker(SLO)
    worker.matches("good", 0, 100_000, 300, kind="SLO")
    worker.pass_time(3700)
    (found,) = budgets(worker).budgets
    assert (found.objective, found.period, found.calendar) == (99.9, "168h", None)
    assert (found.events, found.bad) == (100_000, 300)
    # Of a week 3699 seconds have passed, and three times the share of them was bad.
    assert found.consumed == pytest.approx(3 * 3699 / (7 * 86_400))
    assert found.consumed + found.left == pytest.approx(1)
    assert found.minutes == pytest.approx(7 * 24 * 60 / 1000)
    assert found.minutes_left == pytest.approx(found.minutes * found.left)
    assert found.burn.keys() == {"1h", "6h", "24h", "72h"}
    assert found.burn["6h"] == pytest.approx(3)
    assert found.burn["1h"] is None
    assert found.health == "no_traffic"  # in the last hour
    assert found.as_of == rfc3339.spell((BEGIN_S + 3700) * 1000)


def test_no_errors_and_no_input_are_shown_as_two_things() -> None:
    worker = ApiWorker(SLO)
    worker.matches("good", 0, 100, 0, kind="SLO")
    worker.pass_time(11)
    assert [each.health for each in budgets(worker).budgets] == ["no_errors"]
    worker.matches("good", 12, 100, 1, kind="SLO")
    worker.pass_time(23)
    assert [each.health for each in budgets(worker).budgets] == ["errors"]
    worker.tasks[TaskId(ROLLUPS, 0)].advance((BEGIN_S + 3600) * 1000)
    assert [each.health for each in budgets(worker).budgets] == ["no_input"]


def test_budgets_are_chosen_by_tenant_and_name() -> None:
    worker = ApiWorker(SLO)
    worker.apply(*definitions(SLO, "acme"))
    worker.inform()
    for tenant in ("default", "acme"):
        worker.matches("good", 0, 100, 0, tenant=tenant, kind="SLO")
    assert [each.tenant for each in budgets(worker).budgets] == ["acme", "default"]
    assert [each.tenant for each in budgets(worker, "acme").budgets] == ["acme"]
    assert budgets(worker, name="better").total == 0


# Notifications


def event(tenant: str, name: str = "errors") -> AlertEvent:
    at = BEGIN_S * 1000
    identity = fingerprint(tenant, name, "page", {})
    return AlertEvent(
        id=event_id(identity, at),
        fingerprint=identity,
        tenant=tenant,
        name=name,
        kind="trace",
        status="firing",
        severity="page",
        labels={"service": "checkout"},
        annotations={},
        value=1.0,
        threshold=1.0,
        window_ms=60_000,
        starts_at=at,
        ends_at=None,
        evaluated_at=at,
    )


def test_what_waits_and_what_failed_is_shown_to_its_tenant_only() -> None:
    worker = ApiWorker(POLICY)
    worker.apply(*definitions(POLICY.replace("acme", "other")))
    worker.inform()
    worker.told(event("acme"), event("other"))
    worker.lanes = [
        LaneStatus(DefinitionKey(CONTACT_POINT, tenant, "ops"), "open", 1, 2.5, "refused")
        for tenant in ("acme", "other")
    ]
    state = worker.state
    found = notification_state(state.notifiers(), state.lanes(), tenant="acme")
    (waiting,) = found.pending
    assert (waiting.tenant, waiting.contact_point, waiting.status) == ("acme", "ops", "firing")
    assert [(each.name, each.news) for each in waiting.alerts] == [("errors", "new")]
    assert [asdict(each) for each in found.lanes] == [
        {
            "tenant": "acme",
            "contact_point": "ops",
            "circuit": "open",
            "waiting": 1,
            "oldest_s": 2.5,
            "error": "refused",
        }
    ]
    assert [(each.name, each.weeks[-1].week, each.weeks[-1].pages) for each in found.figures] == [
        ("errors", "2027-01-11", 1)
    ]
    everyone = notification_state(state.notifiers(), state.lanes(), tenant=None)
    assert {each.tenant for each in everyone.pending} == {"acme", "other"}
    logic = state.notifiers().logics[0]
    logic.sent(waiting.id, Failed("410 Gone"), Outbox(), Totals())
    found = notification_state(state.notifiers(), state.lanes(), tenant=None)
    assert {each.tenant for each in found.lanes} == {"acme", "other"}
    assert [(each.error, each.notification.id) for each in found.undelivered] == [
        ("410 Gone", waiting.id)
    ]
    assert [each.retry_at for each in found.undelivered] == ["2027-01-15T10:00:00.000Z"]
    assert waiting.id not in {each.id for each in found.pending}
    hidden = notification_state(state.notifiers(), state.lanes(), tenant="nobody")
    assert [*hidden.pending, *hidden.undelivered, *hidden.lanes, *hidden.figures] == []


@pytest.mark.parametrize(
    "at", ["2027-01-11T00:00:00Z", "2027-01-15T08:00:00Z", "2027-01-17T23:59:59Z"]
)
def test_a_week_is_shown_by_its_monday(at: str) -> None:
    weeks = [WeekOfPages(week_of(rfc3339.parse(at)), 4, 3, 2, 1)]
    (found,) = figures_view(Figures("acme", "errors", weeks)).weeks
    assert asdict(found) == {
        "week": "2027-01-11",
        "pages": 4,
        "out_of_hours": 3,
        "flapping": 2,
        "unacted": 1,
    }
