"""The least that shows a difference: a config, one trace, and what both make of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tailrace.schemas.otlp.json import encode_json
from tailrace_loadtest.compare import collector, ours
from tailrace_loadtest.compare.differences import Difference
from tailrace_loadtest.compare.messages import Traces, arrived
from tailrace_loadtest.compare.policies import PolicySet


def reproduction(program: Path, difference: Difference, load: Traces) -> str:
    """Return *difference* for a person: with one policy, message or span if that is enough."""
    trace_id = difference.trace_id
    lines = ["", f"--- {difference.policy_set.name}, trace {trace_id.hex()} ---"]
    if difference.policy_set.is_limited:
        lines.append("What was kept before counts, so that all traces stand here.")
    else:
        load = load.only(trace_id)
        found = _with_one_policy(program, difference, load)
        if found is not None:
            difference = found
            load, difference = _with_less(program, found, load)
        else:
            lines.append("Alone the trace shows no difference.")
    lines += ["config:", ours.config(difference.policy_set).rstrip()]
    lines += [f"the collector: {difference.theirs}", f"here: {difference.ours}"]
    lines.append("messages, as OTLP/JSON, in the order of arrival:")
    lines += [encode_json(message.value).decode() for message in load.messages]
    return "\n".join(lines)


def _with_one_policy(program: Path, difference: Difference, load: Traces) -> Difference | None:
    """The difference with the fewest policies that show it on that trace alone."""
    whole = difference.policy_set
    sets = [
        PolicySet(f"{whole.name}-{at}", {**whole.section, "policies": [policy]})
        for at, policy in enumerate(whole.policies)
    ]
    theirs = collector.kept(program, [*sets, whole], load.messages)
    here = ours.kept([*sets, whole], load.messages, 2)
    for each, one, other in zip([*sets, whole], theirs, here, strict=True):
        answer = one.answer(difference.trace_id)
        if isinstance(other, ours.Refused):
            return Difference(each, difference.trace_id, answer, f"refused: {other}")
        if answer != other.answer(difference.trace_id):
            return Difference(each, difference.trace_id, answer, other.answer(difference.trace_id))
    return None


def _with_less(program: Path, difference: Difference, load: Traces) -> tuple[Traces, Difference]:
    """The smallest part of the trace that shows the difference, as a trace of its own."""
    parts = [_renamed(at, part) for at, part in enumerate(_parts(load))]
    loads = [arrived(part) for part in parts]
    messages = [message for each in loads for message in each.messages]
    (one,) = collector.kept(program, [difference.policy_set], messages)
    (other,) = ours.kept([difference.policy_set], messages, 1)
    if isinstance(other, ours.Refused):
        return load, difference
    found = load, difference
    size = sum(len(message.value) for message in load.messages)
    for each in loads:
        (trace_id,) = each.spans
        answers = one.answer(trace_id), other.answer(trace_id)
        length = sum(len(message.value) for message in each.messages)
        if answers[0] != answers[1] and length < size:
            found, size = (each, Difference(difference.policy_set, trace_id, *answers)), length
    return found


def _parts(load: Traces) -> Iterator[list[ExportTraceServiceRequest]]:
    """Each message, block and span alone."""
    for message in load.messages:
        yield [message.request]
        for block in message.request.resource_spans:
            yield [ExportTraceServiceRequest(resource_spans=[block])]
            for scope in block.scope_spans:
                for span in scope.spans:
                    request = ExportTraceServiceRequest()
                    copy = request.resource_spans.add(
                        resource=block.resource, schema_url=block.schema_url
                    )
                    copy.scope_spans.add(
                        scope=scope.scope, schema_url=scope.schema_url, spans=[span]
                    )
                    yield [request]


def _renamed(
    number: int, requests: list[ExportTraceServiceRequest]
) -> list[ExportTraceServiceRequest]:
    """*requests* as another trace."""
    copies = [ExportTraceServiceRequest.FromString(each.SerializeToString()) for each in requests]
    for copy in copies:
        for block in copy.resource_spans:
            for scope in block.scope_spans:
                for span in scope.spans:
                    span.trace_id = (number + 1).to_bytes(16, "big")
    return copies
