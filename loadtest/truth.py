"""What is true of a load: what was sent, and what must come out of a sampler."""

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from tailrace_loadtest.edges import Calls, Edge, EdgeSeries
from tailrace_loadtest.histograms import Histogram
from tailrace_loadtest.load import Load
from tailrace_loadtest.red import ERROR, RedSeries
from tailrace_loadtest.sampling import Expected, Sampling

_SUMMARY, _TRACES = "truth.json", "traces.jsonl"


class Series(NamedTuple):
    """Spans of one name; `kind` as OTLP numbers it."""

    service: str
    name: str
    kind: int


@dataclass(frozen=True, slots=True)
class TraceTruth:
    """One trace. All but `late_*` and `kept` is about the spans that came before the decision."""

    trace_id: str
    spans: int
    late_spans: int
    services: tuple[str, ...]
    """Sorted."""
    root: tuple[str, str] | None
    """Service and name of the span without a parent, if that was on time."""
    start_ns: int
    duration_ns: int
    has_error: bool
    first_ms: int
    """The smallest timestamp of its records; it is decided one wait later."""
    expected: Expected
    kept: dict[str, str]
    """Span ID → digest (`wire`) of every span that must be kept, late ones too."""


@dataclass(slots=True)
class Truth:
    """Everything that is true of a load, under *sampling*."""

    load: Load
    sampling: Sampling = field(default_factory=Sampling)
    totals: Counter[str] = field(default_factory=Counter)
    """traces, spans, errors (spans), records, bytes, late_records, late_spans, kept_spans."""
    samples: Counter[str] = field(default_factory=Counter)
    """How many traces each policy must sample, and how many are `not_sampled`."""
    red: dict[RedSeries, Histogram] = field(default_factory=dict)
    graph: dict[EdgeSeries, Calls] = field(default_factory=dict)
    """See `edges` for which `store.ttl` it is true."""
    traces: dict[str, TraceTruth] = field(default_factory=dict)

    @property
    def calls(self) -> Counter[Series]:
        """Spans, of all pods together."""
        return self._spans(lambda _: True)

    @property
    def errors(self) -> Counter[Series]:
        """Spans with the status ERROR, of all pods together."""
        return self._spans(lambda series: series.status == ERROR)

    def _spans(self, counts: Callable[[RedSeries], bool]) -> Counter[Series]:
        found: Counter[Series] = Counter()
        for each, histogram in self.red.items():
            if counts(each):
                found[Series(each.service, each.name, each.kind)] += histogram.count
        return found

    @property
    def edge_calls(self) -> Counter[Edge]:
        """Calls of each edge."""
        found: Counter[Edge] = Counter()
        for (edge, _), calls in self.graph.items():
            found[edge] += calls.count
        return found

    @property
    def edge_failures(self) -> Counter[Edge]:
        """Calls of each edge that failed."""
        return Counter(
            {edge: calls.count for (edge, is_failed), calls in self.graph.items() if is_failed}
        )

    def write(self, directory: Path) -> None:
        """Write the truth into two files of *directory*."""
        directory.mkdir(parents=True, exist_ok=True)
        summary = {
            "load": asdict(self.load),
            "sampling": asdict(self.sampling),
            "totals": self.totals,
            "samples": self.samples,
            "red": [[*series, *_row(histogram)] for series, histogram in self.red.items()],
            "edges": [
                [*edge, is_failed, *_row(calls.client), *_row(calls.server)]
                for (edge, is_failed), calls in self.graph.items()
            ],
        }
        (directory / _SUMMARY).write_bytes(orjson.dumps(summary, option=orjson.OPT_INDENT_2))
        with (directory / _TRACES).open("wb") as file:
            file.writelines(
                orjson.dumps(trace, option=orjson.OPT_APPEND_NEWLINE)
                for trace in self.traces.values()
            )


def read(directory: Path) -> Truth:
    """The truth that was written into *directory*."""
    summary = orjson.loads((directory / _SUMMARY).read_bytes())
    truth = Truth(Load(**summary["load"]), Sampling(**summary["sampling"]))
    truth.totals.update(summary["totals"])
    truth.samples.update(summary["samples"])
    for row in summary["red"]:
        truth.red[RedSeries(*row[:5])] = Histogram(*row[5:])
    for client, server, connection_type, is_failed, *both in summary["edges"]:
        series = EdgeSeries(Edge(client, server, connection_type), is_failed)
        truth.graph[series] = Calls(Histogram(*both[:2]), Histogram(*both[2:]))
    with (directory / _TRACES).open("rb") as file:
        for line in file:
            trace = _trace(orjson.loads(line))
            truth.traces[trace.trace_id] = trace
    return truth


def _row(histogram: Histogram) -> tuple[int, list[int]]:
    return histogram.sum_ns, histogram.buckets


def _trace(row: dict[str, Any]) -> TraceTruth:
    row["services"] = tuple(row["services"])
    row["root"] = row["root"] and tuple(row["root"])
    row["expected"] = Expected(**row["expected"])
    return TraceTruth(**row)
