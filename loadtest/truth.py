"""What is true of a load: what was sent, and what must come out of a sampler."""

from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from tailrace_loadtest.load import Load
from tailrace_loadtest.sampling import Expected, Sampling

_SUMMARY, _TRACES = "truth.json", "traces.jsonl"


class Series(NamedTuple):
    """Spans of one name; `kind` as OTLP numbers it."""

    service: str
    name: str
    kind: int


class Edge(NamedTuple):
    """Calls between two services; type "" (request), "messaging_system" or "database".

    A database is named by `db.name`. Users, who call the roots, are no edge here.
    """

    client: str
    server: str
    connection_type: str


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
    calls: Counter[Series] = field(default_factory=Counter)
    errors: Counter[Series] = field(default_factory=Counter)
    edge_calls: Counter[Edge] = field(default_factory=Counter)
    edge_failures: Counter[Edge] = field(default_factory=Counter)
    """A call failed if the span of either side has the status ERROR."""
    traces: dict[str, TraceTruth] = field(default_factory=dict)

    def write(self, directory: Path) -> None:
        """Write the truth into two files of *directory*."""
        directory.mkdir(parents=True, exist_ok=True)
        summary = {
            "load": asdict(self.load),
            "sampling": asdict(self.sampling),
            "totals": self.totals,
            "samples": self.samples,
            "series": [[*key, calls, self.errors[key]] for key, calls in self.calls.items()],
            "edges": [
                [*key, calls, self.edge_failures[key]] for key, calls in self.edge_calls.items()
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
    for service, name, kind, calls, errors in summary["series"]:
        series = Series(service, name, kind)
        truth.calls[series], truth.errors[series] = calls, errors
    for client, server, connection_type, calls, failures in summary["edges"]:
        edge = Edge(client, server, connection_type)
        truth.edge_calls[edge], truth.edge_failures[edge] = calls, failures
    with (directory / _TRACES).open("rb") as file:
        for line in file:
            trace = _trace(orjson.loads(line))
            truth.traces[trace.trace_id] = trace
    return truth


def _trace(row: dict[str, Any]) -> TraceTruth:
    row["services"] = tuple(row["services"])
    row["root"] = row["root"] and tuple(row["root"])
    row["expected"] = Expected(**row["expected"])
    return TraceTruth(**row)
