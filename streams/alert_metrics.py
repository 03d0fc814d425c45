"""The metrics of definitions, matches, alerts and notifications; see `declared_metrics`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

from tailrace.agents.alerts.agent import NAME as ALERTS
from tailrace.agents.alerts.logic import AlertsLogic
from tailrace.agents.matches.agent import NAME as MATCHES
from tailrace.agents.metric_samples.agent import NAME as METRIC_SAMPLES
from tailrace.agents.metrics.agent import NAME as METRICS
from tailrace.agents.notifier.agent import NAME as NOTIFIER
from tailrace.agents.notifier.circuit import State
from tailrace.agents.notifier.logic import NotifierLogic
from tailrace.agents.sampling.agent import NAME as SAMPLING
from tailrace.agents.sampling.logic import SamplingLogic
from tailrace.streams.engine import Engine
from tailrace.streams.metric_kinds import (
    LaneMetric,
    ReadSplit,
    Split,
    SplitMetric,
    TaskMetric,
    WorkerMetric,
    parts,
    total,
)
from tailrace.streams.runner import Runner

STATUSES: Final = ("firing", "resolved", "heartbeat")
FATES: Final = ("delivered", "superseded", "expired")
CIRCUITS: Final[Mapping[State, float]] = {"closed": 0, "half_open": 1, "open": 2}
COSTS: Final = ("pages", "out_of_hours", "flapping", "unacted")


def _marked(runner: Runner) -> float:
    logic = runner.task.logics[SAMPLING]
    assert isinstance(logic, SamplingLogic)
    return logic.marked_traces


def _alerts(runner: Runner) -> AlertsLogic:
    logic = runner.task.logics[ALERTS]
    assert isinstance(logic, AlertsLogic)
    return logic


def _phases(engine: Engine, runner: Runner) -> Split:
    groups = _alerts(runner).groups
    found = Counter(phase for group in groups for _, phase, *_ in group.alerts.values())
    return {(phase,): count for phase, count in found.items()}


def _notifier(runner: Runner) -> NotifierLogic:
    logic = runner.task.logics[NOTIFIER]
    assert isinstance(logic, NotifierLogic)
    return logic


def _stuck(engine: Engine, runner: Runner) -> Split:
    failed = (each.notification for each in _notifier(runner).undelivered())
    return dict(Counter((each.tenant, each.contact_point) for each in failed))


def _notifications(names: tuple[str, ...]) -> ReadSplit:
    """Read those of the totals `notifications.a`, `notifications.b`, … that *names* has."""

    def read(engine: Engine, runner: Runner) -> Split:
        return {
            key: n for key, n in parts("notifications")(engine, runner).items() if key[0] in names
        }

    return read


def _figures(engine: Engine, runner: Runner) -> Split:
    return {
        (each.tenant, each.name, cost): sum(getattr(week, cost) for week in each.weeks)
        for each in _notifier(runner).figures()
        for cost in COSTS
    }


_OF_SAMPLES = (METRIC_SAMPLES,)
_OF_MATCHES, _OF_ALERTS, _OF_NOTIFIER = (MATCHES,), (ALERTS,), (NOTIFIER,)

TASK_METRICS = (
    TaskMetric("match_seen_spans", "Spans shown to the filters of alerts and objectives.",
               total("match_seen_spans"), True, _OF_MATCHES),
    TaskMetric("match_counted_spans", "Those of them that some definition counts.",
               total("match_counted_spans"), True, _OF_MATCHES),
    TaskMetric("match_uncounted_spans", "Those of them that none counts.",
               total("match_uncounted_spans"), True, _OF_MATCHES),
    TaskMetric("match_failures", "Times a filter failed on a span, which then does not match.",
               total("match_failures"), True, _OF_MATCHES),
    TaskMetric("match_late_spans", "Counted spans that ended more than 5 minutes before they came; "
               "they count as 5 minutes old.", total("match_late_spans"), True, _OF_MATCHES),
    TaskMetric("match_early_spans", "Counted spans that end after they came; they count as of "
               "then.", total("match_early_spans"), True, _OF_MATCHES),
    TaskMetric("match_overflow_spans", "Spans counted in the group that stands for all others: "
               "their signal had 10,000 groups in that interval.", total("match_overflow_spans"),
               True, _OF_MATCHES),
    TaskMetric("match_found_events", "Events counted after other spans came: of parents, of whole "
               "traces, and of the first span of a trace.", total("match_found_events"), True,
               _OF_MATCHES),
    TaskMetric("match_edge_requests", "Requests along edges of the service graph that some "
               "formula counts.", total("match_edge_requests"), True, _OF_MATCHES),
    TaskMetric("match_parents_missing", "Spans whose parent was asked for and did not come in "
               "time.", total("match_parents_missing"), True, _OF_MATCHES),
    TaskMetric("match_spans_forgotten", "Spans given up early in the search for parents: too many "
               "waited.", total("match_spans_forgotten"), True, _OF_MATCHES),
    TaskMetric("match_trace_late_spans", "Spans that came after their trace was judged whole.",
               total("match_trace_late_spans"), True, _OF_MATCHES),
    TaskMetric("match_traces_forced", "Traces judged early: too many waited.",
               total("match_traces_forced"), True, _OF_MATCHES),
    TaskMetric("match_judged_traces_forgotten", "Judged traces forgotten early: what comes of them "
               "is a trace again.", total("match_judged_traces_forgotten"), True, _OF_MATCHES),
    TaskMetric("match_firsts_forgotten", "Traces forgotten early where traces are counted: they "
               "may count again within the window.", total("match_firsts_forgotten"), True,
               _OF_MATCHES),
    TaskMetric("match_series_ignored", "Sums of matches that no series is written of: no "
               "definition asks for them any more, or not yet.", total("ignored_match_rows"), True,
               (METRICS,)),
    TaskMetric("match_rows", "Sums of matches that came to the windows of alerts.",
               total("match_rows"), True, _OF_ALERTS),
    TaskMetric("match_rows_added", "Those of them that some definition asks for.",
               total("match_rows_added"), True, _OF_ALERTS),
    TaskMetric("match_rows_ignored", "Those of them that none asks for any more, or not yet.",
               total("match_rows_ignored"), True, _OF_ALERTS),
    TaskMetric("metric_points", "Points of metrics that came in.", total("metric_points"), True,
               _OF_SAMPLES),
    TaskMetric("metric_points_asked", "Those of them that some alert asks for.",
               total("metric_points_asked"), True, _OF_SAMPLES),
    TaskMetric("metric_points_unasked", "Those of them that none asks for.",
               total("metric_points_unasked"), True, _OF_SAMPLES),
    TaskMetric("metric_points_unfit", "Times a point had not what it was asked for: of a counter "
               "its sum, for example.", total("metric_points_unfit"), True, _OF_SAMPLES),
    TaskMetric("metric_points_refused_tenants", "Points, of metrics that some alert asks for, "
               "that said a tenant that can be none; they count as of `default`.",
               total("metric_points_refused_tenants"), True, _OF_SAMPLES),
    TaskMetric("metric_samples_sent", "Samples sent to the windows of alerts.",
               total("metric_samples_sent"), True, _OF_SAMPLES),
    TaskMetric("metric_samples_received", "Samples that came there.", total("metric_samples"),
               True, _OF_ALERTS),
    TaskMetric("metric_samples_early", "Samples taken before their time, because another source "
               "was too far behind.", total("metric_samples_early"), True, _OF_ALERTS),
    TaskMetric("alert_evaluations", "Evaluations of a group of an alert or an SLO.",
               total("alert_evaluations"), True, _OF_ALERTS),
    TaskMetric("alert_evaluations_failed", "Those of them that failed.",
               total("alert_evaluations_failed"), True, _OF_ALERTS),
    TaskMetric("alert_groups", "Groups of alerts and SLOs that are remembered.",
               lambda r: len(_alerts(r).groups), False, _OF_ALERTS),
    TaskMetric("alert_groups_forgotten", "Groups forgotten, for nothing of them could matter any "
               "more: windows are empty and alerts over.", total("alert_groups_forgotten"), True,
               _OF_ALERTS),
    TaskMetric("traces_marked", "Traces marked to be kept because an alert points at them, of "
               "which no group was told yet what became of them.", _marked, False, (SAMPLING,)),
    TaskMetric("alerts_superseded", "Alerts that ended because another one of the same "
               "fingerprint began.", total("alerts_superseded"), True, _OF_NOTIFIER),
    TaskMetric("alerts_unrouted", "New alerts that no route leads to a contact point.",
               total("alerts_unrouted"), True, _OF_NOTIFIER),
    TaskMetric("notification_failures", "Times a notification was given up or refused; it stays "
               "undelivered until its group is told again.", total("notification_failures"), True,
               _OF_NOTIFIER),
    TaskMetric("outcomes_ignored", "Outcomes of notifications that are settled already.",
               total("outcomes_ignored"), True, _OF_NOTIFIER),
    TaskMetric("notifications_waiting", "Notifications to be delivered.",
               lambda r: len(_notifier(r).pending()), False, _OF_NOTIFIER),
    TaskMetric("notifications_undelivered", "Notifications that failed and were not told in "
               "another way since.", lambda r: len(_notifier(r).undelivered()), False,
               _OF_NOTIFIER),
)  # fmt: skip

SPLIT_METRICS = (
    SplitMetric("alerts", "Alerts by where they are in their lives.", ("phase",), _phases, False,
                _OF_ALERTS),
    SplitMetric("metric_samples", "Samples of metrics that wait no more.", ("outcome",),
                parts("metric_samples"), True, _OF_ALERTS),
    SplitMetric("alerts_told", "Alert events written.", ("status",), parts("alerts_told"), True,
                _OF_ALERTS),
    SplitMetric("notifier_events", "Alert events that came to the notifier, by what they were.",
                ("row",), parts("alert_events"), True, _OF_NOTIFIER),
    SplitMetric("notifications", "Notifications decided.", ("status",), _notifications(STATUSES),
                True, _OF_NOTIFIER),
    SplitMetric("notifications_settled", "Notifications that are over.", ("fate",),
                _notifications(FATES), True, _OF_NOTIFIER),
    SplitMetric("contact_point_undelivered", "Notifications that it refused, or that were given "
                "up; the API says why.", ("tenant", "contact_point"), _stuck, False, _OF_NOTIFIER),
    SplitMetric("alert_pages", "What a definition cost its people in the last 8 weeks in which it "
                "did.", ("tenant", "definition", "cost"), _figures, False, _OF_NOTIFIER),
)  # fmt: skip

WORKER_METRICS = (
    WorkerMetric("definitions", "Definitions that this worker goes by.",
                 lambda around: len(around.definitions.definitions.by_key), False),
    WorkerMetric("definitions_version", "Version of the newest change of definitions that this "
                 "worker knows.", lambda around: around.definitions.definitions.version, False),
    WorkerMetric("definitions_shadowed", "Definitions of the config that give way to those of the "
                 "topic.", lambda around: around.definitions.shadowed, False),
    WorkerMetric("definitions_bad_records", "Records of definitions that could not be read, since "
                 "the worker started.", lambda around: around.definitions.bad_records),
    WorkerMetric("notification_requests", "Requests to contact points, since the worker started.",
                 lambda around: around.sender.counts["requests"]),
    WorkerMetric("notification_retries", "Attempts that failed and are made again, since the "
                 "worker started.", lambda around: around.sender.counts["retried"]),
    WorkerMetric("notification_template_errors", "Templates that failed; the message was sent as "
                 "shipped. Since the worker started.",
                 lambda around: around.sender.counts["template_errors"]),
)  # fmt: skip

LANE_METRICS = (
    LaneMetric("contact_point_circuit", "0: closed, requests go. 1: half open, one request tries. "
               "2: open, no request goes.", lambda lane: CIRCUITS[lane.circuit]),
    LaneMetric("contact_point_waiting", "Notifications that wait to be sent.",
               lambda lane: lane.waiting),
    LaneMetric("contact_point_oldest_seconds", "How long the oldest of them has waited.",
               lambda lane: lane.oldest_s),
)  # fmt: skip
