"""Compares what came out with the truth. Every difference is counted, a few are shown."""

from collections import Counter
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Any

import numpy as np
import orjson

from tailrace_loadtest.edge_check import EdgeRecords, check_edges
from tailrace_loadtest.metric_check import check_metrics
from tailrace_loadtest.points import CumulativeSeries
from tailrace_loadtest.report import Report, Written
from tailrace_loadtest.stamps import attributes, header_values, read_stamp
from tailrace_loadtest.truth import TraceTruth, Truth
from tailrace_loadtest.wire import SentSpan, spans

__all__ = ["Fault", "Report", "Written", "check"]

_TENANT = "default"


class Fault(StrEnum):
    """What can be wrong with decisions and kept traces."""

    UNREADABLE = "a record that is not in the topic's format"
    WRONG_KEY = "a record whose key is not its trace ID"
    FOREIGN_DECISION = "a decision on a trace that was never sent"
    MISSING_DECISION = "a trace without a decision"
    SECOND_DECISION = "a trace with a second decision"
    WRONG_DECISION = "a decision with a wrong field"
    EARLY_OR_LATE_DECISION = "a decision that was due at another time"
    WRONG_LATE_DECISION = "a late record with another decision than the trace's"
    LATE_BEFORE_DECISION = "a late record that stands before the trace's decision"
    WRONG_LATE_SPANS = "a trace whose late records count other spans than came late"
    FOREIGN_TRACE = "a span of a trace that was never sent"
    DROPPED_TRACE = "a span of a trace that should have been dropped"
    FOREIGN_SPAN = "a span that was never sent, in a kept trace"
    CHANGED_SPAN = "a span that is not, to the byte, what was sent"
    DUPLICATED_SPAN = "a span of a kept trace that was written again"
    MISSING_SPAN = "a span of a kept trace that was not written"
    WRONG_HEADER = "a kept record whose headers name another decision than the trace's"
    WRONG_STAMP = "a kept span whose attributes name another decision than the trace's"
    WRONG_THRESHOLD = "a kept span whose threshold is not that of the trace's probability"
    WRONG_RANDOMNESS = "a kept span whose randomness its threshold does not sample"
    SECOND_RANDOMNESS = "a kept trace whose spans have two tracestates"


def check(
    truth: Truth,
    sampled: Iterable[Written],
    decisions: Iterable[Written],
    metrics: Iterable[Written] | None = None,
    edges: Iterable[Written] | None = None,
    *,
    decided_at_slack_ms: int | None = None,
    dimensions: Sequence[str] = (),
) -> Report:
    """Compare all records of each topic that is given with *truth*.

    With *decided_at_slack_ms*, a decision must be due one wait after the trace's first record,
    or at most so much later. What a trace may be late by depends on the records around it.
    *dimensions*: attributes of resources that are labels of RED too.
    """
    report = Report()
    _check_decisions(truth, decisions, report, decided_at_slack_ms)
    _check_sampled(truth, sampled, report)
    if metrics is not None:
        series = CumulativeSeries()
        series.read(metrics, report)
        check_metrics(truth, series, report, dimensions)
    if edges is not None:
        records = EdgeRecords()
        records.read(edges, report)
        check_edges(truth, records, report)
    return report


def _check_decisions(
    truth: Truth, decisions: Iterable[Written], report: Report, slack_ms: int | None
) -> None:
    decided: set[str] = set()
    late_spans: Counter[str] = Counter()
    early: dict[str, dict[str, Any]] = {}
    for written in decisions:
        decision = _decision(written, report)
        if decision is None:
            continue
        trace = truth.traces.get(decision["trace_id"])
        if trace is None:
            report.decisions += 1
            report.add(Fault.FOREIGN_DECISION, f"{decision}")
        elif decision["late"]:
            report.late_decisions += 1
            if trace.trace_id not in decided:
                early.setdefault(trace.trace_id, decision)
            late_spans[trace.trace_id] += decision["spans"]
            _compare(report, Fault.WRONG_LATE_DECISION, trace, decision, _outcome(trace))
        else:
            report.decisions += 1
            if trace.trace_id in decided:
                report.add(Fault.SECOND_DECISION, f"{decision}")
            decided.add(trace.trace_id)
            _compare(report, Fault.WRONG_DECISION, trace, decision, _expected(trace))
            if slack_ms is not None:
                _check_due(truth, trace, decision, report, slack_ms)
    for trace_id in early.keys() & decided:
        report.add(Fault.LATE_BEFORE_DECISION, f"{early[trace_id]}")
    _check_completeness(truth, decided, late_spans, report)


def _check_completeness(
    truth: Truth, decided: set[str], late_spans: Counter[str], report: Report
) -> None:
    for trace in truth.traces.values():
        if trace.trace_id not in decided:
            report.add(Fault.MISSING_DECISION, f"{trace.trace_id}, expected {trace.expected}")
        if late_spans[trace.trace_id] != trace.late_spans:
            counted = late_spans[trace.trace_id]
            report.add(
                Fault.WRONG_LATE_SPANS,
                f"{trace.trace_id} has {counted}, expected {trace.late_spans}",
            )


def _decision(written: Written, report: Report) -> dict[str, Any] | None:
    """The JSON of a decision, if it is one."""
    try:
        decision = orjson.loads(written.value or b"")
        is_whole = isinstance(decision["trace_id"], str) and isinstance(decision["late"], bool)
        is_whole = is_whole and isinstance(decision["spans"], int)
        decision["duration_ns"] = round(decision["duration_ms"] * 1_000_000)
    except (orjson.JSONDecodeError, KeyError, TypeError):
        is_whole = False
    if not is_whole:
        report.add(Fault.UNREADABLE, f"decision {written}")
        return None
    if written.key != decision["trace_id"].encode():
        report.add(Fault.WRONG_KEY, f"decision {written}")
    return dict(decision)


def _outcome(trace: TraceTruth) -> dict[str, Any]:
    """The fields that a late record shares with the decision."""
    return {
        "tenant": _TENANT,
        "decision": trace.expected.decision,
        "policy": trace.expected.policy,
        "probability": trace.expected.probability,
        "policy_version": trace.expected.policy_version,
        "reason": trace.expected.reason,
    }


def _expected(trace: TraceTruth) -> dict[str, Any]:
    """The fields of the decision on *trace*; a duration is compared in whole nanoseconds."""
    root = trace.root and {"service": trace.root[0], "name": trace.root[1]}
    return {
        **_outcome(trace),
        "spans": trace.spans,
        "services": list(trace.services),
        "root": root,
        "missing_root": root is None,
        "start": f"{np.datetime64(trace.start_ns, 'ns')}Z",
        "duration_ns": trace.duration_ns,
    }


def _compare(
    report: Report,
    fault: Fault,
    trace: TraceTruth,
    decision: dict[str, Any],
    expected: dict[str, Any],
) -> None:
    for name, right in expected.items():
        found = decision.get(name, "missing")
        if found != right:
            report.add(fault, f"{trace.trace_id}: {name} is {found}, expected {right}")


def _check_due(
    truth: Truth, trace: TraceTruth, decision: dict[str, Any], report: Report, slack_ms: int
) -> None:
    due = trace.first_ms + round(truth.load.decision_wait_s * 1000)
    at = int(np.datetime64(decision["decided_at"].removesuffix("Z"), "ns").astype(int)) // 1_000_000
    if not due <= at <= due + slack_ms:
        report.add(
            Fault.EARLY_OR_LATE_DECISION, f"{trace.trace_id}: {at - due} ms after its wait's end"
        )


def _check_sampled(truth: Truth, sampled: Iterable[Written], report: Report) -> None:
    seen: Counter[str] = Counter()
    states: dict[str, str] = {}
    for written in sampled:
        report.sampled_records += 1
        try:
            found = list(spans(written.value or b""))
        except ValueError as error:
            report.add(Fault.UNREADABLE, f"sampled {written.key!r}: {error}")
            continue
        if not found:
            report.add(Fault.UNREADABLE, f"sampled {written.key!r}: no span in it")
        for span in found:
            _check_span(truth, span, seen, report)
            _check_stamp(truth, span, states, report)
            if written.key != span.trace_id.encode():
                report.add(Fault.WRONG_KEY, f"sampled {written.key!r}: {span.trace_id} in it")
        if found and found[0].trace_id in truth.traces:
            _check_headers(truth.traces[found[0].trace_id], written, report)
    for trace in truth.traces.values():
        for span_id in trace.kept:
            if span_id not in seen:
                report.add(Fault.MISSING_SPAN, f"{trace.trace_id} {span_id} ({trace.expected})")


def _check_span(truth: Truth, span: SentSpan, seen: Counter[str], report: Report) -> None:
    report.sampled_spans += 1
    trace = truth.traces.get(span.trace_id)
    example = f"{span.trace_id} {span.span_id}"
    if trace is None:
        report.add(Fault.FOREIGN_TRACE, example)
    elif trace.expected.decision != "sampled":
        report.add(Fault.DROPPED_TRACE, example)
    elif span.span_id not in trace.kept:
        report.add(Fault.FOREIGN_SPAN, example)
    else:
        seen[span.span_id] += 1
        if seen[span.span_id] > 1:
            report.add(Fault.DUPLICATED_SPAN, example)
        if trace.kept[span.span_id] != span.digest:
            report.add(Fault.CHANGED_SPAN, example)


def _check_stamp(truth: Truth, span: SentSpan, states: dict[str, str], report: Report) -> None:
    """Compare what the sampler wrote on *span*; *states*: the tracestates of traces so far."""
    trace = truth.traces.get(span.trace_id)
    if trace is None or not trace.kept:
        return
    example = f"{span.trace_id} {span.span_id}"
    expected, stamp = trace.expected, read_stamp(span.stamp)
    if stamp.attributes != attributes(
        expected.policy, expected.probability, expected.policy_version
    ):
        report.add(Fault.WRONG_STAMP, f"{example}: {stamp.attributes}, expected {expected}")
    if not stamp.has_threshold_of(expected.probability):
        report.add(Fault.WRONG_THRESHOLD, f"{example}: {stamp.trace_state!r}, {expected}")
    if not stamp.is_consistent(trace.trace_id):
        report.add(Fault.WRONG_RANDOMNESS, f"{example}: {stamp.trace_state!r}")
    state = states.setdefault(trace.trace_id, stamp.trace_state)
    if state != stamp.trace_state:
        report.add(Fault.SECOND_RANDOMNESS, f"{example}: {stamp.trace_state!r} after {state!r}")


def _check_headers(trace: TraceTruth, written: Written, report: Report) -> None:
    if trace.expected.policy is None:
        return
    headers = dict(written.headers)
    for name, right in header_values(
        trace.expected.policy, trace.expected.probability, trace.expected.policy_version
    ).items():
        if headers.get(name) != right:
            report.add(
                Fault.WRONG_HEADER,
                f"{trace.trace_id}: {name} is {headers.get(name)!r}, expected {right!r}",
            )
