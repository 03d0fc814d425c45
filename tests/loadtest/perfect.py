"""The outputs that a sampler without a fault would write."""

from collections import defaultdict
from typing import Any

import numpy as np
import orjson
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tailrace_loadtest.generator import records
from tailrace_loadtest.report import Written
from tailrace_loadtest.truth import TraceTruth, Truth

REST = "ot=rv:fffffffffffffe;th:e6666666666666"
"""Kept with a tenth; the last of 2^56 but one is the randomness."""


def sampled(truth: Truth) -> list[Written]:
    """A trace's messages on time as one record, and each of its late ones."""
    wait_ms = round(truth.load.decision_wait_s * 1000)
    on_time: dict[str, bytes] = defaultdict(bytes)
    late: list[Written] = []
    for record in records(truth.load):
        trace = truth.traces[record.key.decode()]
        if trace.expected.policy is None:
            continue
        if record.timestamp_ms < trace.first_ms + wait_ms:
            on_time[trace.trace_id] += stamped(trace, record.value)
        else:
            late.append(Written(record.key, stamped(trace, record.value), headers(trace)))
    return [
        Written(trace_id.encode(), value, headers(truth.traces[trace_id]))
        for trace_id, value in on_time.items()
    ] + late


def stamped(trace: TraceTruth, value: bytes) -> bytes:
    """*value* with what a sampler writes on each of its spans."""
    message = ExportTraceServiceRequest.FromString(value)
    expected = trace.expected
    for block in message.resource_spans:
        for scope in block.scope_spans:
            for span in scope.spans:
                add = span.attributes.add
                add(key="tailrace.policy").value.string_value = expected.policy
                add(key="tailrace.probability").value.double_value = expected.probability
                add(key="tailrace.policy_version").value.string_value = "0"
                if expected.policy == "rest":
                    span.trace_state = REST
    encoded: bytes = message.SerializeToString(deterministic=True)
    return encoded


def headers(trace: TraceTruth) -> list[tuple[str, bytes]]:
    expected = trace.expected
    return [
        ("tailrace.policy", f"{expected.policy}".encode()),
        ("tailrace.probability", f"{expected.probability:g}".encode()),
        ("tailrace.policy_version", b"0"),
    ]


def decisions(truth: Truth) -> list[Written]:
    wait_ms = round(truth.load.decision_wait_s * 1000)
    written = []
    for trace in truth.traces.values():
        record = decision(trace, trace.first_ms + wait_ms)
        written.append(Written(trace.trace_id.encode(), orjson.dumps(record)))
        if trace.late_spans:
            late = {**record, "late": True, "spans": trace.late_spans}
            written.append(Written(trace.trace_id.encode(), orjson.dumps(late)))
    return written


def decision(trace: TraceTruth, due_ms: int) -> dict[str, Any]:
    return {
        "trace_id": trace.trace_id,
        "tenant": "default",
        "decision": trace.expected.decision,
        "policy": trace.expected.policy,
        "probability": trace.expected.probability,
        "spans": trace.spans,
        "services": sorted(trace.services),
        "root": trace.root and {"service": trace.root[0], "name": trace.root[1]},
        "start": f"{np.datetime64(trace.start_ns, 'ns')}Z",
        "duration_ms": trace.duration_ns / 1_000_000,
        "decided_at": f"{np.datetime64(due_ms, 'ms')}000000Z",
        "late": False,
        "reason": "wait",
        "policy_version": "0",
        "missing_root": trace.root is None,
    }
