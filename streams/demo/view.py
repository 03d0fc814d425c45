"""The demo on a screen: a live page on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from tailrace.streams.demo.state import Flow


@dataclass(frozen=True, slots=True)
class Worker:
    """What the worker says of itself; zeros while it is away."""

    spans: float = 0
    pending: float = 0
    open_traces: float = 0
    lag: float = 0
    checkpoint_ms: float = 0
    spans_a_second: float = 0


def page(flow: Flow, worker: Worker, seconds_left: float | None) -> Group:
    """Return the whole live page."""
    rest = "" if seconds_left is None else f" · {max(0, seconds_left):.0f} s left"
    head = Text.assemble(
        ("tailrace demo", "bold"), f"  worker pid {flow.worker_pid}{rest} · Ctrl-C ends"
    )
    return Group(
        head,
        Panel(_flow(flow, worker), title="flow", title_align="left"),
        Panel(_kept(flow), title="traces kept last", title_align="left"),
        Text(flow.note or _hint(flow), style="yellow"),
    )


def _hint(flow: Flow) -> str:
    return (
        f"Try it: kill -9 {flow.worker_pid}   (it starts again; nothing is lost or decided twice)"
    )


def _flow(flow: Flow, worker: Worker) -> Group:
    table = Table.grid(padding=(0, 3))
    for justify in ("left", "right", "left", "right"):
        table.add_column(justify=justify)
    decided = sum(flow.decided.values())
    kept = flow.decided["sampled"]
    share = f"{kept / decided:.1%}" if decided else "-"
    by = ", ".join(f"{name} {count:,}" for name, count in flow.kept_by.most_common()) or "-"
    rows = [
        (
            "messages sent",
            f"{flow.sent.records:,}",
            "spans a second",
            f"{worker.spans_a_second:,.0f}",
        ),
        ("traces waiting", f"{worker.open_traces:,.0f}", "lag, records", f"{worker.lag:,.0f}"),
        ("traces decided", f"{decided:,}", "last checkpoint", f"{worker.checkpoint_ms:.0f} ms"),
        ("traces kept", f"{kept:,} ({share})", "decided twice", f"{flow.repeated}"),
    ]
    for row in rows:
        table.add_row(
            *(Text(cell, "dim" if index % 2 == 0 else "") for index, cell in enumerate(row))
        )
    return Group(table, Text(f"kept by: {by}"))


def _kept(flow: Flow) -> Table:
    table = Table(box=None, pad_edge=False, expand=True)
    for name in ("trace", "why", "root", "spans", "ms"):
        table.add_column(name, justify="right" if name in ("spans", "ms") else "left")
    for decision in reversed(flow.newest):
        table.add_row(*_cells(decision))
    return table


def _cells(decision: Mapping[str, object]) -> tuple[str, ...]:
    root = decision["root"]
    name = f"{root['service']} {root['name']}" if isinstance(root, dict) else "-"
    probability = decision["probability"]
    why = str(decision["policy"]) + ("" if probability == 1 else f" ({probability:.0%})")
    duration = f"{decision['duration_ms']:,.0f}"
    return str(decision["trace_id"])[:16], why, name, str(decision["spans"]), duration


def line(flow: Flow, worker: Worker) -> str:
    """Return the same in one line, where there is no terminal."""
    kept = ", ".join(f"{name} {count}" for name, count in flow.kept_by.most_common())
    return (
        f"worker pid {flow.worker_pid}; messages sent {flow.sent.records:,}, "
        f"spans a second {worker.spans_a_second:,.0f}; "
        f"traces waiting {worker.open_traces:,.0f}, decided {sum(flow.decided.values()):,}, "
        f"kept {flow.decided['sampled']:,} ({kept or 'none yet'}); lag {worker.lag:,.0f} records"
    )


class Screen:
    """Shows the page on a terminal as it changes, and lines every few seconds elsewhere."""

    _LINE_EVERY = 4

    def __init__(self) -> None:
        self.console = Console()
        self._live: Live | None = None
        self._shown = 0

    def say(self, text: str) -> None:
        """Write a line of its own."""
        self.console.print(text, highlight=False, soft_wrap=True)

    def __enter__(self) -> Screen:
        if self.console.is_terminal:
            self._live = Live(console=self.console, refresh_per_second=4, transient=True)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, flow: Flow, worker: Worker, seconds_left: float | None) -> None:
        """Show the state of now; called twice a second."""
        if self._live is not None:
            self._live.update(page(flow, worker, seconds_left))
        elif self._shown % self._LINE_EVERY == 0:
            self.say(line(flow, worker))
        self._shown += 1
