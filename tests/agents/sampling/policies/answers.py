"""What the collector answered to cases that are told as JSON, and what is answered here.

A case has policies and traces. A trace comes in messages of spans, and is decided at `at` (ms); one
without messages has so many `spans`, whatever they are.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from tailrace.agents.sampling.fragments import summarise
from tailrace.agents.sampling.panels import decide, decide_many
from tailrace.agents.sampling.policies import SamplingPolicies, build_policies
from tailrace.agents.sampling.services import ServiceNames
from tailrace.schemas.config import parse
from tailrace.schemas.config.tail_sampling import TailSamplingConfig
from tailrace.schemas.otlp.decoder import Decoder
from tests.agents.sampling.policies.spans import MS, STATUS, SeenTrace

Case = dict[str, Any]
_HERE = Path(__file__).parent


TOPICS = sorted(path.stem for path in _HERE.glob("*.json"))


@cache
def cases(topic: str) -> dict[str, Case]:
    """The cases of a file, by name, each with its traces."""
    told = json.loads((_HERE / f"{topic}.json").read_bytes())
    traces = told["traces"]
    return {
        case["name"]: {**case, "traces": traces[case["traces"]] if "traces" in case else []}
        for case in told["cases"]
    }


def decided(case: Case) -> Iterator[list[str]]:
    """What is decided here of each trace, and by which policy: all at once, and one at a time."""
    at = [trace.get("at", 0) for trace in case["traces"]]
    for is_at_once in (True, False):
        policies = built(case)
        traces = [seen(trace, number, policies) for number, trace in enumerate(case["traces"])]
        if is_at_once:
            verdicts = decide_many(policies.panel, traces, at)
        else:
            pairs = zip(traces, at, strict=True)
            verdicts = [decide(policies.panel, trace, when) for trace, when in pairs]
        yield [" ".join(filter(None, (verdict.decision, verdict.policy))) for verdict in verdicts]


def messages(trace: Mapping[str, Any], number: int) -> list[bytes]:
    """The messages in which *trace*, the so many-th of its case, comes."""
    return [_message(spans, trace_id(trace, number)) for spans in trace.get("messages", ())]


def trace_id(trace: Mapping[str, Any], number: int) -> bytes:
    """The ID of *trace*, the so many-th of its case."""
    return bytes.fromhex(trace["id"]) if "id" in trace else (number + 1).to_bytes(16, "big")


def configured(case: Case) -> TailSamplingConfig:
    """The config of *case*."""
    return parse(json.dumps({"tail_sampling": {"policies": case["policies"]}})).tail_sampling


def built(case: Case) -> SamplingPolicies:
    """The policies of *case*."""
    is_enough = case.get("sample_on_first_match", False)
    return build_policies(configured(case).policies, sample_on_first_match=is_enough)


def seen(trace: Mapping[str, Any], number: int, policies: SamplingPolicies) -> SeenTrace:
    """*trace*, the so many-th of its case, after all its messages came."""
    whole, facts = SeenTrace(trace_id(trace, number)), policies.facts
    whole.spans = trace.get("spans", 0)
    context = facts.context
    decoder = Decoder(
        facts.attributes, trace_state="trace_state" in context, flags="flags" in context
    )
    for sent in messages(trace, number):
        for fragment in summarise(decoder.decode([sent]), facts, ServiceNames()):
            _, _, start, end, spans, bits, _, _, raw, after, *_ = fragment
            whole.facts |= bits
            if after is not None:
                whole.facts |= after(whole.facts, whole.start, whole.end)
            whole.start, whole.end = min(whole.start, start), max(whole.end, end)
            whole.spans += spans
            whole.size += len(raw)
    return whole


def _message(spans: Sequence[Mapping[str, Any]], trace_id: bytes) -> bytes:
    """A message with a resource of its own for each span, written as a collector writes it."""
    request = ExportTraceServiceRequest()
    for number, told in enumerate(spans):
        block = request.resource_spans.add()
        block.resource.SetInParent()
        for key, value in told.get("resource", {}).items():
            _set(block.resource.attributes.add(key=key).value, value)
        scope = block.scope_spans.add()
        scope.scope.SetInParent()
        span = scope.spans.add(trace_id=trace_id, span_id=(number + 1).to_bytes(8, "big"))
        span.name = told.get("name", "")
        span.kind = told.get("kind", 0)
        span.start_time_unix_nano = round(told.get("start", 0) * MS)
        span.end_time_unix_nano = round(told.get("end", 1) * MS)
        span.status.SetInParent()
        span.status.code = STATUS[told.get("status", "UNSET")]
        span.trace_state, span.flags = told.get("trace_state", ""), told.get("flags", 0)
        for key, value in told.get("attributes", {}).items():
            _set(span.attributes.add(key=key).value, value)
        for event in told.get("events", ()):
            added = span.events.add(name=event.get("name", ""))
            for key, value in event.get("attributes", {}).items():
                _set(added.attributes.add(key=key).value, value)
    encoded: bytes = request.SerializeToString()
    return encoded


def _set(found: AnyValue, value: Any) -> None:
    if isinstance(value, bool):
        found.bool_value = value
    elif isinstance(value, str):
        found.string_value = value
    elif isinstance(value, int):
        found.int_value = value
    elif isinstance(value, float):
        found.double_value = value
    elif isinstance(value, list):
        found.array_value.SetInParent()
        for each in value:
            _set(found.array_value.values.add(), each)
    elif isinstance(value, dict):
        found.kvlist_value.SetInParent()
        for key, each in value.items():
            _set(found.kvlist_value.values.add(key=key).value, each)
