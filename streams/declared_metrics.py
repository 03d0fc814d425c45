"""The worker's own metrics, each declared once.

Totals of records, spans, traces, edges and dead letters are those of the partitions' committed
state, so that they survive restarts and moves: the sum over a cluster's workers is exact, and a
partition's total never goes back. The other counters say since when they count.
"""

from __future__ import annotations

from collections import Counter

from tailrace.agents.metrics.agent import NAME as METRICS
from tailrace.agents.metrics.logic import MetricsLogic
from tailrace.agents.red.agent import NAME as RED
from tailrace.agents.rekey.agent import NAME as REKEY
from tailrace.agents.sampling.agent import NAME as SAMPLING
from tailrace.agents.sampling.logic import SamplingLogic
from tailrace.agents.service_graph.agent import LINKS
from tailrace.agents.service_graph.agent import NAME as SERVICE_GRAPH
from tailrace.agents.service_graph.link_join import LinkJoin
from tailrace.agents.service_graph.logic import ServiceGraphLogic
from tailrace.streams import alert_metrics
from tailrace.streams.distributions import DISTRIBUTIONS
from tailrace.streams.engine import Engine
from tailrace.streams.exports.figures import RECEIVER_FIGURES
from tailrace.streams.metric_kinds import (
    Around,
    Family,
    ReceiverMetric,
    Split,
    SplitMetric,
    TaskMetric,
    WorkerMetric,
    declared,
    distributed,
    parts,
    total,
)
from tailrace.streams.runner import Runner


def _sampler(runner: Runner) -> SamplingLogic:
    logic = runner.task.logics[SAMPLING]
    assert isinstance(logic, SamplingLogic)
    return logic


def _waiting_half_edges(runner: Runner) -> float:
    logics = (runner.task.logics.get(name) for name in _OF_GRAPH)
    return sum(each.pending for each in logics if isinstance(each, ServiceGraphLogic | LinkJoin))


def _series(engine: Engine, runner: Runner) -> Split:
    logic = runner.task.logics[METRICS]
    assert isinstance(logic, MetricsLogic)
    return {(name,): len(table) for name, _, table in logic.parts}


def _foreign(engine: Engine, runner: Runner) -> Split:
    logic = runner.task.logics[METRICS]
    assert isinstance(logic, MetricsLogic)
    return {(name,): table.foreign for name, _, table in logic.parts}


def _refused_labels(engine: Engine, runner: Runner) -> Split:
    logic = runner.task.logics[METRICS]
    assert isinstance(logic, MetricsLogic)
    refused: Counter[tuple[str, ...]] = Counter()
    for _, blame in logic.blamed:
        refused[(blame.label,)] += blame.refusals
    return refused


def _lag(engine: Engine, runner: Runner) -> Split:
    lag = engine.lag(runner.id)
    return {} if lag is None else {(): lag}


def _traces(engine: Engine, runner: Runner) -> Split:
    return {
        (decision, policy): count
        for name, count in runner.committed.counts.items()
        if name.startswith("traces.")
        for _, decision, policy in [name.split(".", 2)]
    }


def _policy_version(engine: Engine, runner: Runner) -> Split:
    return {(version,): 1 for version in _sampler(runner).policy_versions.values()}


def _policy_errors(engine: Engine, runner: Runner) -> Split:
    return {(policy,): count for policy, count in _sampler(runner).policy_errors.items()}


def _unanswered(engine: Engine, runner: Runner) -> Split:
    return {(policy,): count for policy, count in _sampler(runner).unanswered.items()}


def _overflowed(engine: Engine, runner: Runner) -> Split:
    return {(rule,): count for rule, count in _sampler(runner).overflowed.items()}


def _bad_policies(around: Around) -> float:
    return 0 if around.policies is None else around.policies.bad_versions


def _budget_parts(engine: Engine, runner: Runner) -> Split:
    control = _sampler(runner).control
    return {} if control is None else {(name,): part for name, part in control.parts.items()}


def _cpu(engine: Engine, runner: Runner) -> Split:
    return {(part,): seconds for part, seconds in runner.cpu_seconds.items()}


_OF_SAMPLING, _OF_RED, _OF_METRICS = (SAMPLING,), (RED,), (METRICS,)
_OF_GRAPH = (SERVICE_GRAPH, LINKS)

TASK_METRICS = (
    TaskMetric("records", "Records read.", lambda r: r.committed.records, True),
    TaskMetric("records_processed", "Records with a good part.",
               lambda r: r.committed.processed, True),
    TaskMetric("records_dead_lettered", "Records without a good part.",
               lambda r: r.committed.dead_lettered, True),
    TaskMetric("records_early", "Re-keyed records that were processed before their time, because "
               "another source was too far behind.", total("records_early"), True, _OF_SAMPLING),
    TaskMetric("spans_decoded", "Spans decoded.", total("spans_decoded"), True,
               (SAMPLING, REKEY)),
    TaskMetric("spans_kept", "Spans written as part of kept traces.", total("spans_kept"), True,
               _OF_SAMPLING),
    TaskMetric("spans_dropped", "Spans of traces that were not sampled.",
               total("spans_dropped"), True, _OF_SAMPLING),
    TaskMetric("spans_late", "Spans that came after their trace's decision.",
               total("late_spans"), True, _OF_SAMPLING),
    TaskMetric("allocations", "Times the parts of the cluster's budgets were told to all; only "
               "the first partition does.", total("allocations"), True, _OF_SAMPLING),
    TaskMetric("links_announced", "Traces that kept ones link to, told to all partitions.",
               total("links_announced"), True, _OF_SAMPLING),
    TaskMetric("links_left_out", "Those not told, because there were too many of a trace or in a "
               "second.", total("links_not_kept"), True, _OF_SAMPLING),
    TaskMetric("links_forgotten", "Linked traces forgotten before their time: there were too "
               "many.", total("links_forgotten"), True, _OF_SAMPLING),
    TaskMetric("links_too_late", "Linked traces that had been decided as not sampled when the "
               "partition heard of them.", total("links_too_late"), True, _OF_SAMPLING),
    TaskMetric("red_spans", "Spans counted in RED metrics.", total("red_spans"), True, _OF_RED),
    TaskMetric("red_spans_skipped", "Spans not counted in RED metrics: their resource has no "
               "service.name.", total("red_skipped_spans"), True, _OF_RED),
    TaskMetric("red_spans_overflowed", "Spans counted in an overflow series: the key of their own "
               "is too long.", total("red_overflow_spans"), True, _OF_RED),
    TaskMetric("half_edges_unnamed", "Sides of calls left out: their resource has no "
               "service.name.", total("half_edges_unnamed"), True, _OF_GRAPH),
    TaskMetric("half_edges_shared", "Further servers of a client that had met one already.",
               total("half_edges_shared"), True, _OF_GRAPH),
    TaskMetric("half_edges_repeated", "Clients of calls that came twice; the second is left out.",
               total("half_edges_repeated"), True, _OF_GRAPH),
    TaskMetric("half_edges_dropped", "Sides of calls left out because max_items waited.",
               total("half_edges_dropped"), True, _OF_GRAPH),
    TaskMetric("half_edges_linked", "Sides of calls that waited in vain: in the stage spans those "
               "that links may find yet, in rollups those that met another in their trace.",
               total("half_edges_linked"), True, _OF_GRAPH),
    TaskMetric("half_edges_late", "Producers and links that came after others were told that all "
               "of their time had come; they count as of later.", total("half_edges_late"), True,
               (LINKS,)),
    TaskMetric("rollups", "Partial sums taken into series.", total("rollups"), True,
               _OF_METRICS),
    TaskMetric("rollups_late", "Those of them that came after the flush of their time; they count "
               "in the next one.", total("late_rollups"), True, _OF_METRICS),
    TaskMetric("rollups_ignored", "Partial sums of metrics that this config has turned off.",
               total("ignored_rollups"), True, _OF_METRICS),
    TaskMetric("metrics_too_large", "Times a series was left out of a flush: no record can hold "
               "it.", total("metrics_too_large"), True, _OF_METRICS),
    TaskMetric("edges_too_large", "Edges of which a record was left out: none can hold it.",
               total("edges_too_large"), True, _OF_METRICS),
    TaskMetric("series_expired", "Series given up, because nothing had come for them for long "
               "enough.", total("expired_series"), True, _OF_METRICS),
    TaskMetric("exemplars", "Exemplars that came for series.", total("exemplars"), True,
               _OF_METRICS),
    TaskMetric("exemplars_shown", "Those of them that stand at points; the others were not among "
               "the newest.", total("shown_exemplars"), True, _OF_METRICS),
    TaskMetric("exemplars_without_series", "Those of them whose series was not there: it "
               "had expired, or has no news to tell as a delta.",
               total("exemplars_without_series"), True, _OF_METRICS),
    TaskMetric("exemplars_ignored", "Exemplars that came where none are shown by this config.",
               total("ignored_exemplars"), True, _OF_METRICS),
    TaskMetric("checkpoints", "Checkpoints committed since the partition was assigned.",
               lambda r: r.checkpoints, True),
    TaskMetric("task_failures", "Failures since the partition was assigned; after each, the task "
               "is started again from what was committed.", lambda r: r.failures, True),
    TaskMetric("spans_pending", "Spans of undecided traces.",
               lambda r: _sampler(r).pending_spans, False, _OF_SAMPLING),
    TaskMetric("traces_open", "Traces that wait for their decision.",
               lambda r: _sampler(r).open_traces, False, _OF_SAMPLING),
    TaskMetric("links_wanted", "Linked traces that are kept if they are decided now.",
               lambda r: _sampler(r).linked_traces, False, _OF_SAMPLING),
    TaskMetric("decisions_stored", "Decisions that are remembered for late spans.",
               lambda r: _sampler(r).decisions_stored[0], False, _OF_SAMPLING),
    TaskMetric("decision_bytes", "Bytes that they take in the store.",
               lambda r: _sampler(r).decisions_stored[1], False, _OF_SAMPLING),
    TaskMetric("half_edges_waiting", "Sides of calls that wait for the other.",
               _waiting_half_edges, False, _OF_GRAPH),
    *alert_metrics.TASK_METRICS,
    TaskMetric("stream_time_seconds", "Stream time, in seconds since 1970.",
               lambda r: r.task.stream_time / 1000),
    TaskMetric("last_batch_records", "Records of the last batch.", lambda r: r.batch_records),
    TaskMetric("last_checkpoint_seconds", "How long the last checkpoint took.",
               lambda r: r.checkpoint_seconds),
    TaskMetric("last_restore_seconds", "How long taking the partition over took.",
               lambda r: r.restore_seconds),
    TaskMetric("unwritten_bytes", "About how much the next checkpoint writes.",
               lambda r: r.unwritten_bytes),
    TaskMetric("store_bytes", "Size of the task's files.", lambda r: r.task.store.disk_bytes),
    TaskMetric("balance_problems", "Sums that did not add up at the last checkpoint.",
               lambda r: len(r.problems)),
)  # fmt: skip

SPLIT_METRICS = (
    SplitMetric("lag_records", "Offsets from the task's position to the log's end.", (), _lag),
    SplitMetric("traces", "Traces decided.", ("decision", "policy"), _traces, True, _OF_SAMPLING),
    SplitMetric("traces_decided", "Traces decided, by why it was then.", ("reason",),
                parts("decided"), True, _OF_SAMPLING),
    SplitMetric("policy_version", "1 for the version of the policies that decide.", ("version",),
                _policy_version, False, _OF_SAMPLING),
    SplitMetric("policy_errors", "Traces of which a policy could say nothing because of an error, "
                "which is no vote, since the partition was assigned.", ("policy",),
                _policy_errors, True, _OF_SAMPLING),
    SplitMetric("conditions_unanswered", "Traces with a span of which a condition had no answer "
                "and, by the policy's error mode, is not true, since the partition was assigned.",
                ("policy",), _unanswered, True, _OF_SAMPLING),
    SplitMetric("rule_keys_overflowed", "Traces that share a key because their rule had max_keys, "
                "since the partition was assigned or its policies changed.", ("rule",),
                _overflowed, True, _OF_SAMPLING),
    SplitMetric("budget_share", "Part of a budget of the cluster that the partition has, from 0 to "
                "1; equal parts are not shown before they first move.", ("budget",),
                _budget_parts, False, _OF_SAMPLING),
    SplitMetric("half_edges", "Sides of calls that came.", ("side",), parts("half_edges"), True,
                _OF_GRAPH),
    SplitMetric("edges", "Calls counted in the service graph: by two sides, by a client of a "
                "database, or with a virtual node.", ("kind",), parts("edges"), True, _OF_GRAPH),
    SplitMetric("edges_expired", "Sides of calls that waited in vain, by the side that was "
                "missing.", ("missing",), parts("edges_expired"), True, _OF_GRAPH),
    SplitMetric("labels_refused", "Times a series was counted under another value of a label, "
                "which had as many as it may, since the partition was assigned.", ("label",),
                _refused_labels, True, _OF_METRICS),
    SplitMetric("rollup_spans_foreign", "Spans, events or calls that were sent on, because "
                "another partition writes their series: partial sums, or flush periods that were "
                "open, of before an upgrade that moved them. Since the partition was assigned.",
                ("family",), _foreign, True, _OF_METRICS),
    SplitMetric("series", "Series that this worker is the one writer of.", ("family",), _series,
                False, _OF_METRICS),
    *alert_metrics.SPLIT_METRICS,
    SplitMetric("dead_letters", "Dead letters written.", ("reason",), parts("dead_letters"),
                True),
    SplitMetric("task_cpu_seconds", "CPU time since the partition was assigned: of decoding, of "
                "each capability, of checkpoints and of idle time.", ("part",), _cpu, True),
)  # fmt: skip

WORKER_METRICS = (
    WorkerMetric("rebalances", "Times partitions were assigned, since the worker started.",
                 lambda around: around.engine.rebalances),
    WorkerMetric("records_expired", "Records that retention deleted unread, found since the "
                 "worker started.", lambda around: around.engine.records_expired),
    WorkerMetric("key_mismatches", "Records whose key is not the trace ID, since the worker "
                 "started.", lambda around: around.spans.codec.key_mismatches),
    WorkerMetric("label_failures", "Values that metrics do not show because a rule of "
                 "metric_labels failed on them, since the worker started.",
                 lambda around: around.spans.label_failures),
    WorkerMetric("refused_tenants", "Spans that said a tenant that can be none, and count as of "
                 "`default`, since the worker started.",
                 lambda around: around.spans.codec.refused_tenants),
    WorkerMetric("traces_split", "Traces that came in two partitions of this worker, since it "
                 "started.", lambda around: around.spans.splits.count),
    WorkerMetric("control_bad_records", "Records of the control topic that could not be read, "
                 "since the worker started.", lambda around: around.spans.control.bad_records),
    WorkerMetric("policies_file_bad_versions", "Versions of policies_file that could not be read, "
                 "since the worker started; the last good one stays.", _bad_policies),
    *alert_metrics.WORKER_METRICS,
)  # fmt: skip

LANE_METRICS = alert_metrics.LANE_METRICS

RECEIVER_METRICS = tuple(ReceiverMetric(*each) for each in RECEIVER_FIGURES)


def families() -> list[Family]:
    """Return every metric of ours, in the order of the exposition."""
    of_tasks = (*TASK_METRICS, *SPLIT_METRICS)
    numbers = [declared(each) for each in (*of_tasks, *WORKER_METRICS)]
    rest = [*map(declared, LANE_METRICS), *map(declared, RECEIVER_METRICS)]
    return [*numbers, *map(distributed, DISTRIBUTIONS), *rest]
