"""The demo on a screen: a live page on a terminal, a block of lines every few seconds elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tailrace.streams.demo import tables
from tailrace.streams.demo.state import Flow

_PLAIN_WIDTH = 100
_BLOCK_EVERY_S = 5
_PLAIN_EDGES = 6
_FLOW_LINES = 4
_SIDE_BY_SIDE = 112
"""Columns that services and edges need beside each other."""
_SEVERAL = 2


@dataclass(frozen=True, slots=True)
class Worker:
    """What the worker says of itself; zeros while it is away."""

    is_up: bool = True
    spans: float = 0
    pending: float = 0
    open_traces: float = 0
    lag: float = 0
    rollup_lag: float = 0
    checkpoint_ms: float = 0
    spans_a_second: float = 0

    @property
    def has_read(self) -> bool:
        """True if it has read something, and there is nothing more."""
        return self.is_up and self.spans > 0 and not (self.lag or self.rollup_lag)

    @property
    def is_idle(self) -> bool:
        """True if that is decided, too."""
        return self.has_read and not self.pending


def page(
    flow: Flow, worker: Worker, seconds_left: float | None, width: int, height: int
) -> RenderableType:
    """Return the whole live page, in at most *height* lines of *width* columns."""
    rest = "" if seconds_left is None else f" · {max(0, seconds_left):.0f} s of load left"
    head = Text.assemble(
        ("tailrace demo", "bold"), f"  worker pid {flow.worker_pid}{rest} · Ctrl-C ends"
    )
    hint = Text(flow.note or _hint(flow), style="yellow", no_wrap=True, overflow="ellipsis")
    around = 1 + _FLOW_LINES + 1 + 2
    return Group(head, _flow(flow, worker), "", *_body(flow, width, height - around), "", hint)


def _hint(flow: Flow) -> str:
    return f"Try it: kill -9 {flow.worker_pid}  (it starts again, and no number goes wrong)"


def _body(flow: Flow, width: int, height: int) -> Iterator[RenderableType]:
    """Yield services, edges and kept traces as far as there is room for them."""
    rates = flow.services.rates()
    if not rates:
        yield Text("rates and edges come with the first flush of metrics …", style="dim")
        return
    edges = flow.edges.rates(flow.services.as_of_ns)
    kept = len(flow.newest) + 2
    if width >= _SIDE_BY_SIDE:
        rows = max(len(rates), min(len(edges), height - 2 - kept))
        beside = Table.grid(padding=(0, 4))
        beside.add_row(tables.services(rates), tables.edges(edges, rows, rates[0].seconds))
        used = 2 + rows
        below: list[RenderableType] = [beside]
    else:
        columns = 1 if height > 2 * len(rates) + kept + 4 else _SEVERAL
        services = -(-len(rates) // columns)
        rows = max(1, min(len(rates), height - services - 4))
        below = [tables.services(rates, columns), "", tables.edges(edges, rows, rates[0].seconds)]
        used = 1 + services + 3 + rows
    yield Text(about(flow), style="dim", no_wrap=True, overflow="ellipsis")
    yield from below
    left = min(height - used, kept) - 2
    if left > 0:
        yield ""
        yield tables.kept(list(flow.newest)[-left:])


def about(flow: Flow) -> str:
    """Return what the rates are of."""
    seconds, edges = flow.services.rates()[0].seconds, len(flow.edges.totals())
    return f"the last {seconds:.0f} s: services by what they handled; the busiest of {edges} edges"


def _flow(flow: Flow, worker: Worker) -> Group:
    table = Table.grid(padding=(0, 2))
    for width in (15, 16, 15, 24):
        table.add_column(width=width, no_wrap=True)
    rows = (
        ("spans/s", f"{worker.spans_a_second:,.0f}", "lag, records", _lag(worker)),
        ("traces waiting", f"{worker.open_traces:,.0f}", "checkpoint",
         f"{worker.checkpoint_ms:.0f} ms"),
        ("traces decided", f"{flow.traces:,}", "decided twice", f"{flow.repeated}"),
    )  # fmt: skip
    for row in rows:
        table.add_row(*(Text(cell, "" if index % 2 else "dim") for index, cell in enumerate(row)))
    # In a line of its own: policies may be many.
    kept = Text(no_wrap=True, overflow="ellipsis").append(f"{'traces kept':17}", "dim")
    kept.append(f"{_kept(flow):18}").append(f"{'kept by':17}", "dim").append(_policies(flow))
    return Group(table, kept)


def _lag(worker: Worker) -> str:
    if not worker.is_up:
        return "the worker is starting"
    return f"spans {worker.lag:,.0f}, rollups {worker.rollup_lag:,.0f}"


def _kept(flow: Flow) -> str:
    return f"{flow.decided['sampled']:,} ({flow.kept_share})"


def _policies(flow: Flow) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in flow.kept_by.most_common()) or "-"


def block(flow: Flow, worker: Worker, elapsed_s: float) -> Iterator[RenderableType]:
    """Yield the same as lines, where there is no terminal."""
    yield (
        f"\nafter {elapsed_s:.0f} s: {worker.spans_a_second:,.0f} spans/s; "
        f"lag in records: {_lag(worker)}; worker pid {flow.worker_pid}"
    )
    yield (
        f"traces: {worker.open_traces:,.0f} waiting, {flow.traces:,} decided, "
        f"{_kept(flow)} kept by {_policies(flow)}"
    )
    rates = flow.services.rates()
    if rates:
        yield f"{about(flow)}:"
        yield tables.services(rates, _SEVERAL)
        edges = flow.edges.rates(flow.services.as_of_ns)
        yield tables.edges(edges, _PLAIN_EDGES, rates[0].seconds)


class Screen:
    """Shows the page on a terminal as it changes, and a block of lines now and then elsewhere."""

    def __init__(self) -> None:
        self.console = Console()
        self.is_live = self.console.is_terminal and not self.console.is_dumb_terminal
        if not self.is_live:
            self.console.width = max(self.console.width, _PLAIN_WIDTH)
        self._live: Live | None = None
        self.blocks = 0
        """So many were shown."""
        self._next_block_s = float(_BLOCK_EVERY_S)
        self._noted = ""

    def say(self, *what: RenderableType) -> None:
        """Write lines of their own, or tables."""
        for each in what:
            if isinstance(each, str):
                self.console.print(each, highlight=False, markup=False, soft_wrap=True)
                continue
            with self.console.capture() as lines:
                self.console.print(each)
            for line in lines.get().splitlines():
                self.console.out(line.rstrip(), highlight=False)

    def __enter__(self) -> Screen:
        if self.is_live:
            self._live = Live(console=self.console, auto_refresh=False, screen=True)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def show(
        self, flow: Flow, worker: Worker, elapsed_s: float, seconds_left: float | None
    ) -> None:
        """Show the state of now; *elapsed_s*: since the load began."""
        if self._live is not None:
            width, height = self.console.size
            self._live.update(page(flow, worker, seconds_left, width, height), refresh=True)
            return
        if flow.note != self._noted:
            self._noted = flow.note
            self.say(f"\n{flow.note}")
        if elapsed_s >= self._next_block_s:
            self._next_block_s += _BLOCK_EVERY_S
            self.say(*block(flow, worker, elapsed_s))
            self.blocks += 1
