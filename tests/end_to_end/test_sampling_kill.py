"""Workers die while traces wait and while late spans come: one decision, and all follows it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from tailrace.streams.broker import EmbeddedBroker
from tailrace_loadtest.processes import total
from tailrace_loadtest.stamps import attributes, header_values
from tests.conftest import FreshTopic
from tests.end_to_end.sampled_policies import BURST, COMPOSITE, LIMITED, RATE
from tests.end_to_end.sampled_traces import (
    BEGIN_MS,
    BETWEEN_MS,
    CONFIGURED,
    ON_TIME_MS,
    PARTITIONS,
    SENT,
    Cluster,
    Outputs,
    Row,
    milliseconds,
    rows,
)

CUTS = 2500, 5900, 11_000
"""Before the first decision, before the first late span, and in the middle of these."""
OUTCOME = ("decision", "policy", "probability", "policy_version", "reason")


def live(cluster: Cluster, rows: Sequence[Row]) -> None:
    """Send *rows* to two workers, of whom each dies, and to a third one that joins."""
    first, second = cluster.join(), cluster.join()
    for worker in (first, second):
        worker.process.wait_for("ready ")
    parts = [
        list(each)
        for _, each in groupby(rows, lambda row: sum(row.at_ms - BEGIN_MS >= at for at in CUTS))
    ]
    assert len(parts) == len(CUTS) + 1

    cluster.send(parts[0])
    samples = cluster.settle()
    assert total(samples, "tailrace_spans_pending") == total(
        samples, "tailrace_spans_decoded_total"
    )
    cluster.kill(first)  # all of it waits
    cluster.send(parts[1])
    first.start()

    samples = cluster.settle()
    assert total(samples, "tailrace_spans_late_total") == 0
    assert total(samples, "tailrace_spans_kept_total") > 0
    cluster.apply_anew()
    cluster.kill(second, loses_data=True)  # between decisions and late spans
    third = cluster.join()
    cluster.send(parts[2])
    second.start()

    samples = cluster.settle()
    assert total(samples, "tailrace_spans_late_total") > 0
    cluster.send(parts[3][: len(parts[3]) // 2])
    cluster.kill(third)  # in the middle of whatever it does
    cluster.send(parts[3][len(parts[3]) // 2 :])
    third.start()
    cluster.settle()


@pytest.mark.slow
def test_whoever_dies_when_a_trace_waits_or_is_decided_it_has_one_outcome_within_the_budget(
    broker: EmbeddedBroker, fresh_topic: FreshTopic, tmp_path: Path
) -> None:
    spans = fresh_topic("spans", PARTITIONS)
    app = spans.removesuffix(".spans")
    cluster = Cluster(app, spans, broker.bootstrap, tmp_path)
    unharmed = Cluster(f"{app}.unharmed", spans, broker.bootstrap, tmp_path)
    try:
        live(cluster, rows())
        unharmed.join()
        unharmed.settle(cluster.sent)
    finally:
        for worker in (*cluster.workers, *unharmed.workers):
            worker.kill()
    found, expected = cluster.outputs(), unharmed.outputs()
    check_decisions(found)
    check_versions(found)
    check_kept(found)
    check_budgets(found)
    for trace_id, trace in SENT.items():
        if trace.service not in LIMITED:
            assert unversioned(found.decided[trace_id]) == unversioned(expected.decided[trace_id])
    check_decisions(expected)
    check_kept(expected)


def check_decisions(outputs: Outputs) -> None:
    """Every trace is decided once, for its reason; all that is late follows that."""
    assert set(outputs.decided) == set(SENT)
    policies = Counter[str | None]()
    for trace_id, (first, *late) in outputs.decided.items():
        trace = SENT[trace_id]
        assert not first["late"]
        assert all(each["late"] for each in late), "a trace was decided again"
        spans = [len(trace.spans(len(ON_TIME_MS) + at)) for at in range(len(trace.late_ms))]
        assert [each["spans"] for each in late] == spans
        outcome = [first[name] for name in OUTCOME]
        assert all([each[name] for name in OUTCOME] == outcome for each in late)
        assert first["reason"] == trace.reason
        assert (first["policy"] == "errors") == trace.has_error
        assert trace.has_error <= (first["probability"] == 1)
        if trace.service in LIMITED:
            assert (first["policy"] or LIMITED[trace.service]) == LIMITED[trace.service]
            assert first["probability"] is None
        policies[first["policy"]] += 1
    assert set(policies) == {"errors", "some", "few", "rest", "rules/shops", None}


def check_versions(outputs: Outputs) -> None:
    """A decision names the version that stood when it was due; late ones name that of theirs."""
    versions = defaultdict(set)
    for first, *_ in outputs.decided.values():
        at = milliseconds(first["decided_at"])
        if not CUTS[1] - PARTITIONS * BETWEEN_MS <= at < CUTS[1]:  # each partition was so far
            versions[at < CUTS[1]].add(first["policy_version"])
    assert versions[True] == {CONFIGURED}
    assert len(versions[False] - {CONFIGURED}) == len(versions[False]) == 1


def unversioned(decisions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """*decisions* without what tells the same policies apart."""
    return [{**each, "policy_version": None} for each in decisions]


def check_kept(outputs: Outputs) -> None:
    """Every span of a kept trace is there once, and says what was decided."""
    kept = outputs.kept()
    for trace_id, (first, *_) in outputs.decided.items():
        trace, found = SENT[trace_id], kept.pop(trace_id, [])
        if first["decision"] != "sampled":
            assert found == []
            continue
        fragments = len(ON_TIME_MS) + len(trace.late_ms)
        sent = [each.span_id.hex() for at in range(fragments) for each in trace.spans(at)]
        assert sorted(span_id for _, span_id, _ in found) == sent
        outcome = first["policy"], first["probability"], first["policy_version"]
        for written, _, stamp in found:
            headers = dict(written.headers)
            assert headers == {
                name: value for name, value in header_values(*outcome).items() if value is not None
            }
            assert stamp.attributes == attributes(*outcome)
            assert stamp.has_threshold_of(first["probability"])
            assert stamp.is_consistent(trace_id)
        assert len({stamp.trace_state for _, _, stamp in found}) == 1
    assert not kept


def check_budgets(outputs: Outputs) -> None:
    """No stretch of time has more than its budget, though more was asked for."""
    level, before = 0.0, 0
    passed = outputs.passed("some")
    for at, spans in passed:
        level = max(0.0, level - RATE * (at - before) / 1000) + spans
        before = at
        assert level <= BURST
    seconds = Counter[int]()
    for at, spans in outputs.passed("few"):
        seconds[at // 1000] += spans
    assert max(seconds.values()) <= COMPOSITE + PARTITIONS
    assert sum(spans for _, spans in passed) > RATE
    for service, policy in LIMITED.items():
        asked = sum(trace.service == service for trace in SENT.values())
        assert 0 < len(outputs.passed(policy)) < asked / 2
