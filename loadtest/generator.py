"""Records in the order of the log, a slice of the load at a time.

A slice is the traces that begin in one stretch of time. A trace's later records wait until
the slices after it have come that far, so memory holds a slice and what is still to be sent.
"""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tailrace_loadtest.fleet import SERVICES
from tailrace_loadtest.load import Load, Record
from tailrace_loadtest.shapes import OPERATIONS, SHAPES, SHARES
from tailrace_loadtest.templates import SpanColumns, request, resource, scope, span_template
from tailrace_loadtest.traffic import Ints, Traffic, Window, simulate

_SLICE_TRACES = 1024


@dataclass(frozen=True, slots=True)
class Slice:
    """Some traces, and the records that are sent before the next slice begins.

    `spans[i]` is the encoded span (tag and length before it) of row i of the traffic's spans.
    """

    traffic: Traffic
    spans: list[bytes]
    records: list[Record]


def records(load: Load) -> Iterator[Record]:
    """All records of *load*, in the order of the log."""
    for each in slices(load):
        yield from each.records


def slices(load: Load) -> Iterator[Slice]:
    """All of *load*; the same bytes for the same load."""
    shapes = _shapes(load)
    waiting: list[tuple[int, int, int, Record]] = []
    for number, first in enumerate(range(0, len(shapes), _SLICE_TRACES)):
        rng = np.random.default_rng((load.seed, number))
        part = shapes[first : first + _SLICE_TRACES]
        end_ms = load.seconds * 1000 * (first + len(part)) / len(shapes)
        window = Window(load.seconds * 1000 * first / len(shapes), end_ms)
        traffic = simulate(load, first, part, window, rng)
        spans = _encoded(traffic, rng)
        for row, (appended_ms, record) in enumerate(_messages(traffic, spans)):
            heapq.heappush(waiting, (appended_ms, number, row, record))
        is_last = first + len(part) == len(shapes)
        due = np.inf if is_last else load.start_ms + np.floor(end_ms)
        sent = []
        while waiting and waiting[0][0] < due:
            sent.append(heapq.heappop(waiting)[3])
        yield Slice(traffic, spans, sent)


def _shapes(load: Load) -> Ints:
    """The shape of each trace; together they have `load.spans` spans or a few more."""
    rng = np.random.default_rng((load.seed, 0, 0))
    sizes = np.array([len(shape.operations) for shape in SHAPES])
    most = load.spans // int(sizes.min()) + 1
    shapes = rng.choice(len(SHAPES), most, p=np.array(SHARES))
    enough = int(np.searchsorted(np.cumsum(sizes[shapes]), load.spans)) + 1
    return shapes[:enough]


def _encoded(traffic: Traffic, rng: np.random.Generator) -> list[bytes]:
    """Every span of *traffic*, by row."""
    spans = traffic.spans
    is_root = spans.parent < 0
    groups = (spans.operation * 2 + is_root) * 2 + spans.is_error
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order], prepend=-1))
    encoded: list[bytes] = [b""] * len(groups)
    for rows in np.split(order, starts[1:]):
        group = int(groups[rows[0]])
        template = span_template(
            OPERATIONS[group >> 2], is_root=bool(group & 2), is_error=bool(group & 1)
        )
        for row, span in zip(
            rows.tolist(), template.encode(_columns(traffic, rows), rng), strict=True
        ):
            encoded[row] = span
    return encoded


def _columns(traffic: Traffic, rows: Ints) -> SpanColumns:
    spans = traffic.spans
    return SpanColumns(
        trace_id=traffic.trace_id[spans.trace[rows]],
        span_id=traffic.span_id[rows],
        parent_id=traffic.span_id[spans.parent[rows]],
        start=spans.start[rows],
        end=spans.end[rows],
    )


def _messages(traffic: Traffic, spans: list[bytes]) -> Iterator[tuple[int, Record]]:
    """The messages of *traffic* with their place in the log; spans stand as they ended."""
    fragments = traffic.fragments
    keys = [trace_id.tobytes().hex().encode() for trace_id in traffic.trace_id]
    order = np.lexsort((traffic.spans.end, traffic.spans.fragment))
    counts = np.bincount(traffic.spans.fragment, minlength=len(fragments.trace))
    in_order = [spans[row] for row in order.tolist()]
    at = 0
    for trace, service, pod, timestamp_ms, appended_ms, count in zip(
        fragments.trace.tolist(),
        fragments.service.tolist(),
        fragments.pod.tolist(),
        fragments.timestamp_ms.tolist(),
        fragments.appended_ms.tolist(),
        counts.tolist(),
        strict=True,
    ):
        name = SERVICES[service]
        value = request(resource(name, pod), scope(name), b"".join(in_order[at : at + count]))
        at += count
        yield appended_ms, Record(keys[trace], value, timestamp_ms, traffic.first_trace + trace)
