"""Counts the truth of a load while it is generated, from the model's columns and no decoder."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from tailrace_loadtest.edges import count_edges
from tailrace_loadtest.fleet import SERVICES
from tailrace_loadtest.generator import Slice, slices
from tailrace_loadtest.load import Load, Record
from tailrace_loadtest.red import count_red
from tailrace_loadtest.sampling import Expected, Sampling
from tailrace_loadtest.shapes import OPERATIONS
from tailrace_loadtest.templates import SCHEMA_URL, resource, scope
from tailrace_loadtest.traffic import Flags, Ints, Traffic
from tailrace_loadtest.truth import TraceTruth, Truth
from tailrace_loadtest.wire import digest, fields

_SERVICE = np.array([SERVICES.index(each.service) for each in OPERATIONS])
_LAST = np.iinfo(np.int64).max


def truth_of(load: Load, sampling: Sampling | None = None) -> Truth:
    """The whole truth about *load*."""
    truth = Truth(load, sampling or Sampling())
    for _ in counted(truth):
        pass
    return truth


def counted(truth: Truth) -> Iterator[Record]:
    """The records of `truth.load`; once all are read, *truth* is complete."""
    for each in slices(truth.load):
        _count(truth, each)
        truth.totals["records"] += len(each.records)
        truth.totals["bytes"] += sum(len(record.value) for record in each.records)
        yield from each.records


def _count(truth: Truth, part: Slice) -> None:
    spans, fragments = part.traffic.spans, part.traffic.fragments
    is_late = fragments.is_late[spans.fragment]
    summary = _Summary.of(part.traffic, ~is_late)
    decisions = truth.sampling.decide(
        part.traffic.trace_id, summary.has_error, summary.end - summary.start
    )
    is_kept = np.array([each.decision == "sampled" for each in decisions])
    kept = _kept_spans(part, np.flatnonzero(is_kept[spans.trace]))
    _add_traces(truth, part.traffic, summary, decisions, kept)
    count_red(truth.red, part.traffic)
    count_edges(truth.graph, part.traffic)
    truth.totals.update(
        traces=len(decisions),
        spans=len(is_late),
        errors=int(spans.is_error.sum()),
        late_records=int(fragments.is_late.sum()),
        late_spans=int(is_late.sum()),
        kept_spans=sum(map(len, kept.values())),
    )
    truth.samples.update(each.policy or each.decision for each in decisions)


@dataclass(slots=True)
class _Summary:
    """One row a trace, of its spans on time. `root` is a row of the spans, or −1."""

    start: Ints
    end: Ints
    has_error: Flags
    services: Ints
    """A bit set of `SERVICES`."""
    root: Ints
    spans: Ints
    late_spans: Ints
    first_ms: Ints

    @classmethod
    def of(cls, traffic: Traffic, is_on_time: Flags) -> "_Summary":
        spans, fragments, traces = traffic.spans, traffic.fragments, len(traffic.trace_id)
        trace, operation = spans.trace[is_on_time], spans.operation[is_on_time]
        start, end = np.full(traces, _LAST), np.zeros(traces, np.int64)
        np.minimum.at(start, trace, spans.start[is_on_time])
        np.maximum.at(end, trace, spans.end[is_on_time])
        services = np.zeros(traces, np.int64)
        np.bitwise_or.at(services, trace, np.left_shift(1, _SERVICE[operation]))
        root = np.full(traces, -1)
        roots = np.flatnonzero(is_on_time & (spans.parent < 0))
        root[spans.trace[roots]] = roots
        first_ms = np.full(traces, _LAST)
        np.minimum.at(first_ms, fragments.trace, fragments.timestamp_ms)
        return cls(
            start,
            end,
            has_error=np.bincount(trace, spans.is_error[is_on_time], traces) > 0,
            services=services,
            root=root,
            spans=np.bincount(trace, minlength=traces),
            late_spans=np.bincount(spans.trace[~is_on_time], minlength=traces),
            first_ms=first_ms,
        )


def _kept_spans(part: Slice, rows: Ints) -> Mapping[int, dict[str, str]]:
    """Span ID → digest of the spans at *rows*, by trace."""
    kept: dict[int, dict[str, str]] = {}
    spans, fragments = part.traffic.spans, part.traffic.fragments
    fragment = spans.fragment[rows]
    for row, trace, service, pod in zip(
        rows.tolist(),
        spans.trace[rows].tolist(),
        fragments.service[fragment].tolist(),
        fragments.pod[fragment].tolist(),
        strict=True,
    ):
        name = SERVICES[service]
        ((_, span),) = fields(part.spans[row])
        kept.setdefault(trace, {})[part.traffic.span_id[row].tobytes().hex()] = digest(
            resource(name, pod), SCHEMA_URL.encode(), scope(name), span
        )
    return kept


def _add_traces(
    truth: Truth,
    traffic: Traffic,
    summary: _Summary,
    decisions: list[Expected],
    kept: Mapping[int, dict[str, str]],
) -> None:
    rows = zip(
        summary.spans.tolist(),
        summary.late_spans.tolist(),
        summary.services.tolist(),
        _roots(traffic, summary.root),
        summary.start.tolist(),
        (summary.end - summary.start).tolist(),
        summary.has_error.tolist(),
        summary.first_ms.tolist(),
        decisions,
        strict=True,
    )
    for trace, (spans, late, services, root, start, duration, error, first, decision) in enumerate(
        rows
    ):
        trace_id = traffic.trace_id[trace].tobytes().hex()
        names = _names(services)
        truth.traces[trace_id] = TraceTruth(
            trace_id, spans, late, names, root, start, duration, error, first, decision,
            kept.get(trace, {}),
        )  # fmt: skip


def _roots(traffic: Traffic, rows: Ints) -> Iterator[tuple[str, str] | None]:
    operations = np.where(rows < 0, -1, traffic.spans.operation[rows])
    for operation in operations.tolist():
        each = OPERATIONS[operation]
        yield None if operation < 0 else (each.service, each.name)


def _names(services: int) -> tuple[str, ...]:
    return tuple(sorted(name for bit, name in enumerate(SERVICES) if services >> bit & 1))
