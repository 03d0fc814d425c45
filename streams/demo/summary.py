"""How the demo went: the numbers of the whole run, and what the comparison with the load said."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType

from tailrace.streams.demo import tables
from tailrace.streams.demo.state import Flow
from tailrace_loadtest.report import Report
from tailrace_loadtest.truth import Truth

_SHOWN_EDGES = 10


def summary(flow: Flow) -> Iterator[RenderableType]:
    """Yield what flowed in the whole run."""
    kept = flow.decided["sampled"]
    yield f"\nmessages sent   {flow.sent.records:>9,}   {flow.sent.bytes / 1e6:,.0f} MB"
    yield f"traces decided  {flow.traces:>9,}   each once; decided twice: {flow.repeated}"
    yield f"traces kept     {kept:>9,}   {flow.kept_share}"
    for policy, count in flow.kept_by.most_common():
        yield f"  by {policy:<11}{count:>9,}"
    yield f"worker starts   {flow.worker_starts:>9,}"
    services = flow.services.totals()
    if services:
        edges = flow.edges.totals()
        yield "\nby service, what it handled (SERVER, CONSUMER); p95 is linear within its bucket:"
        yield tables.services(services, is_total=True)
        yield f"\nthe busiest {min(_SHOWN_EDGES, len(edges))} of {len(edges)} edges:"
        yield tables.edges(edges, _SHOWN_EDGES, 0.0, is_total=True)
        yield ""


def verdict(report: Report, truth: Truth) -> str:
    """Return what was compared and found right, in one line."""
    return (
        f"checked against the load: every decision is right, every kept trace is complete,\n"
        f"and {report.series} series and {report.edges} edges count what was sent, to the digit: "
        f"{truth.totals['spans']:,} spans\nand {truth.edge_calls.total():,} calls, with their "
        f"errors and durations."
    )
