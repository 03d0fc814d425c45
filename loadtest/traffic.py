"""What happens in the fleet: traces as columns, before anything is encoded.

The span tree of a trace is one of `shapes`; its times follow from each operation's own
time, drawn from a log-normal distribution, and from a factor that slows the whole trace.
"""

from dataclasses import dataclass, fields
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from tailrace_loadtest.encoding import Bytes
from tailrace_loadtest.fleet import PODS, SERVICES, Kind
from tailrace_loadtest.load import LATE_SPREAD_S, Load
from tailrace_loadtest.shapes import OPERATIONS, SHAPES, SHARES, Shape

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

_SLOWNESS_SIGMA = 1.05
_SLOWNESS_MEDIAN = 1.6
_MAX_SLOWNESS = 40.0
_SELF_TIME_SIGMA = 0.5
_QUEUE_MS = 30.0
_SKEW_MS = 0.3
_EXPORT_DELAY_MS = (20.0, 250.0)
_DISPLACEMENT_MS = 400.0
_NANOS = 1_000_000
_OPERATION_INDEX = {operation: index for index, operation in enumerate(OPERATIONS)}
_SHARE_OF_SEVERAL_FRAGMENTS = sum(
    share for share, shape in zip(SHARES, SHAPES, strict=True) if len(shape.services) > 1
)
_PASSED_ON = {Kind.SERVER: 0.95, Kind.CLIENT: 0.6, Kind.PRODUCER: 0.6, Kind.INTERNAL: 0.6}
"""How often a failed span of this kind makes its parent fail."""


@dataclass(frozen=True, slots=True)
class Window:
    """Where traces begin: the first record of each is sent in [begin_ms, end_ms) of the load."""

    begin_ms: float
    end_ms: float


@dataclass(slots=True)
class Spans:
    """One row a span. `trace`, `parent` and `fragment` are rows here; a root's parent is −1."""

    trace: Ints
    operation: Ints
    parent: Ints
    fragment: Ints
    start: Ints
    end: Ints
    is_error: Flags


@dataclass(slots=True)
class Fragments:
    """One row a message. `appended_ms` orders the log; times in ms since 1970."""

    trace: Ints
    service: Ints
    pod: Ints
    timestamp_ms: Ints
    appended_ms: Ints
    is_late: Flags


@dataclass(slots=True)
class Traffic:
    """Some traces with their spans and messages; `first_trace` is the number of row 0."""

    first_trace: int
    trace_id: Bytes
    span_id: Bytes
    spans: Spans
    fragments: Fragments


def simulate(
    load: Load, first_trace: int, shapes: Ints, window: Window, rng: np.random.Generator
) -> Traffic:
    """The traces with *shapes* (one a trace), which begin in *window*."""
    begins = rng.uniform(window.begin_ms, window.end_ms, len(shapes))
    spans: list[Spans] = []
    fragments: list[Fragments] = []
    span_rows = fragment_rows = 0
    for index in np.unique(shapes).tolist():
        traces = np.flatnonzero(shapes == index)
        block = _Block(SHAPES[index], traces, rng)
        sent = block.send(load, begins[traces])
        spans.append(block.spans(load, sent, span_rows, fragment_rows))
        fragments.append(block.fragments(load, sent))
        span_rows += len(spans[-1].trace)
        fragment_rows += len(fragments[-1].trace)
    trace_id = rng.integers(0, 256, (len(shapes), 16), np.uint8)
    span_id = rng.integers(0, 256, (span_rows, 8), np.uint8)
    return Traffic(first_trace, trace_id, span_id, _concatenated(spans), _concatenated(fragments))


@dataclass(frozen=True, slots=True)
class _Sent:
    """When what is sent, of shape (traces, fragments); `base_ms` (traces,) is the spans' time 0."""

    timestamp_ms: Floats
    is_late: Flags
    base_ms: Floats


class _Block:
    """All traces of one shape. Times are of shape (traces, nodes), in ms from the root's start."""

    def __init__(self, shape: Shape, traces: Ints, rng: np.random.Generator) -> None:
        self._shape, self._traces, self._rng = shape, traces, rng
        self._fragments = len(shape.services)
        self._start, self._end = self._times()

    def send(self, load: Load, begin_ms: Floats) -> _Sent:
        """Send every fragment after its spans have ended, within the bounds of *load*."""
        ready = np.stack(
            [self._end[:, self._shape.fragments == each].max(1) for each in self._each_fragment()],
            axis=1,
        )
        ready += self._rng.uniform(*_EXPORT_DELAY_MS, ready.shape)
        is_late = self._late(load)
        first = np.where(is_late, np.inf, ready).min(1)
        wait_ms = load.decision_wait_s * 1000
        longest = np.minimum(0.45 * wait_ms, load.seconds * 1000 - 1 - begin_ms)
        offset = np.clip(ready - first[:, None], 0, np.maximum(longest, 0)[:, None])
        lateness = self._rng.uniform(0, LATE_SPREAD_S * 1000, offset.shape)
        lateness += wait_ms + load.late_margin_s * 1000 + 1
        sent = begin_ms[:, None] + np.where(is_late, lateness, offset)
        return _Sent(sent, is_late, (sent - ready).min(1))

    def spans(self, load: Load, sent: _Sent, first_row: int, first_fragment: int) -> Spans:
        """The spans, trace by trace; the block's rows start at *first_row*."""
        traces, nodes = self._start.shape
        base = load.start_ms * _NANOS + np.floor(sent.base_ms * _NANOS).astype(np.int64)
        start = base[:, None] + (self._start * _NANOS).astype(np.int64)
        end = base[:, None] + (self._end * _NANOS).astype(np.int64)
        row = first_row + np.arange(traces)[:, None] * nodes
        parents = np.array(self._shape.parents)
        fragment = first_fragment + np.arange(traces)[:, None] * self._fragments
        operations = [_OPERATION_INDEX[each] for each in self._shape.operations]
        return Spans(
            trace=np.repeat(self._traces, nodes),
            operation=np.tile(np.array(operations), traces),
            parent=np.where(parents < 0, -1, row + parents).ravel(),
            fragment=(fragment + self._shape.fragments).ravel(),
            start=start.ravel(),
            end=end.ravel(),
            is_error=self._errors(load).ravel(),
        )

    def fragments(self, load: Load, sent: _Sent) -> Fragments:
        """The messages, trace by trace."""
        count = sent.is_late.size
        timestamp = load.start_ms + np.floor(sent.timestamp_ms).astype(np.int64).ravel()
        most = min(_DISPLACEMENT_MS, 0.04 * load.decision_wait_s * 1000)
        displacement = self._rng.uniform(most / 2, most, count)
        displacement[self._rng.random(count) >= load.out_of_order_share] = 0
        services = [SERVICES.index(each) for each in self._shape.services]
        return Fragments(
            trace=np.repeat(self._traces, self._fragments),
            service=np.tile(np.array(services), len(self._traces)),
            pod=self._rng.integers(0, PODS, count),
            timestamp_ms=timestamp,
            appended_ms=timestamp + displacement.astype(np.int64),
            is_late=sent.is_late.ravel(),
        )

    def _times(self) -> tuple[Floats, Floats]:
        """Starts and ends. A node waits for its calls, one after the other, between own work."""
        shape, rng = self._shape, self._rng
        nodes = range(len(shape.operations))
        medians = np.array([operation.self_ms for operation in shape.operations])
        own = rng.lognormal(np.log(medians), _SELF_TIME_SIGMA, (len(self._traces), len(nodes)))
        slowness = rng.lognormal(np.log(_SLOWNESS_MEDIAN), _SLOWNESS_SIGMA, len(self._traces))
        own *= np.minimum(slowness, _MAX_SLOWNESS)[:, None]
        calls = [shape.calls(node) for node in nodes]
        duration = own.copy()
        for node in reversed(nodes):
            duration[:, node] += duration[:, calls[node]].sum(1)
        start = np.zeros_like(own)
        for node in nodes:
            at = start[:, node].copy()
            for child in calls[node]:
                at += own[:, node] / (len(calls[node]) + 1)
                start[:, child] = at
                at += duration[:, child]
            for child in shape.handled_later(node):
                start[:, child] = start[:, node] + duration[:, node]
                start[:, child] += rng.lognormal(np.log(_QUEUE_MS), 1.0, len(own))
        clock = rng.normal(0, _SKEW_MS, (len(own), self._fragments))
        start += clock[:, shape.fragments]
        return start, start + duration

    def _late(self, load: Load) -> Flags:
        """At most one fragment of a trace, and never its only one."""
        is_late = np.zeros((len(self._traces), self._fragments), bool)
        if self._fragments > 1:
            share = load.late_share / _SHARE_OF_SEVERAL_FRAGMENTS
            rows = np.flatnonzero(self._rng.random(len(self._traces)) < share)
            is_late[rows, self._rng.integers(0, self._fragments, len(rows))] = True
        return is_late

    def _errors(self, load: Load) -> Flags:
        """One span fails, and its ancestors with it as far as nobody handles that."""
        shape, rng = self._shape, self._rng
        is_error = np.zeros(self._start.shape, bool)
        for trace in np.flatnonzero(rng.random(len(is_error)) < load.error_share).tolist():
            node = int(rng.integers(0, len(shape.operations)))
            is_error[trace, node] = True
            while shape.parents[node] >= 0 and rng.random() < _PASSED_ON.get(
                shape.operations[node].kind, 0
            ):
                node = shape.parents[node]
                is_error[trace, node] = True
        return is_error

    def _each_fragment(self) -> range:
        return range(self._fragments)


TableT = TypeVar("TableT", Spans, Fragments)


def _concatenated(tables: list[TableT]) -> TableT:
    columns = {
        each.name: np.concatenate([getattr(table, each.name) for table in tables])
        for each in fields(tables[0])
    }
    return type(tables[0])(**columns)
